"""What the two estimators have in common: fits and outputs."""

from __future__ import annotations

import contextlib
import threading
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from operator import index, is_
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastbp import Network
from fastbp.engine import Array
from fastbp.sklearn import construction, lbfgs, sparse, stochastic
from fastbp.sklearn.objective import Objective
from fastbp.sklearn.parameters import Parameters
from fastbp.sklearn.rows import Data, are_plain, in_dtype, readable

# Held while an estimator gets another network, or looks whether it needs one. It is one for all
# estimators, which are copied and pickled.
EXCHANGE = threading.RLock()


class Start(NamedTuple):
    """Where a fit starts.

    Attributes
    ----------
    sizes : tuple of int
        Units of all layers, from features to outputs.
    parameters : ndarray
        All of them in one vector: weights, then biases.
    is_first : bool
        Whether they have just been drawn.
    """

    sizes: tuple[int, ...]
    parameters: Array
    is_first: bool


class BaseMLP(Parameters):
    """Base of the estimators; see `fastbp.sklearn.MLPClassifier`."""

    _rate: Any  # the learning rate of the optimizer as it was made

    # -- what a kind of estimator decides

    _y_numeric = False  # whether targets are numbers
    _score_name: str  # what callbacks know the score of validation data by

    @abstractmethod
    def _learn_targets(self, y: Array, *, incremental: bool) -> None:
        """Learn what targets there are, or refuse those that an earlier fit has not had."""

    def _require_known(self, y: Array) -> None:
        """Refuse targets that have not been learned."""

    @abstractmethod
    def _targets(self, y: Array) -> Array:
        """Return checked targets as the network takes them."""

    @abstractmethod
    def _objective(self, y: Array) -> Objective:
        """Return what is to be lowered, for targets of `_targets`."""

    @abstractmethod
    def _strata(self, y: Array) -> Array | None:
        """Return what a split for early stopping is to keep the shares of."""

    @abstractmethod
    def _score_of(self, outputs: Array, data: Data) -> float:
        """Return the score of validation data: NaN where outputs are not finite."""

    def _class_names(self) -> list[str | int] | None:
        """Return what the network's file is to call the classes."""
        return None

    def _weights(self, y: Array, sample_weight: Array | None) -> Array | None:
        """Return what rows count."""
        return sample_weight

    # -- fits

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation: tuple[Any, Any, Any] = (None, None, None),
        *,
        incremental: bool = False,
        learn: Callable[[], object] | None = None,
    ) -> Self:
        """Train; what is wrong with the arguments leaves the estimator as it was.

        `learn` is to be called first, for what a kind of estimator learns of arguments of its own.
        """
        with contextlib.ExitStack() as undo:
            undo.callback(self._return_to, dict(vars(self)))
            if learn is not None:
                learn()
            hidden = _hidden_sizes(self.hidden_layer_sizes)
            self._refuse_ignored(*validation)
            first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
            X, y = self._checked(X, y, reset=first)
            self._learn_targets(y, incremental=incremental)
            if sample_weight is not None:
                sample_weight = _checked_weights("sample_weight", sample_weight, X)
            data = Data(readable(X), self._targets(y), self._weights(y, sample_weight))
            data.require_weight("sample_weight, class_weight")
            objective = self._objective(data.y)
            held_out = self._held_out(*validation)
            self.out_activation_ = objective.out_activation
            self._random_state = check_random_state(self.random_state)
            start = self._begin(X, hidden) if first else self._go_on(hidden)
            if self.solver == "lbfgs":
                self._fit_lbfgs(data, start, objective, undo.pop_all)
            else:
                self._fit_stochastic(data, held_out, start, objective, incremental, undo.pop_all)
        return self

    def _return_to(self, state: dict[str, Any]) -> None:
        """Return to an earlier state, of which nothing has been changed in place."""
        for name in vars(self).keys() - state.keys():
            delattr(self, name)
        self.__dict__.update(state)

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Array]:
        """Return inputs and targets, checked, targets of one column as (n,)."""
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=self._y_numeric,
            dtype=(np.float64, np.float32),
            reset=reset,
            skip_check_array=are_plain(X, y),
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _begin(self, X: Any, hidden: list[int]) -> Start:
        """Draw the parameters of a first fit, and set what is counted from there."""
        sizes = (X.shape[1], *hidden, self.n_outputs_)
        functions = construction.for_each_layer("activation", self.activation, len(hidden))
        parameters = construction.initial_parameters(
            sizes,
            [construction.resolved(f) for f in functions],
            self._random_state,
            X.dtype if self.dtype is None else self.dtype,
        )
        self.n_iter_ = self.t_ = 0
        self.n_layers_, self._hidden = len(sizes), hidden
        self.__dict__.pop("_best_parameters", None)
        return Start(sizes, parameters, is_first=True)

    def _go_on(self, hidden: list[int]) -> Start:
        """Start from the parameters that are there, unless other layers are wanted."""
        sizes = self._sizes()
        if hidden != self._hidden and tuple(hidden) != sizes[1:-1]:
            raise ValueError(
                f"hidden_layer_sizes: expected {self._hidden} to go on from the last fit, got "
                f"{hidden}; other layers need a fit with warm_start=False"
            )
        return Start(sizes, self._flat(), is_first=False)

    def _sizes(self) -> tuple[int, ...]:
        """Return the units of all layers, from features to outputs, as coefs_ have them."""
        return (self.coefs_[0].shape[0], *(coefs.shape[1] for coefs in self.coefs_))

    def _shapes(self) -> list[tuple[int, ...]]:
        return [part.shape for part in [*self.coefs_, *self.intercepts_]]

    def _flat(self) -> Array:
        """Return all parameters in one vector: weights, then biases."""
        return np.concatenate([part.ravel() for part in [*self.coefs_, *self.intercepts_]])

    def _take(
        self, network: Network, recipe: dict[str, Any], parameters: Array, objective: Objective
    ) -> None:
        """Let a network have parameters, and these be the estimator's own from now on."""
        network.set_parameters(parameters)
        network.class_names = self._class_names()
        with EXCHANGE:
            self._recipe, self._end = recipe, objective
            self._adopt(network)
            self._network: Network | None = network

    def _adopt(self, network: Network) -> None:
        """Let coefs_ and intercepts_ be live views of a network's parameters."""
        named = network.named_parameters()
        self.coefs_ = [view for name, view in named.items() if name.endswith(".weights")]
        self.intercepts_ = [view for name, view in named.items() if name.endswith(".biases")]
        self._views = [*self.coefs_, *self.intercepts_]

    def _fit_lbfgs(
        self, data: Data, start: Start, objective: Objective, begin: Callable[[], object]
    ) -> None:
        # SciPy works in float64, and so does scikit-learn then, whatever the inputs are.
        dtype = "float64" if self.dtype is None else self.dtype
        recipe = construction.recipe(self, objective.summed(), start.sizes, None, dtype)
        network = Network(**recipe, n_threads=self.n_threads, seed=0)
        self._constants = construction.constants(self)
        self._take(network, recipe, start.parameters, objective)
        lbfgs.train(self, network, recipe, objective, data.for_network(network), begin)

    def _fit_stochastic(
        self,
        data: Data,
        held_out: Data | None,
        start: Start,
        objective: Objective,
        incremental: bool,
        begin: Callable[[], object],
    ) -> None:
        if self.early_stopping and held_out is None:
            if incremental:
                raise ValueError(
                    "partial_fit does not support early_stopping=True, unless it is given X_val "
                    "and y_val"
                )
            data, held_out = self._split(data)
        network = self._ready_network(start, objective, incremental)
        self._open_books(start, incremental)
        epochs = 1 if incremental else self.max_iter
        has_stopped = stochastic.train(self, network, data, held_out, epochs, begin)
        if not has_stopped and not incremental and self.n_iter_ == self.max_iter:
            stochastic.warn_of_max_iter(self.max_iter)
        if self.early_stopping:
            self._end_early_stopping(network, has_stopped, incremental)

    def _open_books(self, start: Start, incremental: bool) -> None:
        """Set what is counted: anew in a first fit, and what has not been counted so far."""
        watched = self.early_stopping
        self.n_iter_ = 0
        if start.is_first or not hasattr(self, "loss_curve_"):
            self.loss_curve_: list[float] = []
            self.validation_loss_curve_: list[float] = []
        best = getattr(self, "best_loss_", None)
        if start.is_first or not hasattr(self, "best_loss_") or watched != (best is None):
            self._no_improvement_count = 0
            self.validation_scores_: Any = [] if watched else None
            self.best_validation_score_: Any = -np.inf if watched else None
            self.best_loss_: Any = None if watched else np.inf
        is_new = start.is_first or (incremental and not hasattr(self, "_best_parameters"))
        if watched and is_new:
            self._best_parameters = start.parameters

    def _end_early_stopping(self, network: Network, has_stopped: bool, incremental: bool) -> None:
        """Put the best parameters back where training has ended.

        After a warm start that was never better than the fits before there are none: it keeps its
        last ones, as scikit-learn's does, so that the next can go on from there.
        """
        if incremental:
            self.stopped_ = has_stopped
        if (has_stopped or not incremental) and hasattr(self, "_best_parameters"):
            network.set_parameters(self._best_parameters)
            del self._best_parameters

    def _ready_network(self, start: Start, objective: Objective, incremental: bool) -> Network:
        """Return a network with what a fit starts from.

        A partial fit goes on with the network of the fit before, or, where something in it has been
        set anew, with another that has the memory of its optimizer.
        """
        old = vars(self).get("_network") if incremental else None
        if old is None or self._constants["solver"] != self.solver:
            old, self._constants = None, construction.constants(self)
        rule = construction.optimizer(self, self._constants)
        rate = rule.learning_rate
        if old is not None and rate == self._rate:  # then the one that training has come to stays
            rule = replace(rule, learning_rate=old.optimizer.learning_rate)
        self._rate = rate
        dtype = start.parameters.dtype if self.dtype is None else self.dtype
        cost = 0.5 * self.alpha or None  # alpha / 2 times the sum of squares
        recipe = construction.recipe(self, objective, start.sizes, cost, dtype)
        wanted = recipe, rule, self.n_threads
        if old is None or wanted != (self._recipe, old.optimizer, old.n_threads):
            given: dict[str, Any] = {"n_threads": self.n_threads, "seed": self._seed(old)}
            network = construction.network(recipe, rule, after=old, **given)
        elif self._is_current():
            return old
        else:
            network = old
        self._take(network, recipe, start.parameters, objective)
        return network

    def _seed(self, old: Network | None) -> int:
        """Return a seed; without dropout nothing is drawn that scikit-learn does not draw."""
        if old is not None and old.seed:
            return old.seed
        return int(self._random_state.randint(2**31)) if np.any(self.dropout) else 0

    def _held_out(self, X: Any, y: Any, sample_weight: Any) -> Data | None:
        """Return validation data of the caller's, checked."""
        if X is None:
            return None
        X, y = self._checked(X, y, reset=False)
        self._require_known(y)
        if sample_weight is not None:
            sample_weight = _checked_weights("sample_weight_val", sample_weight, X)
        held_out = Data(readable(X), self._targets(y), self._weights(y, sample_weight))
        return held_out.require_weight("sample_weight_val, class_weight")

    def _split(self, data: Data) -> tuple[Data, Data]:
        """Return what is left to train on, and what early stopping looks at, as scikit-learn."""
        weighed = () if data.weights is None else (data.weights,)
        parts = train_test_split(
            data.x,
            data.y,
            *weighed,
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=self._strata(data.y),
        )
        parts += [None, None]
        x, x_held, y, y_held, weights, weights_held = parts[:6]
        if x_held.shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        left, held_out = Data(x, y, weights), Data(x_held, y_held, weights_held)
        name = "sample_weight, class_weight"
        return left.require_weight(name), held_out.require_weight(f"{name} of the held-out samples")

    def _refuse_divergence(self) -> None:
        raise ValueError(
            "Solver produced non-finite parameter weights. The input data may contain large "
            "values and need to be preprocessed."
        )

    def _check_solver(self) -> bool:
        """Whether there is a `partial_fit`."""
        if self.solver == "lbfgs":
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
            )
        return True

    def __sklearn_is_fitted__(self) -> bool:
        return vars(self).get("_network") is not None

    @property
    def network_(self) -> Network:
        """The network that was trained: to save, to write as C, to look into."""
        check_is_fitted(self)
        return self._current_network()

    # -- outputs

    def _outputs(self, X: Any) -> Array:
        """Return the outputs of rows that come from outside, shape (n, outputs).

        A plain array goes to the network at once, which looks at it as closely as scikit-learn;
        what it does not take gets scikit-learn's answer.
        """
        network = vars(self).get("_network")
        is_plain = type(X) is np.ndarray and X.ndim == 2 and not hasattr(self, "feature_names_in_")
        if network is not None and is_plain and self._is_current():
            with contextlib.suppress(TypeError, ValueError):
                return self._end.finished(network(X))
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        return self._outputs_of(readable(X))

    def _outputs_of(self, X: Any) -> Array:
        """Return the outputs of checked rows."""
        network = self._current_network()
        if issparse(X):
            weights = self.coefs_, self.intercepts_
            outputs = sparse.predict(network, self._recipe, *weights, in_dtype(X, network.dtype))
        else:
            outputs = network.predict(X)
        return self._end.finished(outputs)

    def _current_network(self) -> Network:
        """Return the network, with what coefs_ and intercepts_ are now."""
        if not self._is_current():
            with EXCHANGE:
                if not self._is_current():
                    self._renew()
        assert self._network is not None  # there is one after every fit
        return self._network

    def _renew(self) -> None:
        """Take a network with other coefs_ or intercepts_: the old one may be in use elsewhere."""
        old, recipe, end = self._network, self._recipe, self._end
        assert old is not None
        if self._shapes() != [view.shape for view in self._views]:
            recipe = construction.recipe(self, end, self._sizes(), None, old.dtype)
        given: dict[str, Any] = {"n_threads": old.n_threads, "seed": old.seed}
        network = construction.network(recipe, old.optimizer, after=old, **given)
        self._take(network, recipe, self._flat(), end)

    def _is_current(self) -> bool:
        """Whether coefs_ and intercepts_ are still the arrays that the network works with."""
        coefs = self.coefs_
        n = len(coefs)
        return all(map(is_, coefs, self._views)) and all(
            map(is_, self.intercepts_, self._views[n:])
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return the state; parameters go along once, with the network."""
        state = dict(super().__getstate__())
        if state.pop("_views", None) and self._is_current():
            del state["coefs_"], state["intercepts_"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if (network := vars(self).get("_network")) is None:
            return
        self._adopt(network)
        if "coefs_" in state:  # others than the network's, which gets them when it is next needed
            self.coefs_, self.intercepts_ = state["coefs_"], state["intercepts_"]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _hidden_sizes(value: Any) -> list[int]:
    sizes = list(value) if hasattr(value, "__iter__") else [value]
    if np.any(np.array(sizes) <= 0):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [index(size) for size in sizes]


def _checked_weights(name: str, weights: Any, X: Any) -> Array:
    """Return sample weights, checked."""
    checked: Array = _check_sample_weight(weights, X)
    if (checked < 0).any():
        raise ValueError(f"{name}: expected numbers of at least 0, got {checked.min()}")
    return checked
