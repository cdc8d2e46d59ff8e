"""Rows in an order that a function of the caller's gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.callbacks.base import Callback
from fastbp.engine import Array


class RowOrder(Callback):
    """Asks for the order of each epoch of a fit, and lays it where the engine reads it.

    Parameters
    ----------
    function : callable
        Takes the number of an epoch, counted from 0 in each fit, and returns the numbers of the
        rows in the order in which they are to come, shape (n,).
    n : int
        How many rows there are.

    Attributes
    ----------
    rows : ndarray, shape (n,), int64
        The order of the next epoch.
    """

    def __init__(self, function: Callable[[int], Any], n: int) -> None:
        self.rows: Array = np.arange(n, dtype=np.int64)
        self._unsigned = self.rows.view(np.uint64)  # in which what is negative is too large
        self._function = function

    def on_epoch_begin(self, epoch: int) -> None:
        n, given = len(self.rows), np.asarray(self._function(epoch))
        if given.shape != (n,) or given.dtype.kind not in "iu":
            raise ValueError(
                f"shuffle: expected of the function whole numbers of shape ({n},), "
                f"got {given.dtype} of shape {given.shape}"
            )
        self.rows[...] = given
        if np.maximum.reduce(self._unsigned) >= n:
            raise ValueError(
                f"shuffle: expected of the function numbers of rows from 0 to {n - 1}, "
                f"got {given.min()} to {given.max()}"
            )
