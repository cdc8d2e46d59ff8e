"""What the estimators do beyond scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_sample_weight

import fastbp
from fastbp import losses, schedules
from fastbp.sklearn import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.usefixtures("core"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))
Z = X @ [1.0, 2.0, -1.0, 0.5]
Y = np.array(["a", "b", "c"])[(Z > 0).astype(int) + (Z > 2)]
NOISY = Z + RNG.standard_exponential(200)


def classifier(**given: Any) -> MLPClassifier:
    defaults = {"hidden_layer_sizes": (8, 6), "max_iter": 20, "random_state": 0}
    return MLPClassifier(**defaults | given)


def regressor(**given: Any) -> MLPRegressor:
    defaults = {"max_iter": 60, "random_state": 0, "learning_rate_init": 0.01}
    return MLPRegressor(**defaults | given)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("weights", ["balanced", {"a": 3.0, "c": 0.5}])
def test_weights_of_classes_are_those_of_their_samples(weights: Any, solver: str) -> None:
    own = RNG.uniform(0.1, 1, 200)
    found = classifier(class_weight=weights, solver=solver).fit(X, Y, own)
    expected = classifier(solver=solver).fit(X, Y, own * compute_sample_weight(weights, Y))
    np.testing.assert_array_equal(found.coefs_[0], expected.coefs_[0])
    assert abs(found.coefs_[0] - classifier(solver=solver).fit(X, Y).coefs_[0]).max() > 1e-3


def test_weights_of_classes_count_among_validation_data_as_among_those_held_out() -> None:
    given: dict[str, Any] = {"class_weight": {"a": 3.0, "c": 0.5}, "early_stopping": True}
    split, told = (classifier(**given, max_iter=5, shuffle=False) for _ in range(2))
    split.fit(X, Y)
    rng = np.random.RandomState(0)
    for n_in, n_out in ((4, 8), (8, 6), (6, 3)):  # it draws the weights first
        rng.uniform(size=n_in * n_out + n_out)
    train, held_out = train_test_split(np.arange(200), random_state=rng, test_size=0.1)
    told.fit(X[train], Y[train], X_val=X[held_out], y_val=Y[held_out])
    assert told.validation_scores_ == split.validation_scores_
    assert told.validation_loss_curve_ == split.validation_loss_curve_


@pytest.mark.parametrize("weights", [{"a": 3.0, "c": 0.5}, "balanced"])
def test_scores_of_validation_data_are_weighted(weights: Any) -> None:
    own = RNG.uniform(0.1, 1, 200)
    model = classifier(class_weight=weights, early_stopping=True, max_iter=1)
    model.fit(X, Y, X_val=X, y_val=Y, sample_weight_val=own)
    own = own * compute_sample_weight(weights, Y)
    expected = accuracy_score(Y, model.predict(X), sample_weight=own)
    assert model.validation_scores_ == pytest.approx([expected], rel=1e-12)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("kind", ["classes", "values", "several values", "counts"])
def test_a_batch_without_weight_counts_as_a_loss_of_0_and_has_no_gradient(
    kind: str, solver: str
) -> None:
    y = {"classes": Y, "values": Z, "several values": np.column_stack([Z, X]), "counts": abs(Z)}
    loss = {"loss": "poisson"} if kind == "counts" else {}
    build = classifier if kind == "classes" else regressor
    given: dict[str, Any] = {"solver": solver, "batch_size": 50, "alpha": 1.0, "shuffle": False}
    weights = np.repeat([1.0, 0.5, 2.0, 0.0], 50)
    with_it = build(**given, **loss, max_iter=1).fit(X, y[kind], weights)
    without = build(**given, **loss, max_iter=1).fit(X[:150], y[kind][:150], weights[:150])
    np.testing.assert_allclose(with_it.loss_, without.loss_ * 150 / 200, rtol=1e-12)
    if solver == "sgd":
        order = np.roll(np.arange(200), 50)
        first, second = (
            build(**given | {"momentum": 0.0}, **loss, max_iter=1).fit(X[o], y[kind][o], weights[o])
            for o in (order, order[50:])
        )
        np.testing.assert_array_equal(first.coefs_[0], second.coefs_[0])


def test_weights_of_classes_leave_out_what_a_batch_leaves_out() -> None:
    """Whether a mapping names all classes is asked of all, not of those of one batch."""
    weights, some = {"a": 3.0, "b": 0.5}, Y != "b"
    model = classifier(class_weight=weights)
    model.partial_fit(X[some], Y[some], classes=["a", "b", "c"])
    expected = classifier().partial_fit(
        X[some], Y[some], np.where(Y[some] == "a", 3.0, 1.0), classes=["a", "b", "c"]
    )
    assert model.loss_ == expected.loss_
    for each in (weights | {"d": 1.0}, {"d": 1.0}):
        with pytest.raises(ValueError, match=r"The classes, .*'c'.*, are not"):
            classifier(class_weight=each).partial_fit(X[some], Y[some], classes=["a", "b", "c"])


def test_weights_of_several_classes_at_once_leave_out_what_a_batch_leaves_out() -> None:
    both = np.column_stack([Z > 0, Z > 2])
    weights = [{1: 2.0}, {1: 5.0}]
    model = classifier(class_weight=weights).partial_fit(X, both, classes=[0, 1])
    few = Z <= 2
    model.partial_fit(X[few], both[few])
    expected = classifier().partial_fit(
        X, both, np.where(Z > 0, 2.0, 1) * np.where(Z > 2, 5.0, 1), classes=[0, 1]
    )
    expected.partial_fit(X[few], both[few], np.where(Z[few] > 0, 2.0, 1))
    assert model.loss_curve_ == expected.loss_curve_


# What is set anew between two fits, beside a network that is otherwise the same.
SET_ANEW: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "loss": ({}, {"loss": "absolute_error"}),
    "loss and last function": ({}, {"loss": "poisson"}),
    "dtype": ({}, {"dtype": "float32"}),
    "clip_norm": ({}, {"clip_norm": 1e-3}),
    "clip_value": ({}, {"clip_value": 1e-4}),
    "weight_decay": ({"solver": "adamw"}, {"weight_decay": 20.0}),
    "dropout": ({}, {"dropout": 0.5}),
    "alpha": ({}, {"alpha": 10.0}),
    "activation": ({}, {"activation": "gelu"}),
    "a schedule": ({}, {"learning_rate": schedules.Piecewise([0.0, 0.1], [3])}),
    "constants of an optimizer": ({"solver": fastbp.Adam(0.01)}, {"solver": fastbp.Adam(0.1)}),
    "solver": ({}, {"solver": "sgd"}),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("name", SET_ANEW)
def test_what_is_set_anew_counts_from_the_next_fit(name: str, method: str) -> None:
    given, anew = SET_ANEW[name]
    y = abs(Z)
    same, changed = (regressor(warm_start=True, max_iter=2, **given).fit(X, y) for _ in range(2))
    start = changed.coefs_[0].copy()
    for model in (same, changed.set_params(**anew)):
        getattr(model, method)(X, y)
    assert not np.array_equal(changed.coefs_[0], same.coefs_[0])
    expected = regressor(max_iter=1, learning_rate_init=1e-300, **given | anew)
    expected.fit(X, y)  # whose parts are those of a network that was made so
    for part in ("layers", "loss", "dtype"):
        found, should = (repr(getattr(each._network, part)) for each in (changed, expected))
        assert found == should
    assert changed.out_activation_ == expected.out_activation_
    assert abs(changed.coefs_[0] - start).max() < 0.5  # it went on from where it stood


def test_the_number_of_threads_is_that_of_the_next_fit() -> None:
    model = classifier(n_threads=1).partial_fit(X, Y, classes=["a", "b", "c"])
    model.set_params(n_threads=2).partial_fit(X, Y)
    assert model._network.n_threads == 2


def test_an_optimizer_remembers_when_something_else_is_set_anew() -> None:
    """What is clipped beyond all gradients changes no bit of what follows."""
    same, changed = (
        classifier(dropout=0.2).partial_fit(X, Y, classes=["a", "b", "c"]) for _ in range(2)
    )
    changed.set_params(clip_norm=1e9)
    for model in (same, changed):
        model.partial_fit(X, Y).partial_fit(X, Y)
    np.testing.assert_array_equal(changed.coefs_[0], same.coefs_[0])


@pytest.mark.parametrize("early", [False, True])
def test_early_stopping_may_be_set_between_warm_starts(early: bool) -> None:
    model = classifier(early_stopping=early, warm_start=True, max_iter=3).fit(X, Y)
    model.set_params(early_stopping=not early).fit(X, Y)
    assert len(model.loss_curve_) == 6
    assert model._no_improvement_count <= 3
    if early:
        assert model.validation_scores_ is None
        assert model.best_loss_ == min(model.loss_curve_[3:])
    else:
        assert model.best_validation_score_ == max(model.validation_scores_)
        assert len(model.validation_scores_) == 3


def test_steps_may_go_on_from_lbfgs() -> None:
    model = classifier(solver="lbfgs", warm_start=True, max_iter=3).fit(X, Y)
    model.set_params(solver="adam", learning_rate_init=1e-6).fit(X, Y)
    assert model.loss_curve_[0] == pytest.approx(model.loss_, rel=1e-3)
    assert len(model.loss_curve_) == 3


@pytest.mark.parametrize("rate", [0.4, [0.4, 0.0], [0.0, 0.4]])
def test_dropout_is_drawn_by_random_state_and_off_in_predictions(rate: Any) -> None:
    first, same = (classifier(dropout=rate).fit(X, Y) for _ in range(2))
    other, none = (classifier(**given).fit(X, Y) for given in ({"random_state": 1}, {}))
    assert first.loss_curve_ == same.loss_curve_
    assert first.loss_curve_ != none.loss_curve_
    assert first.loss_curve_ != other.loss_curve_
    np.testing.assert_array_equal(first.predict_proba(X), first.predict_proba(X))
    rates = rate if isinstance(rate, list) else [rate, rate]
    layers = [type(layer.description).__name__ for layer in first._network.layers]
    assert layers.count("Dropout") == sum(map(bool, rates))


def test_initial_weights_are_those_without_dropout() -> None:
    tiny = {"learning_rate_init": 1e-300, "max_iter": 1}
    with_it, without = (classifier(dropout=d, **tiny).fit(X, Y) for d in (0.5, 0.0))
    np.testing.assert_array_equal(with_it.coefs_[1], without.coefs_[1])


@pytest.mark.parametrize("name", [*(set(fastbp.activations.ACTIVATIONS) - {"softmax"}), "swish"])
def test_all_activations_train(name: str) -> None:
    model = classifier(activation=name, learning_rate_init=0.03, max_iter=200).fit(X, Y)
    assert model.score(X, Y) > 0.8


def test_each_layer_has_an_activation_of_its_own() -> None:
    mixed = classifier(activation=["tanh", fastbp.activations.ELU(0.5)]).fit(X, Y)
    layers = [layer.description.activation for layer in mixed._network.layers]
    assert [f.name for f in layers] == ["tanh", "elu", "softmax"]
    alike, single = (classifier(activation=f).fit(X, Y) for f in (["logistic"] * 2, "logistic"))
    assert alike.loss_curve_ == single.loss_curve_


def test_an_activation_may_be_your_own() -> None:
    sine = fastbp.activations.Custom(np.sin, np.cos)
    model = classifier(activation=sine, learning_rate_init=0.03, max_iter=60).fit(X, Y)
    assert model.score(X, Y) > 0.8


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("absolute_error", lambda e: np.abs(e).mean()),
        ("huber", lambda e: np.where(abs(e) <= 1, e**2 / 2, abs(e) - 0.5).mean()),
        (losses.Huber(delta=0.3), lambda e: np.where(abs(e) <= 0.3, e**2 / 2,
                                                     0.3 * (abs(e) - 0.15)).mean()),
        ("quantile", lambda e: np.abs(e).mean() / 2),
        (losses.Quantile(quantile=0.9), lambda e: np.maximum(-0.1 * e, 0.9 * e).mean()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_losses_of_regressors_are_lowered(loss: Any, expected: Any, solver: str) -> None:
    model = regressor(loss=loss, solver=solver, alpha=0.0, shuffle=False).fit(X, NOISY)
    start = regressor(loss=loss, alpha=0.0, max_iter=1, learning_rate_init=1e-300)
    start.fit(X, NOISY)
    np.testing.assert_allclose(start.loss_, expected(NOISY - start.predict(X)), rtol=1e-12)
    found = expected(NOISY - model.predict(X))
    assert found < 0.6 * start.loss_
    if solver == "lbfgs":
        np.testing.assert_allclose(model.loss_, found, rtol=1e-12)


def test_a_quantile_has_its_share_of_the_targets_below_it() -> None:
    given: dict[str, Any] = {"max_iter": 400, "n_iter_no_change": 400}
    model = regressor(loss=losses.Quantile(quantile=0.9), **given).fit(X, NOISY)
    assert 0.85 < np.mean(model.predict(X) >= NOISY) < 0.95


def test_alpha_counts_the_same_in_other_losses() -> None:
    start = [
        regressor(loss="absolute_error", alpha=alpha, max_iter=1, learning_rate_init=1e-300)
        .fit(X, NOISY)
        for alpha in (0.0, 3.0)
    ]  # fmt: skip
    squares = sum((w**2).sum() for w in start[0].coefs_)
    np.testing.assert_allclose(start[1].loss_ - start[0].loss_, 1.5 * squares / 200, rtol=1e-10)


@pytest.mark.parametrize("kind", ["classifier", "regressor", "several outputs", "poisson"])
def test_the_loss_of_validation_data_is_measured_as_that_of_training(kind: str) -> None:
    y = {"classifier": Y, "regressor": Z, "several outputs": np.column_stack([Z, X]),
         "poisson": np.abs(Z)}[kind]  # fmt: skip
    loss = {"loss": "poisson"} if kind == "poisson" else {}
    build = classifier if kind == "classifier" else regressor
    weights = RNG.uniform(0.1, 2, 200)
    model = build(shuffle=False, max_iter=5, **loss)
    model.fit(X, y, weights, X_val=X, y_val=y, sample_weight_val=weights)
    # One batch: an epoch's loss is from before its only update, that of validation from behind it.
    np.testing.assert_allclose(model.validation_loss_curve_[:-1], model.loss_curve_[1:], rtol=1e-12)
    assert model.n_iter_ == len(model.validation_loss_curve_) == 5


def test_validation_data_stop_early_in_place_of_a_split() -> None:
    model = classifier(early_stopping=True, max_iter=60, tol=0.0, n_iter_no_change=2)
    model.fit(X[:150], Y[:150], X_val=X[150:], y_val=Y[150:])
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.score(X[150:], Y[150:]) == model.best_validation_score_
    assert model.t_ == 150 * model.n_iter_


def test_validation_data_need_not_have_all_classes() -> None:
    is_a = Y == "a"
    model = classifier(max_iter=3).fit(X, Y, X_val=X[is_a], y_val=Y[is_a])
    assert len(model.validation_loss_curve_) == 3


def test_partial_fits_stop_early_and_keep_the_best() -> None:
    model = classifier(early_stopping=True, learning_rate_init=0.05, n_iter_no_change=3)
    calls = 0
    while calls < 200:
        model.partial_fit(X[:150], Y[:150], classes=["a", "b", "c"], X_val=X[150:], y_val=Y[150:])
        calls += 1
        if model.stopped_:
            break
    assert model.stopped_
    assert calls == len(model.validation_scores_) < 200
    assert model.score(X[150:], Y[150:]) == model.best_validation_score_


def test_callbacks_are_called() -> None:
    seen: list[tuple[int, float]] = []
    log = fastbp.callbacks.LambdaCallback(on_epoch_end=lambda e, v: seen.append((e, v["loss"])))
    model = classifier(callbacks=[log], max_iter=4).fit(X, Y)
    assert seen == list(enumerate(model.loss_curve_))


def test_a_callback_may_stop_a_fit() -> None:
    def stop(epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise fastbp.StopTraining

    callback = fastbp.callbacks.LambdaCallback(on_epoch_end=stop)
    assert classifier(callbacks=[callback]).fit(X, Y).n_iter_ == 3


def test_the_number_of_threads_changes_no_bit() -> None:
    one, two = (classifier(n_threads=n, hidden_layer_sizes=(64,)).fit(X, Y) for n in (1, 2))
    np.testing.assert_array_equal(one.coefs_[0], two.coefs_[0])


def test_an_array_of_dropouts_is_a_list_of_them() -> None:
    rates = [0.4, 0.1]
    listed, array = (classifier(dropout=each).fit(X, Y) for each in (rates, np.array(rates)))
    assert listed.loss_curve_ == array.loss_curve_
    assert len(array.partial_fit(X, Y).loss_curve_) == 21


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), np.float64])
def test_a_dtype_may_be_a_type(dtype: Any) -> None:
    for solver in ("adam", "lbfgs"):
        model = classifier(dtype=dtype, solver=solver).fit(X, Y)
        assert model.coefs_[0].dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_that_of_weights_and_outputs(dtype: str) -> None:
    for solver in ("adam", "lbfgs"):
        model = classifier(dtype=dtype, solver=solver).fit(X, Y)
        assert {w.dtype.name for w in [*model.coefs_, *model.intercepts_]} == {dtype}
        assert model.predict_proba(X).dtype == dtype


@pytest.mark.parametrize("clip", [{"clip_norm": 1e-3}, {"clip_value": 1e-4}])
def test_clipped_gradients_make_short_steps(clip: Any) -> None:
    given: dict[str, Any] = {"solver": "sgd", "momentum": 0, "max_iter": 1, "learning_rate_init": 1}
    start = classifier(max_iter=1, learning_rate_init=1e-300).fit(X, Y)
    model = classifier(**given, **clip).fit(X, Y)
    steps = np.concatenate([
        (a - b).ravel() for a, b in zip(model.coefs_, start.coefs_, strict=True)
    ])  # fmt: skip
    assert 0 < np.linalg.norm(steps) <= 1e-3 * (1 + 1e-9) or abs(steps).max() <= 1e-4 * (1 + 1e-9)


@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw"])
def test_a_schedule_gives_the_learning_rate(solver: str) -> None:
    flat, same = (
        classifier(solver=solver, learning_rate=rate, learning_rate_init=0.02).fit(X, Y)
        for rate in (schedules.Piecewise([0.02, 0.02], [5]), "constant")
    )
    assert flat.loss_curve_ == same.loss_curve_
    frozen = classifier(solver=solver, learning_rate=schedules.Piecewise([0.02, 0.0], [5]))
    curve = frozen.set_params(momentum=0, shuffle=False).fit(X, Y).loss_curve_
    np.testing.assert_allclose(curve[5:], curve[5], rtol=1e-12)


def test_adamw_decays_weights() -> None:
    norms = [
        sum((w**2).sum() for w in classifier(solver="adamw", weight_decay=decay).fit(X, Y).coefs_)
        for decay in (0.0, 30.0)
    ]
    assert norms[1] < 0.8 * norms[0]


@pytest.mark.parametrize("name", [*(set(fastbp.optimizers.OPTIMIZERS) - {"lbfgs"})])
def test_all_optimizers_train(name: str) -> None:
    rule = fastbp.optimizers.OPTIMIZERS[name](0.02)
    model = classifier(solver=rule, max_iter=100).fit(X, Y)
    assert model.loss_curve_[-1] < 0.9 * model.loss_curve_[0]


def test_our_own_lbfgs_is_a_solver_too() -> None:
    model = classifier(solver=fastbp.LBFGS(), max_iter=30).fit(X, Y)
    theirs = classifier(solver="lbfgs", max_iter=30).fit(X, Y)
    assert len(model.loss_curve_) == model.n_iter_
    assert model.loss_curve_[0] == pytest.approx(classifier().fit(X, Y).loss_curve_[0], rel=1e-12)
    assert model.loss_ < 1.5 * theirs.loss_ + 0.05


def test_lbfgs_tells_of_its_iterations(capsys: pytest.CaptureFixture[str]) -> None:
    model = classifier(solver="lbfgs", verbose=True, max_iter=5).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[-1] == f"Iteration 5, loss = {model.loss_:.8f}"
