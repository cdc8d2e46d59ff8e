"""What one call costs for a tiny network, nearly all of it beside the arithmetic.

    python -m benchmarks.calls

Microseconds a call of 3-4-3-2, tanh, tanh, identity, float32, one thread: the least of many rounds.
Training and evaluation take 4 rows, a prediction 300.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

import numpy as np

import fastbp
from fastbp import Dense

ROUNDS, CALLS = 15, 1000


def calls() -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    layers = [Dense(4, "tanh"), Dense(3, "tanh"), Dense(2)]
    net = fastbp.Network(layers, input_shape=3, loss="mse", seed=1, n_threads=1)
    x, y = np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32)
    rows, row = np.random.default_rng(0).random((300, 3), np.float32), np.zeros(3, np.float32)
    return {
        "fit": lambda: net.fit(x, y, verbose=0),
        "train_on_batch": lambda: net.train_on_batch(x, y),
        "evaluate": lambda: net.evaluate(x, y),
        "predict": lambda: net.predict(rows),
        "net(x)": lambda: net(row),
    }


if __name__ == "__main__":
    for name, call in calls().items():
        took = min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6
        print(f"{name:15} {took:7.2f}")
