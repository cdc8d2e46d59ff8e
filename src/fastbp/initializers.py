"""Initializers, described: what a parameter starts from. `fastbp.random` draws the numbers.

fan_in is the number of inputs of a weight matrix, fan_out the number of its outputs; for a bias
vector both are its length.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastbp import validate
from fastbp.description import Description


class Initializer(Description):
    """Base of the initializer descriptions."""

    name: ClassVar[str]
    formula: ClassVar[str]


class Zeros(Initializer):
    """All zeros.

    References
    ----------
    Keras's Zeros.
    """

    name = "zeros"
    formula = "0"


class Constant(Initializer):
    """One value everywhere.

    Parameters
    ----------
    value : float
        The value.

    References
    ----------
    Keras's Constant.
    """

    name = "constant"
    formula = "value"
    value: float = 0.0

    def __post_init__(self) -> None:
        validate.real("value", self.value)


class Uniform(Initializer):
    """Evenly distributed in [low, high).

    Parameters
    ----------
    low, high : float, default -0.05 and 0.05
        The interval; low <= high.

    Raises
    ------
    ValueError
        If `low` exceeds `high`.

    References
    ----------
    Keras's RandomUniform. Rumelhart, Hinton and Williams 1986 begin with small random weights,
    which breaks the symmetry between units.
    """

    name = "uniform"
    formula = "U[low, high)"
    low: float = -0.05
    high: float = 0.05

    def __post_init__(self) -> None:
        low, high = validate.real("low", self.low), validate.real("high", self.high)
        if low > high:
            raise ValueError(f"low: expected at most high = {self.high!r}, got {self.low!r}")


class Normal(Initializer):
    """Normally distributed.

    Parameters
    ----------
    mean : float, default 0.0
        The mean.
    stddev : float, default 0.05
        The standard deviation; at least 0.

    Raises
    ------
    ValueError
        If `stddev` is negative.

    References
    ----------
    Keras's RandomNormal. Drawn by the inverse of the distribution function, Wichura 1988, AS 241.
    """

    name = "normal"
    formula = "N(mean, stddev^2)"
    mean: float = 0.0
    stddev: float = 0.05

    def __post_init__(self) -> None:
        validate.real("mean", self.mean)
        validate.at_least("stddev", self.stddev, 0)


class TruncatedNormal(Initializer):
    """Normally distributed, but nowhere more than two standard deviations from the mean.

    Parameters
    ----------
    mean : float, default 0.0
        The mean.
    stddev : float, default 0.05
        The standard deviation before the tails are cut off, at least 0; that of the values is
        0.8796 times as large.

    Raises
    ------
    ValueError
        If `stddev` is negative.

    References
    ----------
    Keras's TruncatedNormal. Drawn by the inverse of the distribution function, without rejections.
    """

    name = "truncated_normal"
    formula = "N(mean, stddev^2) within mean +- 2 stddev"
    mean: float = 0.0
    stddev: float = 0.05

    def __post_init__(self) -> None:
        validate.real("mean", self.mean)
        validate.at_least("stddev", self.stddev, 0)


class VarianceScaling(Initializer):
    """Mean 0 and a variance that suits the fan.

    Parameters
    ----------
    scale : float, default 1.0
        The variance times the fan; above 0. 1 suits linear and selu units, 2 relu.
    mode : {"fan_in", "fan_out", "fan_avg"}, default "fan_in"
        The fan: the number of inputs, of outputs, or the mean of both.
    distribution : {"truncated_normal", "normal", "uniform"}, default "truncated_normal"
        What is drawn; the truncated normal is widened so that it has the variance too.

    Raises
    ------
    ValueError
        If `scale` is not above 0, or `mode` or `distribution` is unknown.

    Notes
    -----
    Keras's "glorot_normal", "he_normal" and "lecun_normal" are truncated:
    ``VarianceScaling(1, "fan_avg")``, ``VarianceScaling(2)`` and ``VarianceScaling(1)``. Those here
    are not, as PyTorch's.

    References
    ----------
    Glorot and Bengio 2010, section 4.2; He, Zhang, Ren and Sun 2015, section 2.2. Keras's
    VarianceScaling, whose "untruncated_normal" is "normal" here.
    """

    name = "variance_scaling"
    formula = "variance scale / fan: truncated normal, N(0, scale / fan) or uniform"
    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"

    def __post_init__(self) -> None:
        validate.positive("scale", self.scale)
        validate.choice("mode", self.mode, ("fan_in", "fan_out", "fan_avg"))
        distributions = ("truncated_normal", "normal", "uniform")
        validate.choice("distribution", self.distribution, distributions)


class LecunUniform(Initializer):
    """Uniform with variance 1 / fan_in.

    References
    ----------
    LeCun, Bottou, Orr and Mueller 1998 ("Efficient BackProp"), eq. 16.
    """

    name = "lecun_uniform"
    formula = "U[-r, r), r = sqrt(3 / fan_in)"


class LecunNormal(Initializer):
    """Normal with variance 1 / fan_in, not truncated.

    References
    ----------
    LeCun, Bottou, Orr and Mueller 1998 ("Efficient BackProp"), eq. 16; Klambauer, Unterthiner, Mayr
    and Hochreiter 2017, for selu.
    """

    name = "lecun_normal"
    formula = "N(0, 1 / fan_in)"


class GlorotUniform(Initializer):
    """Uniform with variance 2 / (fan_in + fan_out).

    References
    ----------
    Glorot and Bengio 2010, eq. 16.
    """

    name = "glorot_uniform"
    formula = "U[-r, r), r = sqrt(6 / (fan_in + fan_out))"


class GlorotNormal(Initializer):
    """Normal with variance 2 / (fan_in + fan_out), not truncated.

    References
    ----------
    Glorot and Bengio 2010, eq. 12.
    """

    name = "glorot_normal"
    formula = "N(0, 2 / (fan_in + fan_out))"


class HeUniform(Initializer):
    """Uniform with variance 2 / fan_in.

    References
    ----------
    He, Zhang, Ren and Sun 2015, eq. 10.
    """

    name = "he_uniform"
    formula = "U[-r, r), r = sqrt(6 / fan_in)"


class HeNormal(Initializer):
    """Normal with variance 2 / fan_in, not truncated.

    References
    ----------
    He, Zhang, Ren and Sun 2015, eq. 10.
    """

    name = "he_normal"
    formula = "N(0, 2 / fan_in)"


class Orthogonal(Initializer):
    """Orthonormal rows or columns, whichever are fewer, times a gain.

    Parameters
    ----------
    gain : float, default 1.0
        Factor of every element; above 0.

    Raises
    ------
    ValueError
        If `gain` is not above 0.

    References
    ----------
    Saxe, McClelland and Ganguli 2014, section 3.
    """

    name = "orthogonal"
    formula = "gain Q, Q from the Gram-Schmidt process on N(0, 1) draws"
    gain: float = 1.0

    def __post_init__(self) -> None:
        validate.positive("gain", self.gain)


class Values(Initializer):
    """Given values, as when an array is passed for an initializer.

    Parameters
    ----------
    values : array_like
        Real numbers in the shape of the parameter; copied.
    """

    name = "values"
    formula = "the given array"
    values: Any = None

    # Whether two arrays are equal has no one answer: these are equal if they are the same object.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __post_init__(self) -> None:
        values = np.array(self.values)
        if values.dtype.kind not in "fiu":
            raise TypeError(f"initializer: expected real numbers, got dtype {values.dtype}")
        values.flags.writeable = False
        object.__setattr__(self, "values", values)


INITIALIZERS: dict[str, type[Initializer]] = {
    kind.name: kind
    for kind in (
        Zeros,
        Constant,
        Uniform,
        Normal,
        TruncatedNormal,
        VarianceScaling,
        LecunUniform,
        LecunNormal,
        GlorotUniform,
        GlorotNormal,
        HeUniform,
        HeNormal,
        Orthogonal,
    )
}


def resolve(argument: str, initializer: Any) -> Initializer:
    """Return the description that a name, an array or a description stands for."""
    if isinstance(initializer, Initializer):
        return initializer
    if isinstance(initializer, np.ndarray | list | tuple):
        return Values(initializer)
    return INITIALIZERS[validate.choice(argument, initializer, INITIALIZERS)]()
