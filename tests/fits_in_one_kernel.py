"""Fits of the smallest networks, which run many epochs in one kernel, beside the general path.

A fit that records outputs takes the general path, one batch at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import fastbp
from fastbp.layers import Dense, Layer
from fastbp.losses import Huber, Loss
from fastbp.optimizers import SGD, Adam
from fastbp.schedules import Exponential


def data(rows: int, inputs: int, loss: Loss) -> tuple[Any, Any]:
    rng = np.random.default_rng(rows)
    x, y = rng.normal(size=(rows, inputs)), rng.normal(size=rows)
    if loss.targets in ("probabilities", "signs"):
        y = y > 0
    return x, abs(y) if loss.targets == "amounts" else y


def fits(layers: list[Layer], rows: int, inputs: int, **fields: Any) -> list[Any]:
    """Return what two fits leave, by many epochs at a time and by the general path."""
    loss = fields.setdefault("loss", Huber(delta=0.4))
    fit = {"epochs": 9, "batch_size": rows, "shuffle": False, "verbose": 0} | fields.pop("fit", {})
    fields.setdefault("optimizer", SGD(0.1))
    x, y = data(rows, inputs, loss)
    found = []
    for record_outputs in (False, True):
        net = fastbp.Network(layers, input_shape=inputs, seed=1, **fields)
        net.parameters[:] = net.parameters * 1.5 - 0.1  # biases too
        history = net.fit(x, y, record_outputs=record_outputs, **fit)
        found.append(
            (dict(history), history.epochs, net.parameters.tobytes(), net._engine.position)
        )
    return found


# What `fits` is to be given, by name, for networks that run in one kernel and such that don't
# quite. Their bits don't tell; with an error planted in that kernel, test_planted_errors.py does.
SIGMOIDS = [Dense(2, "sigmoid"), Dense(1, "sigmoid")]
IN_ONE_KERNEL: dict[str, Any] = {
    "one unit": (([Dense(1)], 4, 2), {}),
    "hidden layer": ((SIGMOIDS, 4, 2), {}),
    "a vector of rows": ((SIGMOIDS, 16, 15), {}),
    "one row, shuffled": ((SIGMOIDS, 1, 2), {"fit": {"shuffle": True}}),
    "batches larger than the data": ((SIGMOIDS, 4, 2), {"fit": {"batch_size": 64}}),
}
OTHERS: dict[str, Any] = {
    "more rows than a vector": ((SIGMOIDS, 17, 2), {}),
    "inputs as many as lanes": ((SIGMOIDS, 4, 16), {}),
    "several batches": ((SIGMOIDS, 4, 2), {"fit": {"batch_size": 3}}),
    "shuffled": ((SIGMOIDS, 4, 2), {"fit": {"shuffle": True}}),
    "momentum": ((SIGMOIDS, 4, 2), {"optimizer": SGD(0.1, 0.9)}),
    "weight decay": ((SIGMOIDS, 4, 2), {"optimizer": SGD(0.1, weight_decay=0.1)}),
    "penalty": (([Dense(2, "tanh", weights_regularizer=0.1), Dense(1)], 4, 2), {}),
    "penalty of the biases": (([Dense(1, bias_regularizer="l1")], 4, 2), {}),
    "constraint": (([Dense(2, "tanh"), Dense(1, weights_constraint=0.5)], 4, 2), {}),
    "clipping": ((SIGMOIDS, 4, 2), {"optimizer": SGD(0.1, clip_value=1e-3)}),
    "schedule": ((SIGMOIDS, 4, 2), {"optimizer": SGD(Exponential(0.1, 0.9))}),
    "parts of a batch": (
        (SIGMOIDS, 4, 2),
        {"fit": {"batch_size": 2, "gradient_accumulation_steps": 2}},
    ),
    "adam": ((SIGMOIDS, 4, 2), {"optimizer": Adam(0.1)}),
    "two hidden layers": (([Dense(2), *SIGMOIDS], 4, 2), {}),
    "sample weights": ((SIGMOIDS, 4, 2), {"fit": {"sample_weight": [1, 2, 3, 4]}}),
}
FITS = IN_ONE_KERNEL | OTHERS
