"""The workloads of the benchmarks, as data: what is trained or predicted, on what, and how often.

W1 to W7 are trainings from a single neuron to 33 million weights; P1 and P2 are predictions of one
row and of 10,000. Data are drawn from fixed seeds, so that every process makes the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Weights = list[tuple[Array, Array | None]]
"""Weights (inputs, outputs) and biases (outputs,), or None without biases, of each layer."""


@dataclass(frozen=True)
class Target:
    """What a row aims for: `peer` takes at least `ratio` times as long as fastbp.

    The peer "fastest" is whichever was fastest in the same run.
    """

    peer: str
    ratio: float


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A dense network and how often it runs.

    Attributes
    ----------
    name : str
        Short name, as "W3".
    title : str
        The work in full.
    sizes : tuple of int
        Units of each layer, inputs first.
    activations : tuple of str
        Activation of each layer after the inputs.
    rows : int
        Rows of the data.
    unit : str
        What the reported time is the time of.
    targets : tuple of Target
        What fastbp aims for.
    dtype : {"float32", "float64"}
        Precision of data, parameters and arithmetic.
    use_bias : bool
        Whether layers have biases.
    """

    name: str
    title: str
    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    rows: int
    unit: str
    targets: tuple[Target, ...]
    dtype: Literal["float32", "float64"] = "float32"
    use_bias: bool = True

    @property
    def units(self) -> int:
        """How many of `unit` one timed run holds."""
        return 1


@dataclass(frozen=True, kw_only=True)
class Training(Workload):
    """A training, continued run after run.

    Attributes
    ----------
    data : str
        Which data: see `training_data`.
    loss, reduction : str
        Loss of a row as fastbp names it, and how the rows of a batch are combined.
    optimizer, learning_rate : str, float
        "sgd" (without momentum) or "adam" (beta 0.9 and 0.999, epsilon 1e-7).
    batch_size, epochs : int
        Rows of a batch, and epochs of one timed run.
    dropout : float
        Rate of the dropout behind each hidden layer.
    shuffle : bool
        Whether each epoch takes the rows in a new random order.
    """

    data: Literal["neuron", "corners", "digits", "random labels", "random targets"]
    loss: str
    reduction: Literal["mean", "sum"] = "mean"
    optimizer: Literal["sgd", "adam"]
    learning_rate: float
    batch_size: int
    epochs: int
    dropout: float = 0.0
    shuffle: bool = True

    @property
    def steps(self) -> int:
        """Updates of one timed run; the last batch of an epoch may be smaller."""
        return self.epochs * -(-self.rows // self.batch_size)

    @property
    def units(self) -> int:
        """How many of `unit` one timed run holds."""
        return {"step": self.steps, "epoch": self.epochs}.get(self.unit, 1)

    def reduced(self) -> Training:
        """Return a short form without chance, for comparing what programs compute."""
        batch_size = min(self.batch_size, 64)
        return replace(
            self,
            rows=min(self.rows, 5 * batch_size // 2),
            batch_size=batch_size,
            epochs=min(self.epochs, 5),
            dropout=0.0,
            shuffle=False,
        )


@dataclass(frozen=True, kw_only=True)
class Prediction(Workload):
    """A prediction of `rows` rows, called from Python.

    Attributes
    ----------
    calls : int
        Calls of one timed run.
    """

    calls: int

    @property
    def units(self) -> int:
        """How many of `unit` one timed run holds."""
        return self.calls


def training_data(workload: Training) -> tuple[Array, Array]:
    """Return inputs (rows, inputs) and targets (rows, outputs), or int32 labels (rows,)."""
    rng = np.random.default_rng(0)
    rows, outputs = workload.rows, workload.sizes[-1]
    if workload.data == "neuron":
        x, y = np.array([[0.1, 0.4]]), np.array([[0.7]])
    elif workload.data == "corners":
        x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0], [1], [1], [0]])
    elif workload.data == "digits":
        x, y = _digits()
    else:
        x = rng.random((rows, workload.sizes[0]), dtype=np.float32)
        labels = workload.data == "random labels"
        y = (
            rng.integers(0, outputs, rows)
            if labels
            else rng.random((rows, outputs), dtype=np.float32)
        )
    kind = np.int32 if y.ndim == 1 else workload.dtype
    return np.ascontiguousarray(x[:rows], workload.dtype), np.ascontiguousarray(y[:rows], kind)


def _digits() -> tuple[Array, Array]:
    from fastbp.datasets import digits

    pixels, labels = digits()
    return pixels.reshape(len(pixels), -1) / 16, labels


