"""Gradient descent on a curve, step by step: it crawls, converges, oscillates or diverges."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp import validate
from fastbp.insight import plots
from fastbp.insight.document import Block, Heading, sentence
from fastbp.insight.layer_trace import Array
from fastbp.insight.report import PlottedReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Slopes below this share of the first: the path has come to rest.
AT_REST = 0.01
# Steps that change x by less than this share are rounded too much to be compared.
ROUNDED = 1e-9
MEANINGS = {
    "crawl": "it goes down all the time, and is not there yet: a higher learning rate is faster",
    "convergence": "it goes down to where the curve is flat, on one side of it",
    "oscillation": "each step leads across the valley: a lower learning rate is calmer",
    "divergence": "each step leads further up: the learning rate is too high for this curve",
}


@dataclass(frozen=True, eq=False, repr=False)
class Descent(PlottedReport):
    """The path of `gradient_descent`; `print` says what it did, `plot` draws it on the curve.

    Attributes
    ----------
    f : callable
        The curve.
    learning_rate : float
        The learning rate.
    x, values, slopes : ndarray, shape (n,)
        Where the path went, from the start on, and f and df there: one more than steps were
        asked for, or fewer, where they left the finite numbers.
    steps : int
        Steps that were asked for.
    """

    f: Callable[[float], float]
    learning_rate: float
    x: Array
    values: Array
    slopes: Array
    steps: int

    def value(self, x: float) -> float:
        """Return f at any place, or NaN where that is too large or divides by 0."""
        return _number("f", self.f, x)

    @property
    def left(self) -> bool:
        """Whether the path left the finite numbers."""
        return len(self.x) <= self.steps

    @property
    def factor(self) -> float:
        """What a step is of the one before it, the median over the path; below 0, the other way.

        On a quadratic of curvature a it is 1 - learning_rate * a; without two steps, 0.
        """
        moves = np.diff(self.x)
        before = moves[:-1]
        counted = abs(before) > ROUNDED * abs(self.x[1:-1])
        ratios = moves[1:][counted] / before[counted]
        return float(np.median(ratios)) if len(ratios) else 0.0

    @property
    def at_rest(self) -> bool:
        """Whether the slope has become a hundredth of what it was at the start, or less."""
        return not self.left and bool(abs(self.slopes[-1]) <= AT_REST * abs(self.slopes[0]))

    @property
    def regime(self) -> str:
        """What the path did: "crawl", "convergence", "oscillation" or "divergence".

        It diverges if it ends above where it began or leaves the finite numbers. Otherwise it
        oscillates if most steps go the other way than the one before, to a minimum or for ever; it
        converges if it comes to rest without that, and crawls if not. On a quadratic of curvature a
        descent diverges for rates above 2 / a and oscillates for those from 1 / a to that.
        """
        rise, size = self.values[-1] - self.values[0], abs(self.values).max()
        if self.left or rise > 1e-9 * size:
            return "divergence"
        if self.factor < 0:
            return "oscillation"
        return "convergence" if self.at_rest else "crawl"

    def _draw(self, axes: Axes) -> None:
        plots.descent(axes, self)

    def _summary(self) -> str:
        return f"descent of {len(self.x) - 1} steps at {self.learning_rate:g}: {self.regime}"

    def _blocks(self) -> Iterator[Block]:
        yield Heading(2, f"Descent at a learning rate of {self.learning_rate:g}: {self.regime}")
        ended = ", and beyond the finite numbers" if self.left else ""
        yield sentence(
            f"{len(self.x) - 1} steps from x = {self.x[0]:.6g}, f = {self.values[0]:.6g} to "
            f"x = {self.x[-1]:.6g}, f = {self.values[-1]:.6g}{ended}. A step is "
            f"{self.factor:.3g} times the one before; {MEANINGS[self.regime]}."
        )


def gradient_descent(
    f: Callable[[float], float],
    df: Callable[[float], float],
    x0: float,
    learning_rate: float,
    *,
    steps: int = 50,
) -> Descent:
    """Walk down a curve: from x to x - learning_rate * df(x), again and again.

    Parameters
    ----------
    f : callable
        The curve: takes a number, returns one.
    df : callable
        Its derivative.
    x0 : float
        Where to start.
    learning_rate : float
        The learning rate; above 0.
    steps : int, default 50
        Steps to take; fewer are taken where the path leaves the finite numbers.

    Returns
    -------
    Descent
        The path, its regime, and a picture.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or f or df is not a finite number at `x0`.
    """
    for name, function in (("f", f), ("df", df)):
        if not callable(function):
            raise TypeError(f"{name}: expected a function, got {function!r}")
    x, rate = validate.real("x0", x0), validate.positive("learning_rate", learning_rate)
    steps = validate.integer("steps", steps, 1)
    path: list[tuple[float, float, float]] = []
    while len(path) <= steps:
        point = x, _number("f", f, x), _number("df", df, x)
        if not all(map(math.isfinite, point)):
            break
        path.append(point)
        x -= rate * point[2]
    if not path:
        raise ValueError(f"x0: expected a place where f and df are finite, got {x0!r}")
    places, values, slopes = np.array(path).T
    return Descent(f, rate, places, values, slopes, steps)


def _number(name: str, function: Callable[[float], Any], x: float) -> float:
    """Return a function's value; where it has none it is not a number."""
    if not math.isfinite(x):
        return math.nan
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(function(x), np.float64)
    except ArithmeticError:  # of Python's own numbers
        return math.nan
    except TypeError as error:
        raise TypeError(f"{name}: expected a function of a number, {error}") from error
    if value.shape:
        raise TypeError(f"{name}: expected a number at x = {x:g}, got shape {value.shape}")
    return float(value)
