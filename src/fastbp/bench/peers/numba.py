"""The two smallest trainings in numba: scalars in compiled loops, compiled before timing."""

from __future__ import annotations

import math

import numba
import numpy as np

from fastbp.bench.data import initial_weights

VERSIONS = {"numba": numba.__version__}
DEVIATIONS: dict[str, str] = {}


def train(workload, x, y, weights, threads):
    """Train the neuron of W1 or the 2-2-1 network of W2."""
    weights = weights or initial_weights(workload)
    if workload.sizes == (2, 1):
        return _neuron(workload, x, y, weights)
    if workload.sizes == (2, 2, 1):
        return _xor(workload, x, y, weights)
    raise NotImplementedError("scalar loops pay for the smallest networks only")


def predictor(workload, weights, x, threads):
    """Refuse: numba is for the loops of W1 and W2."""
    raise NotImplementedError("only W1 and W2 are written as scalar loops")


@numba.njit(fastmath=True)
def _neuron_steps(w1, w2, x1, x2, target, rate, steps):
    for _ in range(steps):
        p = 1 / (1 + math.exp(-(w1 * x1 + w2 * x2)))
        delta = 2 * (p - target) * p * (1 - p)
        w1 -= rate * delta * x1
        w2 -= rate * delta * x2
    return w1, w2


def _neuron(workload, x, y, weights):
    w1, w2 = map(float, weights[0][0].ravel())

    def run():
        nonlocal w1, w2
        x1, x2 = map(float, x[0])
        w1, w2 = _neuron_steps(
            w1, w2, x1, x2, float(y[0, 0]), workload.learning_rate, workload.steps
        )

    return run, lambda: [(np.array([[w1], [w2]]), None)]


@numba.njit(fastmath=True)
def _xor_epochs(w1, b1, w2, b2, x, y, rate, epochs):
    one = np.float32(1)
    hidden = np.empty(2, np.float32)
    w1_gradient, b1_gradient = np.empty_like(w1), np.empty_like(b1)
    w2_gradient, b2_gradient = np.empty_like(w2), np.empty_like(b2)
    for _ in range(epochs):
        w1_gradient[:] = 0
        b1_gradient[:] = 0
        w2_gradient[:] = 0
        b2_gradient[:] = 0
        for row in range(4):
            for j in range(2):
                z = x[row, 0] * w1[0, j] + x[row, 1] * w1[1, j] + b1[j]
                hidden[j] = one / (one + math.exp(-z))
            z = hidden[0] * w2[0, 0] + hidden[1] * w2[1, 0] + b2[0]
            p = one / (one + math.exp(-z))
            delta = (p - y[row, 0]) * p * (one - p)
            b2_gradient[0] += delta
            for j in range(2):
                w2_gradient[j, 0] += delta * hidden[j]
                below = delta * w2[j, 0] * hidden[j] * (one - hidden[j])
                b1_gradient[j] += below
                for i in range(2):
                    w1_gradient[i, j] += below * x[row, i]
        for j in range(2):
            for i in range(2):
                w1[i, j] -= rate * w1_gradient[i, j]
            b1[j] -= rate * b1_gradient[j]
            w2[j, 0] -= rate * w2_gradient[j, 0]
        b2[0] -= rate * b2_gradient[0]


def _xor(workload, x, y, weights):
    (w1, b1), (w2, b2) = [(w.copy(), b.copy()) for w, b in weights]
    rate = np.float32(workload.learning_rate)

    def run():
        _xor_epochs(w1, b1, w2, b2, x, y, rate, workload.epochs)

    return run, lambda: [(w1.copy(), b1.copy()), (w2.copy(), b2.copy())]
