"""What an estimator lowers: a loss of fastbp's, and what scikit-learn reports in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.special import xlogy

from fastbp import losses
from fastbp.engine import Array

# Losses of the regressor by name, beside its own two.
BY_NAME: dict[str, type[losses.Loss]] = {
    "absolute_error": losses.MeanAbsoluteError,
    "huber": losses.Huber,
    "quantile": losses.Quantile,
}
# scikit-learn's names of functions that are called otherwise here.
ACTIVATIONS = {"logistic": "sigmoid"}


class Objective(NamedTuple):
    """The end of a network and its loss.

    Attributes
    ----------
    loss : Loss
        What training lowers, with what weights cost divided by the rows, as scikit-learn's alpha
        is.
    weight : float
        What the loss counts: of a mean over outputs their number, where scikit-learn has the sum.
    out_activation : str
        scikit-learn's name of the function behind the last layer.
    in_network : bool
        Whether the network itself ends in that function. Else outputs are still to go through it.
    offset : callable or None
        Takes outputs y and targets t, both (n, outputs), and returns how much more than the loss
        scikit-learn reports of each row; None: nothing.
    """

    loss: losses.Loss
    weight: float
    out_activation: str
    in_network: bool = True
    offset: Callable[[Array, Array], Array] | None = None

    @property
    def activation(self) -> str:
        """The function in which the network ends."""
        name = self.out_activation if self.in_network else "identity"
        return ACTIVATIONS.get(name, name)

    def summed(self) -> Objective:
        """Return the same with the sum over rows as its loss."""
        return self._replace(loss=replace(self.loss, reduction="sum"))

    def offset_of(self, y: Array, t: Array, weights: Array | None) -> float:
        """Return how much more than the loss scikit-learn reports of rows together."""
        if self.offset is None:
            return 0.0
        return batch_means(self.offset(y, t), weights, len(y))

    def finished(self, outputs: Array) -> Array:
        """Return outputs behind the last function."""
        return outputs if self.in_network else np.exp(outputs)


def of_classes(kind: str, n_outputs: int) -> Objective:
    """Return the objective of a classifier, by the kind of its targets."""
    if kind == "multiclass":
        return Objective(losses.SparseCategoricalCrossentropy("joint_mean"), 1.0, "softmax")
    return Objective(losses.BinaryCrossentropy("joint_mean"), float(n_outputs), "logistic")


def of_values(loss: str | losses.Loss, n_outputs: int) -> Objective:
    """Return the objective of a regressor."""
    if loss == "squared_error":
        offset = _mean_for_sum if n_outputs > 1 else None
        return Objective(losses.HalfSquaredError("joint_mean"), 1.0, "identity", offset=offset)
    if loss == "poisson":
        own = losses.Poisson("joint_mean", log_input=True)
        return Objective(own, float(n_outputs), "exp", False, _poisson_constant)
    description = BY_NAME[loss]() if isinstance(loss, str) else loss
    if description.probability is not None or description.targets not in ("values", "amounts"):
        raise ValueError(f"loss: expected one that compares any numbers, got {description!r}")
    if description.reduction == "mean":
        description = replace(description, reduction="joint_mean")
    if isinstance(description, losses.Poisson) and description.log_input:
        return Objective(description, 1.0, "exp", False)
    return Objective(description, 1.0, "identity")


def _mean_for_sum(y: Array, t: Array) -> Array:
    """scikit-learn follows the gradient of the sum over outputs, and reports the mean."""
    halves: Array = 0.5 * ((y - t) ** 2).sum(axis=1)
    return halves / y.shape[1] - halves


def _poisson_constant(y: Array, t: Array) -> Array:
    """scikit-learn reports half the deviance, with the terms of t alone."""
    constant: Array = (xlogy(t, t) - t).sum(axis=1)
    return constant


def batch_means(rows: Array, weights: Array | None, batch_size: int) -> float:
    """Return the mean over rows, in their order, of the weighted means of their batches.

    That of a batch whose weights are all 0 is 0, as its loss is.
    """
    starts = np.arange(0, len(rows), batch_size)
    sizes = np.diff(starts, append=len(rows))
    own = np.ones(len(rows)) if weights is None else weights
    sums, weight = (np.add.reduceat(values, starts) for values in (rows * own, own))
    means = np.divide(sums, weight, out=np.zeros(len(starts)), where=weight > 0)
    return float((means * sizes).sum() / len(rows))
