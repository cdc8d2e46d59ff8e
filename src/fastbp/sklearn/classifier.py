"""The classifier."""

from __future__ import annotations

import functools
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    type_of_target,
    unique_labels,
)

from fastbp.engine import Array
from fastbp.sklearn.base import BaseMLP
from fastbp.sklearn.objective import Objective, of_classes
from fastbp.sklearn.rows import Data


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A multilayer perceptron that tells classes apart.

    It takes the place of `sklearn.neural_network.MLPClassifier`. Parameters up to `max_fun` are
    those of scikit-learn; with those behind it left alone, so are the results. Cross-entropy is
    lowered, by L-BFGS or by stochastic gradient descent.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default=(100,)
        Units of each hidden layer.
    activation : str, ActivationFunction, or list of them, default="relu"
        The function of hidden units: "identity", "logistic", "tanh", "relu", or any other of
        `fastbp.activations`, by name ("leaky_relu", "elu", "gelu", "silu", "mish", "softplus") or
        as an object, your own too. A list has one for each hidden layer.
    solver : {"lbfgs", "sgd", "adam", "adamw"} or Optimizer, default="adam"
        How weights follow their gradients: quasi-Newton steps on all samples; gradient descent;
        Adam; Adam with decoupled weight decay; or any of `fastbp.optimizers`, with constants of
        its own in place of those below.
    alpha : float, default=0.0001
        Strength of the L2 penalty, which is divided by the weight of the samples of a batch.
    batch_size : int, default="auto"
        Samples for each update of a stochastic solver; "auto" is min(200, n_samples).
    learning_rate : {"constant", "invscaling", "adaptive"} or Schedule, default="constant"
        With "sgd": `learning_rate_init` throughout; or divided by (t + 1) ** power_t after t
        samples; or divided by 5 whenever loss or score have not improved by `tol` for
        `n_iter_no_change` epochs. Or one of `fastbp.schedules`, for all stochastic solvers with a
        name, in place of `learning_rate_init`.
    learning_rate_init : float, default=0.001
        Step length of stochastic solvers.
    power_t : float, default=0.5
        The power of "invscaling".
    max_iter : int, default=200
        Epochs of a stochastic solver, iterations of "lbfgs".
    shuffle : bool, default=True
        Whether each epoch takes the samples in another order.
    random_state : int, RandomState instance or None, default=None
        What weights, the split for early stopping, orders and dropout masks are drawn by.
    tol : float, default=1e-4
        By how much loss or score has to get better; for "lbfgs" the largest gradient at the end.
    verbose : bool or int, default=False
        Whether to print the loss of each epoch, or of each iteration of "lbfgs".
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last fit, with a new optimizer.
    momentum : float, default=0.9
        Share of the last step that "sgd" takes again, in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether the gradient is taken where momentum leads.
    early_stopping : bool, default=False
        Whether to hold out some samples, to stop when their score has not improved by `tol` for
        `n_iter_no_change` epochs, and to end with the weights of the best.
    validation_fraction : float, default=0.1
        Share of the samples that is held out.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay of Adam's moments, in [0, 1).
    epsilon : float, default=1e-8
        Added to the root of Adam's second moment.
    n_iter_no_change : int, default=10
        Epochs without improvement that are borne.
    max_fun : int, default=15000
        Evaluations of the loss by "lbfgs".
    class_weight : dict, list of dict or "balanced", default=None
        What classes count, times `sample_weight`: 1 for those that a dict leaves out; "balanced"
        is inversely proportional to how often they occur, which `partial_fit` does not know; a list
        for several classes at once. It counts in losses and scores of validation data too.
    dropout : float, or list or ndarray of float, default=0.0
        Share of each hidden layer's units that are dropped in training, in [0, 1); not for
        "lbfgs".
    weight_decay : float, default=0.01
        That of "adamw"; refused, if it is another than this, by all others.
    clip_value, clip_norm : float, default=None
        Limits of the gradient's elements and of its norm, for stochastic solvers with a name.
    dtype : {"float32", "float64"} or the NumPy type of one, default=None
        Precision of weights and arithmetic; None is that of the weights there are to go on with,
        else that of `X`, float64 if it has another.
    n_threads : int, default=None
        Threads to work with; None lets fastbp choose. Results don't depend on it.
    callbacks : list of Callback, default=None
        Whom a stochastic solver calls between epochs and batches: `fastbp.callbacks`. They hear of
        "loss" and, with validation data, "val_loss" and the score, "val_accuracy".

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    loss_ : float
        The loss at the end.
    best_loss_ : float or None
        The lowest loss; None with `early_stopping`. Not for "lbfgs", as all further curves.
    loss_curve_ : list of float
        The loss of each epoch, penalty included.
    validation_loss_curve_ : list of float
        That of the validation data after each epoch, if there are any.
    validation_scores_ : list of float or None
        The weighted accuracy on validation data after each epoch, with `early_stopping`.
    best_validation_score_ : float or None
        The highest of them.
    t_ : int
        Samples that were trained on, counted as often as they were.
    coefs_, intercepts_ : list of ndarray
        Weights, of shape (inputs, outputs), and biases of each layer. They are live: what is
        written to them, or put in their place, counts in the next prediction.
    network_ : Network
        What was trained, to save or to write as C, with the classes as `class_names`. It is live:
        its parameters are those of coefs_ and intercepts_. Its outputs are probabilities, of two
        classes that of the second.
    n_features_in_ : int
        Features of a sample.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if `X` has names that are all strings.
    n_iter_ : int
        Epochs or iterations of the last fit.
    n_layers_, n_outputs_ : int
        Layers, with inputs and outputs; outputs.
    out_activation_ : str
        The function of the outputs.
    stopped_ : bool
        After `partial_fit` with `early_stopping`: whether patience is at its end.

    See Also
    --------
    MLPRegressor : The same for numbers.

    References
    ----------
    Initial weights: Glorot and Bengio 2010, eq. 16. Adam: Kingma and Ba 2015, last formula of
    section 2. L-BFGS-B: Byrd, Lu, Nocedal and Zhu 1995, in SciPy.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastbp.sklearn import MLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> MLPClassifier(random_state=0).fit(X, y).score(X, y) > 0.99
    True
    """

    _parameter_constraints = {
        **BaseMLP._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }

    _score_name = "val_accuracy"

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        class_weight: Any = None,
        dropout: Any = 0.0,
        weight_decay: float = 0.01,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        dtype: str | None = None,
        n_threads: int | None = None,
        callbacks: Any = None,
    ) -> None:
        self._keep(locals())

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs. Stochastic solvers make arrays of the rows of a sparse matrix, a batch at a
            time.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Classes; or several at once, as 1 for each that a sample belongs to, else 0.
        sample_weight : array-like of shape (n_samples,), default=None
            What each sample counts; a batch without weight has no gradient and a loss of 0.
        X_val, y_val, sample_weight_val : as `X`, `y` and `sample_weight`, default=None
            Data to validate with after each epoch of a stochastic solver; "lbfgs" refuses them.
            With `early_stopping` they take the place of those that would be held out.

        Returns
        -------
        MLPClassifier
            The estimator itself.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))

    @available_if(lambda self: self._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        classes: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Go on with one epoch over some data.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array-like of shape (n_classes,), default=None
            All classes, needed at the first call; `y` need not have all of them.
        X_val, y_val, sample_weight_val
            As for `fit`; `early_stopping` needs them here. When the score has been no better for
            `n_iter_no_change` calls, `stopped_` is True and the best parameters are back.

        Returns
        -------
        MLPClassifier
            The estimator itself.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight {self.class_weight!r} is not supported for partial_fit, which does "
                f"not see all samples; pass weights from compute_class_weight"
            )
        return self._fit(
            X,
            y,
            sample_weight,
            (X_val, y_val, sample_weight_val),
            incremental=True,
            learn=functools.partial(self._learn_classes, y, classes),
        )

    def predict(self, X: Any) -> Array:
        """Return classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            The most likely class of each sample; or 1 for each class that is more likely than not.
        """
        return self._classes_of(self._outputs(X))

    def predict_proba(self, X: Any) -> Array:
        """Return probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            That of each class of `classes_`.
        """
        outputs = self._outputs(X)
        return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs

    def predict_log_proba(self, X: Any) -> Array:
        """Return logarithms of probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            That of each class of `classes_`.
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def _classes_of(self, outputs: Array) -> Array:
        kind = self._label_binarizer.y_type_
        if kind == "multiclass":
            return self.classes_[outputs.argmax(axis=1)]
        if kind == "binary" and len(self.classes_) == 2:
            return self.classes_[(outputs[:, 0] > 0.5).astype(np.intp)]
        return self._label_binarizer.inverse_transform(
            outputs.ravel() if outputs.shape[1] == 1 else outputs
        )

    def _learn_classes(self, y: Any, classes: Any) -> None:
        """Learn what classes there are from what the first partial fit is told."""
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            is_multilabel = type_of_target(y).startswith("multilabel")
            self._label_binarizer.fit(y if is_multilabel else classes)

    def _learn_targets(self, y: Array, *, incremental: bool) -> None:
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = _binarizer(y)
            self.classes_ = self._label_binarizer.classes_
        elif not self.warm_start:
            self._require_known(y)
        elif set(classes := unique_labels(y)) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes_}, `y` has {classes}"
            )

    def _require_known(self, y: Array) -> None:
        """Refuse classes that are not known."""
        classes = unique_labels(y)
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _targets(self, y: Array) -> Array:
        kind = self._label_binarizer.y_type_
        if kind == "multiclass" and y.ndim == 1:
            return np.searchsorted(self.classes_, y).astype(np.int32)
        return self._label_binarizer.transform(y).astype(bool)

    def _objective(self, y: Array) -> Objective:
        is_multiclass = y.ndim == 1
        self.n_outputs_ = len(self.classes_) if is_multiclass else y.shape[1]
        return of_classes(self._label_binarizer.y_type_, self.n_outputs_)

    def _strata(self, y: Array) -> Array | None:
        return y if self.n_outputs_ == 1 else None

    def _weights(self, y: Array, sample_weight: Array | None) -> Array | None:
        if self.class_weight is None:
            return sample_weight
        weights = _weights_by_class(self.class_weight, self.classes_, y)
        return weights if sample_weight is None else weights * sample_weight

    def _class_names(self) -> list[str | int]:
        return [each if type(each) in (str, int) else str(each) for each in self.classes_.tolist()]

    def _score_of(self, outputs: Array, data: Data) -> float:
        if not np.isfinite(outputs).all():
            return float("nan")
        if data.y.ndim == 1:
            right = outputs.argmax(axis=1) == data.y
        elif len(self.classes_) == 1:
            right = np.ones(len(outputs))  # there is nothing else to predict
        else:
            right = ((outputs > 0.5) == data.y).all(axis=1)
        return float(np.average(right, weights=data.weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _weights_by_class(class_weight: Any, classes: Array, y: Array) -> Array:
    """Return what rows count by their class.

    A mapping is checked against all classes: rows of a partial fit need not have all of them.
    """
    if isinstance(class_weight, str):
        return np.asarray(compute_sample_weight(class_weight, y))
    known = np.tile([[0], [1]], y.shape[1]) if y.ndim > 1 else classes
    weights = compute_sample_weight(class_weight, np.concatenate([known, y]))
    return np.asarray(weights[len(known) :])


def _binarizer(y: Array) -> LabelBinarizer:
    """Return one fitted to checked targets.

    Its own `fit` looks at them six times over, which for a digits-sized fit of one epoch is a fifth
    of all; what it finds in whole numbers is known after one.
    """
    binarizer = LabelBinarizer()
    if y.ndim > 1 or y.dtype.kind not in "biu":
        return binarizer.fit(y)
    classes = np.unique(y)
    binarizer.classes_ = classes.astype(classes.dtype.newbyteorder("="))
    binarizer.y_type_ = "multiclass" if len(classes) > 2 else "binary"
    binarizer.sparse_input_ = False
    return binarizer
