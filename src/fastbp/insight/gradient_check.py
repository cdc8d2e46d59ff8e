"""Gradients held against central differences, whatever a network consists of.

A derivative is wrong, at a kink, or right. At a kink, as relu has one at 0, the slopes of the two
sides differ and differences can't tell which number is right: the derivative is then looked at
again a little aside, where all parameters and inputs have been moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import fastbp
from fastbp.data import arrays
from fastbp.engine import alone, each, indexed
from fastbp.insight.document import Block, Cell, Heading, Table, sentence
from fastbp.insight.layer_trace import Array
from fastbp.insight.report import Report

# A central difference over 2 h is off by h^2 |L'''| / 6 and by the rounding of L, eps |L| / h. With
# this h and third derivatives up to some hundred times the first both are below the bounds.
STEP = 1e-5
RELATIVE, FLOOR = 1e-5, 1e-8
NEARER = 1e-6, 1e-7
# By how much the slopes of two sides differ at a kink, as a share of the largest gradient; where
# there is none, by STEP times the second derivative.
BENT = 1e-3
ASIDE = 1e-2
MOST_WORST = 10
WORDS = {"right": "right", "kink": "at a kink", "wrong": "wrong"}


class Entry(NamedTuple):
    """One derivative.

    Attributes
    ----------
    name : str
        As in "dense_1.weights[0, 1]" or "x[0, 3]"; of several inputs "x[1][0, 3]".
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


@dataclass(frozen=True, repr=False)
class GradientReport(Report):
    """What `check_gradients` found; `print` shows it.

    Attributes
    ----------
    entries : tuple of Entry
        Every derivative, parameter by parameter, those with respect to the inputs last.
    frozen : int
        How many parameters were left out, for training does not change them.
    """

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

    def _summary(self) -> str:
        verdict = "passed" if self.passed else f"{len(self.wrong)} wrong"
        return f"gradients of {len(self.entries)} numbers: {verdict}, {len(self.kinks)} at kinks"

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
                "At a kink, as relu has one at 0, the slopes of the two sides differ. Those "
                "derivatives were checked a little aside, with parameters and inputs moved."
            )

    def _groups(self) -> tuple[tuple[Cell, ...], ...]:
        """Return a row for each parameter array and for each input."""
        groups: dict[str, list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault(entry.name.rpartition("[")[0], []).append(entry)
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
    x: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    class_weight: Any = None,
) -> GradientReport:
    """Hold the gradients of a network against central differences, in float64.

    Those of the loss with respect to every trainable parameter, by `loss_and_gradients`; and those
    of a sum of all outputs, each times a number of its own, with respect to every input, by
    `backward`. Dropout is on, with the masks of the network's next batch.

    Parameters
    ----------
    net : Network
        The network, of any precision and whatever parts; it is left alone.
    x, y, sample_weight, class_weight
        As for `fit`, but no streams: a few rows, for each parameter takes two evaluations of all
        of them.

    Returns
    -------
    GradientReport
        Every derivative, which are wrong, and which can't be told because they are at a kink.

    Raises
    ------
    TypeError, ValueError
        If the data are not such as `fit` takes.
    """
    inputs = [np.asarray(rows, np.float64) for rows in arrays(net.plan, x)]
    shapes = [rows.shape for rows in inputs]
    flat = np.concatenate([rows.reshape(-1) for rows in inputs])
    weights = {"sample_weight": sample_weight, "class_weight": class_weight}

    def by_parameters(twin: fastbp.Network, flat: Array) -> tuple[float, Array]:
        return twin.loss_and_gradients(_shaped(flat, shapes), y, **weights)

    def by_inputs(twin: fastbp.Network, flat: Array) -> tuple[float, Array]:
        return _weighed_outputs(twin, _shaped(flat, shapes))

    by_parameters(net.copy(dtype="float64"), flat)  # refuses what is wrong with the data
    trainable = np.zeros(net.n_parameters, bool)
    for start, stop in net.plan.trainable_spans:
        trainable[start:stop] = True
    of_loss = _Subject(net, flat, by_parameters, lambda twin, flat: twin.parameters)
    of_outputs = _Subject(net, flat, by_inputs, lambda twin, flat: flat)
    with np.errstate(all="ignore"):
        entries = of_loss.entries(np.flatnonzero(trainable), _parameter_name(net))
        entries += of_outputs.entries(np.arange(flat.size), _input_name(shapes))
    return GradientReport(tuple(entries), int((~trainable).sum()))


def _shaped(flat: Array, shapes: list[tuple[int, ...]]) -> Any:
    """Return the rows of each input that lie behind each other."""
    parts = np.split(flat, np.cumsum([math.prod(shape) for shape in shapes])[:-1])
    return alone(tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)))


