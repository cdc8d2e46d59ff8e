"""Promise 2 over many steps: both engines train to the same parameters, records and positions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from engine_pair import Pair, draw_parameters
from update_rules import RULES

from fastbp import random
from fastbp.activations import ACTIVATIONS
from fastbp.engine import Fit, Position, Progress, Record, Rows
from fastbp.layers import Activation, Dense, Dropout, Layer, Rescale
from fastbp.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    HalfSquaredError,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredError,
)
from fastbp.optimizers import SGD, Adam, Optimizer

pytestmark = pytest.mark.usefixtures("core")

LIMIT = 1e-9  # after a hundred steps, in float64


class Task(NamedTuple):
    """A network, its data and how it is trained."""

    layers: list[Layer]
    inputs: int
    loss: Loss
    optimizer: Optimizer
    rows: int = 24
    batch_size: int = 6
    epochs: int = 25
    weighted: bool = False


SPARSE = SparseCategoricalCrossentropy()
TASKS = {
    "regression": Task([Dense(8, "tanh"), Dense(2)], 3, MeanSquaredError(), SGD(0.05)),
    "classifier": Task([Dense(16, "relu"), Dense(5, "softmax")], 8, SPARSE, Adam(0.01)),
    "one-hot": Task(
        [Dense(9, "gelu"), Dense(4, "softmax")], 6, CategoricalCrossentropy(), SGD(0.1, 0.9)
    ),
    "two sides": Task(
        [Dense(7, "elu"), Dense(1, "sigmoid")], 4, BinaryCrossentropy(), SGD(0.1, 0.9, True)
    ),
    "logits": Task(
        [Dense(7, "silu"), Dense(3)], 4, SparseCategoricalCrossentropy(from_logits=True), Adam(0.01)
    ),
    "weighted sum": Task(
        [Dense(5, "tanh"), Dense(2)], 3, SquaredError("sum"), SGD(0.005), weighted=True
    ),
    "weighted mean": Task(
        [Dense(5, "tanh"), Dense(2, "softmax")], 3, SPARSE, Adam(0.01), weighted=True
    ),
    "robust": Task([Dense(8, "softplus"), Dense(2)], 3, Huber(delta=0.5), SGD(0.1, 0.5)),
    "absolute": Task([Dense(8, "tanh"), Dense(2)], 3, MeanAbsoluteError(), SGD(0.02)),
    "dropout": Task(
        [Dropout(0.1), Dense(16, "leaky_relu"), Dropout(0.5), Dense(3, "softmax")],
        6, SPARSE, SGD(0.1, 0.9),
    ),
    "frozen": Task(
        [Dense(8, "tanh", trainable=False), Dense(8, "tanh", bias_trainable=False), Dense(2)],
        4, HalfSquaredError(), Adam(0.01),
    ),
    "ragged batches": Task([Dense(9, "tanh"), Dense(2)], 3, MeanSquaredError(), SGD(0.1), 23, 7),
    "full batch": Task(
        [Dense(2, "sigmoid"), Dense(1, "sigmoid")], 2, HalfSquaredError(), SGD(1.0), 4, 4, 100
    ),
    "single rows": Task([Dense(3, "tanh"), Dense(1)], 2, SquaredError(), SGD(0.02), 10, 1, 10),
    "slots": Task([Dense(20, "tanh"), Dense(3)], 5, MeanSquaredError(), SGD(0.1), 300, 150, 50),
    "wide": Task([Dense(130, "tanh"), Dense(130), Dense(2)], 9, MeanSquaredError(), SGD(0.01), 80,
                 40, 50),
    "layers": Task(
        [Rescale(0.5), Dense(6), Activation("tanh"), Dense(4), Activation("softmax")],
        5, SPARSE, Adam(0.02),
    ),
}  # fmt: skip


def make(task: Task, **given: Any) -> Any:
    fields = {"rows": task.rows, "weighted": task.weighted} | given
    return Pair(task.layers, task.inputs, task.loss, task.optimizer, **fields)


def check_training(pair: Any, task: Task, shuffle: bool = True, **fields: Any) -> Record:
    """Train both; parameters, memory, position and record must agree."""
    compiled, reference = pair.fit(task.epochs, task.batch_size, shuffle, **fields)
    pair.agree_by_tensor("parameter", lambda e: e.parameters, LIMIT)
    pair.agree_by_tensor("state", lambda e: e.state, LIMIT)
    assert pair.engines[0].position == pair.engines[1].position
    assert (compiled.epochs, compiled.diverged) == (reference.epochs, reference.diverged)
    assert compiled.curves.keys() == reference.curves.keys()
    for name in compiled.curves:
        pair.agree(name, compiled.curves[name], reference.curves[name], LIMIT)
    return compiled


@pytest.mark.parametrize("name", TASKS)
def test_a_hundred_steps_agree(name: str, n_threads: int) -> None:
    task = TASKS[name]
    pair = make(task, n_threads=n_threads)
    record = check_training(pair, task)
    assert pair.engines[0].position.steps >= 100
    assert record.curves["loss"][-1] < record.curves["loss"][0]


@pytest.mark.parametrize("rule", RULES)
def test_a_hundred_steps_agree_for_every_rule(rule: str, n_threads: int) -> None:
    """Of full batches: of others Rprop and Quickprop make little."""
    task = Task([Dense(6, "tanh"), Dense(2)], 4, MeanSquaredError(), RULES[rule], 24, 24, 100)
    record = check_training(make(task, n_threads=n_threads), task, shuffle=False)
    assert record.curves["loss"][-1] < record.curves["loss"][0]


@pytest.mark.parametrize("optimizer", [SGD(0.05), SGD(0.02, 0.9), SGD(0.02, 0.9, True), Adam(0.01)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_hundred_steps_agree_for_every_activation(activation: str, optimizer: Optimizer) -> None:
    layers = [Dense(6, activation), Dense(5, activation), Dense(2)]
    task = Task(layers, 4, MeanSquaredError(), optimizer)
    check_training(make(task), task, shuffle=False)


ACCUMULATED = {
    "narrow": Task([Dense(5, "tanh"), Dense(2)], 3, MeanSquaredError(), Adam(0.01)),
    "weighted": Task([Dense(9, "relu"), Dense(2)], 3, MeanSquaredError(), SGD(0.1), weighted=True),
    "sum": Task([Dense(9, "relu"), Dense(2)], 3, SquaredError("sum"), SGD(0.001, 0.9)),
    "dropout": Task([Dropout(0.3), Dense(20, "tanh"), Dropout(0.5), Dense(2)], 3,
                    MeanSquaredError(), Adam(0.01)),
    "wide": Task([Dense(130, "tanh"), Dense(130), Dense(2)], 9, MeanSquaredError(),
                 SGD(0.1, clip_norm=0.01), 200, 65, 3),
    "one row": Task([Dense(3, "tanh"), Dense(1)], 2, SquaredError(), SGD(0.02), 10, 1, 10),
}  # fmt: skip


@pytest.mark.parametrize("steps", [2, 3, 100])
@pytest.mark.parametrize("name", ACCUMULATED)
def test_accumulated_gradients_make_the_update_of_one_large_batch(
    name: str, steps: int, n_threads: int
) -> None:
    """That is how the reference computes it: losses, metrics, outputs and dropout included."""
    task = ACCUMULATED[name]
    pair = make(task, n_threads=n_threads)
    check_training(pair, task, accumulate=steps, record_outputs=True)
    updates = -(-task.rows // (steps * task.batch_size)) * task.epochs
    assert pair.engines[0].position == Position(updates, updates, task.epochs)


def test_data_that_is_not_finite_leaves_a_group_of_batches_undone(n_threads: int) -> None:
    pair = Pair([Dense(5, "tanh"), Dense(2)], 3, MeanSquaredError(), Adam(0.01), rows=12)
    x = pair.data.x.copy()
    x[10] = np.nan  # in the last part of the second group
    engine = pair.engines[0]
    engine.fit(Fit(Rows(x[:6], pair.data.y[:6]), 1, 2, False, accumulate=3), Record())
    before = engine.parameters.copy(), engine.state.copy(), engine.position
    engine.parameters[:] = draw_parameters(pair.plan, 0)
    engine.optimizer, engine.position = SGD(0.1), Position()
    engine.optimizer = Adam(0.01)
    rows = Rows(x, pair.data.y, unchecked=True)
    job = Fit(rows, 1, 2, False, n_threads=n_threads, accumulate=3)
    with pytest.raises(ValueError, match=r"^x: expected finite numbers"):
        engine.fit(job, Record())
    np.testing.assert_array_equal(engine.parameters, before[0])
    np.testing.assert_array_equal(engine.state, before[1])
    assert engine.position[:5] == before[2][:5]


def test_records_agree(n_threads: int) -> None:
    """Validation, metrics, outputs of each epoch."""
    task = TASKS["classifier"]._replace(epochs=3)
    pair = make(task, n_threads=n_threads)
    validation = make(task, rows=50, weighted=True, seed=1).data
    records = pair.fit(3, 5, validation=validation, record_outputs=True)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        pair.agree(name, *(record.curves[name] for record in records))
    pair.agree("outputs", *(record.outputs for record in records))


def test_evaluation_of_more_rows_than_a_chunk_agrees(n_threads: int) -> None:
    for weighted in (False, True):
        pair = make(TASKS["classifier"], rows=9001, weighted=weighted,
                    n_threads=n_threads)  # fmt: skip
        pair.check_evaluation()
        pair.check_prediction()


def test_training_stops_at_the_same_epoch() -> None:
    task = TASKS["classifier"]
    losses = make(task).fit(task.epochs, task.batch_size)[1].curves["loss"]
    goal = (losses[9] + losses[10]) / 2
    compiled, reference = make(task).fit(100, task.batch_size, stop_at_loss=goal)
    assert compiled.epochs == reference.epochs < 100
    assert len(compiled.curves["loss"]) == compiled.epochs


@pytest.mark.parametrize("rate", [1.15, 1e200])
def test_a_diverged_training_is_back_at_the_same_snapshot(rate: float, n_threads: int) -> None:
    """L = w^2: each step takes w to (1 - 2 rate) w, so at a rate of 1.15 w^2 overflows in some
    1,350 steps; the snapshot before is that of epoch 128, after 1,024."""
    layers = [Dense(1, use_bias=False)]
    x, y = np.ones((8, 1)), np.zeros((8, 1))

    def train(epochs: int) -> tuple[Any, list[Record]]:
        pair = Pair(layers, 1, SquaredError(), SGD(rate), n_threads=n_threads)
        pair.data = Rows(x, y)
        return pair, pair.fit(epochs, 1)

    pair, records = train(1000)
    epochs = 128 if rate < 2 else 0
    for record in records:
        assert record.diverged
        assert record.epochs == len(record.curves["loss"]) == epochs
    assert [e.position for e in pair.engines] == [Position(8 * epochs, 8 * epochs, epochs)] * 2
    pair.agree_by_tensor("parameter", lambda e: e.parameters, LIMIT)
    if epochs:
        good, _ = train(epochs)
        for engine, as_good in zip(pair.engines, good.engines, strict=True):
            assert engine.parameters.tobytes() == as_good.parameters.tobytes()


@pytest.mark.parametrize("argument", ["x", "y"])
def test_rows_that_are_not_finite_leave_both_at_the_batch_before(
    argument: str, n_threads: int
) -> None:
    task = TASKS["regression"]
    pair = make(task, n_threads=n_threads)
    given = {"x": pair.data.x.copy(), "y": pair.data.y.copy()}
    given[argument][13, 1] = np.nan
    pair.data = Rows(**given, unchecked=True)
    job = Fit(pair.data, 3, 6, shuffle=False, n_threads=n_threads)
    for engine in pair.engines:
        with pytest.raises(ValueError, match=rf"^{argument}: expected finite numbers"):
            engine.fit(job, Record())
        assert engine.position[:3] == (2, 2, 1)
        assert engine.position.part[:3] == (12, len(pair.data.x), 12)
    pair.agree_by_tensor("parameter", lambda e: e.parameters)


# What is random: the order of the rows and the masks are those of fastbp.random.


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 17, 64, 1000, 70_000])
def test_rows_come_in_the_order_of_fastbp_random(n: int) -> None:
    """A step of rate 1 sets the bias to the row's number, which is then the next row's output."""
    engine = Pair([Dense(1)], 1, HalfSquaredError(), SGD(1.0), seed=9).engines[0]
    engine.parameters[:] = 0
    data = Rows(np.zeros((n, 1)), np.arange(n)[:, None] + 1.0)
    record, before = Record(), 0.0
    engine.fit(Fit(data, 3, batch_size=1, shuffle=True, record_outputs=True), record)
    assert record.outputs is not None
    for epoch in range(3):
        order = random.row_order(9, epoch, n)
        taken = record.outputs[epoch].ravel()[order]
        np.testing.assert_array_equal(taken, [before, *order[:-1] + 1.0])
        before = order[-1] + 1.0


def test_outputs_on_record_are_whole_however_often_python_looks_in(n_threads: int) -> None:
    """|y - t| with t far away: each step adds 1 to the bias, which the next row puts out."""
    engine = Pair([Dense(1)], 1, MeanAbsoluteError(), SGD(1.0)).engines[0]
    rows, epochs = 1000, 50
    data = Rows(np.zeros((rows, 1)), np.full((rows, 1), 1e9))
    looks: list[Progress] = []
    record = Record()
    while not any(look.batch for look in looks):  # in the middle of an epoch
        looks, epochs = [], 2 * epochs
        engine.parameters[:] = 0
        job = Fit(data, epochs, 1, False, record_outputs=True, n_threads=n_threads,
                  on_progress=looks.append)  # fmt: skip
        engine.fit(job, record)
    assert record.outputs is not None
    np.testing.assert_array_equal(record.outputs.ravel(), np.arange(rows * epochs))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("units", [1, 3, 4, 5, 130])
def test_dropout_masks_are_those_of_fastbp_random(
    units: int, rate: float, dtype: str, n_threads: int
) -> None:
    seed, batch, rows = 2**40 + 3, 2**33 + 1, 300
    pair = Pair([Rescale(1.0), Dropout(rate)], units, dtype=dtype, n_threads=n_threads)
    engine = pair.engines[0]
    engine.seed, engine.position = seed, Position(batches=batch)
    outputs = engine.forward(np.ones((rows, units), dtype), True, n_threads)
    kept = random.keep_mask(seed, 1, batch, (rows, units), rate)
    np.testing.assert_array_equal(outputs, kept * np.array(1 / (1 - rate), dtype))


def test_masks_change_from_batch_to_batch_of_a_fit(n_threads: int) -> None:
    pair = Pair([Dropout(0.5)], 8, HalfSquaredError(), n_threads=n_threads, seed=4)
    pair.data = Rows(np.ones((6, 8)), np.zeros((6, 8)))
    record = pair.fit(2, 3, shuffle=False, record_outputs=True)[0]
    outputs = record.outputs.reshape(4, 3, 8)
    for batch in range(4):
        kept = random.keep_mask(4, 0, batch, (3, 8), 0.5)
        np.testing.assert_array_equal(outputs[batch], 2.0 * kept)
