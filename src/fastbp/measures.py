"""Metrics of all outputs at once, in NumPy, for both engines. `fastbp.metrics` has the formulas.

Counts are whole numbers. Sums are float64 over fixed chunks, as in the engines: row i of a chunk of
4,096 goes to lane i mod 8, lanes are added by halves, and chunks in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastbp.calls import metric_value
from fastbp.engine import Array
from fastbp.losses import Loss
from fastbp.metrics import Custom, Metric

CHUNK, LANES = 4096, 8


class Answers(NamedTuple):
    """Outputs and targets of some rows, and how they are compared."""

    y: Array  # (rows, outputs), float64
    t: Array  # (rows, outputs), float64, or (rows,) class numbers
    decision: str
    threshold: float

    @property
    def several(self) -> bool:
        """Whether each row answers several yes-or-no questions."""
        return self.decision == "yes" and self.y.shape[1] > 1

    @property
    def n_classes(self) -> int:
        """Number of classes, of which no and yes are two."""
        return max(2, self.y.shape[1])

    def yes(self) -> tuple[Array, Array]:
        """Return which outputs and which targets say yes."""
        return self.y > self.threshold, self.t > 0.5

    def classes(self) -> tuple[Array, Array]:
        """Return the class of each row by its outputs, and by its target."""
        if self.decision == "yes":
            said, right = self.yes()
            return said[:, 0].astype(np.intp), right[:, 0].astype(np.intp)
        return self.y.argmax(axis=1), self.targets()

    def targets(self) -> Array:
        """Return the class of each row by its target, where rows have one."""
        return self.t if self.decision == "label" else self.t.argmax(axis=1)

    def one_by_one(self) -> Array:
        """Return whether each row belongs to the class of each output."""
        if self.decision == "yes":
            return self.yes()[1]
        return self.targets()[:, None] == np.arange(self.y.shape[1])


def measure(metric: Metric, loss: Loss, y: Array, t: Array) -> Any:
    """Return a metric: a float, or an array where there are several values.

    Parameters
    ----------
    metric : Metric
        What to compute, not a mean over rows.
    loss : Loss
        Says what targets are.
    y : ndarray, shape (rows, outputs)
        Outputs.
    t : ndarray, shape (rows, outputs) or (rows,)
        Targets, or class numbers; rows with one of -1 are left out.
    """
    if loss.labels:
        counts = t >= 0
        y, t = y[counts], t[counts]
    else:
        t = t.astype(np.float64)
    if isinstance(metric, Custom):
        return metric_value(metric, y.astype(np.float64), t)
    answers = Answers(y.astype(np.float64), t, loss.decision(y.shape[1]), loss.threshold)
    with np.errstate(all="ignore"):  # a division by 0 has its meaning, and so has divergence
        return MEASURES[metric.name](metric, answers)


def answers(parts: Sequence[tuple[Any, Any]], output: int) -> tuple[Array, Array]:
    """Return outputs and targets of one output, each as one array; parts have those of all."""
    y, t = ([one[output] for one in side] for side in zip(*parts, strict=True))
    return (y[0], t[0]) if len(parts) == 1 else (np.concatenate(y), np.concatenate(t))


def column_sums(values: Array) -> Array:
    """Return the sum of each column, shape (columns,), in the order that is written above."""
    rows, columns = values.shape
    chunks = -(-rows // CHUNK)
    padded = np.zeros((chunks * CHUNK, columns))
    padded[:rows] = values
    lanes = padded.reshape(chunks, CHUNK // LANES, LANES, columns)
    # Accumulating adds in order; the last is the sum.
    sums: Array = np.add.accumulate(lanes, axis=1)[:, -1]
    while sums.shape[1] > 1:
        half = sums.shape[1] // 2
        sums = sums[:, :half] + sums[:, half:]
    return np.asarray(np.add.accumulate(sums[:, 0], axis=0)[-1])


def mean(values: Array) -> float:
    """Return the mean over rows and columns."""
    return float(np.add.accumulate(column_sums(values))[-1] / values.size)


def mean_squared_error(metric: Metric, a: Answers) -> float:
    """Return the squared error, averaged over rows and outputs."""
    return mean((a.y - a.t) ** 2)


def mean_absolute_error(metric: Metric, a: Answers) -> float:
    """Return the absolute error, averaged over rows and outputs."""
    return mean(np.abs(a.y - a.t))


def r2(metric: Metric, a: Answers) -> float:
    """Return the share of the targets' variance that outputs explain, averaged over outputs."""
    errors = column_sums((a.y - a.t) ** 2)
    spread = column_sums((a.t - column_sums(a.t) / len(a.t)) ** 2)
    varies = (a.t != a.t[0]).any(axis=0)  # a mean of equal numbers may be off by a rounding
    shares = np.where(varies, 1 - errors / np.where(varies, spread, 1), errors == 0)
    return float(np.add.accumulate(shares)[-1] / len(shares))


