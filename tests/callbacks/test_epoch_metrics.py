"""Metrics that are computed from a whole epoch, where callbacks see and watch them."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Callback, Dense, metrics, schedules
from fastbp.callbacks import CSVLogger, EarlyStopping, LambdaCallback, ReduceOnPlateau
from fastbp.metrics import METRICS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
LABELS = (X[:, 0] + RNG.normal(size=40) > 0).astype(float)
HELD_OUT = RNG.normal(size=(30, 3)), (RNG.normal(size=30) > 0).astype(float)
METRICS_OF_ALL_KINDS = ["auc", "accuracy", "mse", metrics.F1(None), "confusion_matrix"]
KEYS = ("loss", "auc", "accuracy", "mean_squared_error", "f1_by_class", "confusion_matrix")


@pytest.fixture
def make(Network):
    def make(**changes):
        options = {
            "input_shape": 3, "loss": "binary_crossentropy", "seed": 7, "dtype": "float64",
            "metrics": METRICS_OF_ALL_KINDS, "optimizer": SGD(0.5),
        }  # fmt: skip
        layers = [Dense(4, activation="tanh"), Dense(1, activation="sigmoid")]
        return Network(layers, **options | changes)

    return make


def fit(net, *callbacks, **options):
    given = {"epochs": 6, "batch_size": 16, "validation_data": HELD_OUT, "callbacks": callbacks}
    return net.fit(X, LABELS, **given | options)


class Watch(Callback):
    """Keeps what it is told."""

    def __init__(self):
        self.batches, self.epochs_told, self.evaluated = [], [], []

    def on_batch_end(self, batch, logs):
        self.batches.append(logs)

    def on_epoch_end(self, epoch, logs):
        self.epochs_told.append(logs)
        self.evaluated.append(self.network.evaluate(*HELD_OUT))


@pytest.mark.parametrize("freq", [1, 2, 4])
def test_curves_are_what_callbacks_are_told_and_what_evaluate_says(make, n_threads, freq):
    watch = Watch()
    history = fit(make(n_threads=n_threads), watch, validation_freq=freq)
    assert watch.names == tuple(history) == (*KEYS, *("val_" + key for key in KEYS))
    for name, curve in history.items():
        told = [logs[name] for logs in watch.epochs_told if name in logs]
        assert len(told) == len(curve) == 6 // (freq if name.startswith("val_") else 1)
        np.testing.assert_array_equal(curve, told)
    for key in KEYS:
        evaluated = [values[key] for values in watch.evaluated[freq - 1 :: freq]]
        np.testing.assert_array_equal(history["val_" + key], evaluated)


def test_batches_have_the_means_over_rows_alone(make):
    watch = Watch()
    fit(make(), watch)
    assert {tuple(logs) for logs in watch.batches} == {("loss", "accuracy")}


def test_a_visit_after_each_batch_changes_no_metric(make, n_threads):
    histories = [fit(make(n_threads=n_threads), *callbacks) for callbacks in ((), (Watch(),))]
    for name, curve in histories[0].items():
        np.testing.assert_array_equal(curve, histories[1][name])


@pytest.mark.parametrize("monitor", ["val_auc", "val_mean_squared_error", "auc"])
def test_early_stopping_watches_them_in_both_engines(make, monitor):
    """Held-out labels are noise: no value gets better for long."""
    net, stopping = make(), EarlyStopping(monitor, patience=3)
    history = fit(net, stopping, epochs=200)
    best = min if monitor.endswith("error") else max
    assert history.epochs == stopping.stopped_epoch + 1 == stopping.best_epoch + 4 < 200
    assert stopping.best == best(history[monitor]) == history[monitor][stopping.best_epoch]
    if monitor.startswith("val_"):
        assert net.evaluate(*HELD_OUT)[monitor.removeprefix("val_")] == stopping.best


def test_engines_stop_at_the_same_epoch(core, make):
    found = []
    for kind in (fastbp.Network, fastbp.reference.Network):
        net, stopping = kind(
            [Dense(4, activation="tanh"), Dense(1, activation="sigmoid")], input_shape=3,
            loss="binary_crossentropy", seed=7, metrics=["auc"], optimizer=SGD(0.5),
        ), EarlyStopping("val_auc", patience=3)  # fmt: skip
        fit(net, stopping, epochs=200, validation_freq=2)
        found.append((stopping.best_epoch, stopping.stopped_epoch, stopping.best))
    assert found[0] == found[1]
    assert found[0][1] is not None


def test_reduce_on_plateau_watches_them(make):
    rates, history = [], None
    see = LambdaCallback(on_epoch_end=lambda *_: rates.append(net.learning_rate))
    net = make()
    history = fit(net, ReduceOnPlateau("val_auc", patience=1, factor=0.5, min_delta=0.0), see)
    best = np.maximum.accumulate(history["val_auc"])
    halved = np.cumsum([0, *(best[1:] <= best[:-1])])
    assert rates == (0.5 * 0.5**halved).tolist()
    assert halved[-1] > 0


FALLING = {"mean_squared_error", "mean_absolute_error"}


@pytest.mark.parametrize("name", METRICS)
def test_more_of_a_metric_is_better_unless_it_is_an_error(name):
    assert METRICS[name].rises is (name not in FALLING)


@pytest.mark.parametrize("kind", [EarlyStopping, ReduceOnPlateau])
@pytest.mark.parametrize("monitor", ["confusion_matrix", "val_f1_by_class"])
def test_a_metric_of_several_values_can_not_be_watched(make, kind, monitor):
    net = make()
    before = net.parameters.tobytes()
    with pytest.raises(ValueError, match=f"got '{monitor}', which has several values$") as error:
        fit(net, kind(monitor))
    assert "'val_mean_squared_error'" in str(error.value)
    assert str(error.value).count("confusion_matrix") == (monitor == "confusion_matrix")
    assert net.parameters.tobytes() == before


def test_a_log_has_all_single_numbers_and_the_learning_rate(make, tmp_path):
    path = tmp_path / "log.csv"
    net = make(optimizer=SGD(schedules.Exponential(0.5, 0.9)))
    history = fit(net, CSVLogger(path), validation_freq=2)
    lines = list(csv.DictReader(path.read_text().splitlines()))
    own = ["loss", "auc", "accuracy", "mean_squared_error"]
    names = [*own, *("val_" + name for name in own), "learning_rate"]
    assert list(lines[0]) == ["epoch", *names]
    for name in names:
        assert [float(line[name]) for line in lines if line[name]] == history[name]


@pytest.mark.parametrize("place", ["on_epoch_end", "on_epoch_begin", "on_batch_end"])
def test_an_error_leaves_one_value_of_each_for_each_epoch(make, place):
    """They are not computed once more when the fit ends."""
    told, calls = [], []

    def fail(*_):
        calls.append(place)
        if len(calls) == 5:
            raise LookupError

    with pytest.raises(LookupError):
        fit(make(), LambdaCallback(**{place: fail, "on_train_end": told.append}))
    assert told[0].epochs == {"on_epoch_end": 5, "on_epoch_begin": 4, "on_batch_end": 1}[place]
    assert {len(curve) for curve in told[0].values()} == {told[0].epochs}


@pytest.mark.parametrize("freq", [1, 2, 3])
def test_divergence_takes_back_the_metrics_of_epochs_behind_the_snapshot(Network, freq):
    """Epochs of 400 batches: the last snapshot of the five good ones is behind the third."""
    x, y = np.tile(X, (10, 1)), np.tile(LABELS, 10)
    options = {"batch_size": 1, "validation_data": HELD_OUT, "validation_freq": freq}
    nets = [
        Network(
            [Dense(1)], input_shape=3, loss="squared_error", seed=7, dtype="float64",
            metrics=["mse", "accuracy", "r2", "confusion_matrix"],
            optimizer=SGD(schedules.Piecewise([0.01, 1e200], [5 * 400])),
        )
        for _ in range(2)
    ]  # fmt: skip
    with pytest.warns(fastbp.DivergenceWarning, match="after epoch 3 of this fit"):
        history = nets[0].fit(x, y, epochs=9, **options)
    expected = nets[1].fit(x, y, epochs=3, **options)
    assert list(history) == list(expected)
    for name, curve in history.items():
        assert len(curve) == 3 // (freq if name.startswith("val_") else 1)
        np.testing.assert_array_equal(curve, expected[name])
