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
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from fastbp import validate
from fastbp.engine import Array, Arrays, Rows, alone, each, indexed
from fastbp.plan import Output, Plan
from fastbp.tensors import Shape

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
    class_weight: Any = None,
    names: tuple[str, str, str] = ("x", "y", "sample_weight"),
    look: Look | None = None,
    whole: bool = True,
) -> Rows:
    """Return training or test data as an engine takes it.

    Parameters
    ----------
    plan : Plan
        Gives the shapes, dtype and losses that the data must fit.
    x : array_like, shape (n, *input_shape), tuple of them, or Rows
        Inputs; or what this function has returned for them, which passes as it is.
    y : array_like, or tuple of them
        Targets: shape (n, *output_shape), or (n,) for one output; for a loss of labels the class
        numbers, shape (n,) or (n, 1).
    sample_weight : array_like or None, shape (n,), or tuple of them
        What each row counts, for each of several outputs or for all of them.
    class_weight : mapping of int to float, array_like of shape (classes,), or None, or tuple
        What a row counts by its class, times its sample weight.
    names : tuple of str
        What errors call the three.
    look : callable, optional
        Quicker than NumPy, which looks again where it finds something, and tells the place.
    whole : bool, default True
        Whether there are no others: then some have to count. Part of a stream may count nothing.

    Raises
    ------
    TypeError
        If one of them does not hold real numbers.
    ValueError
        If shapes don't fit, there are no rows, or a value is out of its range.
    """
    if isinstance(x, Rows):
        return x
    if plan.outputs[0].loss is None:
        raise ValueError("loss: expected a loss to compare outputs with targets by, got None")
    x_name, y_name, weight_name = names
    given = _inputs(plan, x_name, x)
    n, unchecked = len(given[0][0]), False
    for (array, mapped), name, shape in zip(
        given, indexed(x_name, len(given)), plan.inputs, strict=True
    ):
        unchecked |= mapped
        if not mapped:
            require_finite(name, array, plan.dtype, shape, look)
    count = len(plan.outputs)
    targets, weights = [], []
    for output, name, value, own in zip(
        plan.outputs,
        indexed(y_name, count),
        entries(y_name, y, count, "output"),
        _by_output(weight_name, sample_weight, count),
        strict=True,
    ):
        target, mapped = _targets(name, value, n, output, plan.dtype, look, whole)
        targets.append(target)
        weights.append(_row_weights(name, target, *own, whole))
        unchecked |= mapped
    found = Rows(_arrays(given), alone(tuple(targets)), _given(weights), unchecked)
    return weighed(found, class_weight, plan, whole)


def weighed(rows: Rows, class_weight: Any, plan: Plan, whole: bool = True) -> Rows:
    """Return the rows with what they count by their class too, as `class_weight` of `rows` says."""
    if class_weight is None:
        return rows
    count = len(plan.outputs)
    given = zip(
        indexed("class_weight", count),
        entries("class_weight", class_weight, count, "output"),
        each(rows.y, count),
        plan.outputs,
        (None,) * count if rows.weights is None else each(rows.weights, count),
        strict=True,
    )
    return rows._replace(weights=_given([_by_class(*one, whole) for one in given]))


def inputs(plan: Plan, x: Any) -> Arrays:
    """Return inputs alone, shape (n, elements of a row), not looked at for NaN and infinity."""
    return _arrays(_inputs(plan, "x", x))


def _arrays(given: list[tuple[Array, bool]]) -> Arrays:
    return given[0][0] if len(given) == 1 else tuple([array for array, _ in given])


def arrays(plan: Plan, x: Any) -> tuple[Array, ...]:
    """Return what each input is given as arrays of real numbers, of any shape."""
    count = len(plan.inputs)
    given = zip(indexed("x", count), entries("x", x, count, "input"), strict=True)
    return tuple(real_array(name, value) for name, value in given)


def entries(argument: str, value: Any, count: int, what: str) -> tuple[Any, ...]:
    """Return what belongs to each of `count` inputs or outputs; several come in a tuple or list."""
    if count == 1:
        return (value,)
    expected = f"{argument}: expected a tuple of {count}, one for each {what}"
    if not isinstance(value, tuple | list):
        raise TypeError(f"{expected}, got {type(value).__name__}")
    if len(value) != count:
        raise ValueError(f"{expected}, got {len(value)}")
    return tuple(value)


def _by_output(argument: str, value: Any, count: int) -> tuple[tuple[str, Any], ...]:
    """Return sample weights of each output, with what errors call them: one may be for all."""
    if count == 1:
        return ((argument, value),)
    if not is_for_each(value, count):
        return ((argument, value),) * count
    given = entries(argument, value, count, "output")
    return tuple(zip(indexed(argument, count), given, strict=True))


