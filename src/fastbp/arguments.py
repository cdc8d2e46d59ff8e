"""Checks of the arguments that make a network, and of those of a fit that are no arrays."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

import numpy as np

from fastbp import data, layers, losses, metrics, progress, streams, validate
from fastbp.callbacks import Callback
from fastbp.engine import Feed, Rows, alone, each
from fastbp.graph import Graph, traced
from fastbp.layers import Layer
from fastbp.losses import Loss
from fastbp.optimizers import Optimizer
from fastbp.plan import Plan
from fastbp.streams import OpenFeed
from fastbp.wanted import Wanted

# What `record_outputs` keeps at most for each epoch.
MOST_RECORDED_OUTPUTS = 64


def layer_list(value: Any) -> tuple[Layer, ...]:
    """Return `value` as a tuple of at least one layer description."""
    given = _iterable("layers", value)
    if not given:
        raise ValueError("layers: expected at least one layer, got none")
    return tuple(layers.resolve(index, layer) for index, layer in enumerate(given))


def metric_list(value: Iterable[Any], n_outputs: int = 1) -> tuple[Any, ...]:
    """Return `value` as a tuple of metric descriptions, each once; one such for each output."""
    given = _iterable("metrics", value)
    if n_outputs == 1:
        own = tuple(dict.fromkeys(map(metrics.resolve, given)))
        _require_different([metric.key for metric in own])
        return own
    of_outputs = data.entries("metrics", given or [()] * n_outputs, n_outputs, "output")
    return tuple(
        metric_list(own if isinstance(own, list | tuple) else () if own is None else (own,))
        for own in of_outputs
    )


def loss_list(value: Any, n_outputs: int) -> tuple[Loss | None, ...]:
    """Return the loss of each output; one that is given alone is that of all."""
    if n_outputs == 1 or not isinstance(value, tuple | list):
        return (losses.resolve(value),) * n_outputs
    given = tuple(map(losses.resolve, data.entries("loss", value, n_outputs, "output")))
    if None in given:
        raise ValueError("loss: expected a loss for each output, got None for one of them")
    return given


def loss_weights(value: Any, n_outputs: int) -> tuple[float, ...]:
    """Return what the loss of each output counts."""
    if value is None:
        return (1.0,) * n_outputs
    if n_outputs == 1 and not isinstance(value, tuple | list):
        value = (value,)
    expected = f"loss_weights: expected a tuple of {n_outputs} numbers, one for each output"
    if not isinstance(value, tuple | list):
        raise TypeError(f"{expected}, got {type(value).__name__}")
    if len(value) != n_outputs:
        raise ValueError(f"{expected}, got {len(value)}")
    weights = tuple(validate.at_least("loss_weights", weight, 0) for weight in value)
    if not any(weights):
        raise ValueError("loss_weights: expected one above 0, got none")
    return weights


def graph(layers: Any, inputs: Any, outputs: Any) -> Graph | None:
    """Return what `inputs` and `outputs` span, or None where a list of layers is given."""
    if layers is not None:
        if inputs is not None or outputs is not None:
            raise TypeError("layers: expected a list of layers or inputs= and outputs=, got both")
        return None
    if inputs is None or outputs is None:
        raise TypeError("layers: expected a list of layers, or inputs= and outputs= in its place")
    return traced(inputs, outputs)


def require_shared_cost(plan: Plan) -> None:
    """Refuse to divide what parameters cost by the rows where several outputs count these."""
    if len(plan.outputs) == 1 or not plan.penalties:
        return
    for output in plan.outputs:
        if output.loss is not None and output.loss.reduction == "joint_mean":
            raise ValueError(
                f"loss: expected no joint mean beside several outputs and parameters with a "
                f"regularizer, got {output.loss!r}"
            )


def require_projection(optimizer: Optimizer, plan: Plan) -> None:
    """Refuse L-BFGS for parameters that are to be brought back behind each update."""
    if optimizer.evaluates and plan.constrained:
        first = plan.constrained[0]
        raise ValueError(
            f"optimizer: expected one without a line search, since {first.name} has the constraint "
            f"{first.constraint!r}, got {optimizer!r}"
        )


def _require_different(keys: list[str]) -> None:
    """Refuse metrics that results call the same."""
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"metrics: expected keys that differ, got {key!r} twice")


def _iterable(argument: str, value: Iterable[Any]) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{argument}: expected a list, got {type(value).__name__} {value!r}")
    return tuple(value)


def shuffles(value: Any, stream: streams.Stream | None) -> bool:
    """Return whether rows are to be shuffled; a function says how, but not where they stream."""
    if not callable(value):
        return validate.flag("shuffle", value)
    if stream is not None:
        raise ValueError("shuffle: expected a bool beside a stream, got a function")
    return True


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


def require_class_names(names: tuple[str | int, ...] | None, plan: Plan) -> None:
    """Refuse other numbers of names than an output has classes; a single number tells two apart."""
    counts = {plan.tensors[output.tensor] for output in plan.outputs}
    counts |= {2} if 1 in counts else set()
    if names is not None and len(names) not in counts:
        expected = " or ".join(map(str, sorted(counts)))
        raise ValueError(f"class_names: expected {expected} names, got {len(names)}: {names}")


def preprocessing(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a mapping as a dict, or None."""
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"preprocessing: expected a mapping, got {type(value).__name__} {value!r}")
    return None if value is None else dict(value)


