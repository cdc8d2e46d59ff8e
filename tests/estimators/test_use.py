"""The estimators among what else there is in scikit-learn, and around it."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import joblib
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelBinarizer, StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

import fastbp
from fastbp.sklearn import MLPClassifier, MLPRegressor, lbfgs
from fastbp.sklearn import classifier as classifier_module
from fastbp.sklearn import rows as rows_module

pytestmark = [
    pytest.mark.usefixtures("core"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
Y = (X @ [1, 2, -1, 0.5] > 0).astype(int) + (X[:, 0] > 1)
WEIGHTS = RNG.uniform(0.1, 2, 120)


def classifier(**given: Any) -> MLPClassifier:
    return MLPClassifier(
        **{"hidden_layer_sizes": (8,), "max_iter": 30, "random_state": 0, "solver": "lbfgs"} | given
    )


def run_in_threads(act: Callable[[], None], n: int) -> None:
    """Act in n threads at once, and wait for all."""
    threads = [threading.Thread(target=act) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_an_import_without_scikit_learn_says_how_to_get_it() -> None:
    program = "import sys; sys.modules['sklearn'] = None; import fastbp.sklearn"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "ImportError: fastbp.sklearn: expected scikit-learn to be installed" in run.stderr
    assert "pip install 'fastbp[sklearn]'" in run.stderr


def test_a_pipeline_ends_in_one() -> None:
    model = make_pipeline(StandardScaler(), classifier()).fit(X, Y)
    assert model.score(X, Y) > 0.9


def test_a_grid_is_searched() -> None:
    grid = {
        "alpha": [1e-4, 1e3],
        "activation": ["gelu", ["tanh"], fastbp.activations.ELU(0.5)],
        "solver": ["adam", fastbp.optimizers.RMSprop(0.01)],
    }
    search = GridSearchCV(classifier(), grid, cv=2).fit(X, Y)
    assert search.best_params_["alpha"] == 1e-4
    assert search.best_score_ > 0.6


def test_an_activation_of_your_own_is_cloned_searched_and_pickled() -> None:
    sine = fastbp.activations.Custom(np.sin, np.cos)
    search = GridSearchCV(classifier(), {"activation": [sine, [sine]], "alpha": [1e-4]}, cv=2)
    best = search.fit(X, Y).best_estimator_
    assert search.best_score_ > 0.6
    assert clone(best).activation in (sine, [sine])
    twins = [pickle.loads(pickle.dumps(best)), clone(best).fit(X, Y)]
    for twin in twins:
        np.testing.assert_array_equal(twin.predict_proba(X), best.predict_proba(X))


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_folds_run_at_once(backend: str) -> None:
    model = classifier(solver="adam", max_iter=20)
    expected = cross_val_score(model, X, Y)
    with joblib.parallel_config(backend, n_jobs=2):
        np.testing.assert_array_equal(cross_val_score(model, X, Y), expected)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_probabilities_are_calibrated(method: str) -> None:
    model = CalibratedClassifierCV(classifier(), method=method, cv=3).fit(X, Y, WEIGHTS)
    assert model.score(X, Y) > 0.85


@pytest.mark.parametrize("fitted", [False, True])
def test_copies_and_pickles_go_on_alike(fitted: bool) -> None:
    model = classifier(solver="adam", dropout=0.2)
    if fitted:
        model.partial_fit(X, Y, classes=[0, 1, 2])
    twins = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    for each in (model, *twins):
        each.partial_fit(X, Y, classes=[0, 1, 2])
        each.partial_fit(X, Y)
        np.testing.assert_array_equal(each.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(each.coefs_[0], model.coefs_[0])


def test_a_pickle_is_not_longer_than_that_of_scikit_learn() -> None:
    """A fit's data don't go with it, nor what the network works with twice."""
    y = np.column_stack([X, X])
    for early in (False, True):
        given: dict[str, Any] = {
            "max_iter": 2,
            "early_stopping": early,
            "hidden_layer_sizes": (2000,),
        }
        ours, theirs = (
            len(pickle.dumps(kind(**given).fit(X, y))) for kind in (MLPRegressor, TheirRegressor)
        )
        assert ours < 1.02 * theirs


def test_clones_have_parameters_alone() -> None:
    model = classifier(callbacks=[fastbp.callbacks.LambdaCallback()], dropout=[0.1]).set_params(
        solver="adam"
    )
    twin = clone(model.fit(X, Y))
    assert not hasattr(twin, "coefs_")
    assert twin.get_params().keys() == model.get_params().keys()
    assert twin.dropout == [0.1]


def test_frames_of_pandas_give_their_names() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = classifier().fit(frame, pandas.Series(Y))
    assert list(model.feature_names_in_) == list("abcd")
    np.testing.assert_array_equal(model.predict(frame), classifier().fit(X, Y).predict(X))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("badc")])


def test_frames_of_polars_give_their_names() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(X, schema=list("abcd"))
    model = classifier().fit(frame, Y)
    assert list(model.feature_names_in_) == list("abcd")
    np.testing.assert_array_equal(model.predict(frame), classifier().fit(X, Y).predict(X))


def test_weights_are_routed() -> None:
    with config_context(enable_metadata_routing=True):
        model = classifier(solver="adam", max_iter=3).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        found = cross_validate(
            pipeline, X, Y, params={"sample_weight": WEIGHTS}, return_estimator=True, cv=2
        )
        plain = cross_validate(pipeline, X, Y, return_estimator=True, cv=2)
    first, other = (each["estimator"][0][-1].loss_ for each in (found, plain))
    assert first != other


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_array])
def test_a_sparse_matrix_never_is_an_array_as_a_whole(
    form: Any, solver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, features = 2000, 2000
    x = form(sparse.random_array((n, features), density=0.002, rng=np.random.default_rng(0)))
    y = np.arange(n) % 2
    monkeypatch.setattr(rows_module, "CHUNK_BYTES", 1 << 21)
    model = MLPClassifier((4,), max_iter=2, solver=solver, batch_size=100)
    model.fit(x[:200], y[:200])  # what is allocated once
    tracemalloc.start()
    try:
        model.fit(x, y)
        model.predict(x)
        assert tracemalloc.get_traced_memory()[1] < n * features * 8 / 2
    finally:
        tracemalloc.stop()


def thin(n: int, features: int) -> Any:
    rng = np.random.default_rng(0)
    return sparse.random_array((n, features), density=0.1, rng=rng, format="csr")


def test_steps_on_sparse_and_dense_rows_give_the_same_bits() -> None:
    x = thin(120, 30)
    given: dict[str, Any] = {"early_stopping": True, "solver": "adam"}
    dense, sparsely = (
        classifier(**given).fit(form, Y, WEIGHTS) for form in (x.toarray(), x.tocsc())
    )
    assert dense.loss_curve_ == sparsely.loss_curve_
    assert dense.validation_loss_curve_ == pytest.approx(sparsely.validation_loss_curve_, rel=1e-13)
    np.testing.assert_allclose(dense.predict_proba(x), sparsely.predict_proba(x), rtol=1e-12)


SPARSELY: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "classes": (MLPClassifier, {}, Y),
    "no hidden layer": (MLPClassifier, {"hidden_layer_sizes": ()}, Y),
    "two hidden layers": (MLPClassifier, {"hidden_layer_sizes": (5, 3)}, Y > 0),
    "several classes": (MLPClassifier, {}, np.column_stack([Y > 0, Y > 1])),
    "several numbers": (MLPRegressor, {"activation": "tanh"}, X),
    "counts": (MLPRegressor, {"loss": "poisson"}, Y),
}


@pytest.mark.parametrize("name", SPARSELY)
def test_lbfgs_lowers_the_same_on_sparse_and_dense_rows(name: str) -> None:
    kind, given, y = SPARSELY[name]
    x = thin(120, 30)
    given = {"hidden_layer_sizes": (4,), "solver": "lbfgs", "max_iter": 5} | given
    dense, sparsely = (
        kind(random_state=0, **given).fit(form, y, WEIGHTS) for form in (x.toarray(), x)
    )
    assert sparsely.loss_ == pytest.approx(dense.loss_, rel=1e-10)
    for found, expected in zip(sparsely.coefs_, dense.coefs_, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(sparsely.predict(x), dense.predict(x.toarray()), rtol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_sparse_row_is_answered_as_among_many(dtype: str) -> None:
    x = thin(120, 300)
    model = classifier(dtype=dtype).fit(x, Y)
    alone = np.concatenate([model.predict_proba(x[[i]]) for i in range(20)])
    np.testing.assert_array_equal(alone, model.predict_proba(x)[:20])
    assert alone.dtype == dtype


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_sparse_matrix_may_have_elements_in_parts_and_in_any_order(solver: str) -> None:
    x = sparse.csr_array(
        (np.array([1.0, 2.0, 4.0, 3.0, 0.0]), [3, 0, 3, 1, 2], [0, 3, 3, 5]), shape=(3, 5)
    )
    before = [part.copy() for part in (x.data, x.indices, x.indptr)]
    model = classifier(solver=solver, max_iter=3).fit(x, [0, 1, 2])
    whole = classifier(solver=solver, max_iter=3).fit(x.toarray(), [0, 1, 2])
    np.testing.assert_allclose(model.coefs_[0], whole.coefs_[0], rtol=1e-10)
    np.testing.assert_allclose(model.predict_proba(x), whole.predict_proba(x.toarray()), rtol=1e-10)
    for part, old in zip((x.data, x.indices, x.indptr), before, strict=True):
        np.testing.assert_array_equal(part, old)


def test_coefs_are_live() -> None:
    model = classifier().fit(X, Y)
    before = model.predict_proba(X)
    model.coefs_[0] *= 0.5
    changed = model.predict_proba(X)
    assert abs(changed - before).max() > 1e-3
    model.coefs_[0] = 2 * model.coefs_[0]
    np.testing.assert_array_equal(model.predict_proba(X), before)
    model.coefs_ = [2 * w for w in model.coefs_]
    model.intercepts_ = [0 * b for b in model.intercepts_]
    theirs = TheirClassifier((8,), max_iter=1, solver="lbfgs").fit(X, Y)
    theirs.coefs_, theirs.intercepts_ = model.coefs_, model.intercepts_
    np.testing.assert_allclose(model.predict_proba(X[:1]), theirs.predict_proba(X[:1]), rtol=1e-9)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_coefs_may_have_another_number_of_units(solver: str) -> None:
    """Units that are taken out are gone: from outputs, copies and further fits."""
    model = classifier(solver=solver, warm_start=True).fit(X, Y)
    theirs = TheirClassifier((8,), max_iter=1, solver="lbfgs").fit(X, Y)
    model.coefs_ = [model.coefs_[0][:, :5], model.coefs_[1][:5]]
    model.intercepts_[0] = model.intercepts_[0][:5]
    theirs.coefs_, theirs.intercepts_ = list(model.coefs_), list(model.intercepts_)
    for each in (copy.deepcopy(model), model):
        np.testing.assert_allclose(each.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)
    assert model.fit(X, Y).coefs_[0].shape == (4, 5)


def test_a_class_of_your_own_may_have_other_parameters() -> None:
    class Own(MLPClassifier):
        def __init__(self, units: int = 4, random_state: Any = 0) -> None:
            super().__init__((units,), solver="lbfgs", random_state=random_state)
            self.units = units

    own = clone(Own(6)).fit(X, Y)
    assert own.get_params() == {"units": 6, "random_state": 0}
    same = MLPClassifier((6,), solver="lbfgs", random_state=0).fit(X, Y)
    np.testing.assert_array_equal(own.predict_proba(X), same.predict_proba(X))


def test_one_row_is_answered_as_among_many() -> None:
    for y in (Y, Y > 0, np.zeros(120), np.column_stack([Y > 0, Y > 1])):
        model = classifier().fit(X, y)
        for method in ("predict", "predict_proba"):
            answer = getattr(model, method)
            alone = np.concatenate([answer(X[i : i + 1]) for i in range(20)])
            np.testing.assert_array_equal(alone, answer(X)[:20])


def test_threads_may_predict_at_once() -> None:
    model = pickle.loads(pickle.dumps(classifier().fit(X, Y)))
    expected, wrong = model.predict_proba(X), []

    def ask() -> None:
        wrong.extend(
            i for i in range(300) if not np.array_equal(model.predict_proba(X[i % 5 :]),
                                                        expected[i % 5 :])
        )  # fmt: skip

    run_in_threads(ask, 4)
    assert not wrong


def test_threads_may_predict_at_once_when_coefs_have_been_replaced() -> None:
    model = classifier(hidden_layer_sizes=(64,)).fit(X, Y)
    expected, wrong = model.predict_proba(X), []
    start = threading.Barrier(4)

    def ask() -> None:
        for _ in range(20):
            if start.wait() == 0:
                model.coefs_ = [w.copy() for w in model.coefs_]
            try:
                if not np.array_equal(model.predict_proba(X), expected):
                    wrong.append("other outputs")
            except Exception as error:  # whose thread would end here
                wrong.append(repr(error))

    run_in_threads(ask, 4)
    assert not wrong
    model.coefs_[0][:] = 0
    assert abs(model.predict_proba(X) - expected).max() > 1e-3


def test_coefs_that_are_replaced_leave_the_optimizer_its_memory() -> None:
    same, replaced = (classifier(solver="adam").partial_fit(X, Y, classes=[0, 1, 2]) for _ in "ab")
    replaced.coefs_ = [w.copy() for w in replaced.coefs_]
    for model in (same, replaced):
        model.predict(X)
        model.partial_fit(X, Y)
    np.testing.assert_array_equal(replaced.coefs_[0], same.coefs_[0])


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_an_estimator_does_not_answer_while_it_learns(form: Any) -> None:
    """Its weights are then neither those of before nor those of after."""
    found: list[str] = []

    def ask() -> None:
        try:
            model.predict(form(X))
        except RuntimeError as error:
            found.append(str(error))

    def on_epoch_end(epoch: int, logs: Any) -> None:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    log = fastbp.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)
    model = classifier(solver="adam", max_iter=2, callbacks=[log])
    model.fit(X, Y)
    assert len(found) == 2
    assert "predict: expected an idle network, got one that is in fit()" in found[0]


def test_an_interrupt_ends_a_fit_with_a_warning_and_a_model() -> None:
    def interrupt(epoch: int, logs: Any) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    callback = fastbp.callbacks.LambdaCallback(on_epoch_end=interrupt)
    model = classifier(solver="adam", callbacks=[callback])
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, Y)
    assert model.n_iter_ == 4
    assert model.predict(X).shape == Y.shape


LABELS = {
    "truths": [False, True, False],
    "one truth": [True, True],
    "small": np.array([3, -1, 7], np.int8),
    "unsigned": np.array([2**64 - 1, 0, 5], np.uint64),
    "other byte order": np.array([300, 1, 2], ">i4"),
    "two": [5, 2, 5],
    "one": [4, 4],
    "floats": [1.0, 0.0, 2.0],
    "texts": ["b", "a", "b"],
    "objects": np.array(["b", "a", "c"], object),
    "several": [[1, 0], [1, 1]],
}


@pytest.mark.parametrize("name", LABELS)
def test_classes_are_learned_as_by_scikit_learn(name: str) -> None:
    y = np.asarray(LABELS[name])
    ours, theirs = classifier_module._binarizer(y), LabelBinarizer().fit(y)
    assert vars(ours).keys() == vars(theirs).keys()
    assert ours.classes_.dtype == theirs.classes_.dtype
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert (ours.y_type_, ours.sparse_input_) == (theirs.y_type_, theirs.sparse_input_)
    np.testing.assert_array_equal(ours.transform(y), theirs.transform(y))


def test_parameters_are_those_of_the_constructor_that_a_class_has_now() -> None:
    class Own(MLPClassifier):
        pass

    assert Own().get_params().keys() == MLPClassifier().get_params().keys()

    def init(self: Any, units: int = 4) -> None:
        MLPClassifier.__init__(self, (units,))
        self.units = units

    Own.__init__ = init  # type: ignore[method-assign, assignment]
    assert Own(6).get_params() == {"units": 6}


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_blas_has_one_thread_until_the_last_of_several_fits_ends() -> None:
    first, second = ExitStack(), ExitStack()
    with threadpool_limits(3, "blas"):
        before = blas_threads()
        first.enter_context(lbfgs.ONE_BLAS_THREAD)
        second.enter_context(lbfgs.ONE_BLAS_THREAD)
        assert set(blas_threads()) == {1}
        first.close()
        assert set(blas_threads()) == {1}
        second.close()
        assert blas_threads() == before


def test_lbfgs_keeps_blas_to_one_thread_and_gives_the_others_back() -> None:
    seen: list[int] = []

    def loss(y: np.ndarray, t: np.ndarray) -> np.ndarray:
        seen.extend(blas_threads())
        return ((y - t) ** 2).sum(axis=1)

    watching = fastbp.losses.Custom(loss, lambda y, t: 2 * (y - t))
    with threadpool_limits(3, "blas"):
        before = blas_threads()
        MLPRegressor(loss=watching, solver="lbfgs", max_iter=2).fit(X, Y)
        assert set(seen) == {1}
        assert blas_threads() == before
