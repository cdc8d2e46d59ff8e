"""What the constructors of both estimators take, and what of it has no place beside what."""

from __future__ import annotations

import functools
from abc import ABC
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, Options, StrOptions

from fastbp import activations, optimizers
from fastbp.schedules import Schedule

ACTIVATION_NAMES = {"logistic", *activations.ACTIVATIONS, *activations.ALIASES} - {"softmax"}
POSITIVE_OR_NONE = [Interval(Real, 0, None, closed="neither"), None]
# What is beyond scikit-learn and counts with some solvers alone, by what leaves it out.
OF_STEPS = {"dropout": 0, "callbacks": None}
OF_NAMED_STEPS = {"clip_value": None, "clip_norm": None}
DTYPES = {np.float32, np.float64}


class Parameters(BaseEstimator, ABC):
    """The parameters, which scikit-learn checks at each fit; see `fastbp.sklearn.MLPClassifier`."""

    _parameter_constraints: dict[str, list[Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [
            StrOptions(ACTIVATION_NAMES), list, tuple, activations.ActivationFunction,
        ],
        "solver": [StrOptions({"lbfgs", "sgd", "adam", "adamw"}), optimizers.Optimizer],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"}), Schedule],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple, np.ndarray],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "clip_value": POSITIVE_OR_NONE,
        "clip_norm": POSITIVE_OR_NONE,
        "dtype": [
            StrOptions({t.__name__ for t in DTYPES}), Options(type, DTYPES),
            Options(np.dtype, set(map(np.dtype, DTYPES))), None,
        ],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "callbacks": [list, tuple, None],
    }  # fmt: skip

    hidden_layer_sizes: Any
    activation: Any
    solver: Any
    alpha: float
    batch_size: Any
    learning_rate: Any
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: Any
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    dropout: Any
    weight_decay: float
    clip_value: float | None
    clip_norm: float | None
    dtype: Any
    n_threads: int | None
    callbacks: Iterable[Any] | None

    def _keep(self, given: dict[str, Any]) -> None:
        """Keep what a constructor was given, as it is: scikit-learn checks it in `fit`."""
        for name, value in given.items():
            if name != "self":
                setattr(self, name, value)

    @classmethod
    def _get_param_names(cls) -> list[str]:
        """Return what the constructor takes: each fit, clone and `get_params` asks for it."""
        return list(_names_of_parameters(cls, cls.__init__))

    def _refuse_ignored(self, X_val: Any, y_val: Any, sample_weight_val: Any) -> None:
        """Refuse what would count for nothing, unless scikit-learn has it and leaves it aside."""
        is_lbfgs, is_named = self.solver == "lbfgs", isinstance(self.solver, str)
        beside = f"solver {self.solver!r}" if is_named else "an optimizer, which has its own"
        ignored: dict[str, Any] = {} if self.solver == "adamw" else {"weight_decay": 0.01}
        if is_lbfgs:
            ignored |= OF_STEPS
        if is_lbfgs or not is_named:
            ignored |= OF_NAMED_STEPS
            if isinstance(self.learning_rate, Schedule):
                ignored["learning_rate"] = "'constant'"
        for name, without in ignored.items():
            given = getattr(self, name)
            if np.any(given) and np.any(given != without):
                raise ValueError(f"{name}: expected {without} beside {beside}, got {given!r}")
        if is_lbfgs and any(given is not None for given in (X_val, y_val, sample_weight_val)):
            raise ValueError("X_val, y_val: expected None beside solver 'lbfgs', got some")
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val, y_val: expected both or none, got one of them")
        if X_val is None and sample_weight_val is not None:
            raise ValueError("sample_weight_val: expected None without X_val and y_val, got some")


@functools.lru_cache
def _names_of_parameters(cls: type[Parameters], init: Any) -> tuple[str, ...]:
    """Return the names that scikit-learn finds in the signature of `init`, the constructor."""
    theirs: Any = super(Parameters, cls)
    return tuple(theirs._get_param_names())
