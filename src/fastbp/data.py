"""Arrays from users: the one place where they are coerced or refused.

What passes is what engines take (`fastbp.engine.Rows`). What does not pass raises TypeError (not
real numbers) or ValueError (all else) with the argument's name, what was expected and what came.

Nothing here writes to an array it was given. float32, float64 and integers whose rows are
contiguous are passed on without a copy; engines convert them batch by batch. Other layouts and
dtypes are copied. A file that is mapped into memory is not read here, where its rows can be passed
on as they are: the engine then looks at each batch.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from fastbp.engine import Array, Rows
from fastbp.plan import Plan, Shape

Look: TypeAlias = Callable[[Array], bool]
"""Says whether rows are finite in the dtype of the network: an engine's `all_finite`."""

# Elements looked at in one go: their extremes are found while they are in the cache.
CHUNK = 1 << 16
# The largest float64 that does not become an infinity.
LARGEST = {
    "float32": float(np.nextafter(2.0**128 - 2.0**103, 0)),
    "float64": float(np.finfo("float64").max),
}
INT32, FLOAT64 = np.dtype(np.int32), np.dtype(np.float64)


def rows(
    plan: Plan,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    names: tuple[str, str, str] = ("x", "y", "sample_weight"),
    look: Look | None = None,
) -> Rows:
    """Return training or test data as an engine takes it.

    Parameters
    ----------
    plan : Plan
        Gives the shapes, dtype and loss that the data must fit.
    x : array_like, shape (n, *input_shape)
        Inputs.
    y : array_like
        Targets: shape (n, *output_shape), or (n,) for one output; for a loss of labels the class
        numbers, shape (n,) or (n, 1).
    sample_weight : array_like or None, shape (n,)
        What each row counts.
    names : tuple of str
        What errors call the three.
    look : callable, optional
        Quicker than NumPy, which looks again where it finds something, and tells the place.

    Raises
    ------
    TypeError
        If one of them does not hold real numbers.
    ValueError
        If shapes don't fit, there are no rows, or a value is out of its range.
    """
    if plan.loss is None:
        raise ValueError("loss: expected a loss to compare outputs with targets by, got None")
    inputs, x_mapped = _rows(names[0], x, plan.input_shape)
    if not x_mapped:
        require_finite(names[0], inputs, plan.dtype, plan.input_shape, look)
    n = len(inputs)
    if plan.loss.labels:
        targets, y_mapped = _labels(names[1], y, n, math.prod(plan.output_shape)), False
    else:
        targets, y_mapped = _values(names[1], y, n, plan, look)
    weights = None if sample_weight is None else _weights(names[2], sample_weight, n)
    return Rows(inputs, targets, weights, unchecked=x_mapped or y_mapped)


def inputs(plan: Plan, x: Any) -> Array:
    """Return inputs alone, shape (n, elements of a row), not looked at for NaN and infinity."""
    array, _ = _rows("x", x, plan.input_shape)
    return array


def input_shape(x: Any) -> Shape:
    """Return the shape of one row of `x`."""
    shape = real_array("x", x).shape
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"x: expected an array of shape (rows, inputs), got shape {shape}")
    return shape[1:]


