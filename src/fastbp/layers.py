"""Layers, described. `fastbp.lowering` turns them into the operations of a plan."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeAlias

from fastbp import activations, constraints, initializers, regularizers, validate
from fastbp.description import Description
from fastbp.initializers import Initializer
from fastbp.several import alone
from fastbp.tensors import Shape, Tensor

Parameters: TypeAlias = tuple[tuple[str, Shape, Initializer], ...]


class Source(NamedTuple):
    """What a layer reads: the name of what computes it, and the shape of a row."""

    name: str
    shape: Shape


class Layer(Description):
    """Base of the layer descriptions.

    Calling one on a tensor, as in ``fastbp.Dense(4)(fastbp.Input(3))``, returns the tensor that it
    computes. One layer called several times is one layer of the network, whose parameters all calls
    share: it is trained by the sum of their gradients. (In a list of layers each entry is a layer.)

    Raises
    ------
    TypeError, ValueError
        If it is called on anything but a tensor, or on one of a shape that it does not take.
    """

    name: ClassVar[str]

    def __call__(self, inputs: Any) -> Tensor:
        read = self.read(inputs)
        sources = tuple(Source(tensor.name, tensor.shape) for tensor in read)
        return Tensor(self, read, self.output_shape(self.name, sources))

    def read(self, inputs: Any) -> tuple[Tensor, ...]:
        """Return what the layer is called on, which must be one tensor, as a tuple."""
        if isinstance(inputs, Tensor):
            return (inputs,)
        raise TypeError(
            f"{self.name}: expected a tensor such as fastbp.Input(4), got {type(inputs).__name__}"
        )

    def output_shape(self, name: str, sources: tuple[Source, ...]) -> Shape:
        """Return the shape of a row of the output; that of the input, if nothing else is said.

        Parameters
        ----------
        name : str
            What an error calls the layer.
        sources : tuple of Source
            What it reads.

        Raises
        ------
        ValueError
            If it takes no rows of such shapes.
        """
        return sources[0].shape


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
    weights_regularizer, bias_regularizer : Regularizer, str or float, optional
        What W and b cost in the loss, of `fastbp.regularizers`; a number is the factor of an L2.
    weights_constraint, bias_constraint : Constraint, str or float, optional
        What W and b are brought back to after each update, of `fastbp.constraints`; a number is
        a maximum norm.

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
    weights_regularizer: Any = None
    bias_regularizer: Any = None
    weights_constraint: Any = None
    bias_constraint: Any = None

    def __post_init__(self) -> None:
        resolved = {
            "units": validate.integer("units", self.units, 1),
            "activation": activations.resolve(self.activation),
            "weights_initializer": initializers.resolve(
                "weights_initializer", self.weights_initializer
            ),
            "bias_initializer": initializers.resolve("bias_initializer", self.bias_initializer),
            "weights_regularizer": regularizers.resolve(
                "weights_regularizer", self.weights_regularizer
            ),
            "bias_regularizer": regularizers.resolve("bias_regularizer", self.bias_regularizer),
            "weights_constraint": constraints.resolve(
                "weights_constraint", self.weights_constraint
            ),
            "bias_constraint": constraints.resolve_of_vector(
                "bias_constraint", self.bias_constraint
            ),
        }
        for name in ("use_bias", "trainable", "bias_trainable"):
            resolved[name] = validate.flag(name, getattr(self, name))
        for name, value in resolved.items():
            object.__setattr__(self, name, value)

    def output_shape(self, name: str, sources: tuple[Source, ...]) -> Shape:
        """Return (units,), for rows of one dimension."""
        source, shape = sources[0]
        if len(shape) != 1:
            raise ValueError(
                f"{name} expects rows of shape (inputs,), got {shape} from {source}; "
                f"put a fastbp.Flatten() before it"
            )
        return (self.units,)


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

    def output_shape(self, name: str, sources: tuple[Source, ...]) -> Shape:
        """Return the number of elements."""
        return (math.prod(sources[0].shape),)


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
    structured : bool, default False
        Whether units are dropped as a whole: a batch has one mask for all of its rows, and so have
        the parts of one whose gradients are accumulated. What goes into a dropped unit and out of
        it is then not computed at all, forward or backward, where a `Dense` layer follows, at once
        or behind a further structured dropout or a `Rescale`: with rate 0.5 on both sides of a
        `Dense`, a quarter of its work is left. The gradient of a weight that belongs to a dropped
        unit is 0. Where none follows, or one that is called several times, or where the units are
        fewer than 64 bytes hold (16 in float32, 8 in float64), units are masked.

    Raises
    ------
    TypeError
        If `structured` is not a bool.
    ValueError
        If `rate` is outside [0, 1).

    Notes
    -----
    Masks are counted, not drawn in turn: that of unit u in batch i is a function of the network's
    seed, i, the place of the layer and u, and the same on every machine, for any number of threads,
    in both engines. A structured mask is what an unstructured dropout in its place gives the
    first row of the batch.

    References
    ----------
    Srivastava et al. 2014; scaled in training ("inverted") rather than in prediction. The network
    that is left is what section 1 there calls a thinned network; here a batch has one, not a row.
    """

    name = "dropout"
    rate: float
    structured: bool = False

    def __post_init__(self) -> None:
        validate.fraction("rate", self.rate)
        object.__setattr__(self, "structured", validate.flag("structured", self.structured))


