"""The workloads in JAX: whole runs in one compiled call, state donated, threads by affinity."""

from __future__ import annotations

import os
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fastbp.bench.data import initial_weights

VERSIONS = {"jax": jax.__version__}
DEVIATIONS: dict[str, str] = {}
SMALL = 16
"""Layers of so few inputs and rows are summed elementwise, so that XLA fuses a step into a loop."""


def _limit(workload, threads):
    """Set precision and cores; XLA counts the cores it may use when it starts."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    jax.config.update("jax_enable_x64", workload.dtype == "float64")


def _dense(x, w, b):
    z = (x[:, :, None] * w[None]).sum(axis=1) if max(len(w), len(x)) <= SMALL else x @ w
    return z if b is None else z + b


def _net_input(workload, parameters, x, key):
    """Return the last layer's net input."""
    *hidden, last = parameters
    for layer, (w, b) in enumerate(hidden):
        x = ACTIVATIONS[workload.activations[layer]](_dense(x, w, b))
        if key is not None:
            keep = 1 - workload.dropout
            kept = jax.random.bernoulli(jax.random.fold_in(key, layer), keep, x.shape)
            x = jnp.where(kept, x / keep, 0)
    return _dense(x, *last)


ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "softmax": jax.nn.softmax,
    "tanh": jnp.tanh,
}


def _loss(parameters, workload, x, y, key):
    z = _net_input(workload, parameters, x, key)
    if workload.loss == "sparse_categorical_crossentropy":
        labels = jax.nn.one_hot(y, z.shape[1], dtype=z.dtype)  # some per cent ahead of indexing
        rows = -(labels * jax.nn.log_softmax(z)).sum(axis=1)
    else:
        error = (ACTIVATIONS[workload.activations[-1]](z) - y) ** 2
        rows = error.mean(axis=1) if workload.loss == "mean_squared_error" else error.sum(axis=1)
        rows = rows / 2 if workload.loss == "half_squared_error" else rows
    return rows.sum() if workload.reduction == "sum" else rows.mean()


def _step(workload, state, x, y):
    parameters, m, v, step = state
    key = jax.random.fold_in(jax.random.key(0), step) if workload.dropout else None
    gradients = jax.grad(_loss)(parameters, workload, x, y, key)
    rate, tree = workload.learning_rate, jax.tree.map
    if workload.optimizer == "sgd":
        return tree(lambda p, g: p - rate * g, parameters, gradients), m, v, step
    step = step + 1
    m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
    v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
    root = jnp.sqrt(1 - 0.999**step)
    rate = rate * root / (1 - 0.9**step)
    epsilon = 1e-7 * root
    parameters = tree(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + epsilon), parameters, m, v)
    return parameters, m, v, step


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _full_batch_steps(workload, state, x, y):
    return jax.lax.fori_loop(0, workload.steps, lambda _, s: _step(workload, s, x, y), state)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _epochs(workload, state, batches, rests, x, y):
    """Scan over epochs, and in each over its full batches, the rest coming last."""

    def take(state, rows):
        return _step(workload, state, x[rows], y[rows]), None

    def epoch(state, orders):
        batches, rest = orders
        state, _ = jax.lax.scan(take, state, batches)
        return (take(state, rest)[0] if rest.size else state), None

    return jax.lax.scan(epoch, state, (batches, rests))[0]


def _orders(workload, rng):
    """Return the rows of all full batches (epochs, batches, rows) and of the rests."""
    rows, batch = workload.rows, workload.batch_size
    order = np.tile(np.arange(rows, dtype=np.int32), (workload.epochs, 1))
    if workload.shuffle:
        rng.permuted(order, axis=1, out=order)
    full = rows // batch * batch
    return order[:, :full].reshape(workload.epochs, -1, batch), order[:, full:]


def train(workload, x, y, weights, threads):
    """Train with `fori_loop` where a batch holds all rows, else with `scan` over shuffled rows."""
    _limit(workload, threads)
    parameters = jax.tree.map(jnp.array, weights or initial_weights(workload))
    moments = parameters if workload.optimizer == "adam" else []
    zeros = partial(jax.tree.map, jnp.zeros_like)
    state = (parameters, zeros(moments), zeros(moments), jnp.zeros((), jnp.int32))
    x, y = jnp.asarray(x), jnp.asarray(y)
    rng = np.random.default_rng(0)

    def run():
        nonlocal state
        if workload.batch_size >= workload.rows:
            state = _full_batch_steps(workload, state, x, y)
        else:
            state = _epochs(workload, state, *_orders(workload, rng), x, y)
        jax.block_until_ready(state)

    return run, lambda: jax.tree.map(np.array, state[0])


def predictor(workload, weights, x, threads):
    """Predict in one compiled call; weights are its constants, rows on the device already."""
    _limit(workload, threads)
    parameters, x = jax.tree.map(jnp.array, weights), jnp.asarray(x)

    @jax.jit
    def outputs(x):
        z = _net_input(workload, parameters, x, None)
        return ACTIVATIONS[workload.activations[-1]](z)

    return lambda: outputs(x).block_until_ready(), lambda: np.asarray(outputs(x))