def output(out: Any, shape: Shape, dtype: str, x: Array) -> Array:
    """Return `out`, which must be an array that the outputs of `x` can be written to."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected a NumPy array, got {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(
            f"out: expected shape {shape} and dtype {dtype}, "
            f"got shape {out.shape} and dtype {out.dtype}"
        )
    if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
        raise ValueError("out: expected a writeable C-contiguous array, got another layout")
    if np.may_share_memory(out, x):
        raise ValueError("out: expected memory of its own, got an array that overlaps x")
    return out


def values(argument: str, value: Any, shape: Shape, dtype: str) -> Array:
    """Return a new C-contiguous array of finite numbers of this shape and dtype."""
    array = real_array(argument, value)
    if array.shape != shape:
        raise ValueError(f"{argument}: expected shape {shape}, got {array.shape}")
    with np.errstate(over="ignore"):
        converted = np.array(array, dtype=dtype, order="C")
    require_finite(argument, converted, dtype)
    return converted


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


def require_finite(
    argument: str,
    array: Array,
    dtype: str,
    shape: Shape | None = None,
    look: Look | None = None,
) -> None:
    """Refuse NaN, infinity, and what is out of the range of `dtype`.

    `shape` is that of the rows if they are flattened in `array`: an error tells the place in it.
    """
    if array.dtype.kind != "f" or (look is not None and look(array)):
        return
    array = array if shape is None else array.reshape(len(array), *shape)
    limit = min(LARGEST[dtype], float(np.finfo(array.dtype).max))
    _require_within(argument, array, -limit, limit, f"finite numbers in the range of {dtype}")


def _rows(argument: str, value: Any, shape: Shape) -> tuple[Array, bool]:
    """Return `value` as rows that an engine can read, and whether they lie in a mapped file."""
    array = real_array(argument, value)
    if array.shape[1:] != shape or not array.ndim:
        advice = f"; pass one row as {argument}[None]" if array.shape == shape else ""
        raise ValueError(f"{argument}: expected shape {_of_rows(shape)}, got {array.shape}{advice}")
    if not len(array):
        raise ValueError(f"{argument}: expected at least one row, got shape {array.shape}")
    flat = _native(array)
    if flat.ndim != 2:
        flat = flat.reshape(len(flat), -1)
    if not _rows_are_contiguous(flat):
        flat = np.ascontiguousarray(flat)
    return flat, _is_mapped(flat)


def _of_rows(shape: Shape) -> str:
    return f"({', '.join(['rows', *map(str, shape)])})"


def _native(array: Array) -> Array:
    """Return `array` aligned and in a dtype that engines read."""
    dtype = array.dtype
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        dtype = np.dtype(np.float32 if dtype.itemsize == 2 else np.float64)
    elif dtype.isnative and array.flags.aligned:
        return array
    with np.errstate(over="ignore"):  # a long double may not fit; the scan finds it
        return array.astype(dtype.newbyteorder("="), order="C")


def _rows_are_contiguous(flat: Array) -> bool:
    """Whether elements lie side by side and rows a whole number of elements apart."""
    side_by_side = flat.shape[1] == 1 or flat.strides[1] == flat.itemsize
    return side_by_side and flat.strides[0] % flat.itemsize == 0


def _is_mapped(array: Array) -> bool:
    """Whether `array` is a view of a file that is mapped into memory."""
    owner: Any = array
    while owner is not None and not isinstance(owner, mmap.mmap):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return owner is not None


def _values(argument: str, y: Any, n: int, plan: Plan, look: Look | None) -> tuple[Array, bool]:
    """Return targets of one value per output, and whether they are in a mapped file."""
    assert plan.loss is not None
    array = real_array(argument, y)
    shape = plan.output_shape
    if array.ndim == 1 and math.prod(shape) == 1:
        array = array.reshape(-1, *shape)
    if array.ndim == 1 and plan.loss.name == "categorical_crossentropy":
        raise ValueError(
            f"{argument}: expected shape {_of_rows(shape)}, got {array.shape}; "
            f"for class numbers use loss='sparse_categorical_crossentropy'"
        )
    targets, mapped = _rows(argument, array, shape)
    _require_count(argument, targets, n)
    if plan.loss.probability is not None:
        _require_within(argument, targets.reshape(n, *shape), 0, 1, "targets from 0 to 1")
    elif not mapped:
        require_finite(argument, targets, plan.dtype, shape, look)
    return targets, mapped


def _labels(argument: str, y: Any, n: int, classes: int) -> Array:
    """Return class numbers, shape (n,), int32."""
    array = real_array(argument, y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{argument}: expected class numbers of shape (rows,), got shape {array.shape}; "
            f"for one value per class use loss='categorical_crossentropy'"
        )
    _require_count(argument, array, n)
    expected = f"whole class numbers from 0 to {classes - 1}"
    _require_within(argument, array, 0, classes - 1, expected)
    labels = _plain(array, INT32)
    if array.dtype.kind == "f" and not np.array_equal(labels, array):
        first = int(np.argmax(labels != array))
        raise ValueError(f"{argument}: expected {expected}, got {array[first]} at [{first}]")
    return labels


def _weights(argument: str, value: Any, n: int) -> Array:
    """Return sample weights, shape (n,), float64."""
    array = real_array(argument, value)
    if array.ndim != 1:
        raise ValueError(f"{argument}: expected shape ({n},), got {array.shape}")
    _require_count(argument, array, n)
    weights = _plain(array, FLOAT64)
    _require_within(argument, weights, 0, LARGEST["float64"], "finite weights of at least 0")
    with np.errstate(over="ignore"):
        total = float(weights.sum())
    if not 0 < total < math.inf:
        raise ValueError(f"{argument}: expected weights with a finite sum above 0, got {total}")
    return weights


def _plain(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return `array` in this dtype, C-contiguous and aligned."""
    if array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned:
        return array
    return array.astype(dtype, order="C")


def _require_count(argument: str, array: Array, n: int) -> None:
    if len(array) != n:
        raise ValueError(f"{argument}: expected {n} rows as in x, got {len(array)}")


def _require_within(argument: str, array: Array, low: float, high: float, expected: str) -> None:
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
