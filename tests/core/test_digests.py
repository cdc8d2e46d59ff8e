"""Trained networks keep their bits from version to version, on every instruction set.

digests.json holds digests of the parameters, predictions and losses of a fixed set of small
networks. Whatever changes one of them changes everybody's results: it needs an entry under
"Numerics" in CHANGELOG.md, with its reason, in the same commit as the new digests. These are
written by

    python tests/core/test_digests.py

from the root of the repository, with the compiled core built in place or installed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import update_rules
from graph_cases import CASES
from loss_cases import UNLINKED, last_activation
from schedule_rows import ROWS

import fastbp
from fastbp import random
from fastbp.activations import ACTIVATIONS
from fastbp.constraints import MaxNorm
from fastbp.initializers import INITIALIZERS
from fastbp.layers import Activation, Dense, Dropout, Flatten, Layer, Rescale
from fastbp.losses import (
    LOSSES,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CrossEntropy,
    Hinge,
    Huber,
    Loss,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from fastbp.optimizers import LBFGS, SGD, Adam, AdamW, Optimizer
from fastbp.regularizers import L1, L1L2

RECORDED = Path(__file__).with_name("digests.json")
DTYPES = ("float32", "float64")


class Task(NamedTuple):
    """A network and how it is trained."""

    layers: list[Layer]
    inputs: int = 5
    loss: Loss = MeanSquaredError()
    optimizer: Optimizer = SGD(0.05)
    rows: int = 20
    batch_size: int = 6
    epochs: int = 5
    weighted: bool = False
    shuffle: bool = True
    pixels: bool = False
    accumulate: int = 1


def two(activation: Any, units: int = 7, outputs: int = 3) -> list[Layer]:
    return [Dense(units, activation), Dense(outputs)]


SPARSE = SparseCategoricalCrossentropy()
SIZES = [1, 2, 4, 8, 9, 15, 16, 17, 31, 32, 33]
OLDER_RULES = ("sgd", "momentum", "nesterov", "adam", "adam, other constants")
RULES = {
    "momentum": SGD(0.05, momentum=0.9),
    "nesterov": SGD(0.05, momentum=0.9, nesterov=True),
    "adam": Adam(0.01),
    "adam, other constants": Adam(0.05, beta_1=0.5, beta_2=0.9, epsilon=0.1),
    **{name: rule for name, rule in update_rules.RULES.items() if name not in OLDER_RULES},
}
TASKS = {
    **{f"activation {f}": Task([Dense(7, f), Dense(6, f), Dense(3)]) for f in ACTIVATIONS},
    **{
        f"loss {name}": Task([Dense(7, "tanh"), Dense(4, last_activation(kind))], loss=kind())
        for name, kind in LOSSES.items()
    },
    **{
        f"{name} from logits, sum": Task(two("tanh"), loss=LOSSES[name]("sum", **options))
        for name, options in UNLINKED.items()
    },
    **{
        f"{name} smoothed": Task(
            [Dense(7, "tanh"), Dense(4, kind.probability)], loss=kind(label_smoothing=0.2)
        )
        for name, kind in LOSSES.items()
        if issubclass(kind, CrossEntropy)
    },
    **{f"optimizer {name}": Task(two("tanh"), optimizer=rule) for name, rule in RULES.items()},
    **{f"schedule {name}": Task(two("tanh"), optimizer=SGD(schedule))
       for name, schedule in ROWS.items()},
    **{f"{n} units": Task(two("tanh", n, 9), 9, optimizer=Adam(0.01)) for n in SIZES},
    **{
        f"initializer {name}": Task(
            [Dense(6, "tanh", weights_initializer=kind(), bias_initializer=kind()), Dense(2)]
        )
        for name, kind in INITIALIZERS.items()
        if name != "zeros"  # which a constant of 0 is too
    },
    "xor": Task([Dense(2, "sigmoid"), Dense(1, "sigmoid")], 2, rows=4, batch_size=4, epochs=50),
    "one unit, hinge": Task([Dense(1)], 2, loss=Hinge(), rows=4, batch_size=4, shuffle=False),
    "single rows": Task(two("relu"), batch_size=1),
    "without shuffle": Task(two("relu"), shuffle=False),
    "ragged batches": Task(two("relu"), rows=23, batch_size=10),
    "sample weights": Task(two("silu"), loss=Huber(delta=0.3), weighted=True),
    "sum of weighted rows": Task(two("gelu"), loss=CategoricalCrossentropy("sum", True),
                                 weighted=True),
    "dropout": Task([Dropout(0.1), Dense(9, "elu"), Dropout(0.5), Dense(3, "softmax")],
                    loss=SPARSE, optimizer=Adam(0.01)),
    "structured dropout": Task(
        [Dropout(0.1, structured=True), Dense(40, "elu"), Dropout(0.5, structured=True),
         Dense(3, "softmax")], 20, loss=SPARSE, optimizer=Adam(0.01)),
    "structured dropout of narrow layers": Task(
        [Dense(9, "tanh"), Dropout(0.5, structured=True), Dense(3)]),
    "wide structured dropout": Task(
        [Dense(300, "relu"), Dropout(0.5, structured=True), Dense(290, "tanh"),
         Dropout(0.5, structured=True), Dense(3)], optimizer=Adam(0.001), accumulate=2, epochs=2),
    "pixels": Task([Rescale(1 / 255), Flatten(), Dense(9, "relu"), Dense(4, "softmax")],
                   loss=SPARSE, pixels=True),
    "layers": Task([Dense(6), Activation("softplus"), Dense(4), Activation("softmax")],
                   loss=SPARSE),
    "frozen": Task([Dense(6, "tanh", trainable=False), Dense(4, "tanh", bias_trainable=False),
                    Dense(3, use_bias=False)]),
    "long chains": Task([Dense(9, "tanh"), Dense(300, "tanh"), Dense(3)], 257, epochs=1),
    "wide softmax": Task([Dense(33, "relu"), Dense(200, "softmax")], loss=SPARSE),
    "wide": Task([Dense(130, "relu"), Dense(3)], 130, optimizer=Adam(0.001), epochs=2),
    "wide and narrow": Task([Dense(3, "tanh"), Dense(129), Dense(128, "relu"), Dense(2)],
                            optimizer=Adam(0.001), rows=300, batch_size=150, epochs=2),
    "wide, clipped norm": Task([Dense(130, "relu"), Dense(3)], 130, epochs=2,
                               optimizer=AdamW(0.001, weight_decay=0.1, clip_norm=0.1)),
    "accumulated": Task([Dropout(0.2), Dense(9, "tanh"), Dense(3)], optimizer=Adam(0.01),
                        accumulate=2, weighted=True),
    "wide, accumulated": Task([Dense(130, "relu"), Dense(3)], 130, epochs=2, accumulate=3,
                              optimizer=SGD(0.05, clip_norm=0.1), rows=200, batch_size=65),
    "l1": Task([Dense(7, "tanh", weights_regularizer="l1"), Dense(3, bias_regularizer=L1(0.1))]),
    "l2": Task([Dense(7, "tanh", weights_regularizer=0.02, bias_regularizer="l2"), Dense(3)],
               optimizer=Adam(0.01)),
    "l1 and l2, clipped norm": Task([Dense(20, "tanh", weights_regularizer=L1L2(0.01, 0.02)),
                                     Dense(3)], optimizer=SGD(0.05, clip_norm=0.1)),
    "l2 and lbfgs": Task([Dense(7, "tanh", weights_regularizer=0.02), Dense(3)],
                         optimizer=LBFGS(history=3), epochs=9),
    "wide, l1 and l2": Task([Dense(130, "relu", weights_regularizer=0.001),
                             Dense(3, weights_regularizer="l1", bias_regularizer="l2")], 130,
                            optimizer=Adam(0.001), epochs=2),
    "accumulated, l2": Task([Dense(9, "tanh", weights_regularizer="l2"), Dense(3)], accumulate=2),
    "joint mean, l2": Task([Dense(9, "tanh", weights_regularizer=2.0), Dense(3)], weighted=True,
                           loss=MeanSquaredError("joint_mean")),
    "max_norm": Task([Dense(33, "tanh", weights_constraint=0.7, bias_constraint=0.1),
                      Dense(3, weights_constraint=MaxNorm(0.3, axis=1))]),
    "non_neg": Task([Dense(9, "tanh", weights_constraint="non_neg"),
                     Dense(3, bias_constraint="non_neg")]),
    "wide, max_norm": Task([Dense(130, "relu", weights_constraint=0.8),
                            Dense(3, weights_constraint="non_neg")], 130,
                           optimizer=Adam(0.001), epochs=2),
    "max_norm of many inputs": Task([Dense(3, weights_constraint=0.9)], 5000, epochs=2),
    "lbfgs": Task(two("tanh"), optimizer=LBFGS(history=3), epochs=9),
    "wide, lbfgs": Task([Dense(130, "relu"), Dropout(0.1), Dense(3)], 130, optimizer=LBFGS(),
                        epochs=3),
    "operands in blocks": Task([Dense(300, "relu"), Dense(520), Dense(3)], 20,
                               optimizer=Adam(0.001), rows=150, batch_size=150, epochs=1),
    "slots": Task(two("tanh", 20), rows=390, batch_size=195),
    "slots of narrow layers": Task(two("tanh"), rows=390, batch_size=195),
    "longer slots": Task(two("tanh", 20, 3), rows=2100, batch_size=2100),
    "slots of several chains": Task([Dense(3, "relu"), Dense(17), Dense(1, "sigmoid")],
                                    loss=BinaryCrossentropy(), rows=9000, batch_size=9000,
                                    epochs=2),
}  # fmt: skip


GRAPHS = {f"graph {name}": case for name, case in CASES.items()}


def numbers(stream: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return numbers in [-2, 2), the same on every machine and with every NumPy."""
    return random.uniform(1, stream, int(np.prod(shape)), dtype).reshape(shape) * 4 - 2


