"""Batches: rows taken from the data and converted to the dtype of the network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastbp.engine import Array, Rows, each, indexed
from fastbp.plan import Plan


class Answers(NamedTuple):
    """What some rows are to be: targets of one output."""

    t: Array  # (rows, outputs), the network's dtype, or (rows,) class numbers
    weights: Array  # (rows,), float64; 1 where there are no sample weights

    @property
    def measured(self) -> Array:
        """Which rows metrics count: all but those with a label of -1."""
        return self.t >= 0 if self.t.ndim == 1 else np.ones(len(self.t), bool)


class Batch(NamedTuple):
    """Some rows of the data."""

    x: tuple[Array, ...]  # of each input (rows, inputs), the network's dtype
    answers: tuple[Answers, ...]  # of each output


def gather(data: Rows, rows: Array, plan: Plan) -> Batch:
    """Return the given rows, in the given order.

    Raises
    ------
    ValueError
        If the data is `unchecked` and not finite in the plan's dtype there.
    """
    assert data.y is not None
    n_inputs, n_outputs = len(plan.inputs), len(plan.outputs)
    x = (
        converted(name, array, rows, plan.dtype, data.unchecked)
        for name, array in zip(indexed("x", n_inputs), each(data.x, n_inputs), strict=True)
    )
    weights = (None,) * n_outputs if data.weights is None else each(data.weights, n_outputs)
    targets = zip(indexed("y", n_outputs), each(data.y, n_outputs), weights, strict=True)
    answers = (
        Answers(
            # Class numbers have one dimension, and stay integers.
            t[rows] if t.ndim == 1 else converted(name, t, rows, plan.dtype, data.unchecked),
            np.ones(len(rows)) if weights is None else weights[rows],
        )
        for name, t, weights in targets
    )
    return Batch(tuple(x), tuple(answers))


def converted(
    argument: str, array: Array, rows: Array | slice, dtype: str, look: bool = False
) -> Array:
    """Return rows of `array` in `dtype`; with `look`, refuse what is not finite there."""
    # A float64 that overflows float32 becomes an infinity: found below, or by an earlier check.
    with np.errstate(over="ignore"):
        taken = array[rows].astype(dtype, copy=False)
    if look and not np.isfinite(taken).all():
        place, column = np.argwhere(~np.isfinite(taken))[0]
        row = np.arange(len(array))[rows][place]
        raise ValueError(
            f"{argument}: expected finite numbers in the range of {dtype}, "
            f"got {array[row, column]} at [{row}, {column}]"
        )
    return taken
