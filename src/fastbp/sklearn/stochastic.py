"""Training by stochastic solvers: epochs in compiled code, the books between them here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp import Network, StopTraining, metrics
from fastbp.callbacks import LambdaCallback
from fastbp.callbacks.relay import Relay
from fastbp.engine import Array
from fastbp.sklearn.objective import Objective, batch_means
from fastbp.sklearn.rows import Data

if TYPE_CHECKING:
    from fastbp.sklearn.base import BaseMLP

LOWEST_ADAPTIVE_RATE = 1e-6


class Offset:
    """A metric: how much more than the loss scikit-learn reports, mean over the batches of rows.

    Parameters
    ----------
    objective : Objective
        Says it of each row.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective

    def expect(self, rows: Array | slice, weights: Array | None, batch_size: int) -> None:
        """Learn how batches are made of the rows that come next.

        Parameters
        ----------
        rows : ndarray or slice
            Their order in the batches.
        weights : ndarray or None
            What they count, in the order of the batches.
        batch_size : int
            Rows of a batch.
        """
        self._rows, self._weights, self._batch_size = rows, weights, batch_size

    def __call__(self, y: Array, t: Array) -> float:
        assert self._objective.offset is not None
        rows = self._objective.offset(y, t)[self._rows]
        return batch_means(rows, self._weights, self._batch_size)


def metric(offset: Offset) -> metrics.Custom:
    """Return it as a network takes it."""
    return metrics.Custom(offset, "offset", rises=False)


class Books(Relay):
    """What scikit-learn's MLPs do between two epochs: order, curves, stopping, learning rate.

    Callbacks hear of an epoch when the estimator's attributes tell of it.

    Parameters
    ----------
    estimator : BaseMLP
        Whose attributes are the books.
    network : Network
        What is trained.
    data : Data
        What it is trained on.
    validation : Data or None
        What early stopping looks at.
    offset : Offset or None
        What is reported beside the loss.
    """

    def __init__(
        self,
        estimator: BaseMLP,
        network: Network,
        data: Data,
        validation: Data | None,
        offset: Offset | None,
    ) -> None:
        super().__init__(network, estimator.callbacks or ())
        self._estimator, self._data, self._validation = estimator, data, validation
        self._offset = offset
        self._scores = validation is not None and bool(estimator.early_stopping or self.callbacks)
        self._order = np.arange(data.n)
        self.batch_size = _batch_size(estimator.batch_size, data.n)
        self.has_stopped = False

    def prepare(self, network: Network, epochs: int, names: tuple[str, ...]) -> None:
        # The fit has the function by now; a file of the network could not hold it.
        network._metrics = ()
        reported = ["loss"]
        if self._validation is not None:
            reported += ["val_loss", self._estimator._score_name]
        reported += [name for name in names if name == "learning_rate"]
        super().prepare(network, epochs, tuple(reported))

    def order(self, epoch: int = 0) -> Array:
        """Return the order of the next epoch: a permutation of the last one."""
        if self._estimator.shuffle:
            permutation = np.arange(self._data.n)
            self._estimator._random_state.shuffle(permutation)
            self._order = self._order[permutation]
        if self._offset is not None:
            weights = self._data.weights
            self._offset.expect(
                slice(None) if self._data.is_sparse else self._order,
                None if weights is None else weights[self._order],
                self.batch_size,
            )
        return self._order

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        e = self._estimator
        e.n_iter_ += 1
        e.t_ += self._data.n
        e.loss_ = float(logs["loss"] + logs.get("offset", 0.0))
        e.loss_curve_.append(e.loss_)
        if e.verbose:
            print(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        values = logs | {"loss": e.loss_}
        if self._validation is not None:
            values |= self._validated(self._validation)
        if e.early_stopping:
            self._count(e.validation_scores_[-1], e.best_validation_score_)
        else:
            self._count(-e.loss_, -e.best_loss_)
            e.best_loss_ = min(e.best_loss_, e.loss_)
        self._scale_rate()
        stops = self.tell(epoch, {name: values[name] for name in self.names})
        if e._no_improvement_count > e.n_iter_no_change:
            self._end_or_slow_down()
        if stops:
            raise StopTraining

    def _count(self, value: float, best: float) -> None:
        """Count an epoch that is no better than the best by `tol`; NaN is not worse."""
        e = self._estimator
        improves = not value < best + e.tol
        e._no_improvement_count = 0 if improves else e._no_improvement_count + 1
        if e.early_stopping and value > best:
            e.best_validation_score_ = value
            e._best_parameters = self.network.parameters.copy()

    def _validated(self, data: Data) -> dict[str, float]:
        """Return the loss of validation data, and their score, put into the estimator's curves."""
        e, objective = self._estimator, self._estimator._end
        loss, score = _loss(self.network, data), float("nan")
        if self._scores or objective.offset is not None:
            outputs = e._outputs_of(data.x)
            loss += objective.offset_of(outputs, data.y, data.weights)
        if self._scores:
            score = e._score_of(outputs, data)
        e.validation_loss_curve_.append(loss)
        if e.early_stopping:
            e.validation_scores_.append(score)
            if e.verbose:
                print(f"Validation score: {score:f}")
        return {"val_loss": loss, e._score_name: score}

    def _scale_rate(self) -> None:
        """Lower the learning rate of "invscaling" by the rows that have been seen."""
        e, kept = self._estimator, self._estimator._constants
        if e.solver == "sgd" and kept["learning_rate"] == "invscaling":
            rate = kept["learning_rate_init"] / (e.t_ + 1) ** kept["power_t"]
            self.network.learning_rate = rate

    def _end_or_slow_down(self) -> None:
        e = self._estimator
        what = "Validation score" if e.early_stopping else "Training loss"
        news = (
            f"{what} did not improve more than tol={e.tol:f} for {e.n_iter_no_change} "
            f"consecutive epochs."
        )
        is_adaptive = e.solver == "sgd" and e._constants["learning_rate"] == "adaptive"
        rate = self.network.learning_rate
        if is_adaptive and rate > LOWEST_ADAPTIVE_RATE:
            self.network.learning_rate = rate / 5.0
            e._no_improvement_count = 0
            self._tell(f"{news} Setting learning rate to {rate / 5.0:f}")
            return
        self._tell(f"{news} {'Learning rate too small. ' if is_adaptive else ''}Stopping.")
        self.has_stopped = True
        raise StopTraining

    def _tell(self, news: str) -> None:
        if self._estimator.verbose:
            print(news)


def _batch_size(wanted: Any, n: int) -> int:
    if wanted == "auto":
        return min(200, n)
    if wanted > n:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            stacklevel=2,
        )
    return int(min(wanted, n))


