"""The workloads in NumPy, written by hand for speed: in place, one flat vector of parameters."""

from __future__ import annotations

import math

import numpy as np

from fastbp.bench.data import initial_weights
from fastbp.bench.networks import split

VERSIONS = {"numpy": np.__version__}
DEVIATIONS: dict[str, str] = {}


def train(workload, x, y, weights, threads):
    """Train in place; W1 and W2, all overhead, are left to the printed loops of `numpy_loop`."""
    if workload.data in ("neuron", "corners"):
        raise NotImplementedError("its loop as printed is a program of its own")
    program = Backpropagation(workload, x, y, weights or initial_weights(workload))
    return program.run, lambda: split(workload, program.parameters)


class Backpropagation:
    """Forward, backward and update of ReLU or tanh networks, in arrays allocated once."""

    def __init__(self, workload, x, y, weights):
        self.workload, self.x, self.y = workload, x, y
        arrays = [w for w, _ in weights] + [b for _, b in weights]
        self.parameters = np.concatenate([array.ravel() for array in arrays])
        self.gradient = np.empty_like(self.parameters)
        self.scratch = np.empty_like(self.parameters)
        self.weights, self.biases = self._views(self.parameters)
        self.weights_gradient, self.biases_gradient = self._views(self.gradient)
        self.m, self.v = np.zeros_like(self.parameters), np.zeros_like(self.parameters)
        self.step = 0
        self.rng = np.random.default_rng(0)
        batch, sizes = workload.batch_size, workload.sizes
        self.input = np.empty((batch, sizes[0]), x.dtype)
        self.outputs = [np.empty((batch, n), x.dtype) for n in sizes[1:]]
        self.deltas = [np.empty((batch, n), x.dtype) for n in sizes[1:]]
        self.masks = [np.empty((batch, n), x.dtype) for n in sizes[1:-1]]

    def _views(self, flat):
        shapes = list(zip(self.workload.sizes, self.workload.sizes[1:], strict=False))
        ends = np.cumsum([i * o for i, o in shapes] + [o for _, o in shapes])
        parts = np.split(flat, ends[:-1])
        n = len(shapes)
        return [p.reshape(s) for p, s in zip(parts[:n], shapes, strict=True)], parts[n:]

    def run(self):
        """Do one run of the workload."""
        rows, batch = self.workload.rows, self.workload.batch_size
        update = self._adam if self.workload.optimizer == "adam" else self._sgd
        for _ in range(self.workload.epochs):
            order = self.rng.permutation(rows) if self.workload.shuffle else None
            for start in range(0, rows, batch):
                x, y = self._batch(order, start, start + batch)
                self._backward(x, y, self._forward(x))
                update()

    def _batch(self, order, start, stop):
        if order is None:
            return self.x[start:stop], self.y[start:stop]
        taken = order[start:stop]
        x = np.take(self.x, taken, axis=0, out=self.input[: len(taken)], mode="clip")
        return x, self.y[taken]

    def _forward(self, x):
        rows, last = len(x), len(self.weights) - 1
        for layer, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = np.dot(x, w, out=self.outputs[layer][:rows])
            x += b
            ACTIVATE[self.workload.activations[layer]](x)
            if self.workload.dropout and layer < last:
                x *= self._mask(layer, rows)
        return x

    def _mask(self, layer, rows):
        rate, mask = self.workload.dropout, self.masks[layer][:rows]
        self.rng.random(out=mask, dtype=mask.dtype)
        np.greater_equal(mask, rate, out=mask)
        mask *= 1 / (1 - rate)
        return mask

    def _backward(self, x, y, output):
        rows = len(x)
        delta = LOSS_DELTA[self.workload.loss](output, y, self.deltas[-1][:rows])
        delta /= rows
        for layer in reversed(range(len(self.weights))):
            below = self.outputs[layer - 1][:rows] if layer else x
            np.dot(below.T, delta, out=self.weights_gradient[layer])
            np.add.reduce(delta, axis=0, out=self.biases_gradient[layer])
            if layer:
                delta = np.dot(delta, self.weights[layer].T, out=self.deltas[layer - 1][:rows])
                delta *= SLOPE[self.workload.activations[layer - 1]](below)
                if self.workload.dropout:
                    delta *= 1 / (1 - self.workload.dropout)

    def _sgd(self):
        self.gradient *= self.workload.learning_rate
        self.parameters -= self.gradient

    def _adam(self):
        """Update by Algorithm 1 of Kingma and Ba, the bias corrections taken out of the arrays."""
        self.step += 1
        root = math.sqrt(1 - 0.999**self.step)
        rate = self.workload.learning_rate * root / (1 - 0.9**self.step)
        gradient, scratch = self.gradient, self.scratch
        self.v *= 0.999
        np.multiply(gradient, gradient, out=scratch)
        scratch *= 0.001
        self.v += scratch
        self.m *= 0.9
        gradient *= 0.1
        self.m += gradient
        np.sqrt(self.v, out=scratch)
        scratch += 1e-7 * root
        np.divide(self.m, scratch, out=scratch)
        scratch *= rate
        self.parameters -= scratch


def _relu(z):
    np.maximum(z, 0, out=z)


def _softmax(z):
    z -= np.maximum.reduce(z, axis=-1, keepdims=True)
    np.exp(z, out=z)
    z /= np.add.reduce(z, axis=-1, keepdims=True)


def _keep(z):
    pass


def _tanh(z):
    np.tanh(z, out=z)


ACTIVATE = {"relu": _relu, "softmax": _softmax, "identity": _keep, "tanh": _tanh}
SLOPE = {"relu": lambda a: a > 0, "tanh": lambda a: 1 - a * a}
"""Derivative of each hidden activation, by its value; dropout leaves its sign."""


def _cross_entropy_delta(output, labels, delta):
    np.copyto(delta, output)
    delta[np.arange(len(labels)), labels] -= 1
    return delta


def _mean_squared_delta(output, targets, delta):
    np.subtract(output, targets, out=delta)
    delta *= 2 / output.shape[1]
    return delta


LOSS_DELTA = {
    "sparse_categorical_crossentropy": _cross_entropy_delta,
    "mean_squared_error": _mean_squared_delta,
}


def predictor(workload, weights, x, threads):
    """Predict into arrays allocated once; one row as a vector."""
    x = x[0] if len(x) == 1 else x
    layers = [
        (w, b, np.empty((*x.shape[:-1], len(b)), x.dtype), ACTIVATE[name])
        for (w, b), name in zip(weights, workload.activations, strict=True)
    ]

    def predict():
        z = x
        for w, b, out, activate in layers:
            z = np.dot(z, w, out=out)
            z += b
            activate(z)
        return z

    return predict, predict
