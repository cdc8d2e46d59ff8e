"""From an estimator's parameters to a network of fastbp's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp import Adam, AdamW, Dense, Dropout, Network, activations, optimizers
from fastbp.engine import Array
from fastbp.schedules import Schedule
from fastbp.sklearn.objective import ACTIVATIONS, Objective

if TYPE_CHECKING:
    from fastbp.sklearn.base import BaseMLP

# scikit-learn allows a momentum of 1, which no sum of steps comes back from.
MOST_MOMENTUM = float(np.nextafter(1.0, 0.0))


def for_each_layer(name: str, value: Any, n_hidden: int) -> list[Any]:
    """Return what each hidden layer has: one value for all, or one for each."""
    if not isinstance(value, list | tuple):
        return [value] * n_hidden
    if len(value) != n_hidden:
        raise ValueError(
            f"{name}: expected {n_hidden} entries, one for each hidden layer, got {len(value)}"
        )
    return list(value)


def resolved(activation: Any) -> activations.ActivationFunction:
    """Return the description of a function that scikit-learn or fastbp has a name for."""
    name = ACTIVATIONS.get(activation, activation) if isinstance(activation, str) else activation
    return activations.resolve(name)


def initial_parameters(
    sizes: Sequence[int], functions: Sequence[Any], rng: Any, dtype: Any
) -> tuple[list[Array], list[Array]]:
    """Draw weights and biases as scikit-learn does, layer by layer in float64.

    Glorot and Bengio 2010, eq. 16, with a factor of 2 in place of 6 for the logistic function; the
    last layer has the factor of the one before.
    """
    functions = [*functions, functions[-1] if functions else activations.Identity()]
    weights, biases = [], []
    for (n_in, n_out), function in zip(pairwise(sizes), functions, strict=True):
        factor = 2.0 if isinstance(function, activations.Sigmoid) else 6.0
        bound = np.sqrt(factor / (n_in + n_out))
        weights.append(rng.uniform(-bound, bound, (n_in, n_out)).astype(dtype, copy=False))
        biases.append(rng.uniform(-bound, bound, n_out).astype(dtype, copy=False))
    return weights, biases


def network(
    estimator: BaseMLP, objective: Objective, sizes: Sequence[int], cost: float | None, **given: Any
) -> Network:
    """Return a network with an estimator's layers.

    Parameters
    ----------
    estimator : BaseMLP
        Gives functions and dropouts.
    objective : Objective
        Gives the last function and the loss.
    sizes : sequence of int
        Units of all layers, from features to outputs.
    cost : float or None
        What the squares of the weights cost.
    given
        What `Network` takes beside these.
    """
    n_hidden = len(sizes) - 2
    functions = for_each_layer("activation", estimator.activation, n_hidden)
    rates = for_each_layer("dropout", estimator.dropout, n_hidden)
    # What weights start from is drawn elsewhere.
    options: dict[str, Any] = {"weights_initializer": "zeros", "weights_regularizer": cost}
    layers: list[Any] = []
    for units, function, rate in zip(sizes[1:-1], functions, rates, strict=True):
        layers.append(Dense(units, resolved(function), **options))
        if rate:
            layers.append(Dropout(rate))
    layers.append(Dense(sizes[-1], objective.activation, **options))
    return Network(
        layers,
        input_shape=sizes[0],
        loss=objective.loss,
        loss_weights=(objective.weight,),
        n_threads=estimator.n_threads,
        **given,
    )


def optimizer(estimator: BaseMLP) -> optimizers.Optimizer:
    """Return the update rule of a stochastic solver."""
    e = estimator
    if isinstance(e.solver, optimizers.Optimizer):
        return e.solver
    is_scheduled = isinstance(e.learning_rate, Schedule)
    rate = e.learning_rate if is_scheduled else e.learning_rate_init
    extras: dict[str, Any] = {"clip_value": e.clip_value, "clip_norm": e.clip_norm}
    if e.solver == "sgd":
        momentum = min(e.momentum, MOST_MOMENTUM)
        return optimizers.SGD(rate, momentum, bool(e.nesterovs_momentum), **extras)
    if e.solver == "adam":
        return Adam(rate, e.beta_1, e.beta_2, e.epsilon, epsilon_hat=True, **extras)
    extras["weight_decay"] = e.weight_decay
    return AdamW(rate, e.beta_1, e.beta_2, e.epsilon, **extras)
