"""Writes the golden files of the present format: once for each version, never again.

Run as ``python tests/golden_files.py tests/files/golden_VERSION``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import fastbp.reference
from fastbp import LBFGS, Adam, Dense, Dropout, Flatten, Rescale, schedules
from fastbp.callbacks import LambdaCallback
from fastbp.metrics import F1

X = np.random.default_rng(0).integers(0, 16, (40, 2, 4)).astype("u1")
LABELS = X.reshape(40, 8).argmax(1) % 3


def dropping() -> Any:
    """Return a float32 network with dropout, a schedule, names and preprocessing."""
    layers = [Flatten(), Rescale(1 / 16), Dense(6, "gelu"), Dropout(0.25), Dense(3, "softmax")]
    net = fastbp.reference.Network(
        layers,
        input_shape=(2, 4),
        loss="sparse_categorical_crossentropy",
        optimizer=Adam(schedules.Warmup(schedules.Cosine(0.05, 30), 5), clip_norm=2.0),
        metrics=["accuracy", F1("macro")],
        seed=2**64 - 1,
    )
    net.class_names = ["cat", "dog", "\u00fcbrige"]
    net.preprocessing = {"mean": X.mean(0), "limits": [0, float("inf")]}
    return net


def recurring() -> Any:
    """Return a float64 network with what L-BFGS remembers, and initial values given."""
    weights = np.arange(24).reshape(8, 3) / 24
    return fastbp.reference.Network(
        [Flatten(), Dense(3, weights_initializer=weights), Dense(1, "sigmoid", use_bias=False)],
        input_shape=(2, 4),
        loss="binary_crossentropy",
        optimizer=LBFGS(history=2),
        dtype="float64",
        seed=3,
    )


def targets(net: Any) -> Any:
    """Return what a network is to learn."""
    return LABELS if net.predict(X[:1]).shape[1] == 3 else LABELS[:, None] > 0


def write(folder: Path) -> None:
    """Write both files, of one network within an epoch, and what they predict and lead to."""
    expected = {}
    for make in (dropping, recurring):
        net, path = make(), folder / f"{make.__name__}.safetensors"

        def save(batch: int, logs: Any, net: Any = net, path: Path = path) -> None:
            if net.position.batches == 4:
                net.save(path)

        callbacks = [LambdaCallback(on_batch_end=save)]
        net.fit(X, targets(net), epochs=4, batch_size=16, callbacks=callbacks)
        again = fastbp.reference.Network.load(path)
        was = {"position": again.position, "predictions": again.predict(X[:2]).tolist()}
        again.fit(X, targets(again), epochs=2, batch_size=16)
        was |= {"epochs": again.position.epochs, "after": again.predict(X[:2]).tolist()}
        expected[path.name] = was
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