def _several(name: str, inputs: Any) -> tuple[Tensor, ...]:
    """Return a list or tuple of tensors, which a layer is called on, as a tuple."""
    if not isinstance(inputs, Iterable):
        raise TypeError(f"{name}: expected a list of tensors, got {type(inputs).__name__}")
    read = tuple(inputs)
    for index, tensor in enumerate(read):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name}: expected tensors, got {type(tensor).__name__} at [{index}]")
    return read


def _require_one_shape(name: str, sources: tuple[Source, ...], where: str = "") -> None:
    """Refuse tensors of different shapes."""
    first = sources[0]
    for source, shape in sources:
        if shape != first.shape:
            raise ValueError(
                f"{name} expects rows of one shape{where}, got {first.shape} from {first.name} "
                f"and {shape} from {source}"
            )


class Join(Layer):
    """Base of the layers that are called on several tensors, given as a list or a tuple."""

    def read(self, inputs: Any) -> tuple[Tensor, ...]:
        """Return what the layer is called on: at least two tensors."""
        if isinstance(inputs, Tensor):
            raise TypeError(f"{self.name}: expected a list of tensors, got {type(inputs).__name__}")
        return _several(self.name, inputs)

    def require_several(self, name: str, sources: tuple[Source, ...]) -> None:
        """Refuse to join fewer than two."""
        if len(sources) < 2:
            got = "".join(f" from {source.name}" for source in sources)
            raise ValueError(f"{name} expects at least 2 tensors, got {len(sources)}{got}")


class Add(Join):
    """The sum of tensors of one shape, element by element, as in a residual block.

    Called on a list or a tuple of at least two tensors; one may be there twice.

    References
    ----------
    He et al. 2016, "Deep residual learning for image recognition", eq. 1.
    """

    name = "add"

    def output_shape(self, name: str, sources: tuple[Source, ...]) -> Shape:
        """Return the one shape of all."""
        self.require_several(name, sources)
        _require_one_shape(name, sources)
        return sources[0].shape


class Concatenate(Join):
    """Tensors behind each other along one axis.

    Called on a list or a tuple of at least two tensors; their other axes are equal.

    Parameters
    ----------
    axis : int, default -1
        The axis, counted with that of the batch, which is 0 and stays as it is; or from the last,
        which is -1.

    Raises
    ------
    TypeError, ValueError
        If `axis` is no integer, or 0.
    """

    name = "concatenate"
    axis: int = -1

    def __post_init__(self) -> None:
        axis = validate.integer("axis", self.axis, -(2**31))
        if not axis:
            raise ValueError("axis: expected an axis of rows, got 0, which is that of the batch")
        object.__setattr__(self, "axis", axis)

    def output_shape(self, name: str, sources: tuple[Source, ...]) -> Shape:
        """Return the shape with the sum of the sizes along the axis."""
        self.require_several(name, sources)
        first = sources[0]
        axis = self.row_axis(first.shape)
        if not 0 <= axis < len(first.shape):
            raise ValueError(
                f"{name} expects rows with an axis {self.axis}, got {first.shape} from {first.name}"
            )
        before, behind = first.shape[:axis], first.shape[axis + 1 :]
        for source, shape in sources:
            if (shape[:axis], shape[axis + 1 :]) != (before, behind):
                raise ValueError(
                    f"{name} expects rows of one shape but for axis {self.axis}, got {first.shape} "
                    f"from {first.name} and {shape} from {source}"
                )
        return (*before, sum(shape[axis] for _, shape in sources), *behind)

    def row_axis(self, shape: Shape) -> int:
        """Return the place of the axis in the shape of a row."""
        return self.axis - 1 if self.axis > 0 else self.axis + len(shape)


