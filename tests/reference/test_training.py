"""The reference engine's training loop: batches, epochs, records, divergence, interruption."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest

from fastbp import random
from fastbp.engine import EngineProtocol, Fit, Position, Progress, Record, Rows
from fastbp.layers import Dense, Dropout
from fastbp.losses import HalfSquaredError, MeanSquaredError, SparseCategoricalCrossentropy
from fastbp.metrics import Accuracy
from fastbp.optimizers import SGD, Adam
from fastbp.reference import Engine, optimizers, training

ROWS, BATCH = 7, 3  # batches of 3, 3 and 1
LAYERS = [Dense(4, "tanh"), Dropout(0.3), Dense(2, "softmax")]


def state(engine: Engine) -> tuple[bytes, bytes]:
    return engine.parameters.tobytes(), engine.state.tobytes()


def fit(engine: Engine, data: Rows, epochs: int = 1, **fields: Any) -> Record:
    record = Record()
    fields = {"batch_size": BATCH, "shuffle": True} | fields
    engine.fit(Fit(data, epochs=epochs, **fields), record)
    return record


@pytest.fixture
def engine(make_engine: Callable[..., Engine]) -> Engine:
    return make_engine(LAYERS, 3, SparseCategoricalCrossentropy(), Adam(0.05))


@pytest.fixture
def data(engine: Engine, make_rows: Callable[..., Rows]) -> Rows:
    return make_rows(engine, ROWS)


def test_the_engine_has_the_signatures_of_the_protocol() -> None:
    for name, member in vars(EngineProtocol).items():
        if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
            assert inspect.signature(getattr(Engine, name)) == inspect.signature(member), name


def test_vectors_are_aligned_and_never_move(engine: Engine, data: Rows) -> None:
    before = [v.__array_interface__["data"][0] for v in (engine.parameters, engine.gradients)]
    assert [address % 64 for address in before] == [0, 0]
    fit(engine, data, 2)
    after = [v.__array_interface__["data"][0] for v in (engine.parameters, engine.gradients)]
    assert after == before


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_fit_is_its_batches_one_by_one(
    shuffle: bool, engine: Engine, data: Rows, make_engine: Any
) -> None:
    """Order of the rows, masks, mean over rows of the losses before each update."""
    record = fit(engine, data, 2, metrics=(Accuracy(),), shuffle=shuffle)
    other = make_engine(LAYERS, 3, SparseCategoricalCrossentropy(), Adam(0.05))
    for epoch in range(2):
        order = random.row_order(other.seed, epoch, ROWS) if shuffle else np.arange(ROWS)
        sums = np.zeros(2)
        for start in range(0, ROWS, BATCH):
            rows = order[start : start + BATCH]
            batch = Rows(data.x[rows], data.y[rows])
            values = other.loss_and_gradients(batch, (Accuracy(),), False, None)
            sums += len(rows) * np.array([values["loss"], values["accuracy"]])
            other.step()
        assert record.curves["loss"][epoch] == pytest.approx(sums[0] / ROWS, rel=1e-14)
        assert record.curves["accuracy"][epoch] == pytest.approx(sums[1] / ROWS, rel=1e-14)
    assert state(engine) == state(other)
    assert engine.position == Position(steps=6, batches=6, epochs=2)
    assert (record.epochs, record.diverged, record.outputs) == (2, False, None)


def test_fits_of_two_and_three_epochs_equal_one_of_five(
    data: Rows, make_engine: Callable[..., Engine]
) -> None:
    parts, whole = (
        make_engine(LAYERS, 3, SparseCategoricalCrossentropy(), Adam(0.05)) for _ in range(2)
    )
    curve = fit(parts, data, 2).curves["loss"] + fit(parts, data, 3).curves["loss"]
    assert fit(whole, data, 5).curves["loss"] == curve
    assert state(parts) == state(whole)
    assert parts.position == whole.position


def test_recorded_outputs_are_those_of_training_in_the_order_of_the_data(
    make_engine: Any, make_rows: Any
) -> None:
    """With a learning rate of 0 and no dropout they are the predictions."""
    engine = make_engine([Dense(2, "softmax")], 3, SparseCategoricalCrossentropy(), SGD(0.0))
    data = make_rows(engine, ROWS)
    record = fit(engine, data, 2, record_outputs=True)
    predicted = np.empty((ROWS, 2))
    engine.predict(data.x, predicted, None)
    assert record.outputs.shape == (2, ROWS, 2)
    np.testing.assert_allclose(record.outputs, [predicted] * 2, rtol=1e-14)


def test_dropout_is_on_in_training_alone(make_engine: Any, dtype: str) -> None:
    rate, rows, units = 0.3, 2000, 50
    engine = make_engine([Dropout(rate)], units, dtype=dtype)
    x = np.ones((rows, units), dtype)
    np.testing.assert_array_equal(engine.forward(x, False, None), x)
    dropped = engine.forward(x, True, None)
    kept = np.dtype(dtype).type(1 / (1 - rate))
    assert set(np.unique(dropped)) == {0, kept}
    # Four standard errors of a mean whose terms have the variance rate / (1 - rate).
    error = 4 * np.sqrt(rate / (1 - rate) / x.size)
    assert abs(dropped.mean(dtype=np.float64) - 1) < error


def test_masks_change_with_batch_seed_and_layer(make_engine: Any) -> None:
    engine = make_engine([Dropout(0.5)], 64, loss=HalfSquaredError())
    x = np.ones((4, 64))
    first = engine.forward(x, True, None)
    np.testing.assert_array_equal(engine.forward(x, True, None), first)
    engine.position = Position(batches=1)
    assert (engine.forward(x, True, None) != first).any()
    engine.position, engine.seed = Position(), 1
    assert (engine.forward(x, True, None) != first).any()
    twice = make_engine([Dropout(0.5), Dropout(0.5)], 64).forward(x, True, None)
    assert abs((twice > 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / x.size)


def test_validation_curves_are_evaluations(engine: Engine, data: Rows, make_rows: Any) -> None:
    validation = make_rows(engine, 5, weighted=True)
    record = fit(engine, data, 2, metrics=(Accuracy(),), validation=validation)
    assert set(record.curves) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    last = engine.evaluate(validation, (Accuracy(),), None)
    assert {"loss": record.curves["val_loss"][-1]} | {
        "accuracy": record.curves["val_accuracy"][-1]
    } == last


def test_evaluation_does_not_depend_on_chunks(
    make_engine: Any, make_rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for reduction in ("mean", "sum"):
        engine = make_engine([Dense(2, "softmax")], 3, SparseCategoricalCrossentropy(reduction))
        data = make_rows(engine, 23, weighted=True)
        whole, outputs = engine.evaluate(data, (Accuracy(),), None), np.empty((23, 2))
        monkeypatch.setattr("fastbp.reference.engine.CHUNK", 5)
        assert engine.evaluate(data, (Accuracy(),), None) == pytest.approx(whole, rel=1e-14)
        engine.predict(data.x, outputs, None)
        monkeypatch.undo()
        np.testing.assert_allclose(outputs, engine.forward(data.x, False, None), rtol=1e-14)
        # The batch of training counts its rows in the same way.
        batch = engine.loss_and_gradients(data, (), False, None)
        assert batch["loss"] == pytest.approx(whole["loss"], rel=1e-14)


def test_weights_that_sum_to_0_make_loss_and_gradients_0(make_engine: Any, make_rows: Any) -> None:
    engine = make_engine([Dense(2)], 3, MeanSquaredError())
    data = make_rows(engine, 4)
    data = Rows(data.x, data.y, np.zeros(4))
    assert engine.loss_and_gradients(data, (), False, None) == {"loss": 0}
    assert not engine.gradients.any()
    assert engine.evaluate(data, (), None) == {"loss": 0}


@pytest.mark.parametrize("kind", ["uint8", "bool", "int64", "float32", "float64"])
def test_rows_of_any_real_type_are_converted(kind: str, make_engine: Any, dtype: str) -> None:
    engine = make_engine([Dense(2, "tanh")], 3, MeanSquaredError(), dtype=dtype)
    x = (np.arange(12).reshape(4, 3) % 5).astype(kind)
    data = Rows(x, x[:, :2])
    converted = Rows(x.astype(dtype), x[:, :2].astype(dtype))
    outputs = engine.forward(x, False, None)
    np.testing.assert_array_equal(outputs, engine.forward(converted.x, False, None), strict=True)
    assert engine.evaluate(data, (), None) == engine.evaluate(converted, (), None)
    other = make_engine([Dense(2, "tanh")], 3, MeanSquaredError(), dtype=dtype)
    assert fit(engine, data) == fit(other, converted)
    assert state(engine) == state(other)


def test_training_stops_at_a_loss(engine: Engine, data: Rows) -> None:
    losses = fit(engine, data, 40).curves["loss"]
    goal = sorted(losses)[len(losses) // 2]
    reached = next(i for i, loss in enumerate(losses) if loss <= goal)
    again = Engine(engine.plan, engine.optimizer, engine.seed)
    again.parameters[:] = np.random.default_rng(0).normal(0, 0.7, engine.plan.n_parameters)
    record = fit(again, data, 40, stop_at_loss=goal)
    assert record.curves["loss"] == losses[: reached + 1]
    assert record.epochs == again.position.epochs == reached + 1


def infinite_from(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the parameters infinite at a step of SGD."""
    right = optimizers.OPTIMIZERS["sgd"]

    def diverging(o: Any, p: Any, g: Any, state: Any, t: int) -> Any:
        after, state = right(o, p, g, state, t)
        return (after * np.inf if t >= step else after), state

    monkeypatch.setitem(optimizers.OPTIMIZERS, "sgd", diverging)


