"""What an estimator's callbacks hear is what its attributes tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from scipy import sparse
from sklearn.metrics import accuracy_score, r2_score

import fastbp
from fastbp.callbacks import CSVLogger, EarlyStopping, LambdaCallback, ModelCheckpoint
from fastbp.insight import GradientMonitor
from fastbp.sklearn import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.usefixtures("core"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 4))
Z = X @ [1.0, 2.0, -1.0, 0.5]
NAMES = np.array(["a", "b", "c"])[(Z > 0).astype(int) + (Z > 2)]
WEIGHTS = RNG.uniform(0.1, 2, 160)
GIVEN: dict[str, Any] = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0}

# Estimators and their targets.
KINDS: dict[str, tuple[type, dict[str, Any], Any]] = {
    "classes": (MLPClassifier, {}, NAMES),
    "two classes": (MLPClassifier, {}, Z > 0),
    "several at once": (MLPClassifier, {}, np.column_stack([Z > 0, Z > 1]).astype(int)),
    "values": (MLPRegressor, {}, Z),
    "several values": (MLPRegressor, {}, np.column_stack([Z, X])),
    "counts": (MLPRegressor, {"loss": "poisson"}, np.floor(np.abs(Z))),
}


def build(kind: str, **given: Any) -> tuple[Any, Any]:
    """Return an estimator and its targets."""
    estimator, own, y = KINDS[kind]
    return estimator(**GIVEN | own | given), y


def halves(y: Any, form: Any = np.asarray) -> dict[str, Any]:
    """Return what a fit takes that validates with half of the rows."""
    first, second = slice(0, 80), slice(80, None)
    return {
        "X": form(X[first]), "y": y[first], "sample_weight": WEIGHTS[first],
        "X_val": form(X[second]), "y_val": y[second], "sample_weight_val": WEIGHTS[second],
    }  # fmt: skip


class Ear(fastbp.Callback):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []
        self.history: Any = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        assert epoch == len(self.logs)
        assert tuple(logs) == self.names
        self.logs.append(logs)

    def on_train_end(self, history: Any) -> None:
        self.history = history

    def curve(self, name: str) -> list[float]:
        assert self.history[name] == [logs[name] for logs in self.logs]
        return list(self.history[name])


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("held_out", ["given", "given, stopping early", "split"])
@pytest.mark.parametrize("kind", KINDS)
def test_callbacks_hear_the_curves_of_the_estimator(kind: str, held_out: str, form: Any) -> None:
    ear = Ear()
    model, y = build(kind, callbacks=[ear], early_stopping=held_out != "given", batch_size=30)
    model.fit(**(halves(y, form) if held_out != "split" else {"X": form(X), "y": y}))
    score = "val_accuracy" if isinstance(model, MLPClassifier) else "val_r2"
    assert ear.names == ("loss", "val_loss", score)
    assert len(ear.logs) == model.n_iter_ == 5
    assert ear.curve("loss") == model.loss_curve_
    assert ear.curve("val_loss") == model.validation_loss_curve_
    if held_out == "given":
        data = halves(y)
        measure = accuracy_score if score == "val_accuracy" else r2_score
        expected = measure(
            data["y_val"], model.predict(data["X_val"]), sample_weight=data["sample_weight_val"]
        )
        assert ear.curve(score)[-1] == pytest.approx(expected, rel=1e-12)
    else:
        assert ear.curve(score) == model.validation_scores_


def test_callbacks_hear_no_more_than_there_is() -> None:
    ear = Ear()
    schedule = fastbp.schedules.Piecewise([0.01, 0.001], [2], per="epoch")
    model, y = build("values", callbacks=[ear], learning_rate=schedule)
    model.fit(X, y)
    assert ear.names == ("loss", "learning_rate")
    assert ear.curve("learning_rate") == [0.01, 0.01, 0.001, 0.001, 0.001]


@pytest.mark.parametrize("kind", KINDS)
def test_early_stopping_watches_validation_data_and_puts_the_best_back(kind: str) -> None:
    model, y = build(kind, max_iter=400, learning_rate_init=0.1, n_iter_no_change=np.inf)
    stopping, seen = EarlyStopping(patience=3), []
    keep = LambdaCallback(on_epoch_end=lambda *_: seen.append([w.copy() for w in model.coefs_]))
    model.set_params(callbacks=[stopping, keep]).fit(**halves(y))
    curve = model.validation_loss_curve_
    assert stopping.best_epoch == np.argmin(curve) < len(curve) - 1 == stopping.stopped_epoch < 399
    for found, best in zip(model.coefs_, seen[stopping.best_epoch], strict=True):
        np.testing.assert_array_equal(found, best)


@pytest.mark.parametrize(("kind", "name"), [("classes", "val_accuracy"), ("values", "val_r2")])
def test_more_of_a_score_is_better(kind: str, name: str) -> None:
    stopping = EarlyStopping(name, patience=9)
    model, y = build(kind, callbacks=[stopping])
    model.fit(**halves(y))
    assert stopping.is_better(0.6, 0.5)
    assert stopping.best > -np.inf


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints_hold_the_network_of_their_epoch(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "net-{epoch}-{val_loss:.3f}.safetensors"
    best = ModelCheckpoint(tmp_path / "best.safetensors", save_best_only=True)
    model, y = build(kind, callbacks=[ModelCheckpoint(path), best])
    model.fit(**halves(y))
    last = fastbp.load(str(path).format(epoch=5, val_loss=model.validation_loss_curve_[-1]))
    np.testing.assert_array_equal(last.predict(X), model.network_.predict(X))
    assert last.class_names == model.network_.class_names
    assert len(list(tmp_path.iterdir())) == 6
    assert best.best == min(model.validation_loss_curve_)


def test_a_checkpoint_within_an_epoch_goes_on_within_it(tmp_path: Path) -> None:
    path = tmp_path / "{batch}.safetensors"
    model, y = build("several values", batch_size=40, shuffle=False)
    model.set_params(callbacks=[ModelCheckpoint(path, save_freq=2)], max_iter=1).fit(X, y)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["2.safetensors", "4.safetensors"]
    net = fastbp.load(tmp_path / "2.safetensors")
    net.train_on_batch(X[80:120], y[80:120])
    net.train_on_batch(X[120:], y[120:])
    np.testing.assert_array_equal(net.parameters, model.network_.parameters)


def test_a_log_has_a_column_for_each_value(tmp_path: Path) -> None:
    model, y = build("several values", callbacks=[CSVLogger(tmp_path / "log.csv")])
    model.fit(**halves(y))
    heading, *lines = (tmp_path / "log.csv").read_text().splitlines()
    assert heading == "epoch,loss,val_loss,val_r2"
    columns = np.array([[float(value) for value in line.split(",")] for line in lines]).T
    np.testing.assert_array_equal(columns[1], model.loss_curve_)
    np.testing.assert_array_equal(columns[2], model.validation_loss_curve_)


def test_attributes_are_those_of_the_epoch_that_callbacks_hear_of() -> None:
    seen = []
    model, y = build("classes", early_stopping=True)
    model.set_params(callbacks=[LambdaCallback(on_epoch_end=lambda *_: seen.append(
        (model.n_iter_, len(model.loss_curve_), len(model.validation_scores_))
    ))]).fit(X, y)  # fmt: skip
    assert seen == [(n, n, n) for n in range(1, 6)]


@pytest.mark.parametrize("place", ["on_train_begin", "on_epoch_begin", "on_batch_end",
                                   "on_epoch_end"])  # fmt: skip
def test_one_callback_may_stop_and_the_others_are_called_all_the_same(place: str) -> None:
    called = []

    def stop(*_: Any) -> None:
        raise fastbp.StopTraining

    ear = Ear()
    others = LambdaCallback(**{place: lambda *_: called.append(place)})
    model, y = build("values", callbacks=[LambdaCallback(**{place: stop}), others, ear])
    model.fit(X, y)
    assert called == [place]
    assert ear.history.ended == "callback"
    assert len(ear.history["loss"]) == (place == "on_epoch_end")


def test_who_has_begun_hears_of_the_end_though_the_next_fails() -> None:
    def fail() -> None:
        raise OSError("no")

    first, last = Ear(), Ear()
    model, y = build("values", callbacks=[first, LambdaCallback(on_train_begin=fail), last])
    with pytest.raises(OSError, match="no"):
        model.fit(X, y)
    assert first.history == {"loss": []}
    assert last.history is None


def test_gradients_are_watched() -> None:
    monitor = GradientMonitor(every=1)
    model, y = build("values", callbacks=[monitor])
    model.fit(X, y)
    assert len(monitor.steps) == 5


@pytest.mark.parametrize("kind", [EarlyStopping, lambda: ModelCheckpoint("x", save_best_only=True)])
def test_what_watches_validation_data_that_there_are_not_is_refused(kind: Any) -> None:
    model, y = build("values", callbacks=[kind()])
    with pytest.raises(ValueError, match="got 'val_loss'; pass validation data to fit"):
        model.fit(X, y)


def test_partial_fits_tell_callbacks_too() -> None:
    ear = Ear()
    model, y = build("counts", callbacks=[ear])
    for _ in range(2):
        ear.logs.clear()
        model.partial_fit(**halves(y))
        assert ear.curve("val_loss") == model.validation_loss_curve_[-1:]


@pytest.mark.parametrize("kind", ["values", "several values", "counts"])
@pytest.mark.filterwarnings("error")
def test_one_row_is_enough_to_validate_with_where_nobody_asks_for_its_score(kind: str) -> None:
    model, y = build(kind, n_iter_no_change=1, tol=1e9, max_iter=9)
    model.fit(X, y, X_val=X[:1], y_val=y[:1])
    assert len(model.validation_loss_curve_) == model.n_iter_
