"""The workloads in scikit-learn's multilayer perceptrons, without regularisation."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

VERSIONS = {"scikit-learn": sklearn.__version__}
DEVIATIONS = {
    "W2": "sigmoid output only with binary cross-entropy",
    "W4a": "without dropout",
    "W4b": "without dropout",
    "M4a": "without dropout",
    "M4b": "without dropout",
}
HIDDEN = {"relu": "relu", "sigmoid": "logistic", "tanh": "tanh"}


def train(workload, x, y, weights, threads):
    """Train with `fit`, which goes on from the last weights."""
    if len(workload.sizes) == 2:
        raise NotImplementedError("a hidden layer and biases cannot be left out")
    kind = MLPRegressor if workload.activations[-1] == "identity" else MLPClassifier
    model = kind(
        hidden_layer_sizes=workload.sizes[1:-1],
        activation=HIDDEN[workload.activations[0]],
        solver=workload.optimizer,
        alpha=0,
        batch_size=workload.batch_size,
        learning_rate_init=_rate(workload),
        max_iter=1,
        shuffle=workload.shuffle,
        random_state=0,
        tol=0,
        momentum=0,
        nesterovs_momentum=False,
        warm_start=True,
        epsilon=1e-7,
        n_iter_no_change=10**9,
    )
    if workload.sizes[-1] == 1:
        y = y.ravel()
    warnings.simplefilter("ignore", ConvergenceWarning)
    model.fit(x, y)  # makes the arrays
    if weights is not None:
        model.coefs_ = [w.copy() for w, _ in weights]
        model.intercepts_ = [b.copy() for _, b in weights]
    model.max_iter = workload.epochs

    def weights_now():
        return [(w.copy(), b.copy()) for w, b in zip(model.coefs_, model.intercepts_, strict=True)]

    return lambda: model.fit(x, y), weights_now


def _rate(workload):
    """Return the rate that gives the row's steps: gradients here are of half the summed error.

    Steps of Adam do not depend on the scale of gradients.
    """
    if workload.loss == "mean_squared_error" and workload.optimizer == "sgd":
        return workload.learning_rate * 2 / workload.sizes[-1]
    return workload.learning_rate


def predictor(workload, weights, x, threads):
    """Predict with `predict`, or `predict_proba` for a classifier."""
    classes = workload.sizes[-1]
    classifier = workload.activations[-1] == "softmax"
    y = np.arange(classes) if classifier else np.zeros((classes, classes), x.dtype)
    model = (MLPClassifier if classifier else MLPRegressor)(
        hidden_layer_sizes=workload.sizes[1:-1],
        activation=HIDDEN[workload.activations[0]],
        max_iter=1,
    )
    warnings.simplefilter("ignore", ConvergenceWarning)
    model.fit(np.zeros((classes, workload.sizes[0]), x.dtype), y)  # makes the arrays
    model.coefs_ = [w for w, _ in weights]
    model.intercepts_ = [b for _, b in weights]
    predict = model.predict_proba if classifier else model.predict
    run = partial(predict, x)
    return run, run