class Custom(Layer):
    """A layer of your own: its way forward and its way back, each called once a batch.

    It is called on a tensor, or on a list or a tuple of at least two: then x, dL/dx and the shape
    of an input row are tuples with an entry for each, here and in the functions. Arrays that the
    functions are given are read-only, in the network's dtype; they may be kept, and change no more.

    Parameters
    ----------
    forward : callable
        Takes x, shape (rows, *shape of an input row), and then each parameter; returns the outputs
        y, shape (rows, *shape).
    backward : callable
        Takes x, y, dL/dy and then each parameter; returns dL/dx, or if there are parameters a tuple
        of dL/dx and the gradient of each, summed over the rows. `fastbp.custom.check` compares
        both functions.
    parameters : mapping of str to (shape, initializer), or callable, default {}
        What training changes, by name and in this order: a tuple of int, and what
        `fastbp.initializers` knows. A function makes it from the shape of an input row.
    shape : int, tuple of int or callable, optional
        Shape of an output row, or a function that makes it from that of an input row; left out, the
        two are the same, and so are those of several inputs.
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

    The product of two inputs:

    >>> product = fastbp.layers.Custom(
    ...     lambda x: x[0] * x[1],
    ...     lambda x, y, dy: (dy * x[1], dy * x[0]),
    ... )
    >>> gated = product([fastbp.Dense(8)(h), fastbp.Dense(8, "sigmoid")(h)])
    """

    name = "custom"
    formula = "y = forward(x, *parameters); dL/dx, *gradients = backward(x, y, dL/dy, *parameters)"
    forward: Any = None
    backward: Any = None
    parameters: Any = ()
    shape: Any = None
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
        if not callable(self.shape) and self.shape is not None:
            object.__setattr__(self, "shape", _shape("shape", self.shape))

    def read(self, inputs: Any) -> tuple[Tensor, ...]:
        """Return what the layer is called on: a tensor, or several."""
        return (inputs,) if isinstance(inputs, Tensor) else _several(self.name, inputs)

    def parameters_for(self, shapes: tuple[Shape, ...]) -> Parameters:
        """Return name, shape and initializer of each parameter for input rows of such shapes."""
        if not callable(self.parameters):
            given: Parameters = self.parameters
            return given
        return _parameters(self.parameters(alone(shapes)))

    def shape_for(self, shapes: tuple[Shape, ...]) -> Shape:
        """Return the shape of an output row for input rows of such shapes."""
        made = self.shape(alone(shapes)) if callable(self.shape) else self.shape
        return shapes[0] if made is None else _shape("shape", made)

    def output_shape(self, name: str, sources: tuple[Source, ...]) -> Shape:
        """Return the shape of a row of what the layer computes."""
        if not sources:
            raise ValueError(f"{name} expects a tensor or several, got none")
        if self.shape is None:
            _require_one_shape(name, sources, " where it is given no shape=")
        return self.shape_for(tuple(source.shape for source in sources))


def _parameters(given: Any) -> Parameters:
    """Return a mapping of names to shapes and initializers as a tuple that can be hashed.

    Such a tuple, of a description that is made again, is as good.
    """
    if isinstance(given, tuple) and all(isinstance(p, tuple) and len(p) == 3 for p in given):
        given = {name: rest for name, *rest in given}
    if not isinstance(given, Mapping):
        raise TypeError(
            f"parameters: expected a mapping of names to (shape, initializer), got {given!r}"
        )
    return tuple(_parameter(name, value) for name, value in given.items())


def _parameter(name: Any, value: Any) -> tuple[str, Shape, Initializer]:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"parameters: expected names like 'weights', got {name!r}")
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"parameters[{name!r}]: expected (shape, initializer), got {value!r}")
    shape = _shape(f"parameters[{name!r}]", value[0])
    return name, shape, initializers.resolve(f"parameters[{name!r}]", value[1])


def _shape(argument: str, value: Any) -> Shape:
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