def _weighed_outputs(net: fastbp.Network, x: Any) -> tuple[float, Array]:
    """Return a sum of the outputs, each times a number of its own, and its derivative by inputs."""
    plan, rng = net.plan, np.random.default_rng(0)
    outputs = each(net.forward(x, training=True), len(plan.outputs))
    factors = tuple(rng.uniform(0.5, 1.5, output.shape) for output in outputs)
    total = sum(float((f * y).sum()) for f, y in zip(factors, outputs, strict=True))
    gradients = each(net.backward(alone(factors)), len(plan.inputs))
    return total, np.concatenate([gradient.reshape(-1) for gradient in gradients])


def _parameter_name(net: fastbp.Network) -> Callable[[int], str]:
    """Return what gives the name of an element of the flat vector of parameters."""

    def name(place: int) -> str:
        parameter = next(p for p in net.plan.parameters if p.start <= place < p.stop)
        index = np.unravel_index(place - parameter.start, parameter.shape)
        return f"{parameter.name}[{', '.join(map(str, index))}]"

    return name


def _input_name(shapes: list[tuple[int, ...]]) -> Callable[[int], str]:
    """Return what gives the name of an element of the inputs."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    names = indexed("x", len(shapes))

    def name(place: int) -> str:
        number = int(np.searchsorted(ends, place, side="right"))
        start = ends[number - 1] if number else 0
        index = np.unravel_index(place - start, shapes[number])
        return f"{names[number]}[{', '.join(map(str, index))}]"

    return name


class _Subject:
    """A function of parameters and inputs that gives its own derivatives by some of them.

    Parameters
    ----------
    net : Network
        What is copied.
    x : ndarray
        Inputs, flat.
    differentiate : callable
        Takes a network and inputs, returns a number and its derivatives, flat.
    moved : callable
        Takes a network and inputs, returns the flat view of what derivatives are by.
    """

    def __init__(
        self,
        net: fastbp.Network,
        x: Array,
        differentiate: Callable[[fastbp.Network, Array], tuple[float, Array]],
        moved: Callable[[fastbp.Network, Array], Array],
    ) -> None:
        self.net, self.x = net.copy(dtype="float64"), x.copy()
        self.differentiate = differentiate
        self.at = moved(self.net, self.x)
        self.look()

    def look(self) -> None:
        """Take the derivatives where the function stands now."""
        self.centre, gradients = self.differentiate(self.net, self.x)
        self.gradients = gradients.copy()
        self.scale = max(1.0, abs(self.centre), float(np.abs(self.gradients).max(initial=0)))

    def step_aside(self) -> None:
        """Move all parameters and inputs a little: what met at a kink does no longer."""
        rng = np.random.default_rng(1)
        for array in (self.net.parameters, self.x):
            array += ASIDE * rng.choice([-1, 1], array.shape) * rng.uniform(0.3, 1, array.shape)
        self.look()

    def entries(self, places: Array, name: Callable[[int], str]) -> list[Entry]:
        """Return the derivatives by the numbers at `places`, those at kinks checked aside."""
        entries = [self.entry(int(place), name(int(place))) for place in places]
        kinks = [at for at, entry in enumerate(entries) if entry.verdict == "kink"]
        if kinks:
            self.step_aside()
        for at in kinks:
            aside = self.entry(int(places[at]), entries[at].name)
            if aside.verdict == "wrong":
                entries[at] = aside
        return entries

    def entry(self, place: int, name: str) -> Entry:
        """Return the derivative by one number."""
        gradient = float(self.gradients[place])
        low, high = self.slopes(place, STEP)
        difference = (low + high) / 2
        size = max(abs(gradient), abs(difference), self.scale * FLOOR / RELATIVE)
        error = abs(gradient - difference) / size
        bent = high - low > BENT * self.scale
        right = error <= RELATIVE and not bent
        verdict = "right" if right else self.second_look(place, gradient, bent)
        return Entry(name, gradient, difference, error, verdict)

    def second_look(self, place: int, gradient: float, bent: bool) -> str:
        """Return a verdict from nearer by, where what is bent only by much curvature is straight.

        Where slopes of two sides stay apart is a kink, and one is near where they do not, but did.
        """
        for step in NEARER:
            low, high = self.slopes(place, step)
            margin = RELATIVE * max(abs(low), abs(high)) + self.scale * FLOOR * STEP / step
            still_bent = high - low > BENT * self.scale
            if not still_bent and abs(gradient - (low + high) / 2) <= margin:
                return "kink" if bent else "right"
        return "kink" if still_bent else "wrong"

    def slopes(self, place: int, step: float) -> tuple[float, float]:
        """Return the slopes on both sides of a number, the smaller one first."""
        h = step * max(1.0, abs(float(self.at[place])))
        left = (self.centre - self.displaced(place, -h)) / h
        right = (self.displaced(place, h) - self.centre) / h
        return min(left, right), max(left, right)

    def displaced(self, place: int, change: float) -> float:
        """Return the function with one number changed."""
        value = self.at[place]
        self.at[place] = value + change
        result, _ = self.differentiate(self.net, self.x)
        self.at[place] = value
        return result