def cells(a: Answers) -> Array:
    """Return how many rows of each class, down, were answered by each class, across."""
    said, right = a.classes()
    counts = np.bincount(right * a.n_classes + said, minlength=a.n_classes**2)
    return counts.reshape(a.n_classes, a.n_classes)


def top_k_accuracy(metric: Any, a: Answers) -> float:
    """Return the share of rows in which fewer than k outputs come before that of their class."""
    right = a.classes()[1][:, None]
    own = np.take_along_axis(a.y, right, axis=1)
    earlier = np.arange(a.y.shape[1]) < right
    before = ((a.y > own) | ((a.y == own) & earlier)).sum(axis=1)
    return float(np.count_nonzero(before < metric.k) / len(right))


def outcomes(a: Answers) -> Array:
    """Return true positives, false positives and false negatives of each class, shape (3, n)."""
    if a.several:
        said, right = a.yes()
        pairs = (said, right), (said, ~right), (~said, right)
        return np.array([np.count_nonzero(p & q, axis=0) for p, q in pairs])
    counts = cells(a)
    hits = np.diagonal(counts)
    return np.array([hits, counts.sum(axis=0) - hits, counts.sum(axis=1) - hits])


def quotient(above: Array, below: Array) -> Array:
    """Return above / below, and 0 where there is nothing to divide by."""
    return np.where(below > 0, above / below, 0.0)


RATIOS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "precision": lambda tp, fp, fn: quotient(tp, tp + fp),
    "recall": lambda tp, fp, fn: quotient(tp, tp + fn),
    "f1": lambda tp, fp, fn: quotient(2 * tp, 2 * tp + fp + fn),
}


def averaged(metric: Any, a: Answers) -> Any:
    """Return precision, recall or F1, by its average."""
    found = outcomes(a)
    if metric.average == "micro":
        found = found.sum(axis=1, keepdims=True)
    shares = RATIOS[metric.name](*found)
    if metric.average is None:
        return shares
    if metric.average == "binary":
        return float(shares[-1])
    # Each class once if it occurs, or as often as it is a target.
    occurs = np.ones(len(shares)) if a.several else found.sum(axis=0) > 0
    counts = found[0] + found[2] if metric.average == "weighted" else occurs
    return float(np.add.accumulate(shares * counts)[-1] / max(int(np.sum(counts)), 1))


def area(scores: Array, belongs: Array) -> float:
    """Return the area under the curve of one class."""
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    members = np.bincount(group[belongs], minlength=len(sizes))
    others = sizes - members
    below = np.cumsum(others) - others
    twice = int((members * (2 * below + others)).sum())
    pairs = int(members.sum()) * int(others.sum())
    return twice / (2 * pairs) if pairs else float("nan")


def auc(metric: Metric, a: Answers) -> float:
    """Return the mean of the areas of all classes, each against the others."""
    belongs = a.one_by_one()
    areas = [area(a.y[:, o], belongs[:, o]) for o in range(a.y.shape[1])]
    return sum(areas) / len(areas)


# A new metric is a line here: (metric, answers) -> its value.
MEASURES: dict[str, Callable[[Any, Answers], Any]] = {
    "top_k_accuracy": top_k_accuracy,
    "precision": averaged,
    "recall": averaged,
    "f1": averaged,
    "auc": auc,
    "confusion_matrix": lambda metric, a: cells(a),
    "mean_squared_error": mean_squared_error,
    "mean_absolute_error": mean_absolute_error,
    "r2": r2,
}
