"""W3 with validation and EarlyStopping each epoch, beside a loop over jitted steps in JAX.

    python -m benchmarks.early_stopping

from the root of the repository, with JAX installed; `taskset` gives both the same core. The last
fifth of the digits is for validation. Both keep a copy of the best parameters, shuffle each epoch
and have the patience to go through all of them; each line is microseconds a step, with all that
comes at the ends of epochs counted in, the best of some runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import fastbp
from fastbp.bench import networks
from fastbp.bench.child import flush_subnormals
from fastbp.bench.data import initial_weights, training_data
from fastbp.bench.rows import ROWS
from fastbp.bench.workloads import Training

SPLIT = 0.2
RUNS = 9
PATIENCE = 10**6


def in_fastbp(workload: Training, *, watched: bool) -> Callable[[], None]:
    """Return a fit, with validation and EarlyStopping if it is watched."""
    net = networks.build(fastbp.Network, workload, initial_weights(workload))
    (x, y), trained = training_data(workload), rows_trained(workload)
    options: dict[str, Any] = {"epochs": workload.epochs, "batch_size": workload.batch_size}
    if not watched:
        return partial(net.fit, x[:trained], y[:trained], verbose=0, **options)
    stopping = fastbp.callbacks.EarlyStopping(patience=PATIENCE)
    return partial(
        net.fit, x, y, validation_split=SPLIT, callbacks=[stopping], verbose=0, **options
    )


def in_jax(workload: Training) -> Callable[[], None]:
    """Return the same in JAX: data and state on the device, one call for each step."""
    import jax
    import jax.numpy as jnp

    from fastbp.bench.peers import jax as peer

    x, y = map(jnp.asarray, training_data(workload))
    trained, rng = rows_trained(workload), np.random.default_rng(0)
    parameters = jax.tree.map(jnp.array, initial_weights(workload))
    zeros = partial(jax.tree.map, jnp.zeros_like, parameters)
    state = (parameters, zeros(), zeros(), jnp.zeros((), jnp.int32))

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, rows: Any) -> Any:
        return peer._step(workload, state, x[rows], y[rows])

    @jax.jit
    def validation_loss(parameters: Any) -> Any:
        return peer._loss(parameters, workload, x[trained:], y[trained:], None)

    def run() -> None:
        nonlocal state
        best, wait = np.inf, 0
        for _ in range(workload.epochs):
            order = rng.permutation(trained).astype(np.int32)
            for start in range(0, trained, workload.batch_size):
                state = step(state, order[start : start + workload.batch_size])
            loss, wait = float(validation_loss(state[0])), wait + 1
            if loss < best:
                best, wait, _kept = loss, 0, jax.tree.map(jnp.copy, state[0])
            if wait >= PATIENCE:
                break
        jax.block_until_ready(state)

    return run


def rows_trained(workload: Training) -> int:
    """Return how many rows come before those of validation."""
    return int(workload.rows * (1 - SPLIT))


def microseconds(workload: Training, run: Callable[[], Any]) -> float:
    """Return the time of a step in the fastest of some runs."""
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    steps = workload.epochs * -(-rows_trained(workload) // workload.batch_size)
    return min(times) / steps * 1e6


def main() -> None:
    """Print what a step takes, and how much of it is for watching."""
    flush_subnormals()
    workload = ROWS["W3"]
    assert isinstance(workload, Training)
    plain = microseconds(workload, in_fastbp(workload, watched=False))
    ours = microseconds(workload, in_fastbp(workload, watched=True))
    jax = microseconds(workload, in_jax(workload))
    print(f"fastbp alone {plain:.2f}, with EarlyStopping {ours:.2f}, jax with it {jax:.2f}")
    print(f"ratio {jax / ours:.1f}")


if __name__ == "__main__":
    main()
