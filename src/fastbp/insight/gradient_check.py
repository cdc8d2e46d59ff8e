"""Gradients held against central differences, whatever a network consists of.

A derivative is wrong, at a kink, or right. Where a difference across the place is not the
derivative, it is looked at from both sides and from nearer by: relu and its like have a slope for
each side of 0, and any number between them is a right answer there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

import fastbp
from fastbp.insight.document import Block, Cell, Heading, Shown, Table, sentence
from fastbp.insight.propagation import Array

# A central difference over 2 h is off by h^2 |L'''| / 6 and by the rounding of L, eps |L| / h. With
# this h and third derivatives up to some hundred times the first both are below the bounds.
STEP = 1e-5
RELATIVE, FLOOR = 1e-5, 1e-8
NEARER = 1e-6, 1e-7
# By how much the slopes of two sides differ at a kink, as a share of the largest gradient; where
# there is none, by STEP times the second derivative.
BENT = 1e-3
MOST_WORST = 10
WORDS = {"right": "right", "kink": "at a kink", "wrong": "wrong"}


class Entry(NamedTuple):
    """One derivative.

    Attributes
    ----------
    name : str
        As in "dense_1.weights[0, 1]" or "x[0, 3]".
    gradient : float
        What the network says.
    difference : float
        What the loss does: a central difference.
    error : float
        How far they are apart, as a share of the larger one, or of what counts as 0 if both are
        smaller.
    verdict : str
        "right", "kink" or "wrong".
    """

    name: str
    gradient: float
    difference: float
    error: float
    verdict: str


@dataclass(frozen=True)
class GradientReport(Shown):
    """What `check_gradients` found; `print` shows it.

    Attributes
    ----------
    entries : tuple of Entry
        Every derivative, parameter by parameter, those with respect to the input last.
    frozen : int
        How many parameters were left out, for training does not change them.
    """

    _digits: ClassVar[int] = 6
    entries: tuple[Entry, ...]
    frozen: int

    @property
    def passed(self) -> bool:
        """Whether none is wrong."""
        return not self.wrong

    @property
    def wrong(self) -> tuple[Entry, ...]:
        """The wrong ones."""
        return tuple(entry for entry in self.entries if entry.verdict == "wrong")

    @property
    def kinks(self) -> tuple[Entry, ...]:
        """Those at a kink, where the loss has a slope on each side and no derivative."""
        return tuple(entry for entry in self.entries if entry.verdict == "kink")

    @property
    def worst(self) -> tuple[Entry, ...]:
        """The ten with the largest errors: first the wrong ones, then the right ones."""
        order = {"wrong": 0, "right": 1, "kink": 2}
        ranked = sorted(self.entries, key=lambda each: (order[each.verdict], -each.error))
        return tuple(ranked[:MOST_WORST])

    def __str__(self) -> str:
        return super().__repr__()

    def __repr__(self) -> str:
        verdict = "passed" if self.passed else f"{len(self.wrong)} wrong"
        return f"<gradients of {len(self.entries)} numbers: {verdict}, {len(self.kinks)} at kinks>"

    def _blocks(self) -> Iterator[Block]:
        verdict = "right" if self.passed else f"WRONG: {len(self.wrong)} of {len(self.entries)}"
        yield Heading(2, f"Gradients against central differences: {verdict}")
        yield Table(
            ("of", "numbers", "right", "at a kink", "wrong", "largest error"), self._groups()
        )
        if self.frozen:
            yield sentence(f"{self.frozen:,} frozen parameters have no gradient.")
        yield sentence("The worst:")
        rows = tuple((*entry[:3], entry.error, WORDS[entry.verdict]) for entry in self.worst)
        yield Table(("of", "gradient", "difference", "error", ""), rows)
        if self.kinks:
            yield sentence(
                "At a kink, as relu has one at 0, a slope is right if it lies between those of the "
                "two sides."
            )

    def _groups(self) -> tuple[tuple[Cell, ...], ...]:
        """Return a row for each parameter array and for the input."""
        groups: dict[str, list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault(entry.name.partition("[")[0], []).append(entry)
        return tuple(
            (
                name,
                f"{len(group):,}",
                *(f"{sum(e.verdict == word for e in group):,}" for word in WORDS),
                max((e.error for e in group if e.verdict != "kink"), default=0.0),
            )
            for name, group in groups.items()
        )


def check_gradients(
    net: fastbp.Network,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[int, float] | npt.ArrayLike | None = None,
) -> GradientReport:
    """Hold the gradients of a network against central differences, in float64.

    Those of the loss with respect to every trainable parameter, by `loss_and_gradients`; and those
    of a sum of the outputs, each times a number of its own, with respect to the input, by
    `backward`. Dropout is on, with the masks of the network's next batch.

    Parameters
    ----------
    net : Network
        The network, of any precision and whatever parts; it is left alone.
    x, y, sample_weight, class_weight
        As for `fit`: a few rows, for each parameter takes two evaluations of all of them.

    Returns
    -------
    GradientReport
        Every derivative, which are wrong, and which can't be told because they are at a kink.

    Raises
    ------
    TypeError, ValueError
        If the data are not such as `fit` takes.
    """
    twin = net.copy(dtype="float64")

    def loss() -> float:
        return twin.loss_and_gradients(
            x, y, sample_weight=sample_weight, class_weight=class_weight
        )[0]

    loss()
    gradients = twin.gradients.copy()
    trainable = np.zeros(len(gradients), bool)
    for start, stop in twin.plan.trainable_spans:
        trainable[start:stop] = True
    with np.errstate(all="ignore"):
        entries = _entries(loss, twin.parameters, gradients, trainable, _names(twin))
        entries += _of_input(twin, np.array(x, np.float64))
    return GradientReport(tuple(entries), int((~trainable).sum()))


def _names(net: fastbp.Network) -> Callable[[int], str]:
    """Return what gives the name of an element of the flat vector of parameters."""

    def name(place: int) -> str:
        parameter = next(p for p in net.plan.parameters if p.start <= place < p.stop)
        index = np.unravel_index(place - parameter.start, parameter.shape)
        return f"{parameter.name}[{', '.join(map(str, index))}]"

    return name


def _of_input(net: fastbp.Network, x: Array) -> list[Entry]:
    """Return the derivatives of a weighed sum of the outputs with respect to the input."""
    shape = net.forward(x, training=True).shape
    factors = np.random.default_rng(0).uniform(0.5, 1.5, shape)

    def weighed() -> float:
        return float((factors * net.forward(x, training=True)).sum())

    weighed()
    gradients = net.backward(factors).reshape(-1)

    def name(place: int) -> str:
        return f"x[{', '.join(map(str, np.unravel_index(place, x.shape)))}]"

    return _entries(weighed, x.reshape(-1), gradients, np.ones(x.size, bool), name)


def _entries(
    function: Callable[[], float],
    at: Array,
    gradients: Array,
    chosen: Array,
    name: Callable[[int], str],
) -> list[Entry]:
    """Return the derivatives of `function` with respect to chosen places of `at`."""
    centre = function()
    scale = max(1.0, abs(centre), float(np.abs(gradients).max(initial=0)))
    entries = []
    for place in np.flatnonzero(chosen):
        sides = _Sides(function, at, int(place), centre)
        gradient = float(gradients[place])
        low, high = sides.slopes(STEP)
        difference = (low + high) / 2
        size = max(abs(gradient), abs(difference), scale * FLOOR / RELATIVE)
        error = abs(gradient - difference) / size
        bent = high - low > BENT * scale
        verdict = "right"
        if bent or not error <= RELATIVE:
            verdict = _second_look(sides, gradient, scale, bent)
        entries.append(Entry(name(int(place)), gradient, difference, error, verdict))
    return entries


class _Sides(NamedTuple):
    """A function of many numbers, one of which is moved."""

    function: Callable[[], float]
    at: Array
    place: int
    centre: float

    def moved(self, change: float) -> float:
        """Return the function with the number changed."""
        value = self.at[self.place]
        try:
            self.at[self.place] = value + change
            return self.function()
        finally:
            self.at[self.place] = value

    def slopes(self, step: float) -> tuple[float, float]:
        """Return the slopes on both sides of the place, the smaller one first."""
        h = step * max(1.0, abs(float(self.at[self.place])))
        left, right = (self.centre - self.moved(-h)) / h, (self.moved(h) - self.centre) / h
        return min(left, right), max(left, right)


def _second_look(sides: _Sides, gradient: float, scale: float, bent: bool) -> str:
    """Return what a gradient is that is not the difference, or is where slopes change.

    Nearer by, either the difference agrees, and what is bent is some way off; or the slopes of the
    two sides stay apart, and the place is where they meet.
    """
    for step in NEARER:
        low, high = sides.slopes(step)
        margin = RELATIVE * max(abs(low), abs(high)) + scale * FLOOR * STEP / step
        still_bent = high - low > BENT * scale
        if still_bent and low - margin <= gradient <= high + margin:
            return "kink"
        if not still_bent and abs(gradient - (low + high) / 2) <= margin:
            return "kink" if bent else "right"
    return "wrong"
