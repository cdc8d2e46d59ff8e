"""Custom copies of parts that fastbp has too, and one wrong thing in each of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastbp import activations, initializers, layers, losses, metrics

Array = Any


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


TANH = activations.Custom(np.tanh, lambda z: 1 - np.tanh(z) ** 2)
SILU = activations.Custom(
    lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * (1 - sigmoid(z)))
)
ACTIVATIONS = {"tanh": TANH, "silu": SILU}


def squares(y: Array, t: Array) -> Array:
    return ((y - t) ** 2).mean(axis=1)


def squares_derivative(y: Array, t: Array) -> Array:
    return 2 * (y - t) / y.shape[1]


def log_softmax(z: Array) -> Array:
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def sparse(y: Array, t: Array) -> Array:
    return -log_softmax(y)[np.arange(len(t)), t]


def sparse_derivative(y: Array, t: Array) -> Array:
    p = np.exp(log_softmax(y))
    p[np.arange(len(t)), t] -= 1
    return p


SQUARES = losses.Custom(squares, squares_derivative)
SPARSE = losses.Custom(sparse, sparse_derivative, targets="labels")
# By the name of the loss that each is like; of logits where it takes labels.
LOSSES: dict[str, tuple[losses.Custom, losses.Loss]] = {
    "mean_squared_error": (SQUARES, losses.MeanSquaredError()),
    "sum of squared errors": (
        losses.Custom(squares, squares_derivative, reduction="sum"),
        losses.MeanSquaredError("sum"),
    ),
    "sparse_categorical_crossentropy": (
        SPARSE,
        losses.SparseCategoricalCrossentropy(from_logits=True),
    ),
}


def dense_backward(x: Array, y: Array, dy: Array, w: Array, b: Array) -> Array:
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)


def dense(units: int, weights: Any = "glorot_uniform", **options: Any) -> layers.Custom:
    """Return what `Dense(units)` is."""
    return layers.Custom(
        lambda x, w, b: x @ w + b,
        dense_backward,
        parameters=lambda shape: {
            "weights": ((*shape, units), weights),
            "biases": ((units,), "zeros"),
        },
        shape=units,
        **options,
    )


def softmax_backward(p: Array, dp: Array) -> Array:
    return p * (dp - (p * dp).sum(axis=-1, keepdims=True))


# What mixes the units of a row and has no parameters.
SOFTMAX = layers.Custom(lambda x: np.exp(log_softmax(x)), lambda x, y, dy: softmax_backward(y, dy))


def accuracy(y: Array, t: Array) -> float:
    return np.mean(y.argmax(axis=1) == (t if t.ndim == 1 else t.argmax(axis=1)))


def mean_absolute(y: Array, t: Array) -> float:
    return float(np.abs(y - t).mean())


ACCURACY = metrics.Custom(accuracy, key="share")
MEAN_ABSOLUTE = metrics.Custom(mean_absolute, rises=False)


def glorot(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    r = math.sqrt(6 / (shape[0] + shape[-1]))
    return rng.uniform(-r, r, shape)


GLOROT = initializers.Custom(glorot)
