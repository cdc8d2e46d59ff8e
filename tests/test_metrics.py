"""Metrics are scikit-learn's, recorded and computed anew where it is installed, and are one thing
in both engines: in evaluation, in batches, and in epochs of training and validation data.

sklearn_metrics.json holds what scikit-learn gives. It is written by

    python tests/test_metrics.py

from the root of the repository, with fastbp and scikit-learn installed.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastbp
from fastbp import Dense, losses, measures, metrics, random
from fastbp.callbacks import LambdaCallback
from fastbp.losses import Loss
from fastbp.measures import column_sums, measure
from fastbp.metrics import METRICS, Metric

RECORDED = Path(__file__).with_name("sklearn_metrics.json")
ROWS = 60


class Case(NamedTuple):
    """A metric for a loss, and the same in scikit-learn: (sklearn.metrics, y, t) -> value."""

    loss: Loss
    outputs: int
    metric: Metric
    theirs: Callable[[Any, Any, Any], Any]


SPARSE = losses.SparseCategoricalCrossentropy()
CATEGORICAL = losses.CategoricalCrossentropy()
BINARY = losses.BinaryCrossentropy()
VALUES = losses.MeanSquaredError()


def of_yes(name: str, average: str | None) -> Callable[[Any, Any, Any], Any]:
    def theirs(sk: Any, y: Any, t: Any) -> Any:
        y, t = y > 0.5, t > 0.5
        if y.shape[1] == 1:
            y, t = y[:, 0], t[:, 0]
        return getattr(sk, name)(t, y, average=average, zero_division=0)

    return theirs


def of_classes(name: str, average: str | None) -> Callable[[Any, Any, Any], Any]:
    def theirs(sk: Any, y: Any, t: Any) -> Any:
        return getattr(sk, name)(t, y.argmax(axis=1), average=average, zero_division=0)

    return theirs


KINDS = {
    "precision_score": metrics.Precision,
    "recall_score": metrics.Recall,
    "f1_score": metrics.F1,
}
CASES = {
    **{
        f"{name}, yes or no, {average}": Case(BINARY, 1, kind(average), of_yes(name, average))
        for name, kind in KINDS.items()
        for average in ("binary", "macro", "micro", "weighted", None)
    },
    **{
        f"{name}, five, {average}": Case(SPARSE, 5, kind(average), of_classes(name, average))
        for name, kind in KINDS.items()
        for average in ("macro", "micro", "weighted", None)
    },
    **{
        f"{name}, two classes": Case(SPARSE, 2, kind(), of_classes(name, "binary"))
        for name, kind in KINDS.items()
    },
    **{
        f"{name}, three questions, {average}": Case(BINARY, 3, kind(average), of_yes(name, average))
        for name, kind in KINDS.items()
        for average in ("macro", "micro", "weighted", None)
    },
    "auc, yes or no": Case(
        BINARY, 1, metrics.AUC(), lambda sk, y, t: sk.roc_auc_score(t > 0.5, y)
    ),
    "auc, five classes": Case(
        SPARSE,
        5,
        metrics.AUC(),
        lambda sk, y, t: sk.roc_auc_score(t, y, multi_class="ovr"),
    ),
    "auc, three questions": Case(
        BINARY, 3, metrics.AUC(), lambda sk, y, t: sk.roc_auc_score(t > 0.5, y)
    ),
    "confusion, yes or no": Case(
        BINARY, 1, metrics.ConfusionMatrix(),
        lambda sk, y, t: sk.confusion_matrix(t[:, 0] > 0.5, y[:, 0] > 0.5),
    ),
    "confusion, five classes": Case(
        SPARSE, 5, metrics.ConfusionMatrix(),
        lambda sk, y, t: sk.confusion_matrix(t, y.argmax(axis=1), labels=range(5)),
    ),
    "top 2 of five": Case(
        SPARSE, 5, metrics.TopKAccuracy(2),
        lambda sk, y, t: sk.top_k_accuracy_score(t, y, k=2, labels=range(5)),
    ),
    "top 1 of five": Case(
        SPARSE, 5, metrics.TopKAccuracy(1), lambda sk, y, t: sk.accuracy_score(t, y.argmax(axis=1))
    ),
    "squared error": Case(
        VALUES, 3, metrics.MeanSquaredError(), lambda sk, y, t: sk.mean_squared_error(t, y)
    ),
    "absolute error": Case(
        VALUES, 3, metrics.MeanAbsoluteError(), lambda sk, y, t: sk.mean_absolute_error(t, y)
    ),
    "r2": Case(VALUES, 3, metrics.R2(), lambda sk, y, t: sk.r2_score(t, y)),
    "r2 of one output": Case(VALUES, 1, metrics.R2(), lambda sk, y, t: sk.r2_score(t, y)),
}  # fmt: skip


def numbers(stream: int, *shape: int) -> Any:
    """Return numbers in [0, 1), the same everywhere."""
    return random.uniform(4, stream, int(np.prod(shape)), "float64").reshape(shape)


def answers(case: Case) -> tuple[Any, Any]:
    """Return outputs, with ties for single ones, and targets that they have to do with."""
    y = numbers(0, ROWS, case.outputs)
    y = y / y.sum(axis=1, keepdims=True) if case.loss.labels else y
    t = (y + 2 * numbers(1, ROWS, case.outputs)) / 3
    if case.loss.labels:
        t = t.argmax(axis=1)
        t[t == 3] = 1  # a class that has no row
        if isinstance(case.metric, metrics.AUC):
            t[:3] = 3
    elif case.loss is BINARY:
        y = np.round(y, 1) + 0.01
    return y, t


def check(ours: Any, theirs: Any) -> None:
    """Assert that they agree to a few roundings; counts exactly."""
    np.testing.assert_allclose(ours, theirs, rtol=8 * np.finfo("float64").eps, atol=0)


def ours(name: str) -> Any:
    case = CASES[name]
    return measure(case.metric, case.loss, *answers(case))


def theirs(sk: Any, name: str) -> Any:
    case = CASES[name]
    found = case.theirs(sk, *answers(case))
    if np.ndim(found) == 1 and len(found) < case.outputs:  # without the class that does not occur
        found = np.insert(found, 3, 0.0)
    return found


@pytest.mark.parametrize("name", CASES)
def test_metrics_are_those_recorded_of_scikit_learn(name: str) -> None:
    check(ours(name), json.loads(RECORDED.read_text())[name])


@pytest.mark.parametrize("name", CASES)
def test_metrics_are_those_of_scikit_learn(name: str) -> None:
    sk = pytest.importorskip("sklearn.metrics")
    check(ours(name), theirs(sk, name))


def test_every_record_and_every_metric_has_its_case() -> None:
    assert list(json.loads(RECORDED.read_text())) == list(CASES)
    measured = {kind for kind in METRICS.values() if not kind.of_rows}
    assert {type(case.metric) for case in CASES.values()} == measured


def test_auc_counts_pairs() -> None:
    y, t = numbers(2, 40, 1).round(1), numbers(3, 40, 1).round()
    pairs = [(a > b) + (a == b) / 2 for a in y[t == 1] for b in y[t == 0]]
    assert measure(metrics.AUC(), BINARY, y, t) == pytest.approx(sum(pairs) / len(pairs), rel=1e-15)


def test_auc_of_a_class_that_is_alone_is_not_a_number() -> None:
    assert np.isnan(measure(metrics.AUC(), BINARY, np.ones((4, 1)), np.ones((4, 1))))


@pytest.mark.parametrize(("y", "expected"), [([[2.0], [2.0]], 1.0), ([[2.0], [3.0]], 0.0)])
def test_r2_of_a_constant_target_is_all_or_nothing(y: Any, expected: float) -> None:
    assert measure(metrics.R2(), VALUES, np.array(y), np.full((2, 1), 2.0)) == expected


def test_a_constant_target_is_one_whatever_its_mean_is_rounded_to() -> None:
    t = np.full((3, 1), 0.1)
    assert np.mean(t) != 0.1
    assert measure(metrics.R2(), VALUES, t + 1e-9, t) == 0.0
    assert measure(metrics.R2(), VALUES, t.copy(), t) == 1.0


def test_top_1_accuracy_takes_the_first_of_equals_as_accuracy_does() -> None:
    y, t = np.array([[1.0, 1, 0], [1, 1, 0], [0, 1, 1]]), np.array([0, 1, 2], np.int32)
    assert measure(metrics.TopKAccuracy(1), SPARSE, y, t) == 1 / 3
    assert measure(metrics.TopKAccuracy(2), SPARSE, y, t) == 1


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 4095, 4096, 4097, 9000])
def test_sums_are_in_the_order_that_is_written(rows: int) -> None:
    values = random.uniform(5, 0, rows * 2, "float64").reshape(rows, 2) - 0.5
    for column, found in zip(values.T, column_sums(values), strict=True):
        total = 0.0
        for at in range(0, rows, 4096):
            lanes = [0.0] * 8
            for i, value in enumerate(column[at : at + 4096]):
                lanes[i % 8] += value
            for half in (4, 2, 1):
                lanes = [lanes[i] + lanes[i + half] for i in range(half)]
            total += lanes[0]
        assert found == total


CHOSEN: dict[str, list[Any]] = {
    "labels": [
        "accuracy", metrics.TopKAccuracy(2), metrics.F1("macro"), metrics.Precision(None),
        metrics.Recall("micro"), "auc", "confusion_matrix",
    ],
    "values": ["mse", "accuracy", "mae", "r2"],
    "questions": [metrics.F1("weighted"), "auc"],
    "yes or no": ["precision", "recall", "f1", "auc", "confusion_matrix", "r2"],
}  # fmt: skip


def network(Network: Any, name: str, **fields: Any) -> tuple[fastbp.Network, Any, Any]:
    """Return a network with metrics, and data with some 50 rows."""
    outputs = 1 if name == "yes or no" else 4
    loss, last = {
        "labels": (losses.SparseCategoricalCrossentropy(ignore_label=9), "softmax"),
        "values": (VALUES, None),
    }.get(name, (BINARY, "sigmoid"))
    net = Network(
        [Dense(6, "tanh"), Dense(outputs, last)], input_shape=3, loss=loss, metrics=CHOSEN[name],
        seed=4, optimizer="sgd", **fields,
    )  # fmt: skip
    x, y = numbers(6, 53, 3) * 4 - 2, numbers(7, 53, outputs)
    if name == "labels":
        y = y.argmax(axis=1)
        y[::7] = 9
    return net, x, y if name in ("labels", "values") else y.round()


def assert_same(a: dict[str, Any], b: dict[str, Any], limit: float = 0) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        np.testing.assert_allclose(value, b[name], rtol=limit, atol=0, err_msg=name)


def expected(net: fastbp.Network, x: Any, y: Any) -> dict[str, Any]:
    """Return the metrics that are computed from outputs, from those that prediction gives."""
    t = np.where(y == 9, -1, y) if net.loss.labels else y
    chosen = [m for m in net.metrics if not m.of_rows]
    return {m.key: measure(m, net.loss, net.predict(x), t) for m in chosen}


@pytest.mark.parametrize("name", CHOSEN)
def test_evaluation_measures_what_prediction_gives(
    Network: Any, name: str, dtype: str, n_threads: int
) -> None:
    net, x, y = network(Network, name, dtype=dtype, n_threads=n_threads)
    found = net.evaluate(x, y)
    assert sorted(found) == sorted(["loss", *(m.key for m in net.metrics)])
    measured = expected(net, x, y)
    assert_same({key: found[key] for key in measured}, measured)


@pytest.mark.parametrize("name", CHOSEN)
def test_a_batch_measures_what_prediction_gives_before_the_update(
    Network: Any, name: str, dtype: str
) -> None:
    net, x, y = network(Network, name, dtype=dtype)
    before = net.evaluate(x, y)
    assert_same(net.train_on_batch(x, y), before, 1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("record_outputs", [False, True])
@pytest.mark.parametrize("name", CHOSEN)
def test_an_epoch_measures_outputs_from_before_each_update(
    Network: Any, name: str, record_outputs: bool, n_threads: int
) -> None:
    net, x, y = network(Network, name, n_threads=n_threads)
    other = network(Network, name)[0]
    rows = 16 if record_outputs else 53
    x, y = x[:rows], y[:rows]
    history = net.fit(
        x, y, batch_size=10, epochs=3, shuffle=True, validation_data=(x[:9], y[:9]), verbose=0,
        record_outputs=record_outputs,
    )  # fmt: skip
    t = np.where(y == 9, -1, y) if net.loss.labels else y
    chosen = [m for m in net.metrics if not m.of_rows]
    for epoch in range(3):
        outputs = np.empty((rows, *net.plan.output_shape), np.float32)
        order = random.row_order(net.seed, epoch, rows)
        for at in range(0, rows, 10):
            part = order[at : at + 10]
            outputs[part] = other.predict(x[part])
            other.train_on_batch(x[part], y[part])
        validation = other.evaluate(x[:9], y[:9])
        for m in chosen:
            np.testing.assert_array_equal(history[m.key][epoch], measure(m, net.loss, outputs, t))
            np.testing.assert_array_equal(history["val_" + m.key][epoch], validation[m.key])
    assert history.epochs == 3
    assert all(len(curve) == 3 for curve in history.values())


@pytest.mark.parametrize("name", CHOSEN)
def test_metrics_change_no_bit_of_training(Network: Any, name: str) -> None:
    bits = set()
    for chosen in (CHOSEN[name], []):
        net, x, y = network(Network, name)
        plain = Network(
            [layer.description for layer in net.layers], input_shape=3, loss=net.loss, seed=4,
            metrics=chosen, optimizer="sgd",
        )  # fmt: skip
        history = plain.fit(x, y, batch_size=10, epochs=4, verbose=0)
        bits.add((plain.parameters.tobytes(), *history["loss"]))
    assert len(bits) == 1


@pytest.mark.parametrize("name", CHOSEN)
def test_engines_measure_alike(core: None, name: str) -> None:
    (a, x, y), (b, _, _) = (
        network(kind, name, dtype="float64") for kind in (fastbp.Network, fastbp.reference.Network)
    )
    assert_same(a.evaluate(x, y), b.evaluate(x, y), 1e-12)
    fit = {"batch_size": 10, "epochs": 3, "validation_data": (x, y), "verbose": 0}
    assert_same(dict(a.fit(x, y, **fit)), dict(b.fit(x, y, **fit)), 1e-10)


def test_evaluations_of_several_chunks_measure_all_rows(Network: Any, n_threads: int) -> None:
    net = network(Network, "values", n_threads=n_threads)[0]
    x, y = numbers(8, 5000, 3), numbers(9, 5000, 4)
    measured = expected(net, x, y)
    found = net.evaluate(x, y)
    assert_same({key: found[key] for key in measured}, measured)


@pytest.mark.parametrize("name", CHOSEN)
def test_bits_of_metrics_do_not_depend_on_instruction_set_or_threads(core: None, name: str) -> None:
    module = fastbp.network.compiled_core()
    before, found = module.build_info()["isa"], set()
    try:
        for isa in module.available_isas():
            module.choose_isa(isa)
            for n_threads in (1, 3):
                net, x, y = network(fastbp.Network, name, n_threads=n_threads)
                history = net.fit(x, y, batch_size=10, epochs=2, validation_data=(x, y), verbose=0)
                found.add(b"".join(np.asarray(curve).tobytes() for curve in history.values()))
    finally:
        module.choose_isa(before)
    assert len(found) == 1


@pytest.mark.filterwarnings("ignore::fastbp.DivergenceWarning")
def test_divergence_cuts_curves_to_the_same_length(Network: Any) -> None:
    net, x, y = network(Network, "values")
    net.optimizer = fastbp.SGD(1e4)
    history = net.fit(x, y, batch_size=10, epochs=9, validation_data=(x, y), verbose=0)
    assert history.epochs < 9
    assert {len(curve) for curve in history.values()} == {history.epochs}


def test_an_interrupt_leaves_curves_of_the_same_length(
    Network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come while a metric is computed."""
    net, x, y = network(Network, "labels")
    right, calls, shown = measures.outcomes, itertools.count(), []

    def interrupted(answers: Any) -> Any:
        if next(calls) == 10:
            raise KeyboardInterrupt
        return right(answers)

    monkeypatch.setattr(measures, "outcomes", interrupted)
    callbacks = [LambdaCallback(on_train_end=shown.append)]
    with pytest.raises(KeyboardInterrupt):
        net.fit(x, y, batch_size=10, epochs=9, validation_data=(x, y), callbacks=callbacks)
    assert 0 < shown[0].epochs < 9
    assert {len(curve) for curve in shown[0].values()} == {shown[0].epochs}
    assert net.fit(x, y, epochs=1, verbose=0).epochs == 1


def test_progress_shows_numbers_alone(Network: Any, capsys: pytest.CaptureFixture[str]) -> None:
    net, x, y = network(Network, "labels")
    net.fit(x, y, epochs=2, verbose=1)
    last = capsys.readouterr().err.splitlines()[-1]
    assert "accuracy" in last
    assert "f1_macro" in last
    assert "confusion" not in last


def test_a_history_draws_numbers_alone(Network: Any) -> None:
    pytest.importorskip("matplotlib").use("agg")
    net, x, y = network(Network, "yes or no")
    history = net.fit(x, y, epochs=2, verbose=0)
    assert len(history.plot()) == len(history) - 1


def record() -> None:
    """Write sklearn_metrics.json anew."""
    import sklearn.metrics as sk

    found = {name: np.asarray(theirs(sk, name)).tolist() for name in CASES}
    RECORDED.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    record()
