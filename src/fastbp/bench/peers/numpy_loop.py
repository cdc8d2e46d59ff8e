"""The two smallest trainings as NumPy loops, as textbooks print them: nothing in place or fused."""

from __future__ import annotations

import numpy as np

from fastbp.bench.data import initial_weights
from fastbp.bench.peers import textbook

VERSIONS = {"numpy": np.__version__}
DEVIATIONS: dict[str, str] = {}


def train(workload, x, y, weights, threads):
    """Train the neuron of W1 or the network of W2."""
    weights = weights or initial_weights(workload)
    if workload.data == "neuron":
        return _neuron(workload, x, y, weights)
    if workload.data == "corners":
        return _xor(workload, x, y, weights)
    raise NotImplementedError("printed for W1 and W2 only")


def _neuron(workload, x, y, weights):
    w1, w2 = weights[0][0].ravel()

    def run():
        nonlocal w1, w2
        rate = workload.learning_rate
        w1, w2, _, _ = textbook.neuron(w1, w2, *x[0], y[0, 0], rate, workload.steps)

    return run, lambda: [(np.array([[w1], [w2]]), None)]


def _xor(workload, x, y, weights):
    parameters = [array for pair in weights for array in pair]

    def run():
        parameters[:] = textbook.xor(*parameters, x, y, workload.learning_rate, workload.steps)

    return run, lambda: list(zip(parameters[::2], parameters[1::2], strict=True))


def predictor(workload, weights, x, threads):
    """Refuse: the loops train."""
    raise NotImplementedError("printed for W1 and W2 only")
