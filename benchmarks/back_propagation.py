"""What the chapter on back-propagation says was measured.

    taskset -c 1 python -m benchmarks.back_propagation

from the root of the repository, in a few minutes: how time and memory of a gradient grow with depth
and width, and what a genetic algorithm takes for the same task. One thread, float32. Times of
single calls are the least of many; memory is by how much a process of its own grows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastbp
from fastbp.bench.machine import facts
from fastbp.datasets import digits

ROUNDS = 20
SECONDS = 0.05  # of each timing
ROWS = 256
DEPTHS = [(depth, 256) for depth in (2, 4, 8, 16, 32, 64)]
WIDTHS = [(4, width) for width in (64, 128, 256, 512, 1024, 2048)]
POPULATION, PARENTS = 50, 12
MOST = 5000  # epochs, and generations
TASKS = {"XOR": (0.01, 10), "digits": (0.3, 5)}  # loss to reach, runs


def deep(depth: int, width: int, optimizer: str = "sgd") -> fastbp.Network:
    """Return a network of so many layers of as many units as it has inputs."""
    layers = [fastbp.Dense(width, activation="relu") for _ in range(depth)]
    return fastbp.Network(
        layers,
        input_shape=width,
        loss="mean_squared_error",
        optimizer=optimizer,
        seed=0,
        n_threads=1,
    )


def rows(width: int, count: int) -> Any:
    """Return random rows."""
    return np.random.default_rng(0).random((count, width), np.float32)


def seconds(work: Callable[..., Any], *arguments: Any) -> float:
    """Return the time of the fastest call of those that `SECONDS` have room for."""
    end, least = time.perf_counter() + SECONDS, np.inf
    while (began := time.perf_counter()) < end:
        work(*arguments)
        least = min(least, time.perf_counter() - began)
    return least


def growth(sweep: list[tuple[int, int]]) -> None:
    """Print what forward pass and gradient of each network take; they take turns."""
    works: list[tuple[Callable[..., Any], ...]] = []
    for depth, width in sweep:
        net, x = deep(depth, width), rows(width, ROWS)
        works += [(net.predict, x), (net.loss_and_gradients, x, x)]
    times = [[seconds(*work) for work in works] for _ in range(ROUNDS)]
    print("depth  width  parameters  forward ms  with gradient ms  ratio  memory MB")
    for shape, (there, back) in zip(sweep, np.min(times, axis=0).reshape(-1, 2), strict=True):
        print(f"{shape[0]:5} {shape[1]:6} {deep(*shape).n_parameters:11,} {1e3 * there:11.3f} "
              f"{1e3 * back:17.3f} {back / there:6.2f} {grown('gradient', *shape, ROWS):10.1f}",
              flush=True)  # fmt: skip


def task(name: str, seed: int) -> tuple[fastbp.Network, Any, Any]:
    """Return an untrained network and its data."""
    if name == "digits":
        x, y = digits()
        layers = [fastbp.Dense(32, activation="relu"), fastbp.Dense(10, activation="softmax")]
        loss, rule, x = "sparse_categorical_crossentropy", fastbp.Adam(), x / np.float32(16)
    else:
        x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
        layers = [fastbp.Dense(3, activation="tanh"), fastbp.Dense(1, activation="sigmoid")]
        loss, rule = "binary_crossentropy", fastbp.SGD(1.0)
    net = fastbp.Network(
        layers, input_shape=x.shape[1], loss=loss, optimizer=rule, seed=seed, n_threads=1
    )
    return net, x, y


def descend(net: fastbp.Network, x: Any, y: Any, goal: float) -> int:
    """Train by back-propagation to a loss, as training sees it; return the gradients it took."""
    losses = net.fit(x, y, epochs=MOST, batch_size=32, verbose=0, stop_at_loss=goal)["loss"]
    return len(losses) * -(-len(x) // 32)


class Population:
    """Parameter vectors that are selected, crossed and mutated.

    The best quarter go on as they are. In the place of each other one comes a child of two of
    them: each parameter from one or the other, plus a normal deviate, whose size is a gene as well.
    """

    def __init__(self, net: fastbp.Network, x: Any, y: Any, seed: int) -> None:
        self._net, self._data, self._rng = net, (x, y), np.random.default_rng(seed)
        self._genes = np.empty((POPULATION, net.n_parameters), net.dtype)
        for number, genes in enumerate(self._genes):
            net.reset(seed + number)
            genes[:] = net.parameters
        self._sizes = np.full(POPULATION, 0.1, np.float32)
        self.losses = np.array([self._loss(genes) for genes in self._genes])

    def _loss(self, genes: Any) -> float:
        self._net.set_parameters(genes)
        return self._net.evaluate(*self._data)["loss"]

    def breed(self) -> None:
        """Make a generation: replace all but the parents."""
        ranks = self.losses.argsort()
        for place in ranks[PARENTS:]:
            self._replace(place, *self._rng.choice(ranks[:PARENTS], 2))

    def _replace(self, place: int, first: int, second: int) -> None:
        child, rng = self._genes[place], self._rng
        size = np.sqrt(self._sizes[first] * self._sizes[second])
        size *= np.exp(0.3 * rng.standard_normal(dtype=np.float32))
        rng.standard_normal(dtype=np.float32, out=child)
        child *= size
        child += np.where(rng.random(len(child)) < 0.5, self._genes[first], self._genes[second])
        self._sizes[place], self.losses[place] = size, self._loss(child)


def evolve(net: fastbp.Network, x: Any, y: Any, goal: float, seed: int, limit: int) -> int:
    """Evolve to a loss, at most `limit` generations; return the evaluations it took."""
    population, generations = Population(net, x, y, seed), 0
    while population.losses.min() > goal and generations < limit:
        population.breed()
        generations += 1
    return POPULATION + generations * (POPULATION - PARENTS)


def contest(name: str) -> None:
    """Print what both take, the medians over some starts."""
    goal, starts = TASKS[name]
    taken = []
    for seed in range(starts):
        net, x, y = task(name, seed)
        began = time.perf_counter()
        gradients = descend(net, x, y, goal)
        between = time.perf_counter()
        evaluations = evolve(net, x, y, goal, 1000 * seed, MOST)
        taken.append([gradients, between - began, evaluations, time.perf_counter() - between])
    gradients, descent, evaluations, evolution = np.median(taken, axis=0)
    print(f"{name}, {net.n_parameters} parameters, to {goal}: {gradients:,.0f} gradients in "
          f"{1e3 * descent:.2f} ms; {evaluations:,.0f} evaluations of {len(x)} rows in "
          f"{1e3 * evolution:.0f} ms", flush=True)  # fmt: skip


def memory(work: str, depth: int, width: int, count: int) -> float:
    """Return by how many MB this process grows for a network and two steps, or generations."""
    x = rows(width, count)
    deep(1, 1).fit([[0]], [[0]], verbose=0)  # what is loaded and kept once
    before = held("VmRSS")
    net = deep(depth, width, "adam" if work == "descent" else "sgd")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of drawing initial values
    if work == "evolution":
        evolve(net, x, x, 0.0, 0, limit=2)
    else:
        net.fit(x, x, epochs=2, batch_size=count, verbose=0)
    return (held("VmHWM") - before) / 1e6


def held(what: str) -> int:
    """Return how many bytes of memory this process holds, or the most that it has held."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(f"{what}:")[1].split()[0])


def grown(*arguments: Any) -> float:
    """Return what `memory` says in a new process."""
    command = [sys.executable, "-m", "benchmarks.back_propagation", json.dumps(arguments)]
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # arrays that are freed go back at once
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    """Print all that is measured."""
    if sys.argv[1:]:
        print(memory(*json.loads(sys.argv[1])))
        return
    print("; ".join(f"{key} {value}" for key, value in facts().items()))
    growth(DEPTHS)
    growth(WIDTHS)
    for name in TASKS:
        contest(name)
    print("depth  width   rows  descent MB  evolution MB")
    for shape in ((2, 512, 32), (16, 256, 8192)):
        taken = [grown(work, *shape) for work in ("descent", "evolution")]
        print("{:5} {:6} {:6} {:11.1f} {:13.1f}".format(*shape, *taken))


if __name__ == "__main__":
    main()
