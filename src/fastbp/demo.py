"""The main job, `fastbp demo`: a network learns to read handwritten digits, and is checked.

The check is the same training on the NumPy reference: its time, its predictions, and in float64
its parameters.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import fastbp
from fastbp import datasets, plotting, random, reference

EPOCHS = 30
BATCH_SIZE = 32
LEARNING_RATE = 0.004
TEST_SHARE = 0.2
PICTURE = "fastbp-digits.png"

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Split:
    """The digits, divided: x of shape (n, 64), bytes from 0 to 16; y of shape (n,)."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


@dataclass(frozen=True)
class Training:
    """A trained network, with how it went and what it reads in the test images."""

    network: fastbp.Network
    history: fastbp.History
    seconds: float
    predicted: Array


def split(seed: int) -> Split:
    """Return the digits in an order keyed by `seed`, the first fifth for the test."""
    x, y = datasets.digits()
    order = random.row_order(seed, 0, len(x))
    test, train = np.split(order, [round(TEST_SHARE * len(x))])
    return Split(x[train], y[train], x[test], y[test])


def train(
    data: Split,
    seed: int,
    engine: type[fastbp.Network] = fastbp.Network,
    dtype: str = "float32",
    verbose: int = 0,
) -> Training:
    """Train the demo's network from the initial values of `seed` and read the test images."""
    network = build(seed, engine, dtype)
    began = time.perf_counter()
    history = network.fit(
        data.x_train,
        data.y_train,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        validation_data=(data.x_test, data.y_test),
        verbose=verbose,
    )
    seconds = time.perf_counter() - began
    return Training(network, history, seconds, network.predict(data.x_test).argmax(axis=1))


def build(seed: int, engine: type[fastbp.Network], dtype: str) -> fastbp.Network:
    """Return the untrained network: 64 pixels, 32 hidden units, 10 probabilities."""
    return engine(
        [
            fastbp.Rescale(1 / 16),
            fastbp.Dense(32, activation="relu"),
            fastbp.Dense(10, activation="softmax"),
        ],
        input_shape=64,
        loss="sparse_categorical_crossentropy",
        optimizer=fastbp.Adam(learning_rate=LEARNING_RATE),
        metrics=["accuracy"],
        dtype=dtype,
        seed=seed,
    )


def confusion(truth: Array, predicted: Array) -> Array:
    """Return how often each digit (row) was read as each digit (column)."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def confusion_table(counts: Array) -> str:
    """Return a confusion matrix as text, with dots for zeros."""
    lines = ["digit" + "".join(f"{digit:5}" for digit in range(10)) + "   read as"]
    for digit, row in enumerate(counts):
        lines.append(f"{digit:5}" + "".join(f"{count or '.':>5}" for count in row))
    return "\n".join(lines)


def comparison_table(data: Split, seed: int, ours: Training, theirs: Training) -> str:
    """Return times and differences of the two engines, training both once more in float64."""
    differ = np.count_nonzero(ours.predicted != theirs.predicted)
    a, b = (
        train(data, seed, engine, "float64").network.parameters
        for engine in (fastbp.Network, reference.Network)
    )
    rows = [
        ("compiled core", f"{ours.seconds:.3f} s"),
        ("NumPy reference", f"{theirs.seconds:.3f} s"),
        ("ratio", f"{theirs.seconds / ours.seconds:.1f}"),
        ("test predictions that differ", f"{differ} of {len(data.y_test)}"),
        ("largest parameter difference of a float64 run", f"{np.abs(a - b).max():.1e}"),
    ]
    return "\n".join(f"  {name:46} {figure:>10}" for name, figure in rows)


def draw(data: Split, training: Training, path: str) -> None:
    """Write a picture of the curves and the misread digits; needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.5), layout="constrained")
    halves = figure.add_gridspec(1, 2)
    left, right = (figure.add_subfigure(halves[half]) for half in (0, 1))
    left.suptitle(f"{len(data.x_train):,} digits to learn from, {len(data.x_test)} to validate")
    for axes, name in zip(left.subplots(2, 1, sharex=True), ("loss", "accuracy"), strict=True):
        plotting.curve(axes, training.history, name)
    images = data.x_test.reshape(-1, 8, 8)
    plotting.misread(right, images, data.y_test, training.predicted)
    figure.savefig(path, dpi=150)


def run(seed: int) -> None:
    """Do the main job and print what comes of it."""
    data = split(seed)
    print(f"fastbp {fastbp.__version__} learns to read handwritten digits of 8 x 8 pixels:")
    print(f"{len(data.x_train):,} to learn from, {len(data.x_test)} for the test, seed {seed}.\n")
    print(build(seed, fastbp.Network, "float32").summary(), end="\n\n", flush=True)
    ours = train(data, seed, verbose=1)
    accuracy = np.mean(ours.predicted == data.y_test)
    print(f"\ntest accuracy: {100 * accuracy:.1f} %\n")
    print(confusion_table(confusion(data.y_test, ours.predicted)))
    print("\nThe same training on the NumPy reference:\n", flush=True)
    theirs = train(data, seed, reference.Network, verbose=1)
    print(comparison_table(data, seed, ours, theirs), end="\n\n")
    try:
        draw(data, ours, PICTURE)
        print(f"{PICTURE} shows the curves of loss and accuracy, and the misread digits.")
    except ImportError:
        print("For a picture of the curves and the misread digits: pip install 'fastbp[plot]'")
    except OSError as error:
        print(f"No picture: {error}")
