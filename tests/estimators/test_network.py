"""The network of an estimator: to save, to write as C, and to bring parameters back by."""

from __future__ import annotations

import ctypes
import pickle
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.exceptions import NotFittedError

import fastbp
from fastbp.files import to_c
from fastbp.sklearn import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.usefixtures("core"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4)).astype(np.float32).astype(np.float64)  # of either dtype
Z = X @ [1.0, 2.0, -1.0, 0.5]
GIVEN: dict[str, Any] = {"hidden_layer_sizes": (6, 5), "max_iter": 5, "random_state": 0}
COMMAND = [
    "gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-ffp-contract=off",
    "-shared", "-fPIC",
]  # fmt: skip

# Estimators, their targets, and what their network gives by what they answer.
KINDS: dict[str, tuple[Any, Any, Any]] = {
    "classes": (
        MLPClassifier(activation=["tanh", "gelu"], dropout=0.2),
        np.array(["a", "b", "c"])[(Z > 0).astype(int) + (Z > 2)],
        lambda model: model.predict_proba(X),
    ),
    "two classes": (MLPClassifier(), Z > 0, lambda model: model.predict_proba(X)[:, 1:]),
    "several at once": (
        MLPClassifier(),
        np.column_stack([Z > 0, Z > 1, Z < 0]).astype(int),
        lambda model: model.predict_proba(X),
    ),
    "values": (MLPRegressor(), Z, lambda model: model.predict(X)[:, None]),
    "several values": (MLPRegressor(), np.column_stack([Z, X]), lambda model: model.predict(X)),
}
NAMES = {
    "classes": ("a", "b", "c"),
    "two classes": ("False", "True"),
    "several at once": (0, 1, 2),
}


def fitted(kind: str, **given: Any) -> Any:
    model, y, _ = KINDS[kind]
    if given.get("solver") == "lbfgs":
        given["dropout"] = 0.0
    return pickle.loads(pickle.dumps(model)).set_params(**GIVEN, **given).fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_files_have_what_the_estimator_answers(
    kind: str, dtype: str, solver: str, tmp_path: Path
) -> None:
    model = fitted(kind, dtype=dtype, solver=solver)
    model.network_.save(tmp_path / "net.safetensors")
    net = fastbp.load(tmp_path / "net.safetensors")
    assert net.dtype == dtype
    assert net.class_names == NAMES.get(kind)
    np.testing.assert_array_equal(net.predict(X), KINDS[kind][2](model))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_c_source_has_the_bits_of_the_estimator(dtype: str, tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    models = {kind.replace(" ", "_"): fitted(kind, dtype=dtype) for kind in KINDS}
    for name, model in models.items():
        to_c(model.network_, tmp_path / f"{name}.c")
    sources = [f"{name}.c" for name in models]
    subprocess.run([*COMMAND, "-o", "all.so", *sources, "-lm"], cwd=tmp_path, check=True)
    library = ctypes.CDLL(tmp_path / "all.so")
    for name, model in models.items():
        expected = KINDS[name.replace("_", " ")][2](model)
        found = np.empty(expected.shape, dtype)
        for x, y in zip(X.astype(dtype), found, strict=True):
            pointers = (ctypes.c_void_p(row.ctypes.data) for row in (x, y))
            library[f"{name}_predict"](*pointers)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_network_of_counts_gives_their_logarithms(solver: str, tmp_path: Path) -> None:
    model = MLPRegressor("poisson", **GIVEN, solver=solver).fit(X, np.floor(np.abs(Z)))
    model.network_.save(tmp_path / "net.safetensors")
    answer = fastbp.load(tmp_path / "net.safetensors").predict(X)[:, 0]
    np.testing.assert_array_equal(np.exp(answer), model.predict(X))


def test_network_and_coefs_are_the_same_numbers() -> None:
    model = fitted("values")
    net = model.network_
    net.parameters *= 0.5
    assert net is model.network_
    np.testing.assert_array_equal(net.layers[0].weights, model.coefs_[0])
    np.testing.assert_array_equal(net.predict(X)[:, 0], model.predict(X))
    model.coefs_ = [2 * w for w in model.coefs_]
    np.testing.assert_array_equal(model.network_.layers[0].weights, model.coefs_[0])
    model.coefs_ = [model.coefs_[0][:, :3], model.coefs_[1][:3], model.coefs_[2]]
    model.intercepts_[0] = model.intercepts_[0][:3]
    assert model.network_.layers[0].weights.shape == (4, 3)


def test_parameters_come_back_from_a_file(tmp_path: Path) -> None:
    best = fitted("classes")
    best.network_.save(tmp_path / "net.safetensors")
    other = (
        fitted("classes", warm_start=True).set_params(random_state=5).fit(X, KINDS["classes"][1])
    )
    assert not np.array_equal(other.coefs_[0], best.coefs_[0])
    net = fastbp.load(tmp_path / "net.safetensors")
    other.network_.set_parameters(net.named_parameters())
    np.testing.assert_array_equal(other.coefs_[0], best.coefs_[0])
    np.testing.assert_array_equal(other.predict_proba(X), best.predict_proba(X))


def test_a_copy_of_an_estimator_has_a_network_of_its_own() -> None:
    model = fitted("classes")
    twin = pickle.loads(pickle.dumps(model))
    assert twin.network_.class_names == ("a", "b", "c")
    twin.network_.parameters *= 0.5
    np.testing.assert_array_equal(2 * twin.coefs_[0], model.coefs_[0])


def test_there_is_no_network_before_a_fit() -> None:
    with pytest.raises(NotFittedError):
        MLPRegressor().network_  # noqa: B018 - asks whether there is one
    assert not hasattr(MLPRegressor(), "network_")
