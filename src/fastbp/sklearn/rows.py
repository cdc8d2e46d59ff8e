"""Rows of arrays and of sparse matrices, which become arrays some rows at a time."""

from __future__ import annotations

import contextlib
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
    """Return rows as they can be had one by one: an array as it is, a sparse matrix by rows.

    Each element of a sparse matrix is there once, the elements of a row in their order.
    """
    if not sparse.issparse(x):
        return x
    rows = x.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return rows


def in_dtype(x: Any, dtype: str) -> Any:
    """Return rows of a sparse matrix in a dtype that has room for what they hold."""
    data.require_finite("x", x.data, dtype)
    return x.astype(dtype, copy=False)


class Room:
    """An array for some rows of a sparse matrix at a time.

    Between them it holds zeros: to put them there anew would take longer than to take out what the
    rows have put in.

    Parameters
    ----------
    x : sparse matrix by rows, shape (n, features)
        The rows.
    size : int
        How many at a time.
    """

    def __init__(self, x: Any, size: int) -> None:
        self._x = x
        self._array = np.zeros((min(size, x.shape[0]), x.shape[1]), x.dtype)

    @contextlib.contextmanager
    def holding(self, numbers: Array | slice) -> Iterator[Array]:
        """Hold the rows of these numbers while somebody is within."""
        rows = self._x[numbers]
        n, width = rows.shape
        flat = self._array.reshape(-1)
        places = np.repeat(np.arange(n) * width, np.diff(rows.indptr)) + rows.indices
        flat[places] = rows.data
        try:
            yield self._array[:n]
        finally:
            flat[places] = 0


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
        """Go through sparse rows in an order, as batches of arrays (x, y) or (x, y, weights).

        Each x is gone when the next is asked for.
        """
        room = Room(self.x, batch_size)
        for start in range(0, self.n, batch_size):
            rows = order[start : start + batch_size]
            weights = () if self.weights is None else (self.weights[rows],)
            with room.holding(rows) as x:
                yield (x, self.y[rows], *weights)

    def chunks(self) -> Iterator[tuple[Array, ...]]:
        """Go through sparse rows in their order, as `batches` as large as there is room for."""
        size = max(1, CHUNK_BYTES // (self.x.shape[1] * self.x.dtype.itemsize))
        return self.batches(np.arange(self.n), size)

    def for_network(self, network: Network) -> Data:
        """Return them with sparse rows in a network's dtype, if they are sparse."""
        return self._replace(x=in_dtype(self.x, network.dtype)) if self.is_sparse else self

    def rows(self, network: Network) -> Rows:
        """Return rows of an array as a network takes them.

        scikit-learn has found all of them finite. Where it was told not to look, or the network has
        a smaller range, the network looks.
        """
        looks = network._look(network._built)
        has_looked = not get_config()["assume_finite"]

        def look(values: Array) -> bool:
            return (has_looked and np.can_cast(values.dtype, network.dtype)) or looks(values)

        return data.rows(network.plan, self.x, self.y, self.weights, look=look)

    def require_weight(self, name: str) -> Data:
        """Return them, if some of them count."""
        if self.weights is not None and not np.any(self.weights):
            raise ValueError(f"{name}: expected a weight above 0, got 0 alone")
        return self

    @property
    def weight(self) -> float:
        """What all rows count."""
        return float(self.n if self.weights is None else np.sum(self.weights))
