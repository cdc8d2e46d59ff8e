"""What a part of training adds to a step of 784-128-10 and of 64-32-10, batch 32.

    python -m benchmarks.additions [n_threads]

from the root of the repository. Float32, 3,200 random rows in order; fits of 100 steps, or of 1,000
of the smaller network. Each line is microseconds a step, the least and the median of some rounds in
which all networks take turns, and the median over rounds of the ratio to the network without the
part.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from typing import Any

import numpy as np

import fastbp
from fastbp import constraints, regularizers, schedules
from fastbp.bench.machine import facts
from fastbp.insight import GradientMonitor

ROWS, BATCH_SIZE, ROUNDS = 3200, 32, 31
PLAIN = "nothing"
# Inputs, hidden units, and epochs of a fit.
SIZES = (784, 128, 1), (64, 32, 10)


def additions(rule: type[Any]) -> dict[str, dict[str, Any]]:
    """Return arguments of `build`, by what they add."""
    rate = {fastbp.SGD: 0.01, fastbp.Adam: 0.001}[rule]
    options: dict[str, Any] = {"momentum": 0.9} if rule is fastbp.SGD else {}
    dense: dict[str, dict[str, Any]] = {
        "L1 of the weights": {"weights_regularizer": regularizers.L1(1e-5)},
        "L2 of the weights": {"weights_regularizer": regularizers.L2(1e-4)},
        "MaxNorm of the weights": {"weights_constraint": constraints.MaxNorm(3.0)},
        "NonNeg of the weights": {"weights_constraint": constraints.NonNeg()},
    }
    rules: dict[str, dict[str, Any]] = {
        PLAIN: {},
        "clip_value": {"clip_value": 1.0},
        "clip_norm": {"clip_norm": 1.0},
        "weight_decay": {"weight_decay": 1e-4},
        "decoupled weight_decay": {"weight_decay": 1e-4, "decoupled_weight_decay": True},
        "a cosine schedule": {"learning_rate": schedules.Cosine(rate, 10**6)},
    }
    made = {name: {"rule": rule(**{"learning_rate": rate} | options | given)}
            for name, given in rules.items()}  # fmt: skip
    return made | {name: {"rule": rule(rate, **options), **given} for name, given in dense.items()}


def build(inputs: int, hidden: int, rule: Any, n_threads: int, **options: Any) -> fastbp.Network:
    """Return a network of two such layers."""
    layers = [
        fastbp.Dense(hidden, activation="relu", **options),
        fastbp.Dense(10, activation="softmax", **options),
    ]
    return fastbp.Network(
        layers, input_shape=inputs, loss="sparse_categorical_crossentropy", optimizer=rule, seed=0,
        n_threads=n_threads,
    )  # fmt: skip


def measure(
    rule: type[Any], inputs: int, hidden: int, epochs: int, n_threads: int
) -> dict[str, list[float]]:
    """Return the times of a step in each round, by what is added."""
    rng = np.random.default_rng(0)
    x, y = rng.random((ROWS, inputs), np.float32), rng.integers(0, 10, ROWS)
    nets = {
        name: (build(inputs, hidden, n_threads=n_threads, **given), [])
        for name, given in additions(rule).items()
    }
    for every in (1, 10, 100):
        monitor = GradientMonitor(every=every)
        plain = build(inputs, hidden, n_threads=n_threads, **additions(rule)[PLAIN])
        nets[f"GradientMonitor(every={every})"] = plain, [monitor]
    times: dict[str, list[float]] = {name: [] for name in nets}
    for _ in range(ROUNDS):
        for name, (net, callbacks) in nets.items():
            began = time.perf_counter()
            net.fit(x, y, epochs=epochs, batch_size=BATCH_SIZE, shuffle=False, verbose=0,
                    callbacks=callbacks)  # fmt: skip
            steps = epochs * ROWS / BATCH_SIZE
            times[name].append((time.perf_counter() - began) / steps)
    return times


def main() -> None:
    """Print a line for each network, rule and part."""
    n_threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    print("; ".join(f"{key} {value}" for key, value in facts().items()), f"; threads {n_threads}")
    for (inputs, hidden, epochs), rule in itertools.product(SIZES, (fastbp.SGD, fastbp.Adam)):
        times = measure(rule, inputs, hidden, epochs, n_threads)
        for name, rounds in times.items():
            ratio = statistics.median(a / b for a, b in zip(rounds, times[PLAIN], strict=True))
            print(f"{inputs}-{hidden}-10 {rule.__name__:5} {name:26} {1e6 * min(rounds):7.1f} "
                  f"{1e6 * statistics.median(rounds):7.1f} {ratio:6.3f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