def prediction_data(workload: Prediction) -> Array:
    """Return the rows to predict, uniform in [0, 1)."""
    shape = (workload.rows, workload.sizes[0])
    return np.random.default_rng(0).random(shape, dtype=np.float32).astype(workload.dtype)


def initial_weights(workload: Workload) -> Weights:
    """Return Glorot uniform weights and zero biases, for programs that bring none of their own."""
    rng = np.random.default_rng(1)
    weights: Weights = []
    for inputs, outputs in zip(workload.sizes, workload.sizes[1:], strict=False):
        limit = np.sqrt(6 / (inputs + outputs))
        w = rng.uniform(-limit, limit, (inputs, outputs)).astype(workload.dtype)
        weights.append((w, np.zeros(outputs, workload.dtype) if workload.use_bias else None))
    return weights


def _training_rows() -> list[Training]:
    softmax: dict[str, Any] = {
        "loss": "sparse_categorical_crossentropy",
        "data": "random labels",
    }
    w4 = Training(
        name="W4a",
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
        targets=(Target("jax", 2.8), Target("keras", 15)),
        **softmax,
    )
    return [
        Training(
            name="W1",
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
            targets=(Target("numba", 0.85), Target("numpy", 100)),
        ),
        Training(
            name="W2",
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
            targets=(Target("jax", 1.3), Target("numpy", 300)),
        ),
        Training(
            name="W3",
            title="1,797 digits / 16, 64-32-10 ReLU softmax, Adam 1e-3, batch 32",
            sizes=(64, 32, 10),
            activations=("relu", "softmax"),
            rows=1_797,
            optimizer="adam",
            learning_rate=1e-3,
            batch_size=32,
            epochs=20,
            unit="step",
            targets=(Target("jax", 4), Target("scikit-learn", 25)),
            **softmax | {"data": "digits"},
        ),
        w4,
        replace(
            w4,
            name="W4b",
            title=w4.title.replace("batch 32", "batch 128"),
            batch_size=128,
            targets=(Target("jax", 2.5),),
        ),
        Training(
            name="W5",
            title="784-512-512-10 ReLU softmax, SGD 1e-3, batch 256, 4,096 random rows",
            sizes=(784, 512, 512, 10),
            activations=("relu", "relu", "softmax"),
            rows=4_096,
            optimizer="sgd",
            learning_rate=1e-3,
            batch_size=256,
            epochs=1,
            unit="step",
            targets=(Target("fastest", 1.4),),
            **softmax,
        ),
        Training(
            name="W6",
            title="1024-1024-1024-1024-10 ReLU softmax, SGD 1e-3, batch 512, 4,096 random rows",
            sizes=(1024, 1024, 1024, 1024, 10),
            activations=("relu", "relu", "relu", "softmax"),
            rows=4_096,
            optimizer="sgd",
            learning_rate=1e-3,
            batch_size=512,
            epochs=1,
            unit="step",
            targets=(Target("fastest", 1.15),),
            **softmax,
        ),
        Training(
            name="W7",
            title="4096-4096-4096 ReLU identity, mean squared error, SGD 1e-3, 4 batches of 1,024",
            sizes=(4096, 4096, 4096),
            activations=("relu", "identity"),
            data="random targets",
            rows=4_096,
            loss="mean_squared_error",
            optimizer="sgd",
            learning_rate=1e-3,
            batch_size=1_024,
            epochs=1,
            unit="step",
            targets=(Target("fastest", 1.2),),
        ),
    ]


def _prediction_rows() -> list[Prediction]:
    networks = [
        ("a", (4, 16, 16, 2), ("relu", "relu", "identity"), Target("onnxruntime", 4), 1.5),
        ("b", (64, 32, 10), ("relu", "softmax"), Target("fastest", 1), 1.5),
        ("c", (784, 128, 10), ("relu", "softmax"), Target("onnxruntime", 2), 1.2),
    ]
    one = [
        Prediction(
            name=f"P1{letter}",
            title=f"one row of {'-'.join(map(str, sizes))} from Python, {', '.join(activations)}",
            sizes=sizes,
            activations=activations,
            rows=1,
            calls=1_000,
            unit="call",
            targets=(target,),
        )
        for letter, sizes, activations, target, _ in networks
    ]
    many = [
        replace(
            row,
            name=row.name.replace("P1", "P2"),
            title=row.title.replace("one row", "10,000 rows"),
            rows=10_000,
            calls=1,
            targets=(Target("fastest", ratio),),
        )
        for row, (*_, ratio) in zip(one, networks, strict=True)
    ]
    return one + many


WORKLOADS: dict[str, Workload] = {
    workload.name: workload for workload in [*_training_rows(), *_prediction_rows()]
}
