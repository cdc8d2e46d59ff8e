"""One array from a user: coerced to what engines read, or refused, and its elements looked at."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from fastbp.engine import Array, EngineProtocol
from fastbp.tensors import Shape

# Elements looked at in one go: their extremes are found while they are in the cache.
CHUNK = 1 << 16
# The largest float64 that does not become an infinity.
LARGEST = {
    "float32": float(np.nextafter(2.0**128 - 2.0**103, 0)),
    "float64": float(np.finfo("float64").max),
}
# What engines read: bool, integers, float32 and float64 in the byte order of the machine.
NATIVE = frozenset(map(np.dtype, "?bBhHiIlLqQfd"))

Looks: TypeAlias = Callable[[Array], bool]
"""Says whether rows are finite in the dtype of the network. A `Look` takes some as they are."""


class Look:
    """An engine that looks at rows, quicker than NumPy, with so many threads."""

    __slots__ = "_engine", "_n_threads"

    def __init__(self, engine: EngineProtocol, n_threads: int | None) -> None:
        self._engine, self._n_threads = engine, n_threads

    def __call__(self, rows: Array) -> bool:
        """Whether rows are finite in the dtype of the network."""
        return self._engine.all_finite(rows, self._n_threads)

    def takes(self, value: Any, shape: Shape) -> bool:
        """Whether `value` passes as rows of this shape; if not, it needs a closer look."""
        return self._engine.takes(value, shape, self._n_threads)


def real_array(argument: str, value: Any) -> Array:
    """Return `value` as an array of real numbers, without a copy where it is an array."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{argument}: expected an array without a mask, got a masked array")
    try:
        array: Array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{argument}: expected an array of real numbers, got {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{argument}: expected an array of real numbers, "
            f"got {type(value).__name__} of dtype {array.dtype}"
        )
    return array


def rows_of(argument: str, value: Any, shape: Shape) -> Array:
    """Return `value` as rows that an engine can read, shape (n, elements of a row)."""
    array = real_array(argument, value)
    if array.shape[1:] != shape or not array.ndim:
        advice = f"; pass one row as {argument}[None]" if array.shape == shape else ""
        raise ValueError(f"{argument}: expected shape {of_rows(shape)}, got {array.shape}{advice}")
    if not len(array):
        raise ValueError(f"{argument}: expected at least one row, got shape {array.shape}")
    flat = _native(array)
    if flat.ndim != 2:
        flat = flat.reshape(len(flat), -1)
    return flat if _rows_are_contiguous(flat) else np.ascontiguousarray(flat)


def of_rows(shape: Shape) -> str:
    """Return what errors call the shape of rows of this shape."""
    return f"({', '.join(['rows', *map(str, shape)])})"


def _native(array: Array) -> Array:
    """Return `array` aligned and in a dtype that engines read."""
    dtype = array.dtype
    if dtype in NATIVE and array.flags.aligned:
        return array
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        dtype = np.dtype(np.float32 if dtype.itemsize == 2 else np.float64)
    with np.errstate(over="ignore"):  # a long double may not fit; the scan finds it
        return array.astype(dtype.newbyteorder("="), order="C")


def _rows_are_contiguous(flat: Array) -> bool:
    """Whether elements lie side by side and rows a whole number of elements apart."""
    size, (to_next_row, to_next) = flat.itemsize, flat.strides
    return (to_next == size or flat.shape[1] == 1) and to_next_row % size == 0


def is_mapped(array: Array) -> bool:
    """Whether `array` is a view of a file that is mapped into memory."""
    owner: Any = array
    while owner is not None and not isinstance(owner, mmap.mmap):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return owner is not None


def is_left(
    argument: str, array: Array, dtype: str, shape: Shape | None = None, look: Looks | None = None
) -> bool:
    """Whether rows are left to the engine to look at, as those of a mapped file are.

    Others are looked at here: `require_finite`.
    """
    if is_mapped(array):
        return True
    require_finite(argument, array, dtype, shape, look)
    return False


def plain(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return `array` in this dtype, C-contiguous and aligned."""
    if array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned:
        return array
    return array.astype(dtype, order="C")


def values(argument: str, value: Any, shape: Shape, dtype: str) -> Array:
    """Return a new C-contiguous array of finite numbers of this shape and dtype."""
    array = real_array(argument, value)
    if array.shape != shape:
        raise ValueError(f"{argument}: expected shape {shape}, got {array.shape}")
    with np.errstate(over="ignore"):
        converted = np.array(array, dtype=dtype, order="C")
    require_finite(argument, converted, dtype)
    return converted


def require_finite(
    argument: str,
    array: Array,
    dtype: str,
    shape: Shape | None = None,
    look: Looks | None = None,
) -> None:
    """Refuse NaN, infinity, and what is out of the range of `dtype`.

    `shape` is that of the rows if they are flattened in `array`: an error tells the place in it.
    """
    if array.dtype.kind != "f" or (look is not None and look(array)):
        return
    array = array if shape is None else array.reshape(len(array), *shape)
    limit = largest(array, dtype)
    require_within(argument, array, -limit, limit, f"finite numbers in the range of {dtype}")


def largest(array: Array, dtype: str) -> float:
    """Return the largest number of `array`'s type that is finite in `dtype`."""
    own = float(np.finfo(array.dtype).max) if array.dtype.kind == "f" else math.inf
    return min(LARGEST[dtype], own)


def require_count(argument: str, array: Array, n: int, like: str = "x") -> None:
    """Refuse arrays of another number of rows."""
    if len(array) != n:
        raise ValueError(f"{argument}: expected {n} rows as in {like}, got {len(array)}")


def require_within(argument: str, array: Array, low: float, high: float, expected: str) -> None:
    """Refuse elements outside [low, high], naming the first; NaN is outside every interval."""
    step = max(1, CHUNK * len(array) // max(1, array.size))
    for start in range(0, len(array), step):
        chunk = array[start : start + step]
        lowest, highest = np.minimum.reduce(chunk, axis=None), np.maximum.reduce(chunk, axis=None)
        if low <= lowest and highest <= high:
            continue
        outside = ~((chunk >= low) & (chunk <= high))
        first = np.unravel_index(int(np.argmax(outside)), chunk.shape)
        place = ", ".join(str(int(i)) for i in (first[0] + start, *first[1:]))
        raise ValueError(f"{argument}: expected {expected}, got {chunk[first]} at [{place}]")
