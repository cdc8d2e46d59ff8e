"""scikit-learn's own checks of estimators, none of which is expected to fail."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.utils.estimator_checks import parametrize_with_checks

from fastbp.sklearn import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.usefixtures("core"),
    # The checks fit for an iteration or two.
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@parametrize_with_checks([MLPClassifier(), MLPRegressor()])
def test_estimators_keep_to_the_rules_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)
