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

from fastbp.engine import Array
from fastbp.losses import Loss
from fastbp.reference.activations import sigmoid, softmax, softplus


class RowLoss(NamedTuple):
    """One loss."""

    rows: Callable[[Array, Array, float], Array]  # (y, t, c) -> L, shape (rows,)
    gradient: Callable[[Array, Array, float], Array]  # (y, t, c) -> dL/dy


def row_losses(loss: Loss, y: Array, t: Array) -> Array:
    """Return the loss of each row, shape (rows,), float64."""
    targets = t if loss.labels else t.astype(np.float64)
    return LOSSES[loss.name].rows(y.astype(np.float64), targets, loss.parameter)


def loss_gradient(loss: Loss, y: Array, t: Array, weights: Array) -> Array:
    """Return dL/dy of a batch whose rows count `weights`, in the dtype of y."""
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


def label_loss(z: Array, labels: Array) -> Array:
    """-log softmax(z) at each row's class."""
    return -log_softmax(z)[np.arange(len(z)), labels]


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
        lambda z, t, c: (softplus(z) - t * z).mean(axis=1),
        lambda z, t, c: (sigmoid(z) - t) / z.shape[1],
    ),
    "categorical_crossentropy": RowLoss(
        lambda z, t, c: -(t * log_softmax(z)).sum(axis=1),
        lambda z, t, c: softmax(z) * t.sum(axis=1, keepdims=True) - t,
    ),
    "sparse_categorical_crossentropy": RowLoss(
        lambda z, labels, c: label_loss(z, labels),
        lambda z, labels, c: softmax(z) - one_hot(labels, z),
    ),
}
