"""Schedules, described: how a learning rate changes while a network trains. Engines evaluate them.

In every formula t is the time since the schedule was set, in the schedule's own unit. With
``per="step"``, the default, time counts updates: 0 at the first, 1 at the second. With
``per="epoch"`` it counts epochs, and the share of rows that the running one has taken: 2.5 in the
middle of the third. It moves in `fit` alone, so loops over `train_on_batch` count in steps.

A schedule starts when it is set, as part of an optimizer or as ``net.learning_rate``, and goes on
over several fits. Setting an optimizer of the same kind with an equal schedule leaves it running;
another kind of optimizer, another schedule or `Network.reset` starts it anew. One that ends before
the training does keeps its last value. `fastbp.reference.schedules.rate` gives the rate of a
schedule at any time, for a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from fastbp import validate
from fastbp.description import Description

UNITS = ("step", "epoch")


class Schedule(Description):
    """Base of the schedule descriptions.

    Attributes
    ----------
    name : str
        The name by which engines know the schedule.
    formula : str
        The rate at time t.
    per : {"step", "epoch"}
        The unit of t.
    """

    name: ClassVar[str]
    formula: ClassVar[str]

    @property
    def per(self) -> str:
        """The unit of time."""
        raise NotImplementedError

    def _check(self, check: Callable[[str, Any], Any], *names: str) -> None:
        """Replace each argument by what `check` makes of it."""
        for name in names:
            object.__setattr__(self, name, check(name, getattr(self, name)))

    def _check_unit(self) -> None:
        self._check(lambda name, value: validate.choice(name, value, UNITS), "per")

    def _check_order(self, smaller: str, larger: str) -> None:
        least, most = getattr(self, smaller), getattr(self, larger)
        if least > most:
            raise ValueError(f"{smaller}: expected at most {larger} = {most!r}, got {least!r}")


class Piecewise(Schedule):
    """One rate after the other.

    Parameters
    ----------
    values : sequence of float
        The rates; at least 0.
    boundaries : sequence of float
        When the second of them begins, the third and so on; above 0, rising.
    per : {"step", "epoch"}, default "step"
        The unit of `boundaries`.

    Raises
    ------
    ValueError
        If `boundaries` don't rise from above 0, or are not one fewer than `values`.

    References
    ----------
    Krizhevsky, Sutskever and Hinton 2012, section 5, divide the rate by 10 three times. The
    counterpart of PyTorch's MultiStepLR; a boundary of Keras's PiecewiseConstantDecay is one step
    earlier.
    """

    name = "piecewise"
    formula = "values[i], i = how many of the boundaries are <= t"
    values: Any
    boundaries: Any
    per: str = "step"

    def __post_init__(self) -> None:
        self._check(_each(lambda name, value: validate.at_least(name, value, 0)), "values")
        self._check(_each(validate.positive), "boundaries")
        self._check_unit()
        if list(self.boundaries) != sorted(set(self.boundaries)):
            raise ValueError(f"boundaries: expected rising numbers, got {self.boundaries!r}")
        if len(self.boundaries) != len(self.values) - 1:
            raise ValueError(
                f"boundaries: expected one fewer than the {len(self.values)} values, "
                f"got {len(self.boundaries)}"
            )


class Exponential(Schedule):
    """Multiply the rate by a factor again and again.

    Parameters
    ----------
    start : float
        Rate at the beginning; above 0.
    decay : float
        Factor for each `length`; above 0. More than 1 raises the rate.
    length : float, default 1
        How long it takes for the whole factor; above 0.
    staircase : bool, default False
        Whether the rate changes at whole multiples of `length` only.
    per : {"step", "epoch"}, default "step"
        The unit of `length`.

    Raises
    ------
    ValueError
        If a constant is not above 0.

    References
    ----------
    Senior, Heigold, Ranzato and Yang 2013, section 2.2. Keras's ExponentialDecay; with `staircase`
    PyTorch's StepLR, and its ExponentialLR with ``length=1, per="epoch"``.
    """

    name = "exponential"
    formula = "start decay^(t / length); with staircase, floor(t / length) for t / length"
    start: float
    decay: float
    length: float = 1.0
    staircase: bool = False
    per: str = "step"

    def __post_init__(self) -> None:
        self._check(validate.positive, "start", "decay", "length")
        self._check(validate.flag, "staircase")
        self._check_unit()


class Polynomial(Schedule):
    """Lower the rate along a power of the time that is left; along a line by default.

    Parameters
    ----------
    start : float
        Rate at the beginning; above 0.
    length : float
        Length of the decay; above 0.
    end : float, default 0.0
        Rate from then on; in [0, start].
    power : float, default 1.0
        The power; above 0.
    per : {"step", "epoch"}, default "step"
        The unit of `length`.

    Raises
    ------
    ValueError
        If a constant is outside its range.

    References
    ----------
    Liu, Rabinovich and Berg 2016 (ParseNet), section 3.3. Keras's PolynomialDecay without cycle.
    """

    name = "polynomial"
    formula = "end + (start - end) (1 - t / length)^power for t < length, then end"
    start: float
    length: float
    end: float = 0.0
    power: float = 1.0
    per: str = "step"

    def __post_init__(self) -> None:
        self._check(validate.positive, "start", "length", "power")
        self._check(lambda name, value: validate.at_least(name, value, 0), "end")
        self._check_order("end", "start")
        self._check_unit()


class Cosine(Schedule):
    """Lower the rate along half a cosine.

    Parameters
    ----------
    start : float
        Rate at the beginning; above 0.
    length : float
        Length of the decay; above 0.
    end : float, default 0.0
        Rate from then on; in [0, start].
    per : {"step", "epoch"}, default "step"
        The unit of `length`.

    Raises
    ------
    ValueError
        If a constant is outside its range.

    References
    ----------
    Loshchilov and Hutter 2017 (SGDR), eq. 5, without restarts.
    """

    name = "cosine"
    formula = "end + (start - end) (1 + cos(pi t / length)) / 2 for t < length, then end"
    start: float
    length: float
    end: float = 0.0
    per: str = "step"

    def __post_init__(self) -> None:
        self._check(validate.positive, "start", "length")
        self._check(lambda name, value: validate.at_least(name, value, 0), "end")
        self._check_order("end", "start")
        self._check_unit()


class CosineRestarts(Schedule):
    """Lower the rate along half a cosine, raise it at once, and lower it again.

    Parameters
    ----------
    start : float
        Rate at the beginning; above 0.
    length : float
        Length of the first decay; above 0.
    end : float, default 0.0
        What each decay leads to; in [0, start].
    t_mul : float, default 2.0
        How many times as long as the last a decay is; at least 1.
    m_mul : float, default 1.0
        How many times as high above `end` as the last it starts; above 0.
    per : {"step", "epoch"}, default "step"
        The unit of `length`.

    Raises
    ------
    ValueError
        If a constant is outside its range.

    References
    ----------
    Loshchilov and Hutter 2017 (SGDR), eq. 5. Keras's CosineDecayRestarts; PyTorch's
    CosineAnnealingWarmRestarts has no `m_mul`.
    """

    name = "cosine_restarts"
    formula = (
        "end + m_mul^i (start - end) (1 + cos(pi u / (length t_mul^i))) / 2, u = t less the "
        "lengths of the i decays that are over"
    )
    start: float
    length: float
    end: float = 0.0
    t_mul: float = 2.0
    m_mul: float = 1.0
    per: str = "step"

    def __post_init__(self) -> None:
        self._check(validate.positive, "start", "length", "m_mul")
        self._check(lambda name, value: validate.at_least(name, value, 0), "end")
        self._check(lambda name, value: validate.at_least(name, value, 1), "t_mul")
        self._check_order("end", "start")
        self._check_unit()


class InverseScaling(Schedule):
    """Lower the rate along a power of the time that has passed.

    Parameters
    ----------
    start : float
        Rate at the beginning; above 0.
    power : float, default 0.5
        The power; above 0.
    decay : float, default 1.0
        What each `length` adds to the divisor before the power is taken; above 0.
    length : float, default 1.0
        The time that counts as one; above 0.
    staircase : bool, default False
        Whether the rate changes at whole multiples of `length` only.
    per : {"step", "epoch"}, default "step"
        The unit of `length`.

    Raises
    ------
    ValueError
        If a constant is not above 0.

    References
    ----------
    Robbins and Monro 1951, section 2, for the conditions on `power`. With ``power=1`` Keras's
    InverseTimeDecay. The "invscaling" of scikit-learn's MLPs, which count rows, has ``decay`` = the
    number of rows, ``staircase=True, per="epoch"``.
    """

    name = "inverse_scaling"
    formula = "start / (1 + decay t / length)^power; with staircase, floor(t / length)"
    start: float
    power: float = 0.5
    decay: float = 1.0
    length: float = 1.0
    staircase: bool = False
    per: str = "step"

    def __post_init__(self) -> None:
        self._check(validate.positive, "start", "power", "decay", "length")
        self._check(validate.flag, "staircase")
        self._check_unit()


class OneCycle(Schedule):
    """Raise the rate to a peak, then lower it far below where it started.

    Parameters
    ----------
    peak : float
        The highest rate; above 0.
    length : float
        Length of the training: in steps, the last of them has the lowest rate; above 0.
    rise : float, default 0.3
        Share of `length` that leads to the peak; in [0, 1), at most 0.5 for three phases.
    start_divisor : float, default 25.0
        How many times lower than the peak the rate starts; at least 1.
    end_divisor : float, default 10000.0
        How many times lower than it started the rate ends; at least 1.
    shape : {"cosine", "linear"}, default "cosine"
        The curve between these.
    three_phases : bool, default False
        Whether the way down is as long as the way up and leads to where the rate started, and the
        rest of the time from there to the end.
    per : {"step", "epoch"}, default "step"
        The unit of `length`.

    Raises
    ------
    ValueError
        If a constant is outside its range.

    References
    ----------
    Smith and Topin 2018 ("Super-convergence"), section 3, for three phases of lines. PyTorch's
    OneCycleLR, but for its momentum.
    """

    name = "one_cycle"
    formula = (
        "from s = peak / start_divisor to peak at rise length - 1, to s / end_divisor at "
        "length - 1; three phases: by way of s at 2 (rise length - 1); in epochs without the - 1"
    )
    peak: float
    length: float
    rise: float = 0.3
    start_divisor: float = 25.0
    end_divisor: float = 1e4
    shape: str = "cosine"
    three_phases: bool = False
    per: str = "step"

    def __post_init__(self) -> None:
        self._check(validate.positive, "peak", "length")
        self._check(validate.fraction, "rise")
        self._check(
            lambda name, value: validate.at_least(name, value, 1), "start_divisor", "end_divisor"
        )
        self._check(lambda name, value: validate.choice(name, value, ("cosine", "linear")), "shape")
        self._check(validate.flag, "three_phases")
        self._check_unit()
        if self.three_phases and self.rise > 0.5:
            raise ValueError(f"rise: expected at most 0.5 for three phases, got {self.rise!r}")


class Cyclical(Schedule):
    """Move the rate up and down along lines, for ever.

    Parameters
    ----------
    low, high : float
        Where a cycle starts and its peak; 0 <= low <= high.
    rise : float, default 2000.0
        How long it takes from low to high; above 0.
    fall : float, optional
        How long it takes back; above 0. Left out, as long as `rise`.
    shape : {"triangular", "triangular2", "exp_range"}, default "triangular"
        Whether each cycle is as high as the first, half as high as the one before it, or lowered
        by `decay` as time goes on.
    decay : float, default 1.0
        Factor of the height for each unit of time, for exp_range; in (0, 1].
    per : {"step", "epoch"}, default "step"
        The unit of `rise` and `fall`.

    Raises
    ------
    ValueError
        If a constant is outside its range, or `decay` is given for another shape.

    References
    ----------
    Smith 2017, "Cyclical learning rates for training neural networks", arXiv 1506.01186, section 3.
    PyTorch's CyclicLR.
    """

    name = "cyclical"
    formula = (
        "low + (high - low) h k; h = u / rise for u < rise, then (rise + fall - u) / fall, u = t "
        "since the cycle began; k = 1, 2^-(cycles that are over) or decay^t"
    )
    low: float
    high: float
    rise: float = 2000.0
    fall: float | None = None
    shape: str = "triangular"
    decay: float = 1.0
    per: str = "step"

    def __post_init__(self) -> None:
        shapes = ("triangular", "triangular2", "exp_range")
        if self.fall is None:
            object.__setattr__(self, "fall", self.rise)
        self._check(lambda name, value: validate.at_least(name, value, 0), "low", "high")
        self._check_order("low", "high")
        self._check(validate.positive, "rise", "fall", "decay")
        self._check(lambda name, value: validate.choice(name, value, shapes), "shape")
        self._check_unit()
        if self.decay > 1:
            raise ValueError(f"decay: expected a number in (0, 1], got {self.decay!r}")
        if self.decay != 1 and self.shape != "exp_range":
            raise ValueError(f"decay: expected 1 for {self.shape}, got {self.decay!r}")


class Warmup(Schedule):
    """Raise the rate along a line to where another schedule starts, and go on with that.

    Parameters
    ----------
    after : float or Schedule
        What follows: a rate, or a schedule, whose time starts when the warm-up ends.
    length : float
        Length of the warm-up; above 0.
    start : float, default 0.0
        Rate at the beginning, which is that of the first update; at least 0.
    per : {"step", "epoch"}, default "step"
        The unit of `length`; that of `after`, if this is a schedule.

    Raises
    ------
    TypeError, ValueError
        If a constant is outside its range, or `after` is a warm-up or counts in another unit.

    References
    ----------
    Goyal and others 2017 ("Accurate, large minibatch SGD"), section 2.2.
    """

    name = "warmup"
    formula = "start + (after(0) - start) t / length for t < length, then after(t - length)"
    after: Any
    length: float
    start: float = 0.0
    per: str = "step"

    def __post_init__(self) -> None:
        self._check(resolve, "after")
        self._check(validate.positive, "length")
        self._check(lambda name, value: validate.at_least(name, value, 0), "start")
        self._check_unit()
        if isinstance(self.after, Warmup):
            raise ValueError(f"after: expected a schedule that is no warm-up, got {self.after!r}")
        if isinstance(self.after, Schedule) and self.after.per != self.per:
            raise ValueError(
                f"per: expected {self.after.per!r}, the unit of {self.after.name}, got {self.per!r}"
            )


SCHEDULES: dict[str, type[Schedule]] = {
    kind.name: kind
    for kind in (
        Piecewise,
        Exponential,
        Polynomial,
        Cosine,
        CosineRestarts,
        InverseScaling,
        OneCycle,
        Cyclical,
        Warmup,
    )
}


def resolve(argument: str, rate: Any) -> float | Schedule:
    """Return a rate of at least 0, or a schedule, as it is."""
    return rate if isinstance(rate, Schedule) else validate.at_least(argument, rate, 0)


def _each(check: Callable[[str, Any], float]) -> Callable[[str, Any], tuple[float, ...]]:
    """Return a check of a sequence that checks each of its numbers."""

    def check_all(name: str, values: Any) -> tuple[float, ...]:
        try:
            given = tuple(values)
        except TypeError:
            got = f"{type(values).__name__} {values!r}"
            raise TypeError(f"{name}: expected a sequence of numbers, got {got}") from None
        return tuple(check(name, value) for value in given)

    return check_all
