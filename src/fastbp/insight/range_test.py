"""The learning-rate range test: a few steps, each at a higher rate, show where training ends."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

import fastbp
from fastbp import data, validate
from fastbp.engine import alone, indexed
from fastbp.insight import plots
from fastbp.insight.document import Block, Heading, sentence
from fastbp.insight.layer_trace import Array
from fastbp.insight.report import PlottedReport
from fastbp.schedules import Cyclical, Exponential, Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Losses are smoothed by the median of so many: a median neither delays a rise nor sees one coming.
WINDOW = 5
# A rise of the loss is one for good when it has lost more than this share of its fall.
LOST = 0.1
# How far below the edge the suggestion lies. On a quadratic, where descent diverges above 2 / L, L
# its largest curvature, the part of the loss along L falls up to that rate and grows from there on.
# It is back where it began at the rate R where Li2(L R), the integral of -ln|1 - L r| over ln r, is
# 0: L R = 12.6. The edge is between the two, so that a tenth of it is from 0.1 to 0.63 times 2 / L,
# but for the width of steps and for what is lost in rounding.
MARGIN = 10
# A fall counts if this share of the losses so many steps around the lowest is below the first
# three. Losses that only scatter look like a fall once in ten tests.
SHARE, AROUND = 0.75, 4


@dataclass(frozen=True, eq=False, repr=False)
class RangeTest(PlottedReport):
    """What `find_learning_rate` found; `print` shows it.

    `plot` draws the loss against the learning rate, with edge and suggestion.

    Attributes
    ----------
    rates : ndarray, shape (n,)
        The learning rate of each step: fewer than asked for where the test diverged.
    losses : ndarray, shape (n,)
        The loss of each step's batch, before the step.
    smoothed : ndarray, shape (n,)
        The running median of five of them.
    metrics : dict of str to list
        The network's metrics at each step.
    diverged : bool
        Whether loss or parameters left the finite numbers, behind the last of `rates`.
    edge : float or None
        The rate at which the loss began to rise for good, or was lowest, if it never did; None if
        it did not fall before.
    """

    rates: Array
    losses: Array
    smoothed: Array
    metrics: dict[str, list[Any]]
    diverged: bool
    edge: float | None

    @property
    def rose(self) -> bool:
        """Whether the loss rose for good before the last rate."""
        return self.diverged or _last_low(self.smoothed) < len(self.rates) - 1

    @property
    def suggestion(self) -> float | None:
        """A tenth of `edge`, to train with; None if there is no edge."""
        return None if self.edge is None else self.edge / MARGIN

    def _draw(self, axes: Axes) -> None:
        plots.range_test(axes, self)

    def _summary(self) -> str:
        found = "no suggestion" if self.suggestion is None else f"suggestion {self.suggestion:.3g}"
        return f"range test of {len(self.rates)} learning rates: {found}"

    def _blocks(self) -> Iterator[Block]:
        first, last = f"{self.rates[0]:.3g}", f"{self.rates[-1]:.3g}"
        yield Heading(2, f"{len(self.rates)} steps at learning rates from {first} to {last}")
        yield sentence(self._course())
        yield sentence(self._advice())

    def _course(self) -> str:
        """Return what the loss did."""
        lowest = int(self.smoothed.argmin())
        course = f"The loss began at {self.losses[0]:.4g}"
        if self.edge is not None:
            course += f" and was lowest, {self.smoothed[lowest]:.4g}, at {self.rates[lowest]:.3g}"
        ended = ", and left the finite numbers behind the last" if self.diverged else ""
        return f"{course}{ended}."

    def _advice(self) -> str:
        """Return what to make of it."""
        if self.edge is None:
            return (
                "It did not fall by more than it scatters, so there is no suggestion: begin at a "
                "lower rate, or take larger batches, more steps or a network that has something "
                "to learn."
            )
        where = f"It rose for good from {self.edge:.3g} on. Suggestion: a tenth of that"
        if not self.rose:
            where = (
                f"It did not rise for good up to the highest rate, so higher ones may do as well. "
                f"Suggestion: a tenth of {self.edge:.3g}, where it was lowest"
            )
        return f"{where}, {self.suggestion:.3g}."


def find_learning_rate(
    net: fastbp.Network,
    x: Any,
    y: Any = None,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    shape: str = "exponential",
    batch_size: int | None = None,
    sample_weight: Any = None,
    class_weight: Any = None,
) -> RangeTest:
    """Raise the learning rate from step to step, and see from where on the loss no longer falls.

    A copy of the network trains, with its optimizer as it stands; the network is left alone.

    Parameters
    ----------
    net : Network
        The network, with any optimizer that reads its learning rate at each step: all but Rprop
        and L-BFGS.
    x, y, sample_weight, class_weight
        As for `fit`. Rows are taken in a random order, the same for the same seed of the network,
        and again when all have been. Or a stream: an iterable of batches, or a function that
        returns one, which begins anew at its end, if it can; its batches come as they are.
    low, high : float, default 1e-6, 10.0
        The first learning rate and the last; 0 < low < high.
    steps : int, default 100
        Updates on the way, one batch each; at least 10.
    shape : {"exponential", "linear"}, default "exponential"
        Whether the rate is multiplied by a factor from step to step, or rises along a line, as in
        the paper: for a range that is known to an order of magnitude.
    batch_size : int, default 32
        Rows of a batch; the rate that is found is one for batches of this size. A stream has its
        own.

    Returns
    -------
    RangeTest
        Rates, losses, and a suggestion: a tenth of the rate at which the loss began to rise for
        good. For descent on a quadratic with all rows in a batch, with momentum or without, it is
        below the rate above which training diverges, and at most 30 times lower.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the optimizer sets its own step length.
    RuntimeError
        If the network is being changed by another operation.

    References
    ----------
    Smith 2017, "Cyclical learning rates for training neural networks", arXiv 1506.01186, section
    3.3: there a range for cycles is read off by eye.
    """
    steps = validate.integer("steps", steps, 10)
    schedule = _rising(low, high, steps, shape)
    if isinstance(net.optimizer, fastbp.Rprop | fastbp.LBFGS):
        raise ValueError(
            f"net: expected an optimizer that reads its learning rate at each step, got "
            f"{type(net.optimizer).__name__}"
        )
    source: Any = x
    if y is not None:
        size = validate.integer("batch_size", 32 if batch_size is None else batch_size, 1)
        source = _batches(_columns(net, x, y, sample_weight), size, net.seed)
        batch_size = sample_weight = None
    elif hasattr(x, "__getitem__") or isinstance(x, fastbp.Batches):
        raise TypeError(
            f"x: expected arrays with y beside them, an iterable of batches or a function that "
            f"returns one, got {type(x).__name__} alone"
        )
    twin = net.copy()
    twin.learning_rate = schedule
    recorder = _Recorder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastbp.DivergenceWarning)  # it is what the test is about
        twin.fit(
            source,
            epochs=steps,  # of one batch each, so that each has a loss on record
            steps_per_epoch=1,
            batch_size=batch_size,
            sample_weight=sample_weight,
            class_weight=class_weight,
            callbacks=[recorder],
            verbose=0,
        )
    return _found(recorder.logs, steps)


class _Recorder(fastbp.Callback):
    """Keeps what a fit that diverges takes back: its history ends at the last good state."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        self.logs.append(dict(logs))


