"""Layers, described. `fastbp.lowering` turns them into the operations of a plan."""

from __future__ import annotations

from typing import Any, ClassVar

from fastbp import activations, constraints, initializers, regularizers, validate
from fastbp.description import Description


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
    structured : bool, default False
        Whether units are dropped as a whole: a batch has one mask for all of its rows, and so have
        the parts of one whose gradients are accumulated. What goes into a dropped unit and out of
        it is then not computed at all, forward or backward, where a `Dense` layer follows, at once
        or behind a further structured dropout or a `Rescale`: with rate 0.5 on both sides of a
        `Dense`, a quarter of its work is left. The gradient of a weight that belongs to a dropped
        unit is 0. Where none follows, or where the units are fewer than 64 bytes hold (16 in
        float32, 8 in float64), units are masked.

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


def resolve(index: int, layer: Any) -> Layer:
    """Return `layer`, which must be a layer description."""
    if isinstance(layer, Layer):
        return layer
    raise TypeError(
        f"layers[{index}]: expected a layer such as fastbp.Dense(32), "
        f"got {type(layer).__name__} {layer!r}"
    )