def stop_at_loss(value: Any) -> float | None:
    """Return a loss, or None."""
    return None if value is None else validate.real("stop_at_loss", value)


def batch_size(value: Any, data: Rows | OpenFeed) -> int | None:
    """Return the rows of a batch; those of a stream are its own."""
    if isinstance(data, Rows):
        return 32 if value is None else validate.integer("batch_size", value, 1)
    if value is not None:
        raise ValueError(f"batch_size: expected None beside a stream, got {value!r}")
    return data.batch_size


def steps_per_epoch(value: Any, stream: Any) -> int | None:
    """Return the updates of an epoch of a stream, or None."""
    if value is None:
        return None
    if stream is None:
        raise ValueError(f"steps_per_epoch: expected None beside arrays, got {value!r}")
    return validate.integer("steps_per_epoch", value, 1)


def record_outputs(value: Any, data: Rows | Feed, plan: Plan) -> bool:
    """Return a flag, which only a small set of data may raise."""
    if not validate.flag("record_outputs", value):
        return False
    if not isinstance(data, Rows):
        raise ValueError("record_outputs: expected False beside a stream, got True")
    outputs = data.n * sum(math.prod(output.shape) for output in plan.outputs)
    if outputs > MOST_RECORDED_OUTPUTS:
        raise ValueError(
            f"record_outputs: expected at most {MOST_RECORDED_OUTPUTS} outputs "
            f"(rows times units) to record, got {outputs}"
        )
    return True


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
    rows: Rows | OpenFeed, given: Any, split: Any, plan: Plan, look: data.Look
) -> tuple[Rows | OpenFeed, Rows | OpenFeed | None]:
    """Return the rows to train on, and those to validate on.

    Parameters
    ----------
    rows : Rows or OpenFeed
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
    if not isinstance(rows, Rows):
        raise ValueError(f"validation_split: expected 0 beside a stream, got {share:g}")
    n = rows.n
    kept = int(n * (1 - share))
    if not 0 < kept < n:
        raise ValueError(
            f"validation_split: expected at least one row on either side, got {share:g} of {n} rows"
        )
    parts = _part(rows, slice(kept), plan), _part(rows, slice(kept, n), plan)
    for part in parts:
        weights = each(part.weights, len(plan.outputs)) if part.weights is not None else ()
        if any(own is not None and not own.any() for own in weights):
            raise ValueError(
                "validation_split: expected rows that count on either side, got weights of 0"
            )
    return parts


def _part(rows: Rows, part: slice, plan: Plan) -> Rows:
    """Return a contiguous part of the rows, in place."""

    def cut(arrays: Any, count: int) -> Any:
        if arrays is None:
            return None
        return alone(tuple(a if a is None else a[part] for a in each(arrays, count)))

    n_outputs = len(plan.outputs)
    y, weights = cut(rows.y, n_outputs), cut(rows.weights, n_outputs)
    return Rows(cut(rows.x, len(plan.inputs)), y, weights, rows.unchecked)


def validation_data(value: Any, plan: Plan, look: data.Look) -> Rows | OpenFeed | None:
    """Return the rows of a tuple (x, y) or (x, y, sample_weight), or of a stream, or None."""
    if value is None:
        return None
    if (stream := streams.find(value)) is not None:
        return stream.feed(Wanted(plan, epochs=None, name="validation_data: "))
    if not isinstance(value, tuple | list) or len(value) not in (2, 3):
        got = f"{len(value)} items" if isinstance(value, tuple | list) else type(value).__name__
        raise ValueError(
            f"validation_data: expected a tuple (x, y) or (x, y, sample_weight), got {got}"
        )
    x, y, sample_weight = (*value, None)[:3]
    names = ("validation_data[0]", "validation_data[1]", "validation_data[2]")
    return data.rows(plan, x, y, sample_weight, names=names, look=look)