def is_for_each(value: Any, count: int, dimensions: int = 1) -> bool:
    """Whether sample weights are those of each of several outputs, which have so many dimensions.

    Else they are for all of them.
    """
    several = count > 1 and isinstance(value, tuple | list)
    return several and any(own is None or np.ndim(own) >= dimensions for own in value)


def _given(weights: list[Array | None]) -> Any:
    """Return weights as `Rows` has them."""
    some = any(weight is not None for weight in weights)
    return alone(tuple(weights)) if some else None


def _inputs(plan: Plan, argument: str, x: Any) -> list[tuple[Array, bool]]:
    """Return the rows of each input, and whether they lie in a mapped file."""
    count = len(plan.inputs)
    if count == 1:
        return [_rows(argument, x, plan.inputs[0])]
    names = indexed(argument, count)
    given = zip(names, entries(argument, x, count, "input"), plan.inputs, strict=True)
    found = [_rows(name, value, shape) for name, value, shape in given]
    for name, (array, _) in zip(names, found, strict=True):
        _require_count(name, array, len(found[0][0]), names[0])
    return found


def _targets(
    argument: str, y: Any, n: int, output: Output, dtype: str, look: Look | None, whole: bool
) -> tuple[Array, bool]:
    """Return the targets of an output, and whether they lie in a mapped file."""
    assert output.loss is not None
    if output.loss.labels:
        return _labels(argument, y, n, output, whole), False
    return _values(argument, y, n, output, dtype, look)


def _row_weights(
    argument: str, targets: Array, name: str, sample_weight: Any, whole: bool
) -> Array | None:
    """Return what each row counts: its sample weight, and nothing where its label is ignored."""
    weights = None if sample_weight is None else _weights(name, sample_weight, len(targets), whole)
    if targets.ndim > 1 or targets.min() >= 0:
        return weights
    counts = (targets >= 0).astype(np.float64)
    return counts if weights is None else _product(argument, weights, counts, whole)


def input_shape(x: Any) -> Shape:
    """Return the shape of one row of `x`."""
    shape = real_array("x", x).shape
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"x: expected an array of shape (rows, inputs), got shape {shape}")
    return shape[1:]


def outputs(out: Any, shapes: list[Shape], dtype: str, x: Arrays) -> tuple[Array, ...]:
    """Return `out`, which must be arrays that the outputs of `x` can be written to."""
    taken = list(x if isinstance(x, tuple) else (x,))
    count = len(shapes)
    given = entries("out", out, count, "output")
    for name, array, shape in zip(indexed("out", count), given, shapes, strict=True):
        _require_writeable(name, array, shape, dtype)
        if any(np.may_share_memory(array, other) for other in taken):
            raise ValueError(f"{name}: expected memory of its own, got an array that overlaps x")
        taken.append(array)
    return given


def _require_writeable(argument: str, out: Any, shape: Shape, dtype: str) -> None:
    """Refuse what outputs of this shape and dtype can't be written to."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{argument}: expected a NumPy array, got {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(
            f"{argument}: expected shape {shape} and dtype {dtype}, "
            f"got shape {out.shape} and dtype {out.dtype}"
        )
    if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
        raise ValueError(f"{argument}: expected a writeable C-contiguous array, got another layout")


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
    limit = _largest(array, dtype)
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


def _values(
    argument: str, y: Any, n: int, output: Output, dtype: str, look: Look | None
) -> tuple[Array, bool]:
    """Return targets of one value per output, and whether they are in a mapped file."""
    assert output.loss is not None
    array = real_array(argument, y)
    shape = output.shape
    if array.ndim == 1 and math.prod(shape) == 1:
        array = array.reshape(-1, *shape)
    if array.ndim == 1 and output.loss.probability == "softmax":
        raise ValueError(
            f"{argument}: expected shape {_of_rows(shape)}, got {array.shape}; "
            f"for class numbers use loss='sparse_categorical_crossentropy'"
        )
    targets, mapped = _rows(argument, array, shape)
    _require_count(argument, targets, n)
    if output.loss.targets != "values":
        _require_domain(argument, targets.reshape(n, *shape), output.loss.targets, dtype)
    elif not mapped:
        require_finite(argument, targets, dtype, shape, look)
    return targets, mapped


def _require_domain(argument: str, targets: Array, domain: str, dtype: str) -> None:
    """Refuse targets that the loss gives no meaning to; all of them are read, mapped or not."""
    if domain == "amounts":
        expected = f"finite targets of at least 0 in the range of {dtype}"
        _require_within(argument, targets, 0, _largest(targets, dtype), expected)
    elif domain == "signs":
        _require_signs(argument, targets)
    else:
        _require_within(argument, targets, 0, 1, "targets from 0 to 1")
    if domain == "distributions":
        _require_distributions(argument, targets.reshape(len(targets), -1))


def _largest(array: Array, dtype: str) -> float:
    """Return the largest number of `array`'s type that is finite in `dtype`."""
    own = float(np.finfo(array.dtype).max) if array.dtype.kind == "f" else math.inf
    return min(LARGEST[dtype], own)


