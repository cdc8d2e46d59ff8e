"""The workloads as fastbp networks, for either engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from fastbp import layers, losses, optimizers
from fastbp.bench.workloads import Array, Training, Weights, Workload


def build(network: Callable[..., Any], workload: Workload, weights: Weights | None) -> Any:
    """Return the workload's network, made by `network`: `fastbp.Network` or the reference's."""
    net = network(
        _layers(workload),
        input_shape=workload.sizes[0],
        dtype=workload.dtype,
        seed=0,
        **_training(workload),
    )
    if weights is not None:
        arrays = [w for w, _ in weights] + [b for _, b in weights if b is not None]
        net.set_parameters(np.concatenate([array.ravel() for array in arrays]))
    return net


def _layers(workload: Workload) -> list[layers.Layer]:
    stack: list[layers.Layer] = []
    for units, activation in zip(workload.sizes[1:], workload.activations, strict=True):
        stack.append(layers.Dense(units, activation=activation, use_bias=workload.use_bias))
        if isinstance(workload, Training) and workload.dropout:
            stack.append(layers.Dropout(workload.dropout))
    if isinstance(workload, Training) and workload.dropout:
        stack.pop()  # outputs are not dropped
    return stack


def _training(workload: Workload) -> dict[str, Any]:
    if not isinstance(workload, Training):
        return {}
    return {
        "loss": losses.LOSSES[workload.loss](reduction=workload.reduction),
        "optimizer": optimizers.OPTIMIZERS[workload.optimizer](workload.learning_rate),
    }


def train(
    network: Callable[..., Any], workload: Training, x: Array, y: Array, weights: Weights | None
) -> tuple[Callable[[], None], Callable[[], Weights]]:
    """Return a run of the training and a look at the weights."""
    net = build(network, workload, weights)
    return partial(fit, net, workload, x, y), lambda: split(workload, net.parameters)


def fit(net: Any, workload: Training, x: Array, y: Array) -> None:
    """Do one run of the training on a network that `build` made."""
    net.fit(
        x,
        y,
        epochs=workload.epochs,
        batch_size=workload.batch_size,
        shuffle=workload.shuffle,
        verbose=0,
    )


def split(workload: Workload, flat: Array) -> Weights:
    """Return copies of each layer's weights and biases from a network's flat vector."""
    shapes = list(pairwise(workload.sizes))
    ends = np.cumsum([i * o for i, o in shapes] + [o for _, o in shapes if workload.use_bias])
    parts = [part.copy() for part in np.split(flat, ends[:-1])]
    biases = parts[len(shapes) :] if workload.use_bias else [None] * len(shapes)
    return [(w.reshape(s), b) for w, s, b in zip(parts, shapes, biases, strict=False)]


def predictor(
    network: Callable[..., Any], workload: Workload, weights: Weights, x: Array
) -> tuple[Callable[[], Array], Callable[[], Array]]:
    """Return a call that predicts all of `x`, one row with least overhead, and its outputs.

    It is a partial call, which unlike a lambda brings no frame of Python.
    """
    net = build(network, workload, weights)
    out = np.empty((workload.rows, workload.sizes[-1]), x.dtype)
    one = workload.rows == 1
    predict = partial(net, x[0], out[0]) if one else partial(net.predict, x, out=out)
    return predict, predict