@pytest.mark.parametrize(
    ("step", "snapshot_batches", "epochs_left"),
    [(1, 1024, 0), (8, 1024, 0), (8, 3, 2), (8, 4, 2), (8, 5, 2), (8, 7, 0), (9, 3, 2), (12, 3, 3)],
)
def test_a_diverged_training_is_back_at_its_last_snapshot(
    step: int,
    snapshot_batches: int,
    epochs_left: int,
    make_engine: Any,
    make_rows: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four epochs of three batches; step 12 is the last of all."""
    monkeypatch.setattr(training, "SNAPSHOT_BATCHES", snapshot_batches)
    given = [Dense(2)], 3, MeanSquaredError(), SGD(0.1, momentum=0.5)
    good, bad = make_engine(*given), make_engine(*given)
    data = make_rows(good, ROWS)
    expected = Record(outputs=np.empty((0, ROWS, 2)), curves={"loss": []})
    if epochs_left:
        expected = fit(good, data, epochs_left, record_outputs=True)
    infinite_from(step, monkeypatch)
    record = fit(bad, data, 4, record_outputs=True)
    assert record.diverged
    assert (record.epochs, record.curves) == (epochs_left, expected.curves)
    np.testing.assert_array_equal(record.outputs, expected.outputs, strict=True)
    assert state(bad) == state(good)
    assert bad.position == good.position


def test_a_learning_rate_that_is_far_too_high_diverges_without_a_numpy_warning(
    make_engine: Any, make_rows: Any
) -> None:
    engine = make_engine([Dense(4, "relu"), Dense(2)], 3, MeanSquaredError(), SGD(1e9))
    before = state(engine)
    record = fit(engine, make_rows(engine, ROWS), 100)
    assert (record.diverged, record.epochs, record.curves) == (True, 0, {"loss": []})
    assert state(engine) == before


@pytest.mark.parametrize(
    ("argument", "value", "dtype"),
    [("x", np.nan, "float64"), ("y", -np.inf, "float64"), ("x", 1e300, "float32")],
)
def test_unchecked_data_is_looked_at_batch_by_batch(
    argument: str, value: float, dtype: str, make_engine: Any, make_rows: Any
) -> None:
    engine, two_batches = (
        make_engine([Dense(2)], 3, MeanSquaredError(), Adam(), dtype) for _ in range(2)
    )
    data = make_rows(engine, ROWS)
    fit(two_batches, Rows(data.x[:6], data.y[:6]), shuffle=False)
    arrays = {"x": data.x.astype(np.float64), "y": data.y.astype(np.float64)}
    arrays[argument][6, 1] = value
    unchecked = Rows(**arrays, unchecked=True)
    message = rf"^{argument}: expected finite numbers in the range of {dtype}, got .* at \[6, 1\]$"
    with pytest.raises(ValueError, match=message):
        fit(engine, unchecked, shuffle=False)
    assert state(engine) == state(two_batches)
    assert engine.position.batches == 2
    for call in (engine.evaluate, lambda *a: engine.loss_and_gradients(*a[:2], False, None)):
        with pytest.raises(ValueError, match=message):
            call(unchecked, (), None)


def test_progress_tells_how_far_training_is(
    engine: Engine, data: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0)
    reports: list[Progress] = []
    record = fit(engine, data, 2, metrics=(Accuracy(),), on_progress=reports.append)
    assert [(r.epoch, r.batch) for r in reports] == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    assert {(r.epochs, r.batches) for r in reports} == {(2, 3)}
    assert [r.loss for r in reports if r.batch == 0] == record.curves["loss"]
    assert [r.metrics for r in reports if r.batch == 0] == [
        {"accuracy": value} for value in record.curves["accuracy"]
    ]


def test_progress_comes_some_twenty_times_a_second(
    engine: Engine, data: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(np.arange(0, 100, 0.02))
    monkeypatch.setattr(training.time, "monotonic", lambda: next(clock))
    reports: list[Progress] = []
    fit(engine, data, 5, on_progress=reports.append)
    # 15 looks at the clock, 0.02 s apart: every third is due.
    assert len(reports) == 5


def test_an_error_of_on_progress_ends_the_fit_at_that_batch(
    engine: Engine, data: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "PROGRESS_SECONDS", 0)

    def stop(progress: Progress) -> None:
        if (progress.epoch, progress.batch) == (1, 2):
            raise LookupError("enough")

    record = Record()
    with pytest.raises(LookupError, match="enough"):
        engine.fit(Fit(data, epochs=3, batch_size=BATCH, shuffle=True, on_progress=stop), record)
    assert engine.position[:3] == (5, 5, 2)
    assert engine.position.part[:2] == (2 * BATCH, len(data.x))
    assert (record.epochs, len(record.curves["loss"])) == (1, 1)


def interrupt_at(moment: int, run: Callable[[], Any]) -> int:
    """Run with a KeyboardInterrupt at a moment; return how many moments there were.

    A moment is a line of the reference engine, and every single instruction where it writes.
    """
    moments = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal moments
        if "fastbp/reference/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = frame.f_code.co_name in ("commit", "_copy", "close_epoch")
        if event in ("line", "opcode"):
            moments += 1
            if moments == moment:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return moments


def test_an_interrupt_at_any_moment_leaves_the_network_at_a_batch_boundary(
    data: Rows, make_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start() -> tuple[Engine, Record, Callable[[], None]]:
        engine = make_engine([Dense(2, "softmax")], 3, SparseCategoricalCrossentropy(), Adam(0.1))
        job = Fit(data, 1, 4, shuffle=True, metrics=(Accuracy(),), validation=data)
        record = Record()
        return engine, record, lambda: engine.fit(job, record)

    engine, _, run = start()
    boundaries = {0: state(engine)}
    commit = Engine.commit

    def noting(self: Engine, *given: Any) -> None:
        commit(self, *given)
        boundaries[self.position.batches] = state(self)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "commit", noting)
        run()
    assert len(set(boundaries.values())) == 3

    moments = interrupt_at(0, start()[2])
    seen = set()
    for moment in range(1, moments + 1):
        engine, record, run = start()
        with pytest.raises(KeyboardInterrupt):
            interrupt_at(moment, run)
        assert state(engine) == boundaries[engine.position.batches], moment
        assert engine.position.steps == engine.position.batches
        assert all(len(curve) == record.epochs for curve in record.curves.values())
        seen.add(engine.position.batches)
    assert seen == {0, 1, 2}
