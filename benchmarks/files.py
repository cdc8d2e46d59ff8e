"""Saving and loading ten million parameters, beside NumPy's own files and what a save consists of.

Run as ``python benchmarks/files.py [FOLDER]``; the least of several rounds, one thread.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastbp

ROUNDS = 7


def numpy_save(path: Path, array: Any) -> None:
    with path.open("wb") as file:
        np.save(file, array)
        file.flush()
        os.fsync(file.fileno())


def jobs(folder: Path) -> dict[str, Callable[[], Any]]:
    layers = [fastbp.Dense(3162), fastbp.Dense(4)]
    net = fastbp.Network(layers, input_shape=3162, loss="squared_error", optimizer="sgd", seed=0)
    flat = net.parameters.copy()
    return {
        "copy": lambda: flat.copy(),
        "SHA-256": lambda: hashlib.sha256(flat).digest(),
        "numpy.save, fsync": lambda: numpy_save(folder / "a.npy", flat),
        "Network.save": lambda: net.save(folder / "a"),
        "numpy.load": lambda: np.load(folder / "a.npy"),
        "fastbp.load": lambda: fastbp.load(folder / "a"),
    }


def main(parent: str | None = None) -> None:
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        todo = jobs(Path(folder))
        best = dict.fromkeys(todo, float("inf"))
        for _ in range(ROUNDS):
            for name, job in todo.items():
                began = time.perf_counter()
                job()
                best[name] = min(best[name], time.perf_counter() - began)
        for name, seconds in best.items():
            print(f"{name:18} {1e3 * seconds:7.1f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