def _require_signs(argument: str, targets: Array) -> None:
    """Refuse what is neither 1 for yes nor the one number, -1 or 0, that stands for no."""
    expected = "1 for yes and -1 or 0 for no"
    _require_within(argument, targets, -1, 1, expected)
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
    _require_count(argument, array, n)
    label = getattr(output.loss, "ignore_label", None)
    ignored = np.zeros(n, bool) if label is None else array == label
    if ignored.any():
        array = np.where(ignored, array.dtype.type(0), array)
    most = math.prod(output.shape) - 1
    expected = f"whole class numbers from 0 to {most}"
    _require_within(argument, array, 0, most, expected)
    labels = _plain(array, INT32)
    if array.dtype.kind == "f" and not np.array_equal(labels, array):
        first = int(np.argmax(labels != array))
        raise ValueError(f"{argument}: expected {expected}, got {array[first]} at [{first}]")
    if whole and ignored.all():
        raise ValueError(
            f"{argument}: expected a label to learn from, got ignore_label in all rows"
        )
    return np.where(ignored, INT32.type(-1), labels) if ignored.any() else labels


def _weights(argument: str, value: Any, n: int, whole: bool) -> Array:
    """Return sample weights, shape (n,), float64."""
    array = real_array(argument, value)
    if array.ndim != 1:
        raise ValueError(f"{argument}: expected shape ({n},), got {array.shape}")
    _require_count(argument, array, n)
    weights = _plain(array, FLOAT64)
    _require_within(argument, weights, 0, LARGEST["float64"], "finite weights of at least 0")
    _require_weight(argument, weights, whole)
    return weights


def _by_class(
    argument: str, value: Any, targets: Array, output: Output, weights: Array | None, whole: bool
) -> Array | None:
    """Return what rows of `weights` count by their class too."""
    if value is None:
        return weights
    others = _class_weights(argument, value, targets, output, whole)
    return others if weights is None else _product(argument, weights, others, whole)


def _class_weights(argument: str, value: Any, targets: Array, output: Output, whole: bool) -> Array:
    """Return what each row counts by its class, shape (n,), float64."""
    assert output.loss is not None
    width = math.prod(output.shape)
    decision = output.loss.decision(width)
    if decision == "yes" and width > 1:
        raise ValueError(
            f"{argument}: expected rows of one class each, got the {width} yes-or-no outputs "
            f"of {output.loss.name}; pass sample_weight"
        )
    table = _weights_by_class(argument, value, 2 if decision == "yes" else width)
    if decision == "label":
        classes = targets
    else:
        classes = targets.argmax(axis=1) if decision == "largest" else targets[:, 0] > 0.5
    weights = table[classes.astype(np.intp)]
    _require_weight(argument, weights, whole)
    return weights


def _weights_by_class(argument: str, value: Any, classes: int) -> Array:
    """Return the weight of each class, 1 for those that a mapping leaves out."""
    if isinstance(value, Mapping):
        table = np.ones(classes)
        for number, weight in value.items():
            at = validate.integer(argument, number, 0, classes - 1)
            table[at] = validate.at_least(f"{argument}[{at}]", weight, 0)
        return table
    table = real_array(argument, value).astype(np.float64)
    if table.shape != (classes,):
        raise ValueError(f"{argument}: expected shape ({classes},), got {table.shape}")
    _require_within(argument, table, 0, LARGEST["float64"], "finite weights of at least 0")
    return table


def _product(argument: str, weights: Array, others: Array, whole: bool) -> Array:
    """Return what rows count by both of two kinds of weights."""
    with np.errstate(over="ignore", under="ignore"):
        product: Array = weights * others
    _require_weight(argument, product, whole)
    return product


def _require_weight(argument: str, weights: Array, whole: bool) -> None:
    """Refuse weights that add up to more than a number can hold, or of whole data to nothing."""
    with np.errstate(over="ignore"):
        total = float(weights.sum())
    if total == math.inf or (whole and not total > 0):
        raise ValueError(f"{argument}: expected weights with a finite sum above 0, got {total}")


def _plain(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return `array` in this dtype, C-contiguous and aligned."""
    if array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned:
        return array
    return array.astype(dtype, order="C")


def _require_count(argument: str, array: Array, n: int, like: str = "x") -> None:
    if len(array) != n:
        raise ValueError(f"{argument}: expected {n} rows as in {like}, got {len(array)}")


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
