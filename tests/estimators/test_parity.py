"""Fits are those of scikit-learn, fitted here beside them.

Both compute in float64, in other orders, so numbers agree to some roundings, which training
magnifies: 1e-11 after some dozens of epochs.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from scipy import sparse
from sklearn import neural_network
from sklearn.datasets import make_multilabel_classification, make_regression

from fastbp import sklearn as estimators

pytestmark = pytest.mark.usefixtures("core")

TOLERANCE = 1e-11
RNG = np.random.default_rng(0)
VALUES_X, VALUES = make_regression(240, 10, n_targets=3, random_state=0)
VALUES = VALUES / 100
LABELS_X, LABELS = make_multilabel_classification(240, random_state=0)
WEIGHTS = RNG.uniform(0.1, 2, 600)

# Attributes after a fit that have to be equal, or equal to rounding, or missing in both.
EXACT = ("n_iter_", "t_", "n_layers_", "n_outputs_", "n_features_in_", "out_activation_")
CLOSE = (
    "loss_", "best_loss_", "best_validation_score_", "loss_curve_", "validation_scores_",
)  # fmt: skip


def check_same(pair: Any, x: Any, tolerance: float = TOLERANCE) -> None:
    """Compare all attributes, and what is predicted."""
    theirs, ours = pair.theirs, pair.ours
    for name in EXACT:
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in CLOSE:
        expected = getattr(theirs, name, "missing")
        found = getattr(ours, name, "missing")
        if expected is None or isinstance(expected, str):
            assert found == expected, name
        else:
            np.testing.assert_allclose(found, expected, rtol=tolerance, err_msg=name)
    for name in ("coefs_", "intercepts_"):
        for found, expected in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(found, expected, atol=tolerance, err_msg=name)
            assert found.dtype == expected.dtype
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), atol=tolerance)
    if hasattr(theirs, "classes_"):
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        for method in ("predict_proba", "predict_log_proba"):
            found, expected = getattr(ours, method)(x), getattr(theirs, method)(x)
            np.testing.assert_allclose(found, expected, rtol=100 * tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_parameters_of_scikit_learn_come_first_with_its_defaults(kind: str) -> None:
    theirs, ours = (
        list(inspect.signature(getattr(module, kind)).parameters.values())
        for module in (neural_network, estimators)
    )
    for parameter, expected in zip(ours, theirs, strict=False):
        assert (parameter.name, parameter.default, parameter.kind) == (
            expected.name, expected.default, expected.kind,
        )  # fmt: skip
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in ours[len(theirs) :])


CLASSIFIERS: dict[str, dict[str, Any]] = {
    "adam": {},
    "two layers": {"hidden_layer_sizes": (20, 10), "activation": "tanh"},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "one number of units": {"hidden_layer_sizes": 7, "activation": "identity"},
    "adam, other constants": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    "sgd": {"solver": "sgd", "activation": "logistic"},
    "sgd, heavy momentum": {"solver": "sgd", "momentum": 1.0, "learning_rate_init": 1e-4},
    "sgd, no momentum": {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.1},
    "sgd, plain momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "inverse scaling": {
        "solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5, "power_t": 0.3,
    },
    "adaptive": {
        "solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.1, "tol": 0.02,
        "n_iter_no_change": 1, "max_iter": 80,
    },
    "stops": {"tol": 0.1, "n_iter_no_change": 2, "max_iter": 60},
    "never stops": {"tol": 10.0, "n_iter_no_change": np.inf},
    "early stopping": {"early_stopping": True, "max_iter": 40, "tol": 0.01},
    "early stopping, adaptive": {
        "early_stopping": True, "solver": "sgd", "learning_rate": "adaptive", "max_iter": 40,
        "learning_rate_init": 0.3, "n_iter_no_change": 1, "validation_fraction": 0.2,
    },
    "batches of 50": {"batch_size": 50, "alpha": 1.0},
    "batches of 599": {"batch_size": 599, "alpha": 10.0},
    "batches too large": {"batch_size": 601},
    "without a shuffle": {"shuffle": False, "batch_size": 64},
    "lbfgs": {"solver": "lbfgs"},
    "lbfgs, few evaluations": {"solver": "lbfgs", "max_fun": 5},
    "lbfgs, converged": {"solver": "lbfgs", "tol": 0.05, "max_iter": 200},
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_train_as_those_of_scikit_learn(name: str, digits: Any, pair: Any) -> None:
    fits = pair("MLPClassifier", **{"hidden_layer_sizes": (16,), "max_iter": 6} | CLASSIFIERS[name])
    fits.fit(*digits)
    check_same(fits, digits[0])


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", ["two classes", "names", "one class", "several at once"])
def test_kinds_of_classes(kind: str, solver: str, early: bool, digits: Any, pair: Any) -> None:
    x, y = digits
    data = {
        "two classes": (x, y > 4),
        "names": (x, np.array(["zero", "one", "two", "more"], object)[np.minimum(y, 3)]),
        "one class": (x, np.full(len(y), 7)),
        "several at once": (LABELS_X, LABELS),
    }
    fits = pair("MLPClassifier", solver=solver, early_stopping=early, max_iter=8)
    fits.fit(*data[kind])
    x = data[kind][0]
    theirs, ours = fits.theirs, fits.ours
    np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))
    assert ours.predict(x).dtype == theirs.predict(x).dtype
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=TOLERANCE)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=TOLERANCE, atol=1e-15)


def test_of_one_class_all_that_is_held_out_is_right(pair: Any) -> None:
    """Whatever the output is, there is nothing else to predict."""
    x = np.random.default_rng(0).normal(size=(60, 5))
    given = {"hidden_layer_sizes": (7,), "early_stopping": True, "random_state": 1}
    fits = pair("MLPClassifier", max_iter=3, **given)
    fits.fit(x, np.zeros(60, int))
    assert fits.ours.predict_proba(x)[:, 1].max() > 0.5
    assert fits.ours.validation_scores_ == fits.theirs.validation_scores_ == [1, 1, 1]


REGRESSORS: dict[str, dict[str, Any]] = {
    "adam": {},
    "sgd": {"solver": "sgd", "activation": "tanh"},
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True, "max_iter": 30},
    "poisson": {"loss": "poisson"},
    "poisson, lbfgs": {"loss": "poisson", "solver": "lbfgs"},
    "small batches": {"batch_size": 7, "alpha": 1.0},
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_train_as_those_of_scikit_learn(
    name: str, outputs: int, weighted: bool, pair: Any
) -> None:
    y = np.abs(VALUES) if "poisson" in name else VALUES
    fits = pair("MLPRegressor", **{"max_iter": 10, "alpha": 0.1} | REGRESSORS[name])
    weights = WEIGHTS[: len(y)] if weighted else None
    fits.fit(VALUES_X, y[:, 0] if outputs == 1 else y, sample_weight=weights)
    check_same(fits, VALUES_X, 1e-10)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("form", ["csr", "csc", "float32", "integers", "fortran", "list"])
def test_forms_of_inputs(form: str, solver: str, digits: Any, pair: Any) -> None:
    x, y = digits
    given = {
        "csr": sparse.csr_matrix(x),
        "csc": sparse.csc_matrix(x),
        "float32": x.astype(np.float32),
        "integers": (16 * x).astype(np.int64),
        "fortran": np.asfortranarray(x),
        "list": x.tolist(),
    }[form]
    fits = pair("MLPClassifier", hidden_layer_sizes=(12,), max_iter=5, solver=solver)
    # Of float32 the roundings may lead a line search elsewhere: without weights they don't.
    is_single = form == "float32"
    fits.fit(given, y, sample_weight=None if is_single else WEIGHTS)
    check_same(fits, given, 1e-4 if is_single else 1e-10)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_a_warm_start_goes_on_with_a_new_optimizer(solver: str, digits: Any, pair: Any) -> None:
    fits = pair("MLPClassifier", solver=solver, max_iter=4, warm_start=True)
    for _ in range(3):
        fits.fit(*digits)
    check_same(fits, digits[0])


def test_a_warm_start_that_stops_early_goes_on_from_its_last_weights(pair: Any) -> None:
    """Also where it was never better than the fits before."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    given = {"early_stopping": True, "warm_start": True, "learning_rate_init": 0.05}
    fits = pair("MLPClassifier", max_iter=5, hidden_layer_sizes=(7,), **given)
    for _ in range(5):
        fits.fit(x, y)
        check_same(fits, x)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fits_go_on_with_the_same_optimizer(solver: str, digits: Any, pair: Any) -> None:
    x, y = digits
    fits = pair("MLPClassifier", solver=solver, learning_rate="invscaling", learning_rate_init=0.01)
    fits.fit(x[:100], y[:100], method="partial_fit", classes=np.arange(10))
    for start in range(100, 500, 100):
        rows = slice(start, start + 100)
        fits.fit(x[rows], y[rows], method="partial_fit", sample_weight=WEIGHTS[rows])
    check_same(fits, x)


