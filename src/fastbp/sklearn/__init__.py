"""Multilayer perceptrons as scikit-learn has them, trained in compiled code.

`MLPClassifier` and `MLPRegressor` take the place of those of `sklearn.neural_network`: the same
parameters, attributes, warnings and errors, and for the same `random_state` the same initial
weights, batches and, to rounding, the same `loss_curve_`. What they can do beyond that is behind
further keyword parameters. scikit-learn is needed here alone: ``pip install 'fastbp[sklearn]'``.
"""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"fastbp.sklearn: expected scikit-learn to be installed ({error}); "
        f"pip install 'fastbp[sklearn]'"
    ) from error

from fastbp.sklearn.classifier import MLPClassifier
from fastbp.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
