"""Rows of arrays and of sparse matrices, which become arrays some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn import get_config

from fastbp import Network, data
from fastbp.engine import Array, Rows

# Of a sparse matrix so many bytes at most are an array at one time.
CHUNK_BYTES = 1 << 24
NETWORK_DTYPES = np.dtype(np.float32), np.dtype(np.float64)


def are_plain(x: Any, y: Any) -> bool:
    """Whether scikit-learn's checks would return two arrays as they are.

    They ask what kind of table each may be, which takes longer than a look at some thousand rows.
    """
    return (
        type(x) is np.ndarray
        and type(y) is np.ndarray
        and x.ndim == 2
        and y.ndim == 1
        and x.dtype in NETWORK_DTYPES
        and y.dtype.kind in "biuf"
        and 0 < len(x) == len(y)
        and x.shape[1] > 0
        and _adds_up(x)
        and _adds_up(y)
    )


def _adds_up(values: Array) -> bool:
    """Whether the sum is finite, as it is of finite numbers unless they are huge."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.dtype.kind != "f" or bool(np.isfinite(np.sum(values)))


def readable(x: Any) -> Any:
    """Return rows as they can be had one by one: an array as it is, a sparse matrix by rows."""
    return x.tocsr() if sparse.issparse(x) else x


def chunks(x: Any) -> Iterator[tuple[slice, Array]]:
    """Go through the rows as arrays: those of an array at one go."""
    if not sparse.issparse(x):
        yield slice(0, len(x)), x
        return
    n, width = x.shape
    step = max(1, CHUNK_BYTES // (width * x.dtype.itemsize))
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        yield rows, x[rows].toarray()


class Data(NamedTuple):
    """Rows to train on or to validate with, checked.

    Attributes
    ----------
    x : ndarray or sparse matrix by rows, shape (n, features)
        Inputs.
    y : ndarray
        Targets as the network takes them, (n,) class numbers or (n, outputs).
    weights : ndarray or None, shape (n,)
        Sample weights.
    """

    x: Any
    y: Array
    weights: Array | None

    @property
    def n(self) -> int:
        """How many rows there are."""
        return int(self.x.shape[0])

    @property
    def is_sparse(self) -> bool:
        """Whether inputs have to become an array first."""
        return bool(sparse.issparse(self.x))

    def batches(self, order: Array, batch_size: int) -> Iterator[tuple[Array, ...]]:
        """Go through the rows in an order, as batches of arrays (x, y) or (x, y, weights)."""
        for start in range(0, self.n, batch_size):
            rows = order[start : start + batch_size]
            x = self.x[rows].toarray() if self.is_sparse else self.x[rows]
            weights = () if self.weights is None else (self.weights[rows],)
            yield (x, self.y[rows], *weights)

    def chunks(self) -> Iterator[tuple[Array, Array, Array | None]]:
        """Go through the rows as arrays, in their order, as many at a time as there is room for."""
        for rows, x in chunks(self.x):
            yield x, self.y[rows], None if self.weights is None else self.weights[rows]

    def rows(self, network: Network) -> Iterator[Rows]:
        """Go through them as `chunks` does, as a network takes them.

        scikit-learn has found all of them finite. Where it was told not to look, or the network has
        a smaller range, the network looks.
        """
        looks = network._look(network._built)
        has_looked = not get_config()["assume_finite"]

        def look(values: Array) -> bool:
            return (has_looked and np.can_cast(values.dtype, network.dtype)) or looks(values)

        for x, y, weights in self.chunks():
            yield data.rows(network.plan, x, y, weights, look=look)

    def require_weight(self, name: str) -> Data:
        """Return them, if some of them count."""
        if self.weights is not None and not np.any(self.weights):
            raise ValueError(f"{name}: expected a weight above 0, got 0 alone")
        return self

    @property
    def weight(self) -> float:
        """What all rows count."""
        return float(self.n if self.weights is None else np.sum(self.weights))
