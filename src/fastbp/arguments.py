"""Checks of the arguments that make a network, and of those of a fit that are no arrays."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

import numpy as np

from fastbp import data, layers, metrics, progress, validate
from fastbp.callbacks import Callback
from fastbp.engine import Rows
from fastbp.layers import Layer
from fastbp.metrics import Metric
from fastbp.plan import Plan, Shape

# What `record_outputs` keeps at most for each epoch.
MOST_RECORDED_OUTPUTS = 64


def layer_list(value: Iterable[Any]) -> tuple[Layer, ...]:
    """Return `value` as a tuple of at least one layer description."""
    given = _iterable("layers", value)
    if not given:
        raise ValueError("layers: expected at least one layer, got none")
    return tuple(layers.resolve(index, layer) for index, layer in enumerate(given))


def metric_list(value: Iterable[Any]) -> tuple[Metric, ...]:
    """Return `value` as a tuple of metric descriptions, each once."""
    return tuple(dict.fromkeys(map(metrics.resolve, _iterable("metrics", value))))


def _iterable(argument: str, value: Iterable[Any]) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{argument}: expected a list, got {type(value).__name__} {value!r}")
    return tuple(value)


def input_shape(value: Any) -> Shape:
    """Return a number of inputs, or the shape of a row, as a shape."""
    sizes = value if isinstance(value, tuple | list) else (value,)
    if not sizes:
        raise ValueError(f"input_shape: expected at least one size, got {value!r}")
    return tuple(validate.integer("input_shape", size, 1) for size in sizes)


def dtype(value: Any) -> Literal["float32", "float64"]:
    """Return the name of a dtype given as a name, NumPy's dtype or its scalar type."""
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        value = np.dtype(value).name
    name = validate.choice("dtype", value, ("float32", "float64"))
    return cast(Literal["float32", "float64"], name)


def seed(value: Any) -> int:
    """Return `value` as a key of 64 bits; None draws one."""
    if value is None:
        return int.from_bytes(os.urandom(8), "little")
    return validate.integer("seed", value, 0, 2**64 - 1)


def n_threads(value: Any) -> int | None:
    """Return a number of threads, or None."""
    return None if value is None else validate.integer("n_threads", value, 1)


def class_names(value: Iterable[Any] | None) -> tuple[str | int, ...] | None:
    """Return names of classes, texts or integers, as a tuple; or None."""
    if value is None:
        return None
    names = _iterable("class_names", value)
    names = tuple(name.item() if isinstance(name, np.generic) else name for name in names)
    for name in names:
        if not isinstance(name, str | int):
            raise TypeError(f"class_names: expected texts or integers, got {name!r}")
    return names


def preprocessing(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a mapping as a dict, or None."""
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"preprocessing: expected a mapping, got {type(value).__name__} {value!r}")
    return None if value is None else dict(value)


def stop_at_loss(value: Any) -> float | None:
    """Return a loss, or None."""
    return None if value is None else validate.real("stop_at_loss", value)


def record_outputs(value: Any, data: Rows, plan: Plan) -> bool:
    """Return a flag, which only a small set of data may raise."""
    wanted = validate.flag("record_outputs", value)
    outputs = len(data.x) * math.prod(plan.output_shape)
    if wanted and outputs > MOST_RECORDED_OUTPUTS:
        raise ValueError(
            f"record_outputs: expected at most {MOST_RECORDED_OUTPUTS} outputs "
            f"(rows times units) to record, got {outputs}"
        )
    return wanted


def callback_list(value: Iterable[Any], verbose: Any) -> tuple[Callback, ...]:
    """Return `value` as a tuple of callbacks, with a display of progress if `verbose` asks so."""
    given = _iterable("callbacks", value)
    for callback in given:
        if isinstance(callback, type):
            name = callback.__name__
            raise TypeError(f"callbacks: expected objects, got the class {name}; write {name}()")
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks: expected callbacks, got {callback!r}")
    if not progress.wanted(verbose):
        return given
    from fastbp.callbacks import ProgressDisplay

    if any(isinstance(callback, ProgressDisplay) for callback in given):
        return given
    return *given, ProgressDisplay()


def validation(
    rows: Rows, given: Any, split: Any, plan: Plan, look: data.Look
) -> tuple[Rows, Rows | None]:
    """Return the rows to train on, and those to validate on.

    Parameters
    ----------
    rows : Rows
        What `fit` was given.
    given : tuple or None
        Its `validation_data`.
    split : float
        Its `validation_split`.
    plan : Plan
        Gives the shapes, dtype and loss.
    look : callable
        As for `fastbp.data.rows`.
    """
    share = validate.fraction("validation_split", split)
    if not share:
        return rows, validation_data(given, plan, look)
    if given is not None:
        raise ValueError("validation_split: expected 0 beside validation_data, got both")
    n = len(rows.x)
    kept = int(n * (1 - share))
    if not 0 < kept < n:
        raise ValueError(
            f"validation_split: expected at least one row on either side, got {share:g} of {n} rows"
        )
    parts = _part(rows, slice(kept)), _part(rows, slice(kept, n))
    for part in parts:
        if part.weights is not None and not part.weights.any():
            raise ValueError(
                "validation_split: expected rows that count on either side, got weights of 0"
            )
    return parts


def _part(rows: Rows, part: slice) -> Rows:
    """Return a contiguous part of the rows, in place."""
    y, weights = (None if array is None else array[part] for array in (rows.y, rows.weights))
    return Rows(rows.x[part], y, weights, rows.unchecked)


def validation_data(value: Any, plan: Plan, look: data.Look) -> Rows | None:
    """Return the rows of a tuple (x, y) or (x, y, sample_weight), or None."""
    if value is None:
        return None
    if not isinstance(value, tuple | list) or len(value) not in (2, 3):
        got = f"{len(value)} items" if isinstance(value, tuple | list) else type(value).__name__
        raise ValueError(
            f"validation_data: expected a tuple (x, y) or (x, y, sample_weight), got {got}"
        )
    x, y, sample_weight = (*value, None)[:3]
    names = ("validation_data[0]", "validation_data[1]", "validation_data[2]")
    return data.rows(plan, x, y, sample_weight, names=names, look=look)
