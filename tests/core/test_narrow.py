"""Layers narrower than a vector, which run together with rows in the lanes: no bit differs.

`forward` and `backward` keep the values of each layer between them, and go layer by layer. So they
are what `predict` and `loss_and_gradients` are held against.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp.activations import ACTIVATIONS
from fastbp.layers import Activation, Dense, Layer, Rescale
from fastbp.losses import LOSSES

pytestmark = pytest.mark.usefixtures("core")

ROW_LANES = {"float32": 16, "float64": 8}
ROWS = [1, 3, 4, 5, 8, 9, 15, 16, 17, 63, 64, 65, 256, 257]


def check(layers: list[Layer], inputs: int, rows: int, dtype: str, n_threads: int = 1) -> None:
    """Hold both ways against each other; the sum of squared errors has a delta of 2 (y - t)."""
    net = fastbp.Network(
        layers, input_shape=inputs, loss=LOSSES["squared_error"]("sum"), dtype=dtype, seed=1,
        n_threads=n_threads,
    )  # fmt: skip
    net.parameters[:] = net.parameters * 1.5 - 0.1  # biases too
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows, inputs)).astype(dtype)
    t = rng.normal(size=(rows, *net.plan.output_shape)).astype(dtype)
    gradients = net.loss_and_gradients(x, t)[1].tobytes()
    y = net.forward(x)
    assert net.predict(x).tobytes() == y.tobytes()
    net.backward(2 * (y - t))
    assert net.gradients.tobytes() == gradients


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_has_the_bits_of_layers_one_by_one(
    activation: Any, dtype: str, isa: str
) -> None:
    for rows in ROWS:
        check([Dense(5, activation), Dense(3, activation), Dense(2, activation)], 4, rows, dtype)


@pytest.mark.parametrize("rows", [1, 9, 65])
def test_every_size_has_the_bits_of_layers_one_by_one(rows: int, dtype: str, isa: str) -> None:
    lanes = ROW_LANES[dtype]
    for inputs in (1, 2, lanes - 1, lanes):
        for units in (1, 2, 3, lanes - 1, lanes, lanes + 1):
            for use_bias in (True, False):
                layers = [Dense(units, "tanh", use_bias=use_bias), Dense(lanes - 1), Dense(1)]
                check(layers, inputs, rows, dtype)


NETWORKS: dict[str, list[Layer]] = {
    "one layer": [Dense(3, "gelu")],
    "frozen below": [Dense(3, "silu", trainable=False), Dense(2), Dense(1)],
    "frozen within": [Dense(3), Dense(2, "tanh", trainable=False), Dense(1)],
    "frozen above": [Dense(3), Dense(2, "tanh"), Dense(1, "softplus", trainable=False)],
    "bias frozen": [Dense(3, bias_trainable=False), Dense(1)],
    "two runs": [Dense(4, "relu"), Dense(2, "softmax"), Dense(3), Dense(2, "gelu")],
    "others between": [Dense(4), Activation("elu"), Dense(20), Dense(3), Rescale(0.5), Dense(2)],
}


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_place_in_a_network_has_the_bits_of_layers_one_by_one(
    name: str, n_threads: int, dtype: str
) -> None:
    for rows in (5, 64, 130, 257):
        check(NETWORKS[name], 5, rows, dtype, n_threads)
