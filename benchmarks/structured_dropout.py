"""A step of 784-1024-1024-10 with structured dropout, beside plain dropout and beside none.

    python -m benchmarks.structured_dropout [n_threads]

from the root of the repository. Rate 0.5 behind both hidden layers, float32, rows in order. Each
line is milliseconds a step, the median of some rounds in which the networks take turns; the ratio
is that of plain to structured dropout. `floor` is what a structured step can't do without: its
operations at the rate at which the network without dropout works (an update counted apart), and the
update, which goes over all parameters as gradients of 0 move momenta and moments too.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from typing import Any

import numpy as np

import fastbp
from fastbp.bench.machine import facts

SIZES = (784, 1024, 1024, 10)
RATE = 0.5
BATCH_SIZES = (32, 128, 512)
RULES = {"SGD": fastbp.SGD(0.01), "Adam": fastbp.Adam(0.001)}
ROUNDS = 15
SECONDS = 0.1  # of each network in a round


def build(rule: Any, n_threads: int, dropout: list[Any]) -> fastbp.Network:
    """Return a network with `dropout` behind its hidden layers."""
    layers: list[Any] = []
    for units in SIZES[1:-1]:
        layers += [fastbp.Dense(units, activation="relu"), *dropout]
    return fastbp.Network(
        [*layers, fastbp.Dense(SIZES[-1], activation="softmax")], input_shape=SIZES[0],
        loss="sparse_categorical_crossentropy", optimizer=rule, seed=0, n_threads=n_threads,
    )  # fmt: skip


class Steps:
    """A network in training on batches of random rows."""

    def __init__(self, net: fastbp.Network, batch_size: int) -> None:
        rng = np.random.default_rng(0)
        self._net, self._batch_size = net, batch_size
        self._x = rng.random((batch_size, SIZES[0]), np.float32)
        self._y = rng.integers(0, SIZES[-1], batch_size)
        self._epochs = 2
        self.time()
        self._epochs = max(2, round(SECONDS / self.time()))

    def time(self) -> float:
        """Return the time of a step, the mean over one run."""
        began = time.perf_counter()
        self._net.fit(self._x, self._y, epochs=self._epochs, batch_size=self._batch_size,
                      shuffle=False, verbose=0)  # fmt: skip
        return (time.perf_counter() - began) / self._epochs


class Updates:
    """Updates of all parameters from gradients that stand in memory."""

    def __init__(self, net: fastbp.Network) -> None:
        self._net = net
        net.gradients[:] = 0

    def time(self) -> float:
        """Return the time of an update."""
        count = 10
        began = time.perf_counter()
        for _ in range(count):
            self._net.step()
        return (time.perf_counter() - began) / count


def products(sizes: tuple[float, ...]) -> float:
    """Return the multiply-adds of a row: forward, gradients, and deltas of all but the input."""
    layers = [a * b for a, b in itertools.pairwise(sizes)]
    return 2 * sum(layers) + sum(layers[1:])


def measure(rule: Any, batch_size: int, n_threads: int) -> dict[str, float]:
    """Return the median time of a step of each kind."""
    plain = [fastbp.Dropout(RATE)]
    structured = [fastbp.Dropout(RATE, structured=True)]
    runs: dict[str, Any] = {
        name: Steps(build(rule, n_threads, dropout), batch_size)
        for name, dropout in (("none", []), ("plain", plain), ("structured", structured))
    }
    runs["update"] = Updates(build(rule, 1, []))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            times[name].append(run.time())
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Print a line for each rule and batch size."""
    n_threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    print(
        "; ".join(f"{key} {value}" for key, value in facts().items()),
        f"threads {n_threads}",
        sep="; ",
    )
    inputs, *hidden, outputs = SIZES
    left = products((inputs, *(RATE * units for units in hidden), outputs)) / products(SIZES)
    print(f"multiply-adds left: {left:.3f}")
    print("rule  batch   none  plain  structured  update  ratio  floor  of the floor")
    for name, rule in RULES.items():
        for batch_size in BATCH_SIZES:
            t = {key: 1e3 * value for key, value in measure(rule, batch_size, n_threads).items()}
            floor = left * (t["none"] - t["update"]) + t["update"]
            step = t["structured"]
            print(f"{name:5} {batch_size:5} {t['none']:6.2f} {t['plain']:6.2f} {step:11.2f} "
                  f"{t['update']:7.2f} {t['plain'] / step:6.2f} {floor:6.2f} {floor / step:13.2f}",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
