"""What the tests of the estimators share: scikit-learn's own beside fastbp's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from threadpoolctl import threadpool_limits


class Fitted(NamedTuple):
    """An estimator after a fit, with what it warned of."""

    estimator: Any
    warnings: list[tuple[str, str]]


def fitted(estimator: Any, *data: Any, method: str = "fit", **given: Any) -> Fitted:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(estimator, method)(*data, **given)
    return Fitted(estimator, [(w.category.__name__, str(w.message)) for w in caught])


class Pair:
    """The same fits of both libraries' estimators."""

    def __init__(self, kind: str, **parameters: Any) -> None:
        from sklearn import neural_network  # here, for without it these tests are skipped

        from fastbp import sklearn as estimators

        parameters = {"random_state": 3, **parameters}
        self.theirs = getattr(neural_network, kind)(**parameters)
        self.ours = getattr(estimators, kind)(**parameters)

    def fit(self, *data: Any, method: str = "fit", **given: Any) -> None:
        """Fit both; what they warn of must be the same."""
        theirs = fitted(self.theirs, *data, method=method, **given)
        ours = fitted(self.ours, *data, method=method, **given)
        assert ours.warnings == theirs.warnings


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """What is fitted here is too small for scikit-learn's threads, which wait for each other."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def pair() -> type[Pair]:
    return Pair


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Some handwritten digits, from 0 to 1."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x[:600] / 16, y[:600]
