"""Whether a program did the work: its outputs and losses, recomputed plainly from its weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fastbp.bench.workloads import Array, Training, Weights, Workload


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "sigmoid": lambda z: np.asarray(1 / (1 + np.exp(-z))),
    "softmax": _softmax,
    "tanh": np.tanh,
}
ROW_LOSSES: dict[str, Callable[[Array, Array], Array]] = {
    "squared_error": lambda p, t: ((p - t) ** 2).sum(axis=1),
    "half_squared_error": lambda p, t: ((p - t) ** 2).sum(axis=1) / 2,
    "mean_squared_error": lambda p, t: ((p - t) ** 2).mean(axis=1),
    "sparse_categorical_crossentropy": lambda p, t: -np.log(p[np.arange(len(t)), t]),
}


def outputs(workload: Workload, weights: Weights, x: Array) -> Array:
    """Return the network's outputs for rows `x`, in the precision of its arguments."""
    for (w, b), activation in zip(weights, workload.activations, strict=True):
        x = ACTIVATIONS[activation](x @ w if b is None else x @ w + b)
    return x


def loss(workload: Training, weights: Weights, x: Array, y: Array) -> float:
    """Return the loss of `weights` on the rows, dropout off."""
    rows = ROW_LOSSES[workload.loss](outputs(workload, weights, x), y)
    return float(rows.sum() if workload.reduction == "sum" else rows.mean())


def fell(before: float, after: float) -> bool:
    """Whether training lowered the loss."""
    return math.isfinite(after) and after < before


def agree(got: float, expected: float, tolerance: float) -> bool:
    """Whether `got` is within the share `tolerance` of `expected`; never for NaN."""
    return abs(got - expected) <= tolerance * abs(expected)


def outputs_agree(workload: Workload, weights: Weights, x: Array, got: Array) -> bool:
    """Whether `got` are the outputs of `x`, up to the rounding of the workload's precision.

    A sum of k terms in any order is off by at most k times the unit roundoff, relative to the sum
    of magnitudes; over the layers these add. Magnitudes stay within a small factor of the outputs.
    """
    exact: Weights = [
        (w.astype(np.float64), None if b is None else b.astype(np.float64)) for w, b in weights
    ]
    expected = outputs(workload, exact, x.astype(np.float64))
    if np.shape(got) not in (expected.shape, expected.shape[1:]):
        return False
    tolerance = sum(workload.sizes) * float(np.finfo(workload.dtype).eps)
    return bool(np.abs(got - expected).max() <= tolerance * np.abs(expected).max())
