"""Activation functions, described: what each computes. Engines do the arithmetic.

In every formula z is the net input of a unit, a = f(z) its activation.
"""

from __future__ import annotations

from typing import Any, ClassVar

from fastbp import validate
from fastbp.description import Description


class ActivationFunction(Description):
    """Base of the activation descriptions.

    Attributes
    ----------
    name : str
        The name by which engines and users know the function.
    formula : str
        f(z) and f'(z).
    saves_input : bool
        True if the derivative needs z; otherwise it is computed from a = f(z) alone.
    nonnegative : bool
        True if no value is below 0.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    saves_input: ClassVar[bool] = False
    nonnegative: ClassVar[bool] = False

    @property
    def parameter(self) -> float:
        """The function's one constant (slope, scale), or 0.0 where it has none."""
        return 0.0


class Identity(ActivationFunction):
    """The net input itself: a linear unit."""

    name = "identity"
    formula = "f(z) = z; f'(z) = 1"


class Sigmoid(ActivationFunction):
    """The logistic function, with values in (0, 1).

    References
    ----------
    Rumelhart, Hinton and Williams 1986, eq. 2.
    """

    name = "sigmoid"
    formula = "f(z) = 1 / (1 + exp(-z)); f'(z) = a (1 - a)"
    nonnegative = True


class Tanh(ActivationFunction):
    """The hyperbolic tangent, with values in (-1, 1).

    References
    ----------
    LeCun, Bottou, Orr and Mueller 1998 ("Efficient BackProp"), section 4.4.
    """

    name = "tanh"
    formula = "f(z) = tanh(z); f'(z) = 1 - a^2"


class ReLU(ActivationFunction):
    """The rectifier; its derivative at 0 is taken as 0.

    References
    ----------
    Nair and Hinton 2010; Glorot, Bordes and Bengio 2011, section 3.
    """

    name = "relu"
    formula = "f(z) = max(z, 0); f'(z) = 1 if z > 0 else 0"
    nonnegative = True


class LeakyReLU(ActivationFunction):
    """The rectifier with a slope for negative inputs.

    Parameters
    ----------
    negative_slope : float, default 0.2
        Slope for z <= 0; at least 0.

    Raises
    ------
    ValueError
        If `negative_slope` is negative or not finite.

    References
    ----------
    Maas, Hannun and Ng 2013, section 2.
    """

    name = "leaky_relu"
    formula = "f(z) = z if z > 0 else slope z; f'(z) = 1 if z > 0 else slope"
    negative_slope: float = 0.2

    def __post_init__(self) -> None:
        validate.at_least("negative_slope", self.negative_slope, 0)

    @property
    def parameter(self) -> float:
        return float(self.negative_slope)


class ELU(ActivationFunction):
    """The exponential linear unit.

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the limit for z towards minus infinity; at least 0.

    Raises
    ------
    ValueError
        If `alpha` is negative or not finite.

    References
    ----------
    Clevert, Unterthiner and Hochreiter 2016, eq. 15.
    """

    name = "elu"
    formula = "f(z) = z if z > 0 else alpha (exp(z) - 1); f'(z) = 1 if z > 0 else a + alpha"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        validate.at_least("alpha", self.alpha, 0)

    @property
    def parameter(self) -> float:
        return float(self.alpha)


class GELU(ActivationFunction):
    """The Gaussian error linear unit, exact (with erf).

    References
    ----------
    Hendrycks and Gimpel 2016, section 2.
    """

    name = "gelu"
    formula = "f(z) = z Phi(z); f'(z) = Phi(z) + z phi(z); Phi(z) = (1 + erf(z / sqrt 2)) / 2"
    saves_input = True


class SiLU(ActivationFunction):
    """The sigmoid linear unit, also called swish.

    References
    ----------
    Elfwing, Uchibe and Doya 2018, eq. 1.
    """

    name = "silu"
    formula = "f(z) = z s; f'(z) = s (1 + z (1 - s)); s = sigmoid(z)"
    saves_input = True


class Mish(ActivationFunction):
    """The net input times the hyperbolic tangent of its softplus.

    References
    ----------
    Misra 2020 ("Mish: A Self Regularized Non-Monotonic Activation Function"), arXiv 1908.08681.
    """

    name = "mish"
    formula = "f(z) = z t; f'(z) = t + z s (1 - t^2); t = tanh(softplus(z)), s = sigmoid(z)"
    saves_input = True


class Softplus(ActivationFunction):
    """The smooth rectifier.

    References
    ----------
    Dugas, Bengio, Belisle, Nadeau and Garcia 2001.
    """

    name = "softplus"
    formula = "f(z) = log(1 + exp(z)); f'(z) = sigmoid(z)"
    nonnegative = True
    saves_input = True


class Softmax(ActivationFunction):
    """Probabilities over a row: the one function here that mixes a row's units.

    References
    ----------
    Bridle 1990, section 3.
    """

    name = "softmax"
    formula = "f(z)_i = exp(z_i) / sum_j exp(z_j); df_i/dz_j = a_i ((i == j) - a_j)"
    nonnegative = True


class Custom(ActivationFunction):
    """A function of your own, element by element, and its derivative, each called once a batch.

    One that mixes the units of a row is a `fastbp.layers.Custom`.

    Parameters
    ----------
    function : callable
        f: takes z, a read-only array of shape (rows, *shape of a row) in the network's dtype, and
        returns f(z), an array of that shape.
    derivative : callable
        f': takes the same z and returns f'(z). `fastbp.custom.check` compares the two.

    Raises
    ------
    TypeError
        If one of them is missing.

    Examples
    --------
    >>> sine = fastbp.activations.Custom(np.sin, np.cos)
    >>> fastbp.custom.check(sine, np.linspace(-3, 3, 13))
    >>> network = fastbp.Network([fastbp.Dense(32, sine), fastbp.Dense(1)])
    """

    name = "custom"
    formula = "f(z) = function(z); f'(z) = derivative(z)"
    function: Any = None
    derivative: Any = None

    def __post_init__(self) -> None:
        validate.function("function", self.function, "a function that takes z and returns f(z)")
        validate.function(
            "derivative", self.derivative, "a function that takes z and returns f'(z)"
        )


ACTIVATIONS: dict[str, type[ActivationFunction]] = {
    kind.name: kind
    for kind in (Identity, Sigmoid, Tanh, ReLU, LeakyReLU, ELU, GELU, SiLU, Mish, Softplus, Softmax)
}
ALIASES = {"linear": "identity", "swish": "silu"}


def resolve(activation: Any) -> ActivationFunction:
    """Return the description that a name, a description or None (identity) stands for."""
    if activation is None:
        return Identity()
    if isinstance(activation, ActivationFunction):
        return activation
    validate.no_function("activation", activation, "activations.Custom(function, derivative)")
    name = ALIASES.get(activation, activation) if isinstance(activation, str) else activation
    return ACTIVATIONS[validate.choice("activation", name, ACTIVATIONS)]()
