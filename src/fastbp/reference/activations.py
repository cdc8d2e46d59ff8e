"""Activation functions and their derivatives. `fastbp.activations` has the formulas.

Each name stands for two functions. Forward returns a = f(z); backward turns da = dL/da into
dz = dL/dz = f'(z) da, from whichever of z and a makes it simple. c is the function's constant.
Nothing here overflows for z of any size: exp is taken of what is at most 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastbp.engine import Array


class Activation(NamedTuple):
    """One activation function."""

    forward: Callable[[Array, float], Array]  # (z, c) -> a
    backward: Callable[[Array, Array, Array, float], Array]  # (da, z, a, c) -> dz


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), which is exp(z) / (1 + exp(z)) too: the one for z < 0."""
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)


def softplus(z: Array) -> Array:
    """log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|))."""
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def softmax(z: Array) -> Array:
    """exp(z_i) / sum_j exp(z_j) over each row; a constant taken from all z_j cancels."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_backward(da: Array, a: Array) -> Array:
    """Return dz_i = sum_j da_j a_j ((i == j) - a_i) = a_i (da_i - sum_j da_j a_j)."""
    return a * (da - (da * a).sum(axis=1, keepdims=True))


def elu(z: Array, alpha: float) -> Array:
    """Below 0, alpha (exp(z) - 1); expm1 keeps the digits that the difference loses near 0."""
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def normal_cdf(z: Array) -> Array:
    """Phi(z) = (1 + erf(z / sqrt 2)) / 2 = erfc(-z / sqrt 2) / 2, which keeps its digits for z < 0.

    One number at a time: NumPy has no erfc.
    """
    erfc = np.vectorize(math.erfc, otypes=[np.float64])
    return (erfc(z.astype(np.float64) / -math.sqrt(2)) / 2).astype(z.dtype)


def normal_density(z: Array) -> Array:
    """phi(z) = exp(-z^2 / 2) / sqrt(2 pi)."""
    return np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def silu_backward(da: Array, z: Array) -> Array:
    """Return dz = s (1 + z (1 - s)) da, s = sigmoid(z)."""
    s = sigmoid(z)
    return da * s * (1 + z * (1 - s))


def mish_backward(da: Array, z: Array) -> Array:
    """Return dz = (t + z s (1 - t^2)) da, t = tanh(softplus(z)), s = sigmoid(z)."""
    t = np.tanh(softplus(z))
    return da * (t + z * sigmoid(z) * (1 - t * t))


# A new activation is a line here.
ACTIVATIONS = {
    "identity": Activation(lambda z, c: z, lambda da, z, a, c: da),
    "sigmoid": Activation(lambda z, c: sigmoid(z), lambda da, z, a, c: da * a * (1 - a)),
    "tanh": Activation(lambda z, c: np.tanh(z), lambda da, z, a, c: da * (1 - a * a)),
    "relu": Activation(lambda z, c: np.maximum(z, 0), lambda da, z, a, c: np.where(z > 0, da, 0)),
    "leaky_relu": Activation(
        lambda z, c: np.where(z > 0, z, c * z), lambda da, z, a, c: np.where(z > 0, da, c * da)
    ),
    "elu": Activation(elu, lambda da, z, a, c: np.where(z > 0, da, da * (a + c))),
    "gelu": Activation(
        lambda z, c: z * normal_cdf(z),
        lambda da, z, a, c: da * (normal_cdf(z) + z * normal_density(z)),
    ),
    "silu": Activation(lambda z, c: z * sigmoid(z), lambda da, z, a, c: silu_backward(da, z)),
    "mish": Activation(
        lambda z, c: z * np.tanh(softplus(z)), lambda da, z, a, c: mish_backward(da, z)
    ),
    "softplus": Activation(lambda z, c: softplus(z), lambda da, z, a, c: da * sigmoid(z)),
    "softmax": Activation(lambda z, c: softmax(z), lambda da, z, a, c: softmax_backward(da, a)),
}
