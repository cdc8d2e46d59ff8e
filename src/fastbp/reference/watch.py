"""What is recorded of a step. `fastbp.watch` says of whom."""

from __future__ import annotations

import math

import numpy as np

from fastbp.engine import Array
from fastbp.reference.propagation import Trace
from fastbp.watch import Watch, WatchedLayer


def norm(flat: Array, layer: WatchedLayer) -> float:
    """Return the Euclidean norm of what a flat vector has of a layer, summed in float64."""
    squares = (np.square(flat[a:b], dtype=np.float64).sum() for a, b in layer.spans)
    return math.sqrt(sum(float(square) for square in squares))


def kept(layer: WatchedLayer, outputs: Array, traces: list[Trace]) -> Array:
    """Return the outputs of the units that no structured dropout has taken from the batch."""
    keeps = np.ones(outputs.shape[1], bool)
    for place in layer.dropouts:
        keeps &= np.broadcast_to(traces[place].factor != 0, (1, len(keeps)))[0]
    return outputs[:, keeps]


def root_mean_square(a: Array) -> float:
    """Return the root of the mean of all squares."""
    return math.sqrt(float(np.square(a, dtype=np.float64).mean())) if a.size else math.nan


def saturated(a: Array, layer: WatchedLayer) -> float:
    """Return the share of outputs outside of the limits."""
    if layer.limits is None or not a.size:
        return math.nan
    low, high = layer.limits
    return float(((a < low) | (a > high)).mean())


def dead(a: Array, layer: WatchedLayer) -> float:
    """Return the share of units without an output above 0."""
    return float((~(a > 0).any(axis=0)).mean()) if layer.rectifies and a.size else math.nan


@np.errstate(over="ignore", invalid="ignore", under="ignore")
def record_step(
    watch: Watch,
    loss: float,
    before: Array,
    gradients: Array,
    after: Array,
    traces: list[Trace],
    values: dict[int, Array],
) -> None:
    """Put a step on record: parameters before and after it, and what its batch came to."""
    outputs = [kept(each, values[each.tensor], traces) for each in watch.layers]
    of_outputs = list(zip(outputs, watch.layers, strict=True))
    watch.make_room()
    watch.rows[watch.n] = [
        watch.due,
        loss,
        *(
            norm(flat, each)
            for flat in (before, gradients, after - before)
            for each in watch.layers
        ),
        *map(root_mean_square, outputs),
        *(saturated(a, each) for a, each in of_outputs),
        *(dead(a, each) for a, each in of_outputs),
    ]
    watch.n += 1