def _rising(low: Any, high: Any, steps: int, shape: Any) -> Schedule:
    """Return the schedule whose first rate is `low` and whose rate at the last step is `high`."""
    low, high = validate.positive("low", low), validate.positive("high", high)
    if low >= high:
        raise ValueError(f"low: expected a rate below high = {high:g}, got {low:g}")
    if validate.choice("shape", shape, ("exponential", "linear")) == "linear":
        return Cyclical(low, high, rise=steps - 1)
    return Exponential(low, decay=high / low, length=steps - 1)


# Of inputs, targets and, where there are any, sample weights: an array of each, with all rows.
Columns: TypeAlias = "list[tuple[Array | None, ...]]"


def _columns(net: fastbp.Network, x: Any, y: Any, sample_weight: Any) -> Columns:
    """Return arrays of as many rows each."""
    n_inputs, n_outputs = _counts(net)
    columns = [
        _arrays(data.entries("x", x, n_inputs, "input")),
        _arrays(data.entries("y", y, n_outputs, "output")),
    ]
    if sample_weight is not None:
        columns.append(_arrays(_weights(sample_weight, n_outputs)))
    first = columns[0][0]
    assert first is not None
    for name, given in zip(("x", "y", "sample_weight"), columns, strict=False):
        for place, array in zip(indexed(name, len(given)), given, strict=True):
            _require_rows(place, array, first.shape[:1], indexed("x", n_inputs)[0])
    return columns