@pytest.mark.parametrize(
    "changed",
    [{"alpha": 0.5}, {"activation": "tanh"}, {"batch_size": 13}, {"learning_rate_init": 0.1},
     {"learning_rate": "constant"}, {"power_t": 0.1}, {"momentum": 0.1, "beta_1": 0.3}],
)  # fmt: skip
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_what_is_set_anew_counts_from_the_next_partial_fit(
    solver: str, changed: Any, digits: Any, pair: Any
) -> None:
    """But what scikit-learn's optimizer keeps; and that remembers what it did."""
    x, y = digits
    fits = pair("MLPClassifier", solver=solver, learning_rate="invscaling", learning_rate_init=0.01)
    fits.fit(x, y, method="partial_fit", classes=np.arange(10))
    for estimator in (fits.theirs, fits.ours):
        estimator.set_params(**changed)
    for _ in range(2):
        fits.fit(x, y, method="partial_fit")
    check_same(fits, x)


def test_a_partial_fit_after_a_fit_goes_on_from_there(digits: Any, pair: Any) -> None:
    fits = pair("MLPClassifier", max_iter=3)
    fits.fit(*digits)
    fits.fit(*digits, method="partial_fit")
    check_same(fits, digits[0])


def test_a_partial_fit_after_lbfgs_starts_an_optimizer(digits: Any, pair: Any) -> None:
    fits = pair("MLPClassifier", max_iter=3, solver="lbfgs")
    fits.fit(*digits)
    for estimator in (fits.theirs, fits.ours):
        estimator.set_params(solver="sgd", early_stopping=False)
        estimator.loss_curve_, estimator.best_loss_ = [], np.inf
        estimator._no_improvement_count = 0  # which scikit-learn lacks here, and raises
        estimator.validation_loss_curve_ = []
    fits.fit(*digits, method="partial_fit")
    check_same(fits, digits[0])


def test_a_generator_is_drawn_from_alike(digits: Any, pair: Any) -> None:
    """Numbers drawn by the caller behind two fits are the same."""
    drawn = []
    for kind in (neural_network.MLPClassifier, estimators.MLPClassifier):
        rng = np.random.RandomState(5)
        model = kind(early_stopping=True, max_iter=2, n_iter_no_change=50, random_state=rng)
        with pytest.warns(UserWarning, match="Maximum iterations"):
            model.fit(*digits)
        drawn.append(rng.randint(1 << 30))
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("verbose", [True, 1])
@pytest.mark.parametrize(
    "given",
    [{"tol": 0.5, "n_iter_no_change": 1}, {"early_stopping": True, "tol": 0.9},
     {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1}],
)  # fmt: skip
def test_the_same_is_printed(
    given: Any, verbose: Any, digits: Any, pair: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fits = pair("MLPClassifier", hidden_layer_sizes=(5,), max_iter=30, verbose=verbose, **given)
    fits.theirs.fit(*digits)
    expected = capsys.readouterr().out
    fits.ours.fit(*digits)
    assert capsys.readouterr().out == expected
