"""Batches: rows taken from the data and converted to the dtype of the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fastbp.engine import Array, Feed, Rows, chunks


class Batch(NamedTuple):
    """Some rows of the data."""

    x: Array  # (rows, inputs), the network's dtype
    t: Array  # (rows, outputs), the network's dtype, or (rows,) class numbers
    weights: Array  # (rows,), float64; 1 where there are no sample weights

    @property
    def measured(self) -> Array:
        """Which rows metrics count: all but those with a label of -1."""
        return self.t >= 0 if self.t.ndim == 1 else np.ones(len(self.t), bool)


def gather(data: Rows, rows: Array, dtype: str) -> Batch:
    """Return the given rows, in the given order.

    Raises
    ------
    ValueError
        If the data is `unchecked` and not finite in this dtype there.
    """
    assert data.y is not None
    x = converted("x", data.x, rows, dtype, data.unchecked)
    # Class numbers have one dimension, and stay integers.
    t = data.y[rows] if data.y.ndim == 1 else converted("y", data.y, rows, dtype, data.unchecked)
    return Batch(x, t, np.ones(len(rows)) if data.weights is None else data.weights[rows])


def batches(data: Rows | Feed, size: int, dtype: str) -> Iterator[tuple[Batch, Array]]:
    """Go through all rows in order, at most `size` at a time, with their targets as they came."""
    for chunk in chunks(data):
        assert chunk.y is not None
        for start in range(0, len(chunk.x), size):
            rows = np.arange(start, min(start + size, len(chunk.x)))
            yield gather(chunk, rows, dtype), chunk.y[rows]


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
