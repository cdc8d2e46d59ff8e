"""What tests of textbook examples share: networks from given weights, numbers as printed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Dense


def given(*digits: str) -> Any:
    """Return what equals a number that is right to these digits; of several, a list."""
    numbers = []
    for text in digits:
        unit = 10.0 ** int(Decimal(text).as_tuple().exponent)
        numbers.append(pytest.approx(float(text), rel=0, abs=max(unit / 2, 1e-12)))
    return numbers if len(numbers) > 1 else numbers[0]


def dense(
    weights: Any, biases: Any = None, activation: str | None = "sigmoid", **more: Any
) -> Dense:
    """Return a layer that starts from these weights, of shape (inputs, outputs), and biases."""
    weights = np.array(weights, float)
    if biases is not None:
        more["bias_initializer"] = np.array(biases, float)
    return Dense(
        weights.shape[1],
        activation=activation,
        use_bias=biases is not None,
        weights_initializer=weights,
        **more,
    )


def network(
    Network: type[fastbp.Network], *layers: Any, loss: Any = "half_squared_error", lr: float = 0.01
) -> fastbp.Network:
    inputs = layers[0].weights_initializer.values.shape[0] if isinstance(layers[0], Dense) else 1
    return Network(
        layers, input_shape=inputs, loss=loss, optimizer=SGD(lr), dtype="float64", seed=0
    )


def train(net: fastbp.Network, x: Any, y: Any, steps: int, **more: Any) -> fastbp.History:
    """Take steps along the gradient of all rows."""
    return net.fit(x, y, epochs=steps, batch_size=len(x), shuffle=False, verbose=0, **more)
