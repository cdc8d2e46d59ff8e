"""The regressor."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from fastbp import losses
from fastbp.engine import Array
from fastbp.sklearn.base import BaseMLP
from fastbp.sklearn.objective import BY_NAME, Objective, of_values
from fastbp.sklearn.rows import Data


class MLPRegressor(RegressorMixin, BaseMLP):
    """A multilayer perceptron that estimates numbers.

    It takes the place of `sklearn.neural_network.MLPRegressor`. Parameters up to `max_fun` are
    those of scikit-learn; with those behind it left alone, so are the results.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        What is lowered: "squared_error"; "poisson", half the deviance of counts, whose logarithm
        the network gives; "absolute_error", "huber" and "quantile" (the median), averaged over
        outputs; or one of `fastbp.losses` with constants of your own, as
        ``fastbp.losses.Quantile(quantile=0.9)``.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, \
power_t, max_iter, shuffle, random_state, tol, verbose, warm_start, momentum, \
nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2, epsilon, \
n_iter_no_change, max_fun
        As for `MLPClassifier`.
    dropout, weight_decay, clip_value, clip_norm, dtype, n_threads, callbacks
        As for `MLPClassifier`; callbacks hear of the score as "val_r2".

    Attributes
    ----------
    validation_scores_ : list of float or None
        The weighted R2 on validation data after each epoch, with `early_stopping`.
    network_ : Network
        What was trained, to save or to write as C. It is live: its parameters are those of coefs_
        and intercepts_. Its outputs are those of `predict`, for "poisson" their logarithms.
    loss_, best_loss_, loss_curve_, validation_loss_curve_, best_validation_score_, t_, coefs_, \
intercepts_, n_features_in_, feature_names_in_, n_iter_, n_layers_, n_outputs_, out_activation_, \
stopped_
        As for `MLPClassifier`.

    See Also
    --------
    MLPClassifier : The same for classes.

    Notes
    -----
    For squared errors of several outputs scikit-learn follows the gradient of their sum and
    reports their mean, and so does this; other losses are reported as they are lowered.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from fastbp.sklearn import MLPRegressor
    >>> X, y = make_regression(200, 5, random_state=0)
    >>> MLPRegressor(solver="lbfgs", random_state=0).fit(X, y).score(X, y) > 0.99
    True
    """

    _parameter_constraints = {
        "loss": [StrOptions({"squared_error", "poisson", *BY_NAME}), losses.Loss],
        **BaseMLP._parameter_constraints,
    }

    _y_numeric = True
    _score_name = "val_r2"

    def __init__(
        self,
        loss: Any = "squared_error",
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
            Inputs. Of a sparse matrix some rows at a time become an array.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            What is to be estimated.
        sample_weight : array-like of shape (n_samples,), default=None
            What each sample counts; a batch without weight has no gradient and a loss of 0.
        X_val, y_val, sample_weight_val : as `X`, `y` and `sample_weight`, default=None
            Data to validate with after each epoch of a stochastic solver; "lbfgs" refuses them.
            With `early_stopping` they take the place of those that would be held out.

        Returns
        -------
        MLPRegressor
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
        X_val, y_val, sample_weight_val
            As for `fit`; `early_stopping` needs them here. When the score has been no better for
            `n_iter_no_change` calls, `stopped_` is True and the best parameters are back.

        Returns
        -------
        MLPRegressor
            The estimator itself.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), incremental=True)

    def predict(self, X: Any) -> Array:
        """Return estimates.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            What is estimated of each sample.
        """
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def _learn_targets(self, y: Array, *, incremental: bool) -> None:
        """All numbers are welcome."""

    def _targets(self, y: Array) -> Array:
        return y.reshape(len(y), -1)

    def _objective(self, y: Array) -> Objective:
        self.n_outputs_ = y.shape[1]
        return of_values(self.loss, self.n_outputs_)

    def _strata(self, y: Array) -> None:
        return None

    def _score_of(self, outputs: Array, data: Data) -> float:
        if not np.isfinite(outputs).all():
            return float("nan")
        return float(r2_score(data.y, outputs, sample_weight=data.weights))