def _counts(net: fastbp.Network) -> tuple[int, int]:
    """Return how many inputs and outputs there are."""
    try:
        return len(net.plan.inputs), len(net.plan.outputs)
    except RuntimeError:  # a chain whose sizes nobody knows yet
        return 1, 1


def _arrays(given: tuple[Any, ...]) -> tuple[Array | None, ...]:
    return tuple(None if value is None else np.asanyarray(value) for value in given)


def _weights(given: Any, n_outputs: int) -> tuple[Any, ...]:
    """Return sample weights for all outputs, or those of each."""
    if n_outputs == 1 or not isinstance(given, tuple | list):
        return (given,)
    if not any(weight is None or np.ndim(weight) for weight in given):
        return (given,)
    return data.entries("sample_weight", given, n_outputs, "output")


def _require_rows(place: str, array: Array | None, rows: tuple[int, ...], like: str) -> None:
    if array is None:
        return
    if rows in ((), (0,)):
        raise ValueError(f"{place}: expected at least one row, got shape {array.shape}")
    if array.shape[:1] != rows:
        raise ValueError(f"{place}: expected {rows[0]} rows as in {like}, got shape {array.shape}")


def _batches(columns: Columns, size: int, seed: int) -> Callable[[], Iterator[tuple[Any, ...]]]:
    """Return what goes through the rows in random orders without end."""

    def batch(rows: Array | slice) -> tuple[Any, ...]:
        return tuple(
            alone(tuple(None if array is None else array[rows] for array in given))
            for given in columns
        )

    def endless() -> Iterator[tuple[Any, ...]]:
        rng = np.random.default_rng(seed)
        counted = _counted(columns)
        while size >= len(counted):
            yield batch(slice(None))
        while True:
            order = rng.permutation(counted)
            for start in range(0, len(order), size):
                yield batch(order[start : start + size])

    return endless


def _counted(columns: Columns) -> Array:
    """Return the rows that count anything: a batch of others has no loss."""
    first = columns[0][0]
    assert first is not None
    every = np.arange(len(first))
    weights = columns[2] if len(columns) > 2 else (None,)
    given = [weight for weight in weights if weight is not None]
    if len(given) < len(weights):  # an output for which all count
        return every
    counted = every[np.any([weight != 0 for weight in given], axis=0)]
    if not len(counted):
        raise ValueError("sample_weight: expected weights with a finite sum above 0, got 0")
    return counted


def _found(logs: list[dict[str, Any]], steps: int) -> RangeTest:
    """Return what the losses say."""
    if not logs:
        raise ValueError("net: expected a finite loss before the first step, got one that is not")
    curves = {name: [each[name] for each in logs] for name in logs[0]}
    rates, losses = (np.array(curves.pop(name)) for name in ("learning_rate", "loss"))
    smoothed = _smoothed(losses)
    diverged = len(losses) < steps
    return RangeTest(rates, losses, smoothed, curves, diverged, _edge(rates, losses, smoothed))


def _smoothed(losses: Array) -> Array:
    """Return the running median, over fewer values at the ends."""
    half = WINDOW // 2
    padded = np.pad(losses, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)
    return np.nanmedian(windows, axis=1)


def _edge(rates: Array, losses: Array, smoothed: Array) -> float | None:
    """Return the rate at which the last rise of the loss began; None without a fall before it."""
    lowest, edge = int(smoothed.argmin()), _last_low(smoothed)
    around = losses[max(0, lowest - AROUND) : lowest + AROUND + 1]
    if np.quantile(around, SHARE) >= losses[:3].min():
        return None
    if edge == len(rates) - 1:  # it never rose: what matters is where it came to the bottom
        edge = lowest
    while edge and smoothed[edge - 1] < smoothed[edge]:
        edge -= 1
    return float(rates[edge])


def _last_low(smoothed: Array) -> int:
    """Return the last step at which most of the loss's fall was kept."""
    lowest = smoothed.min()
    return int(np.flatnonzero(smoothed <= lowest + LOST * (smoothed[0] - lowest))[-1])
