"""Targets from a user, as an engine takes them, by what a loss says that they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastbp.arrays import (
    Look,
    Looks,
    is_left,
    is_mapped,
    largest,
    of_rows,
    plain,
    real_array,
    require_count,
    require_within,
    rows_of,
)
from fastbp.engine import Array
from fastbp.plan import Output

INT32 = np.dtype(np.int32)


def targets_of(
    argument: str, y: Any, n: int, output: Output, dtype: str, look: Looks | None, whole: bool
) -> tuple[Array, bool]:
    """Return the targets of an output, and whether the engine is to look at them."""
    assert output.loss is not None
    kind = output.loss.targets
    if kind == "labels":
        return _labels(argument, y, n, output, whole), False
    if kind == "values" and isinstance(look, Look) and look.takes(y, output.shape) and len(y) == n:
        return y, False
    targets = _values(argument, y, n, output)
    if kind == "values":
        return targets, not whole or is_left(argument, targets, dtype, output.shape, look)
    _require_domain(argument, targets.reshape(n, *output.shape), kind, dtype)
    return targets, is_mapped(targets)


def _values(argument: str, y: Any, n: int, output: Output) -> Array:
    """Return targets of one value per output, as rows."""
    assert output.loss is not None
    array = real_array(argument, y)
    shape = output.shape
    if array.ndim == 1 and math.prod(shape) == 1:
        array = array.reshape(-1, *shape)
    if array.ndim == 1 and output.loss.probability == "softmax":
        raise ValueError(
            f"{argument}: expected shape {of_rows(shape)}, got {array.shape}; "
            f"for class numbers use loss='sparse_categorical_crossentropy'"
        )
    targets = rows_of(argument, array, shape)
    require_count(argument, targets, n)
    return targets


def _labels(argument: str, y: Any, n: int, output: Output, whole: bool) -> Array:
    """Return class numbers, shape (n,), int32; -1 for those that the loss ignores."""
    array = real_array(argument, y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{argument}: expected class numbers of shape (rows,), got shape {array.shape}; "
            f"for one value per class use loss='categorical_crossentropy'"
        )
    require_count(argument, array, n)
    label = ignore_label(output)
    if label is None:
        return _class_numbers(argument, array, output)
    ignored = array == label
    numbers = np.where(ignored, array.dtype.type(0), array)
    labels = np.where(ignored, INT32.type(-1), _class_numbers(argument, numbers, output))
    if whole and ignored.all():
        raise ValueError(
            f"{argument}: expected a label to learn from, got ignore_label in all rows"
        )
    return labels


def ignore_label(output: Output) -> int | None:
    """Return the label of rows that the loss of an output leaves out, if it has one."""
    return getattr(output.loss, "ignore_label", None)


def _class_numbers(argument: str, array: Array, output: Output) -> Array:
    """Return whole numbers of classes, int32."""
    most = math.prod(output.shape) - 1
    expected = f"whole class numbers from 0 to {most}"
    require_within(argument, array, 0, most, expected)
    labels = plain(array, INT32)
    if array.dtype.kind == "f" and not np.array_equal(labels, array):
        first = int(np.argmax(labels != array))
        raise ValueError(f"{argument}: expected {expected}, got {array[first]} at [{first}]")
    return labels


def _require_domain(argument: str, targets: Array, domain: str, dtype: str) -> None:
    """Refuse targets that the loss gives no meaning to; all of them are read, mapped or not."""
    if domain == "amounts":
        expected = f"finite targets of at least 0 in the range of {dtype}"
        require_within(argument, targets, 0, largest(targets, dtype), expected)
    elif domain == "signs":
        _require_signs(argument, targets)
    else:
        require_within(argument, targets, 0, 1, "targets from 0 to 1")
    if domain == "distributions":
        _require_distributions(argument, targets.reshape(len(targets), -1))


def _require_signs(argument: str, targets: Array) -> None:
    """Refuse what is neither 1 for yes nor the one number, -1 or 0, that stands for no."""
    expected = "1 for yes and -1 or 0 for no"
    require_within(argument, targets, -1, 1, expected)
    no, minus = targets == 0, targets == -1
    odd = ~(no | minus | (targets == 1))
    if odd.any():
        first = np.unravel_index(int(np.argmax(odd)), targets.shape)
        place = ", ".join(str(int(i)) for i in first)
        raise ValueError(f"{argument}: expected {expected}, got {targets[first]} at [{place}]")
    if no.any() and minus.any():
        raise ValueError(f"{argument}: expected {expected}, got both -1 and 0")


def _require_distributions(argument: str, targets: Array) -> None:
    """Refuse rows that don't add up to 1, as near as numbers that were rounded to float16 do."""
    sums = targets.sum(axis=1, dtype=np.float64)
    off = np.abs(sums - 1) > 2.0**-10
    if off.any():
        row = int(np.argmax(off))
        raise ValueError(
            f"{argument}: expected targets that add up to 1 in each row, "
            f"got a sum of {sums[row]:g} in row {row}"
        )
