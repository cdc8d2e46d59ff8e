"""What scikit-learn refuses is refused with the same words, and by the same kind of error."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from scipy import sparse
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_X_y

import fastbp
from fastbp.sklearn import MLPClassifier, MLPRegressor, rows

pytestmark = [
    pytest.mark.usefixtures("core"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X.sum(axis=1) > 0).astype(int)
SCHEDULE = fastbp.schedules.Cosine(0.1, 10)
NAN = np.where(np.arange(120).reshape(40, 3) == 7, np.nan, X)

# Parameters, then what is given to fit.
REFUSED: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "NaN": ({}, (NAN, Y)),
    "infinity": ({}, (np.where(np.isnan(NAN), np.inf, NAN), Y)),
    "one axis": ({}, (X[:, 0], Y)),
    "three axes": ({}, (X[None], Y)),
    "no rows": ({}, (X[:0], Y[:0])),
    "other lengths": ({}, (X, Y[:-1])),
    "texts": ({}, (np.full(X.shape, "x"), Y)),
    "complex": ({}, (X * 1j, Y)),
    "no y": ({}, (X, None)),
    "continuous classes": ({}, (X, X[:, 0])),
    "several kinds of classes": ({}, (X, np.column_stack([Y, 2 * Y]))),
    "units 0": ({"hidden_layer_sizes": (3, 0)}, (X, Y)),
    "units and a half": ({"hidden_layer_sizes": (3.5,)}, (X, Y)),
    "units below 0": ({"hidden_layer_sizes": -2}, (X, Y)),
    "activation": ({"activation": "cubic"}, (X, Y)),
    "solver": ({"solver": "newton"}, (X, Y)),
    "alpha": ({"alpha": -1}, (X, Y)),
    "batch size": ({"batch_size": 0}, (X, Y)),
    "learning rate": ({"learning_rate_init": 0.0}, (X, Y)),
    "max_iter": ({"max_iter": 0}, (X, Y)),
    "shuffle": ({"shuffle": "yes"}, (X, Y)),
    "momentum": ({"momentum": 2.0}, (X, Y)),
    "fraction": ({"validation_fraction": 1.0}, (X, Y)),
    "beta": ({"beta_1": 1.0}, (X, Y)),
    "patience": ({"n_iter_no_change": 0}, (X, Y)),
    "too few to hold out": (
        {"early_stopping": True, "validation_fraction": 0.01}, (X[:20], np.arange(20) % 4),
    ),
    "weights": ({}, (X, Y, np.ones(39))),
    "divergence": (
        {"solver": "sgd", "activation": "identity", "learning_rate_init": 1e200}, (1e60 * X, Y),
    ),
}  # fmt: skip


def error_of(call: Any, *given: Any) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - both are compared
        call(*given)
    return caught.value


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::fastbp.DivergenceWarning")
def test_fits_are_refused_as_by_scikit_learn(name: str, pair: Any) -> None:
    parameters, data = REFUSED[name]
    fits = pair("MLPClassifier", **parameters)
    expected, found = (error_of(model.fit, *data) for model in (fits.theirs, fits.ours))
    assert type(found) is type(expected)
    # Where it tells what it accepts, there is more that it does here.
    said, should = (
        str(e).replace("MLPRegressor", "").split(". Got ")[-1] for e in (found, expected)
    )
    assert said == should


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score"])
@pytest.mark.parametrize(
    "x",
    [NAN, X[:, :2], X[0], X[None], X[:0], np.full(X.shape, "x"), X * 1j, "x", None],
    ids=lambda x: str(getattr(x, "shape", x)),
)
def test_rows_are_refused_as_by_scikit_learn(x: Any, method: str, pair: Any) -> None:
    fits = pair("MLPClassifier", max_iter=2)
    fits.fit(X, Y)
    y = (Y[: len(x)],) if method == "score" and hasattr(x, "__len__") else ()
    expected, found = (
        error_of(getattr(model, method), x, *y) for model in (fits.theirs, fits.ours)
    )
    assert (type(found), str(found)) == (type(expected), str(expected))


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_an_estimator_without_a_fit_says_so(kind: Any) -> None:
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        kind().predict(X)
    assert not hasattr(kind(), "coefs_")


def test_an_estimator_whose_fit_failed_says_that_it_is_not_fitted() -> None:
    model = MLPClassifier()
    with pytest.raises(ValueError, match="has classes not in"):
        model.fit(X, Y, X_val=X, y_val=Y + 1)
    with pytest.raises(NotFittedError):
        model.predict(X)


FAILING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "width of validation data": ({}, {"X_val": X[:, :2], "y_val": Y}),
    "classes of validation data": ({}, {"X_val": X, "y_val": Y + 7}),
    "number of dropouts": ({"dropout": [0.1]}, {}),
    "dropout": ({"dropout": [0.1, 2.0]}, {}),
    "number of activations": ({"activation": ["relu"]}, {}),
    "activation": ({"activation": ["relu", "cubic"]}, {}),
    "negative weights": ({}, {"sample_weight": np.linspace(1, -1, 40)}),
    "weights of nothing": ({}, {"sample_weight": np.zeros(40)}),
    "number of weights": ({}, {"sample_weight": np.ones(3)}),
    "weights of classes": ({"class_weight": {7: 1.0}}, {}),
    "callbacks": ({"callbacks": [3]}, {}),
    "what is held out": ({"early_stopping": True, "validation_fraction": 1e-9}, {}),
    "beside lbfgs": ({"solver": "lbfgs", "clip_norm": 1.0}, {}),
    "range": ({"dtype": "float32"}, {"X": 1e200 * X}),
}


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("name", FAILING)
def test_what_fails_in_its_arguments_leaves_an_estimator_as_it_was(
    name: str, method: str, form: Any
) -> None:
    parameters, given = FAILING[name]
    if method == "partial_fit" and "solver" in parameters:
        pytest.skip("there is no partial fit")
    model = MLPClassifier((4, 4), max_iter=2, random_state=np.random.RandomState(0)).fit(X, Y)
    parameters_before = model.get_params()
    state, outputs = pickle.dumps(vars(model)), model.predict_proba(X)
    given = {"X": X, "y": Y + 1 if method == "fit" else Y} | given
    with pytest.raises((ValueError, TypeError)):
        getattr(model.set_params(**parameters), method)(**given | {"X": form(given["X"])})
    np.testing.assert_array_equal(model.predict_proba(X), outputs)
    np.testing.assert_array_equal(model.classes_, [0, 1])
    if not parameters:
        assert pickle.dumps(vars(model)) == state
    twin = pickle.loads(state)
    model.set_params(**parameters_before).partial_fit(X, Y)
    assert model.loss_ == pytest.approx(twin["loss_curve_"][-1], rel=0.2)


def test_a_first_partial_fit_that_fails_leaves_no_classes_behind() -> None:
    model = MLPClassifier()
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(NAN, Y, classes=[0, 1])
    assert not hasattr(model, "classes_")
    assert model.partial_fit(X, Y, classes=[0, 1, 2]).predict_proba(X).shape == (40, 3)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("sizes", [(9,), (4, 5), ()])
def test_other_layers_than_those_to_go_on_with_are_refused(sizes: Any, method: str) -> None:
    model = MLPClassifier((4, 4), max_iter=2, warm_start=True).fit(X, Y)
    expected = model.predict_proba(X)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes: expected \[4, 4\] to go on from"):
        getattr(model.set_params(hidden_layer_sizes=sizes), method)(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    model.set_params(hidden_layer_sizes=[4, 4])
    assert getattr(model, method)(X, Y) is model
    model.set_params(warm_start=False, hidden_layer_sizes=sizes).fit(X, Y)
    assert model.n_layers_ == len(sizes) + 2


def test_lbfgs_has_no_partial_fit() -> None:
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(AttributeError) as caught:
        MLPRegressor(solver="lbfgs").partial_fit(X, Y)
    assert "lbfgs is not stochastic" in str(caught.value.__cause__)


def test_a_partial_fit_needs_data_to_stop_early(pair: Any) -> None:
    fits = pair("MLPClassifier", early_stopping=True)
    expected, found = (
        error_of(model.partial_fit, X, Y, None, [0, 1]) for model in (fits.theirs, fits.ours)
    )
    assert type(found) is type(expected)
    assert str(found).startswith(str(expected))


def test_new_classes_are_refused_as_by_scikit_learn(pair: Any) -> None:
    for parameters, method in (({}, "partial_fit"), ({"warm_start": True}, "fit")):
        fits = pair("MLPClassifier", max_iter=2, **parameters)
        fits.fit(X, Y)
        expected, found = (
            error_of(getattr(model, method), X, Y + 1) for model in (fits.theirs, fits.ours)
        )
        assert (type(found), str(found)) == (type(expected), str(expected))


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"activation": ["relu"]}, "activation: expected 2 entries, one for each hidden layer"),
        ({"dropout": [0.1, 0.2, 0.3]}, "dropout: expected 2 entries"),
        ({"dropout": 0.1, "solver": "lbfgs"}, "dropout: expected 0 beside solver 'lbfgs'"),
        ({"clip_value": 1.0, "solver": "lbfgs"}, "clip_value: expected None beside solver 'lbfgs'"),
        ({"clip_norm": 1.0, "solver": "lbfgs"}, "clip_norm: expected None beside solver 'lbfgs'"),
        (
            {"callbacks": [fastbp.callbacks.LambdaCallback()], "solver": "lbfgs"},
            "callbacks: expected None beside solver 'lbfgs'",
        ),
        (
            {"learning_rate": SCHEDULE, "solver": "lbfgs"},
            "learning_rate: expected 'constant' beside solver 'lbfgs', got Cosine",
        ),
        ({"weight_decay": 0.1, "solver": "lbfgs"}, "weight_decay: expected 0.01 beside solver"),
        ({"weight_decay": 0.1, "solver": "adam"}, "weight_decay: expected 0.01 beside solver"),
        (
            {"learning_rate": SCHEDULE, "solver": fastbp.Adam()},
            "learning_rate: expected 'constant' beside an optimizer, which has its own, got Cosine",
        ),
        (
            {"weight_decay": 0.1, "solver": fastbp.Adam()},
            "weight_decay: expected 0.01 beside an optimizer, which has its own, got 0.1",
        ),
        ({"clip_value": 1.0, "solver": fastbp.Adam()}, "clip_value: expected None beside an optim"),
        ({"clip_norm": 1.0, "solver": fastbp.Adam()}, "clip_norm: expected None beside an optimiz"),
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"class_weight": "even"}, "'class_weight' parameter"),
        ({"class_weight": {3: 1.0}}, "The classes"),
        ({"dtype": "float16"}, "'dtype' parameter"),
        ({"n_threads": 0}, "'n_threads' parameter"),
        ({"clip_norm": 0.0}, "'clip_norm' parameter"),
        ({"callbacks": 3}, "'callbacks' parameter"),
    ],
)
def test_parameters_of_our_own_are_checked(parameters: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        MLPClassifier((4, 4), max_iter=2, **parameters).fit(X, Y)


def test_a_regressor_refuses_losses_of_probabilities() -> None:
    with pytest.raises(ValueError, match="loss: expected one that compares any numbers"):
        MLPRegressor(fastbp.losses.BinaryCrossentropy()).fit(X, Y)


def test_a_balanced_weight_is_refused_where_not_all_samples_are_seen() -> None:
    with pytest.raises(ValueError, match="class_weight 'balanced' is not supported"):
        MLPClassifier(class_weight="balanced").partial_fit(X, Y, classes=[0, 1])


@pytest.mark.parametrize(
    "given",
    [
        {"weight_decay": 0.0, "dropout": [0.0], "callbacks": []},
        {"solver": "lbfgs", "dropout": 0, "callbacks": (), "learning_rate": "adaptive"},
        {"solver": fastbp.Adam(clip_norm=1.0), "learning_rate": "invscaling"},
        {"solver": "adamw", "weight_decay": 0.1, "learning_rate": SCHEDULE, "clip_norm": 1.0},
    ],
)
def test_what_changes_nothing_is_taken_as_left_out(given: Any) -> None:
    MLPClassifier((4,), max_iter=2, **given).fit(X, Y)


@pytest.mark.parametrize("given", [{"X_val": X, "y_val": Y}, {"X_val": NAN}, {"y_val": [5]}])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_validation_data_are_refused_where_there_are_no_epochs(kind: Any, given: Any) -> None:
    with pytest.raises(ValueError, match="X_val, y_val: expected None beside solver 'lbfgs'"):
        kind(solver="lbfgs").fit(X, Y, **given)


def test_weights_of_validation_data_come_with_them() -> None:
    with pytest.raises(ValueError, match="sample_weight_val: expected None without X_val and y_v"):
        MLPClassifier().fit(X, Y, sample_weight_val=np.ones(40))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_fit_needs_a_weight_above_0(solver: str) -> None:
    model = MLPClassifier(solver=solver, class_weight={0: 0.0, 1: 0.0})
    with pytest.raises(ValueError, match="sample_weight, class_weight: expected a weight above 0"):
        model.fit(X, Y)


def test_validation_data_and_those_held_out_need_a_weight_above_0() -> None:
    model = MLPClassifier(class_weight={0: 0.0}, early_stopping=True, shuffle=False)
    with pytest.raises(ValueError, match="sample_weight_val, class_weight: expected a weight abo"):
        model.fit(X, Y, X_val=X[Y == 0], y_val=Y[Y == 0])
    regressor = MLPRegressor(early_stopping=True, random_state=0)
    one = np.zeros(40)
    one[0] = 1.0
    with pytest.raises(ValueError, match=r"class_weight.*: expected a weight above 0"):
        regressor.fit(X, Y, one)


@pytest.mark.parametrize("given", [{"X_val": X}, {"y_val": Y}])
def test_validation_data_come_in_pairs(given: Any) -> None:
    with pytest.raises(ValueError, match="X_val, y_val: expected both or none"):
        MLPClassifier().fit(X, Y, **given)


def test_validation_data_have_known_classes_alone() -> None:
    with pytest.raises(ValueError, match="has classes not in"):
        MLPClassifier().fit(X, Y, X_val=X, y_val=Y + 1)


def test_rows_that_are_assumed_finite_are_not_looked_at_by_scikit_learn() -> None:
    model = MLPRegressor(max_iter=2).fit(X, Y)
    with config_context(assume_finite=True), pytest.raises(ValueError, match="finite numbers"):
        model.predict(NAN)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_fit_looks_for_itself_at_rows_that_are_assumed_finite(solver: str) -> None:
    with config_context(assume_finite=True), pytest.raises(ValueError, match="x: expected finite"):
        MLPRegressor(solver=solver).fit(NAN, Y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(("x", "y", "name"), [(1e300 * X, Y, "x"), (X, 1e300 * X[:, 0], "y")])
def test_numbers_out_of_the_range_of_the_network_are_refused(
    x: Any, y: Any, name: str, solver: str
) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected finite numbers in the range of float3"):
        MLPRegressor(solver=solver, dtype="float32").fit(x, y)


PLAIN = {
    "float32": (X.astype(np.float32), Y),
    "columns": (np.asfortranarray(X), Y),
    "every other row": (X[::2], Y[::2]),
    "small numbers": (X, Y.astype(np.int8)),
    "truths": (X, Y > 0),
    "numbers": (X, X[:, 0]),
    "one row": (X[:1], Y[:1]),
}
OTHERS = {
    "NaN": (NAN, Y),
    "two infinities": (np.where(np.isnan(NAN), np.inf, -np.inf), Y),
    "a target of NaN": (X, np.where(Y, np.nan, 1.0)),
    "huge numbers": (np.full((2, 3), 1e308), Y[:2]),
    "lists": (X.tolist(), Y),
    "a list of targets": (X, Y.tolist()),
    "whole numbers": (np.arange(120).reshape(40, 3), Y),
    "other byte order": (X.astype(">f8"), Y),
    "float16": (X.astype(np.float16), Y),
    "masked": (np.ma.array(X), Y),
    "one axis": (X[:, 0], Y),
    "no rows": (X[:0], Y[:0]),
    "no features": (X[:, :0], Y),
    "other lengths": (X, Y[:-1]),
    "two axes of targets": (X, Y[:, None]),
    "one target": (X, np.array(1)),
    "texts": (X, Y.astype(str)),
    "objects": (X, Y.astype(object)),
    "complex": (X, Y * 1j),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_plain_passes_the_checks_of_scikit_learn_as_it_is(name: str) -> None:
    x, y = PLAIN[name]
    assert rows.are_plain(x, y)
    checked = check_X_y(x, y, multi_output=True, dtype=(np.float64, np.float32))
    assert checked[0] is x
    assert checked[1] is y


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_plain_is_left_to_scikit_learn(name: str) -> None:
    assert not rows.are_plain(*OTHERS[name])
