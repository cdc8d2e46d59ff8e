"""The rows of the table: trainings from one neuron to 33 million weights, and predictions.

W rows are trainings on digits and random rows, M rows the same networks on real images, S the
small network that SimpleChains.jl is measured by, P1 and P2 predictions of one row and of 10,000.
A "d" behind a name stands for float64.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastbp.bench.workloads import Prediction, Training, Workload

CLASSES: dict[str, Any] = {
    "loss": "sparse_categorical_crossentropy",
    "data": "random labels",
}
IMAGES: dict[str, Any] = {"data": "images", "rows": 10_000}


def _smallest() -> list[Training]:
    neuron = Training(
        name="W1",
        label="one neuron, float64",
        title="2-1 sigmoid without bias, (p-t)^2, float64, one row (.1, .4) -> .7, SGD .01",
        sizes=(2, 1),
        activations=("sigmoid",),
        dtype="float64",
        use_bias=False,
        data="neuron",
        rows=1,
        loss="squared_error",
        optimizer="sgd",
        learning_rate=0.01,
        batch_size=1,
        epochs=80_000,
        shuffle=False,
        unit="80,000 steps",
    )
    xor = Training(
        name="W2",
        label="XOR 2-2-1",
        title="XOR 2-2-1 sigmoid, half squared error summed, full batch of 4, SGD .1",
        sizes=(2, 2, 1),
        activations=("sigmoid", "sigmoid"),
        data="corners",
        rows=4,
        loss="half_squared_error",
        reduction="sum",
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=4,
        epochs=10_000,
        shuffle=False,
        unit="10,000 epochs",
    )
    chain = Training(
        name="S",
        label="4-32-16-4 tanh",
        title="4-32-16-4 tanh, tanh, identity, mean squared error, Adam 1e-3, full batch of 10,000",
        sizes=(4, 32, 16, 4),
        activations=("tanh", "tanh", "identity"),
        data="random targets",
        rows=10_000,
        loss="mean_squared_error",
        optimizer="adam",
        learning_rate=1e-3,
        batch_size=10_000,
        epochs=20,
        shuffle=False,
        unit="epoch",
    )
    return [neuron, xor, chain]


def _classifiers() -> list[Training]:
    digits = Training(
        name="W3",
        label="digits 64-32-10",
        title="1,797 digits / 16, 64-32-10 ReLU softmax, Adam 1e-3, batch 32",
        sizes=(64, 32, 10),
        activations=("relu", "softmax"),
        rows=1_797,
        optimizer="adam",
        learning_rate=1e-3,
        batch_size=32,
        epochs=20,
        unit="step",
        **CLASSES | {"data": "digits"},
    )
    mnist = Training(
        name="W4a",
        label="784-128-10, batch 32",
        title="784-128-10 ReLU, dropout .2, Adam 1e-3, batch 32, 60,000 uniform random rows",
        sizes=(784, 128, 10),
        activations=("relu", "softmax"),
        optimizer="adam",
        learning_rate=1e-3,
        batch_size=32,
        rows=60_000,
        epochs=1,
        dropout=0.2,
        unit="epoch",
        **CLASSES,
    )
    return [digits, mnist, _batch_of_128(mnist)]


def _batch_of_128(row: Training) -> Training:
    return replace(
        row,
        name=row.name.replace("a", "b"),
        label=row.label.replace("batch 32", "batch 128"),
        title=row.title.replace("batch 32", "batch 128"),
        batch_size=128,
    )


def _large() -> list[Training]:
    medium = Training(
        name="W5",
        label="784-512-512-10",
        title="784-512-512-10 ReLU softmax, SGD 1e-3, batch 256, 4,096 random rows",
        sizes=(784, 512, 512, 10),
        activations=("relu", "relu", "softmax"),
        rows=4_096,
        optimizer="sgd",
        learning_rate=1e-3,
        batch_size=256,
        epochs=1,
        unit="step",
        **CLASSES,
    )
    deep = replace(
        medium,
        name="W6",
        label="1024 x 4-10",
        title="1024-1024-1024-1024-10 ReLU softmax, SGD 1e-3, batch 512, 4,096 random rows",
        sizes=(1024, 1024, 1024, 1024, 10),
        activations=("relu", "relu", "relu", "softmax"),
        batch_size=512,
    )
    wide = replace(
        medium,
        name="W7",
        label="4096-4096-4096",
        title="4096-4096-4096 ReLU identity, mean squared error, SGD 1e-3, 4 batches of 1,024",
        sizes=(4096, 4096, 4096),
        activations=("relu", "identity"),
        data="random targets",
        loss="mean_squared_error",
        batch_size=1_024,
    )
    return [medium, deep, wide]


def _in_float64(row: Training) -> Training:
    return replace(
        row,
        name=f"{row.name}d",
        label=f"{row.label}, float64",
        title=f"{row.title}, float64",
        dtype="float64",
    )


def _on_images(row: Training) -> Training:
    title = row.title.replace("60,000 uniform random rows", "10,000 images")
    return replace(
        row,
        name=row.name.replace("W", "M"),
        label=f"{row.label}, images",
        title=title.replace("4,096 random rows", "10,000 images"),
        **IMAGES,
    )


def _ten_epochs(row: Training) -> Training:
    return replace(
        row,
        name="M",
        label="10 epochs of images",
        title="784-128-10 ReLU, no dropout, Adam 1e-3, batch 32, 10 epochs of 10,000 images",
        epochs=10,
        dropout=0.0,
        unit="10 epochs",
    )


def _predictions() -> list[Prediction]:
    networks = [
        ("a", (4, 16, 16, 2), ("relu", "relu", "identity")),
        ("b", (64, 32, 10), ("relu", "softmax")),
        ("c", (784, 128, 10), ("relu", "softmax")),
    ]
    one = [
        Prediction(
            name=f"P1{letter}",
            label=f"predict 1 row, {'-'.join(map(str, sizes))}",
            title=f"one row of {'-'.join(map(str, sizes))} from Python, {', '.join(activations)}",
            sizes=sizes,
            activations=activations,
            rows=1,
            calls=1_000,
            unit="call",
        )
        for letter, sizes, activations in networks
    ]
    many = [
        replace(
            row,
            name=row.name.replace("P1", "P2"),
            label=row.label.replace("1 row", "10,000 rows"),
            title=row.title.replace("one row", "10,000 rows"),
            rows=10_000,
            calls=1,
        )
        for row in one
    ]
    return one + many


def _all() -> list[Workload]:
    neuron, xor, chain = _smallest()
    digits, *mnist = _classifiers()
    medium, *large = _large()
    in_float64 = [_in_float64(digits), _in_float64(medium)]
    on_images = [_on_images(row) for row in (*mnist, medium)]
    on_images.append(_ten_epochs(on_images[0]))
    trainings = [neuron, xor, chain, digits, *mnist, medium, *large, *in_float64, *on_images]
    return [*trainings, *_predictions()]


ROWS: dict[str, Workload] = {row.name: row for row in _all()}
QUICK = ("W2", "W3", "W5", "P1a", "P2c")
"""One row of each kind, short enough for all of them to take less than a minute."""
