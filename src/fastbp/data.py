"""Arrays from users: the one place where they are coerced or refused.

What passes is what engines take (`fastbp.engine.Rows`). What does not pass raises TypeError (not
real numbers) or ValueError (all else) with the argument's name, what was expected and what came.

Nothing here writes to an array it was given. float32, float64 and integers whose rows are
contiguous are passed on without a copy; engines convert them batch by batch. Other layouts and
dtypes are copied. A file that is mapped into memory is not read here, where its rows can be passed
on as they are: the engine then looks at each batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.arrays import CHUNK as CHUNK
from fastbp.arrays import Look as Look
from fastbp.arrays import Looks, is_left, require_count, rows_of
from fastbp.arrays import real_array as real_array
from fastbp.arrays import require_finite as require_finite
from fastbp.arrays import values as values
from fastbp.engine import Array, Arrays, Rows, alone, each, indexed
from fastbp.plan import Plan
from fastbp.row_weights import row_weights, weights_by_class
from fastbp.targets import targets_of
from fastbp.tensors import Shape


def rows(
    plan: Plan,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    class_weight: Any = None,
    names: tuple[str, str, str] = ("x", "y", "sample_weight"),
    look: Looks | None = None,
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
        Whether there are no others: then some have to count. Part of a stream may count nothing,
        and is left to the engine to look at as it goes.

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
    inputs, unchecked = _inputs_looked_at(plan, x_name, x, look, whole)
    count, n = len(plan.outputs), len(inputs[0])
    y_names, given = indexed(y_name, count), entries(y_name, y, count, "output")
    weight_names, given_weights = _by_output(weight_name, sample_weight, count)
    targets, weights = [], []
    for i, output in enumerate(plan.outputs):
        own, is_mapped = targets_of(y_names[i], given[i], n, output, plan.dtype, look, whole)
        targets.append(own)
        weights.append(
            row_weights(y_names[i], own, output, weight_names[i], given_weights[i], whole)
        )
        unchecked |= is_mapped
    found = Rows(alone(inputs), alone(tuple(targets)), _given(weights), unchecked)
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
    return rows._replace(weights=_given([weights_by_class(*one, whole) for one in given]))


def inputs(plan: Plan, x: Any) -> Arrays:
    """Return inputs alone, shape (n, elements of a row), not looked at for NaN and infinity."""
    found: Arrays = alone(_inputs(plan, "x", x))
    return found


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


def _by_output(argument: str, value: Any, count: int) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Return what errors call the sample weights of each output, and these: one may be for all."""
    if not is_for_each(value, count):
        return (argument,) * count, (value,) * count
    return indexed(argument, count), entries(argument, value, count, "output")


def is_for_each(value: Any, count: int, dimensions: int = 1) -> bool:
    """Whether sample weights are those of each of several outputs, which have so many dimensions.

    Else they are for all of them.
    """
    several = count > 1 and isinstance(value, tuple | list)
    return several and any(own is None or np.ndim(own) >= dimensions for own in value)


def _given(weights: list[Array | None]) -> Any:
    """Return weights as `Rows` has them."""
    for own in weights:
        if own is not None:
            return alone(tuple(weights))
    return None


def _inputs_looked_at(
    plan: Plan, argument: str, x: Any, look: Looks | None, whole: bool
) -> tuple[tuple[Array, ...], bool]:
    """Return the rows of each input, and whether the engine is to look at them."""
    shapes = plan.inputs
    if len(shapes) == 1 and isinstance(look, Look) and look.takes(x, shapes[0]):
        return (x,), False
    found = _inputs(plan, argument, x)
    if not whole:
        return found, True
    named = zip(indexed(argument, len(shapes)), found, shapes, strict=True)
    left = [is_left(name, array, plan.dtype, shape, look) for name, array, shape in named]
    return found, any(left)


def _inputs(plan: Plan, argument: str, x: Any) -> tuple[Array, ...]:
    """Return the rows of each input."""
    count = len(plan.inputs)
    if count == 1:
        return (rows_of(argument, x, plan.inputs[0]),)
    names = indexed(argument, count)
    given = zip(names, entries(argument, x, count, "input"), plan.inputs, strict=True)
    found = tuple(rows_of(name, value, shape) for name, value, shape in given)
    for name, array in zip(names, found, strict=True):
        require_count(name, array, len(found[0]), names[0])
    return found


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
