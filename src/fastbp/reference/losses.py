"""Losses of single rows and their gradients. `fastbp.losses` has the formulas.

Each name stands for two functions of the outputs y, the targets t (class numbers for the sparse
loss) and the loss's constant c. Rows returns L of each row, in float64 so that no square overflows;
gradient returns dL/dy in the dtype of y. For the cross-entropies y is the net input z of the
probabilities: the softmax or sigmoid is part of the loss, and nothing takes the log of a 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastbp import calls
from fastbp.engine import Array
from fastbp.losses import Custom, Loss
from fastbp.reference.activations import sigmoid, softmax, softplus

LEAST_RATE = 1e-7  # added to a rate before its logarithm is taken


class RowLoss(NamedTuple):
    """One loss."""

    rows: Callable[[Array, Array, float], Array]  # (y, t, c) -> L, shape (rows,)
    gradient: Callable[[Array, Array, float], Array]  # (y, t, c) -> dL/dy


def row_losses(loss: Loss, y: Array, t: Array) -> Array:
    """Return the loss of each row, shape (rows,), float64."""
    if isinstance(loss, Custom):
        return calls.row_losses(loss, y, t)
    targets = t if loss.labels else t.astype(np.float64)
    return LOSSES[loss.name].rows(y.astype(np.float64), targets, loss.parameter)


def loss_gradient(loss: Loss, y: Array, t: Array, weights: Array) -> Array:
    """Return dL/dy of a batch whose rows count `weights`, in the dtype of y."""
    if isinstance(loss, Custom):
        gradient = calls.loss_gradient(loss, y, t)
    else:
        gradient = LOSSES[loss.name].gradient(y, t, loss.parameter)
    return gradient * weights.astype(y.dtype)[:, None]


def row_weights(loss: Loss, weights: Array) -> Array:
    """Return what each row of a batch counts: w / sum w for the mean, w for the sum.

    Without sample weights all w are 1. Weights that sum to 0 make loss and gradients 0.
    """
    total = weights.sum()
    if loss.reduction == "sum" or total == 0:
        return weights
    return weights / total


def penalty_share(loss: Loss, total: float) -> float:
    """Return what parameters' cost counts in the loss of rows of so much weight."""
    if loss.reduction != "joint_mean":
        return 1.0
    return 1 / total if total else 0.0


def huber(y: Array, t: Array, delta: float) -> Array:
    """Average a parabola up to |e| = delta and, from there, the line that continues it."""
    e = np.abs(y - t)
    return np.where(e <= delta, e * e / 2, delta * (e - delta / 2)).mean(axis=1)


def log_softmax(z: Array) -> Array:
    """log(softmax(z)_i) = z_i - log sum_j exp(z_j), computed from z - max z."""
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def one_hot(labels: Array, z: Array) -> Array:
    """Return targets like z with a 1 for each row's class."""
    t = np.zeros_like(z)
    t[np.arange(len(z)), labels] = 1
    return t


def smoothed(t: Array, share: float, answers: int) -> Array:
    """Give a share of each target to all possible answers alike: label smoothing."""
    return (1 - share) * t + share / answers


def entropy(t: Array) -> Array:
    """-sum t log t, where 0 log 0 = 0."""
    return -(t * np.log(np.where(t > 0, t, 1))).sum(axis=1)


def categorical(z: Array, t: Array, smoothing: float) -> Array:
    """-sum t log softmax(z), with smoothed targets."""
    return -(smoothed(t, smoothing, z.shape[1]) * log_softmax(z)).sum(axis=1)


def categorical_gradient(z: Array, t: Array, smoothing: float) -> Array:
    """Softmax(z) sum t - t, with smoothed targets."""
    t = smoothed(t, smoothing, z.shape[1])
    return softmax(z) * t.sum(axis=1, keepdims=True) - t


def poisson(y: Array, t: Array, log_input: float) -> Array:
    """Rate less t times its logarithm, which y is with `log_input`."""
    terms = np.exp(y) - t * y if log_input else y - t * np.log(y + LEAST_RATE)
    return terms.mean(axis=1)


def poisson_gradient(y: Array, t: Array, log_input: float) -> Array:
    """dL/dy, or dL/d(log y) with `log_input`."""
    return (np.exp(y) - t if log_input else 1 - t / (y + LEAST_RATE)) / y.shape[1]


def sides(t: Array) -> Array:
    """1 where a target says yes, else -1."""
    return np.where(t > 0, 1, -1).astype(t.dtype)


def hinge(y: Array, t: Array, c: float) -> Array:
    """Count what is missing from a margin of 1 on the right side."""
    return np.maximum(0, 1 - sides(t) * y).mean(axis=1)


def hinge_gradient(y: Array, t: Array, c: float) -> Array:
    """Push those short of the margin to their side."""
    return np.where(sides(t) * y < 1, -sides(t), 0) / y.shape[1]


def quantile(y: Array, t: Array, q: float) -> Array:
    """Count q for each unit that y is below t, 1 - q for each that it is above."""
    return np.maximum(q * (t - y), (q - 1) * (t - y)).mean(axis=1)


def quantile_gradient(y: Array, t: Array, q: float) -> Array:
    """Take the slopes of the two lines, and 0 where they meet."""
    return ((1 - q) * (y > t) - q * (y < t)).astype(y.dtype) / y.shape[1]


# A new loss is a line here.
LOSSES = {
    "half_squared_error": RowLoss(
        lambda y, t, c: ((y - t) ** 2).sum(axis=1) / 2, lambda y, t, c: y - t
    ),
    "squared_error": RowLoss(
        lambda y, t, c: ((y - t) ** 2).sum(axis=1), lambda y, t, c: 2 * (y - t)
    ),
    "mean_squared_error": RowLoss(
        lambda y, t, c: ((y - t) ** 2).mean(axis=1), lambda y, t, c: 2 * (y - t) / y.shape[1]
    ),
    "mean_absolute_error": RowLoss(
        lambda y, t, c: np.abs(y - t).mean(axis=1), lambda y, t, c: np.sign(y - t) / y.shape[1]
    ),
    "huber": RowLoss(huber, lambda y, t, c: np.clip(y - t, -c, c) / y.shape[1]),
    "binary_crossentropy": RowLoss(
        lambda z, t, c: (softplus(z) - smoothed(t, c, 2) * z).mean(axis=1),
        lambda z, t, c: (sigmoid(z) - smoothed(t, c, 2)) / z.shape[1],
    ),
    "categorical_crossentropy": RowLoss(categorical, categorical_gradient),
    "sparse_categorical_crossentropy": RowLoss(
        lambda z, labels, c: categorical(z, one_hot(labels, z), c),
        lambda z, labels, c: categorical_gradient(z, one_hot(labels, z), c),
    ),
    "kl_divergence": RowLoss(
        lambda z, t, c: categorical(z, t, c) - entropy(t), categorical_gradient
    ),
    "poisson": RowLoss(poisson, poisson_gradient),
    "hinge": RowLoss(hinge, hinge_gradient),
    "quantile": RowLoss(quantile, quantile_gradient),
}