def _loss(network: Network, data: Data) -> float:
    if data.is_sparse:
        return float(network.evaluate(data.chunks)["loss"])
    return float(network.evaluate(data.rows(network))["loss"])


def train(
    estimator: BaseMLP,
    network: Network,
    data: Data,
    validation: Data | None,
    epochs: int,
    begin: Callable[[], object],
) -> bool:
    """Train for some epochs, or until no more comes of it; call `begin` when that begins.

    Returns
    -------
    bool
        Whether training ended before.
    """
    data = data.for_network(network)
    validation = validation and validation.for_network(network)
    offset = None if estimator._end.offset is None else Offset(estimator._end)
    books = Books(estimator, network, data, validation, offset)
    job: dict[str, Any] = {
        "epochs": epochs,
        # In this order: who has begun is told of the end.
        "callbacks": [
            books,
            LambdaCallback(on_train_begin=books.begin),
            LambdaCallback(on_train_begin=begin),
        ],
        "verbose": 0,
    }
    network._metrics = () if offset is None else (metric(offset),)
    try:
        if data.is_sparse:
            history = network.fit(lambda: data.batches(books.order(), books.batch_size), **job)
        else:
            rows = data.rows(network)
            job |= {"batch_size": books.batch_size, "shuffle": books.order}
            history = network.fit(rows, **job)
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=2)
        return True
    finally:
        network._metrics = ()
    if history.ended == "divergence":
        estimator._refuse_divergence()
    return books.has_stopped


def warn_of_max_iter(max_iter: int) -> None:
    """Say that training went on to the last epoch."""
    warnings.warn(
        f"Stochastic Optimizer: Maximum iterations ({max_iter}) reached and the optimization "
        f"hasn't converged yet.",
        ConvergenceWarning,
        stacklevel=2,
    )