def data(task: Task, plan: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return inputs, targets and sample weights."""
    x = numbers(0, (task.rows, task.inputs), plan.dtype)
    y = numbers(1, (task.rows, *plan.output_shape), plan.dtype)
    if task.pixels:
        x = ((x + 2) * 64).astype(np.uint8)
    if task.loss.labels:
        y = ((y[:, 0] + 2) / 4 * y.shape[1]).astype(np.int32)
    elif task.loss.targets == "amounts":
        y = np.floor(y + 2)
    elif task.loss.targets == "signs":
        y = np.where(y > 0, 1, -1)
    elif task.loss.probability:
        y = (y + 2) / 4
        if task.loss.targets == "distributions":
            y /= y.sum(axis=1, keepdims=True)
    weights = numbers(2, (task.rows,), "float64") + 2
    return x, y, weights if task.weighted else None


def digest(array: Any, dtype: str) -> str:
    little_endian = np.asarray(array, np.dtype(dtype).newbyteorder("<"))
    return hashlib.sha256(little_endian.tobytes()).hexdigest()[:16]


def digests(name: str, dtype: str, n_threads: int) -> dict[str, str]:
    """Train a network; return digests of what it becomes and answers."""
    task = TASKS[name]
    net = fastbp.Network(
        task.layers, input_shape=task.inputs, loss=task.loss, optimizer=task.optimizer,
        dtype=dtype, seed=2, n_threads=n_threads,
    )  # fmt: skip
    x, y, weights = data(task, net.plan)
    history = net.fit(
        x, y, epochs=task.epochs, batch_size=task.batch_size, shuffle=task.shuffle,
        sample_weight=weights, gradient_accumulation_steps=task.accumulate, verbose=0,
    )  # fmt: skip
    assert np.isfinite(net.parameters).all()
    return {
        "parameters": digest(net.parameters, dtype),
        "predictions": digest(net.predict(x), dtype),
        "losses": digest(history["loss"], "float64"),
    }


def graph_digests(name: str, dtype: str, n_threads: int) -> dict[str, str]:
    """The same for a network that is no chain, of its first output."""
    case = GRAPHS[name]
    net = case.network(optimizer=Adam(0.01), dtype=dtype, seed=2, n_threads=n_threads)
    n_inputs, n_outputs = len(net.plan.inputs), len(net.plan.outputs)
    x = tuple(numbers(k, (70, *shape), dtype) for k, shape in enumerate(net.plan.inputs))
    y = []
    for k, output in enumerate(net.plan.outputs):
        t = numbers(9 + k, (70, *output.shape), dtype)
        if output.loss.labels:
            t = ((t[:, 0] + 2) / 4 * t.shape[1]).astype(np.int32)
        elif output.loss.probability:
            t = (t + 2) / 4
            if output.loss.targets == "distributions":
                t /= t.sum(axis=1, keepdims=True)
        y.append(t)
    given = x if n_inputs > 1 else x[0]
    history = net.fit(given, tuple(y) if n_outputs > 1 else y[0], epochs=2, verbose=0)
    answer = net.predict(given)
    return {
        "parameters": digest(net.parameters, dtype),
        "predictions": digest(answer[0] if n_outputs > 1 else answer, dtype),
        "losses": digest(history["loss"], "float64"),
    }


def digests_of(name: str, dtype: str, n_threads: int) -> dict[str, str]:
    return (graph_digests if name in GRAPHS else digests)(name, dtype, n_threads)


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    """Read digests.json."""
    content: dict[str, Any] = json.loads(RECORDED.read_text())
    return content


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*TASKS, *GRAPHS])
def test_trained_networks_have_the_recorded_bits(
    name: str, dtype: str, n_threads: int, isa: str, recorded: dict[str, Any]
) -> None:
    assert digests_of(name, dtype, n_threads) == recorded[name][dtype]


def test_every_record_belongs_to_a_network(recorded: dict[str, Any]) -> None:
    assert list(recorded) == [*TASKS, *GRAPHS]


def test_the_networks_differ(recorded: dict[str, Any], core: None) -> None:
    """Else something that a network is there for would not show."""
    parameters = [of[dtype]["parameters"] for of in recorded.values() for dtype in DTYPES]
    assert len(set(parameters)) == len(parameters)


def record() -> None:
    """Write digests.json anew."""
    names = [*TASKS, *GRAPHS]
    found = {name: {dtype: digests_of(name, dtype, 1) for dtype in DTYPES} for name in names}
    RECORDED.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    record()
