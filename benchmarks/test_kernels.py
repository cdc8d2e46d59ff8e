"""Products and elementwise kernels, through networks of a single layer.

A dense layer of n units on n rows of n inputs is one product forward and two backward; the figures
of such a benchmark over 2 n^3 and 6 n^3 operations are the speed of the products.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastbp import Activation, Dense
from fastbp.activations import ACTIVATIONS

SIZES = [16, 32, 64, 128, 256]


def rows(n, inputs, dtype):
    return np.random.default_rng(0).random((n, inputs)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", SIZES)
def test_product(benchmark, Network, n, dtype):
    net = Network([Dense(n, use_bias=False)], input_shape=n, dtype=dtype, seed=0)
    x, out = rows(n, n, dtype), np.empty((n, n), dtype)
    benchmark.extra_info["operations"] = 2 * n**3
    benchmark(net.predict, x, out=out)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", SIZES)
def test_all_three_products(benchmark, Network, n, dtype):
    layers = [Dense(n, use_bias=False), Dense(n, use_bias=False, trainable=False)]
    net = Network(layers, input_shape=n, loss="mean_squared_error", dtype=dtype, seed=0)
    x, y = rows(n, n, dtype), rows(n, n, dtype)
    benchmark.extra_info["operations"] = 8 * n**3  # two forward, one gradient, one delta
    benchmark(net.loss_and_gradients, x, y)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activation(benchmark, Network, name):
    net = Network([Activation(name)], input_shape=256, seed=0)
    x = rows(256, 256, "float32") * 8 - 4
    benchmark(net.predict, x, out=np.empty_like(x))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_update(benchmark, Network, optimizer):
    net = Network([Dense(256)], input_shape=256, loss="mse", optimizer=optimizer, seed=0)
    net.loss_and_gradients(rows(32, 256, "float32"), rows(32, 256, "float32"))
    benchmark(net.step)
