"""Training beside processes that never rest: ``python -m benchmarks.busy``, from the root.

Prints the median and the longest of some fits, with the cores free and with one busy process for
each of them: on as many threads as fastbp chooses, on one, and on two as `n_threads` asks for them.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

from fastbp import Dense, Network
from fastbp.bench import machine

NETWORKS = [((8, 7, 5, 3), 200), ((64, 100, 10), 200), ((64, 100, 10), 1000)]  # and batch sizes
SETTINGS = (None, 1, 2)
FITS = 15
ROWS, EPOCHS = 2000, 6


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Let so many processes run that never rest."""
    command = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(command) for _ in range(processes)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def milliseconds(units: tuple[int, ...], batch_size: int, n_threads: int | None) -> list[float]:
    """Return what each of some fits takes."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(ROWS, units[0])), rng.integers(units[-1], size=ROWS)
    hidden = [Dense(n, activation="relu") for n in units[1:-1]]
    net = Network(
        [*hidden, Dense(units[-1], activation="softmax")],
        input_shape=units[0],
        loss="sparse_categorical_crossentropy",
        optimizer="adam",
        n_threads=n_threads,
    )
    taken = []
    for _ in range(FITS):
        began = time.perf_counter()
        net.fit(x, y, epochs=EPOCHS, batch_size=batch_size, verbose=0)
        taken.append(1e3 * (time.perf_counter() - began))
    return taken


def main() -> None:
    """Print the table."""
    print("; ".join(f"{key} {value}" for key, value in machine.facts().items()))
    print(f"\nMilliseconds of {EPOCHS} epochs of {ROWS} rows: median (longest)\n")
    print("| busy processes | network | batch | chosen | 1 thread | 2 threads |")
    print("| --- | --- | --- | --- | --- | --- |")
    for processes in (0, machine.cores()):
        with busy(processes):
            for units, batch_size in NETWORKS:
                cells = []
                for n_threads in SETTINGS:
                    taken = milliseconds(units, batch_size, n_threads)
                    cells.append(f"{statistics.median(taken):.1f} ({max(taken):.1f})")
                name = "-".join(map(str, units))
                print(f"| {processes} | {name} | {batch_size} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
