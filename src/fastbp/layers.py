"""Layers, described. `fastbp.lowering` turns them into the operations of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

from fastbp import activations, initializers, validate
from fastbp.description import Description
from fastbp.initializers import Initializer

Parameters: TypeAlias = tuple[tuple[str, tuple[int, ...], Initializer], ...]


class Layer(Description):
    """Base of the layer descriptions."""

    name: ClassVar[str]


class Dense(Layer):
    """Every output unit sees every input: a = f(x W + b), with W of shape (inputs, units).

    Parameters
    ----------
    units : int
        Number of outputs; at least 1.
    activation : str or ActivationFunction, default None
        The function f; None is the identity.
    use_bias : bool, default True
        Whether there is a vector b.
    trainable : bool, default True
        Whether training changes W and b.
    bias_trainable : bool, default True
        Whether training changes b; `trainable` must hold too.
    weights_initializer : str, Initializer or array_like, default "glorot_uniform"
        What W starts from.
    bias_initializer : str, Initializer or array_like, default "zeros"
        What b starts from.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, out of range or an unknown name.
    """

    name = "dense"
    units: int
    activation: Any = None
    use_bias: bool = True
    trainable: bool = True
    bias_trainable: bool = True
    weights_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"

    def __post_init__(self) -> None:
        resolved = {
            "units": validate.integer("units", self.units, 1),
            "activation": activations.resolve(self.activation),
            "weights_initializer": initializers.resolve(
                "weights_initializer", self.weights_initializer
            ),
            "bias_initializer": initializers.resolve("bias_initializer", self.bias_initializer),
        }
        for name in ("use_bias", "trainable", "bias_trainable"):
            resolved[name] = validate.flag(name, getattr(self, name))
        for name, value in resolved.items():
            object.__setattr__(self, name, value)


class Activation(Layer):
    """An activation function as a layer of its own.

    Parameters
    ----------
    activation : str or ActivationFunction
        The function.
    """

    name = "activation"
    activation: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", activations.resolve(self.activation))


class Flatten(Layer):
    """Each row's array as one vector, in C order."""

    name = "flatten"


class Rescale(Layer):
    """Every element times a constant: 1/255 turns bytes into numbers from 0 to 1.

    Parameters
    ----------
    factor : float
        The constant.
    """

    name = "rescale"
    factor: float

    def __post_init__(self) -> None:
        validate.real("factor", self.factor)


class Dropout(Layer):
    """In training, each element is dropped with probability `rate`, the others grow by 1/(1-rate).

    Parameters
    ----------
    rate : float
        The probability; in [0, 1).

    Raises
    ------
    ValueError
        If `rate` is outside [0, 1).

    References
    ----------
    Srivastava et al. 2014; scaled in training ("inverted") rather than in prediction.
    """

    name = "dropout"
    rate: float

    def __post_init__(self) -> None:
        validate.fraction("rate", self.rate)


class Custom(Layer):
    """A layer of your own: its way forward and its way back, each called once a batch.

    Arrays that the functions are given are read-only, in the network's dtype; they may be kept, and
    change no more.

    Parameters
    ----------
    forward : callable
        Takes x, shape (rows, *shape of an input row), and then each parameter; returns the outputs
        y, shape (rows, *output_shape).
    backward : callable
        Takes x, y, dL/dy and then each parameter; returns dL/dx, or if there are parameters a tuple
        of dL/dx and the gradient of each, summed over the rows. `fastbp.custom.check` compares
        both functions.
    parameters : mapping of str to (shape, initializer), or callable, default {}
        What training changes, by name and in this order: a tuple of int, and what
        `fastbp.initializers` knows. A function makes it from the shape of an input row.
    output_shape : int, tuple of int or callable, optional
        Shape of an output row, or a function that makes it from that of an input row; left out, the
        two are the same.
    trainable : bool, default True
        Whether training changes the parameters.

    Raises
    ------
    TypeError, ValueError
        If a function is missing, or an argument is not as described.

    Examples
    --------
    A factor for each input:

    >>> scale = fastbp.layers.Custom(
    ...     lambda x, factors: x * factors,
    ...     lambda x, y, dy, factors: (dy * factors, (dy * x).sum(axis=0)),
    ...     parameters=lambda shape: {"factors": (shape, fastbp.initializers.Constant(1.0))},
    ... )
    """

    name = "custom"
    formula = "y = forward(x, *parameters); dL/dx, *gradients = backward(x, y, dL/dy, *parameters)"
    forward: Any = None
    backward: Any = None
    parameters: Any = ()
    output_shape: Any = None
    trainable: bool = True

    def __post_init__(self) -> None:
        takes = "a function that takes x"
        validate.function("forward", self.forward, f"{takes} and the parameters and returns y")
        validate.function(
            "backward", self.backward, f"{takes}, y, dL/dy and the parameters and returns dL/dx"
        )
        validate.flag("trainable", self.trainable)
        if not callable(self.parameters):
            object.__setattr__(self, "parameters", _parameters(self.parameters))
        if not callable(self.output_shape) and self.output_shape is not None:
            object.__setattr__(self, "output_shape", _shape("output_shape", self.output_shape))

    def parameters_for(self, shape: tuple[int, ...]) -> Parameters:
        """Return name, shape and initializer of each parameter for input rows of a shape."""
        if not callable(self.parameters):
            given: Parameters = self.parameters
            return given
        return _parameters(self.parameters(shape))

    def output_shape_for(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of an output row for input rows of a shape."""
        made = self.output_shape(shape) if callable(self.output_shape) else self.output_shape
        return shape if made is None else _shape("output_shape", made)


def _parameters(given: Any) -> Parameters:
    """Return a mapping of names to shapes and initializers as a tuple that can be hashed."""
    if not isinstance(given, Mapping | tuple) or (given and isinstance(given, tuple)):
        raise TypeError(
            f"parameters: expected a mapping of names to (shape, initializer), got {given!r}"
        )
    return tuple(_parameter(name, value) for name, value in dict(given).items())


def _parameter(name: Any, value: Any) -> tuple[str, tuple[int, ...], Initializer]:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"parameters: expected names like 'weights', got {name!r}")
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"parameters[{name!r}]: expected (shape, initializer), got {value!r}")
    shape = _shape(f"parameters[{name!r}]", value[0])
    return name, shape, initializers.resolve(f"parameters[{name!r}]", value[1])


def _shape(argument: str, value: Any) -> tuple[int, ...]:
    sizes = value if isinstance(value, tuple | list) else (value,)
    if not sizes:
        raise ValueError(f"{argument}: expected at least one size, got {value!r}")
    return tuple(validate.integer(argument, size, 1) for size in sizes)


def resolve(index: int, layer: Any) -> Layer:
    """Return `layer`, which must be a layer description."""
    if isinstance(layer, Layer):
        return layer
    raise TypeError(
        f"layers[{index}]: expected a layer such as fastbp.Dense(32), "
        f"got {type(layer).__name__} {layer!r}"
    )
