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
# What scikit-learn's optimizers keep from the fit that they began with, whatever is set anew.
CONSTANTS = (
    "solver", "learning_rate", "learning_rate_init", "power_t", "momentum", "nesterovs_momentum",
    "beta_1", "beta_2", "epsilon",
)  # fmt: skip


def for_each_layer(name: str, value: Any, n_hidden: int) -> list[Any]:
    """Return what each hidden layer has: one value for all, or one for each."""
    if not isinstance(value, list | tuple | np.ndarray):
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
) -> Array:
    """Draw weights and biases as scikit-learn does, layer by layer in float64.

    They are returned in one vector: weights, then biases.

    Glorot and Bengio 2010, eq. 16, with a factor of 2 in place of 6 for the logistic function; the
    last layer has the factor of the one before.
    """
    functions = [*functions, functions[-1] if functions else activations.Identity()]
    weights, biases = [], []
    for (n_in, n_out), function in zip(pairwise(sizes), functions, strict=True):
        factor = 2.0 if isinstance(function, activations.Sigmoid) else 6.0
        bound = np.sqrt(factor / (n_in + n_out))
        weights.append(rng.uniform(-bound, bound, n_in * n_out))
        biases.append(rng.uniform(-bound, bound, n_out))
    return np.concatenate([*weights, *biases]).astype(dtype, copy=False)


def recipe(
    estimator: BaseMLP, objective: Objective, sizes: Sequence[int], cost: float | None, dtype: Any
) -> dict[str, Any]:
    """Return what a network with an estimator's layers is made of.

    Two that are equal make the same network, whatever the parameters were that led there.

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
    dtype : dtype
        That of the parameters.

    Returns
    -------
    dict
        Arguments of `Network`, without those that leave parameters and their loss alone.
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
    return {
        "layers": layers,
        "input_shape": sizes[0],
        "loss": objective.loss,
        "loss_weights": (objective.weight,),
        "dtype": np.dtype(dtype).name,
    }


def network(
    given: dict[str, Any],
    rule: optimizers.Optimizer,
    *,
    after: Network | None = None,
    **others: Any,
) -> Network:
    """Return a network to train by steps.

    Parameters
    ----------
    given : dict
        Its `recipe`.
    rule : Optimizer
        How it is trained.
    after : Network or None
        One whose optimizer it goes on with, as far as that remembers the same.
    others
        What `Network` takes beside these.
    """
    started = rule if after is None else after.optimizer
    new = Network(**given, optimizer=started, **others)
    if after is not None and new.n_parameters == after.n_parameters:
        new._built.state[...] = after._built.state
        new._built.position = after._built.position
    new.optimizer = rule
    return new


def constants(estimator: BaseMLP) -> dict[str, Any]:
    """Return what an optimizer keeps that begins now."""
    return {name: getattr(estimator, name) for name in CONSTANTS}


def optimizer(estimator: BaseMLP, kept: dict[str, Any]) -> optimizers.Optimizer:
    """Return the update rule of a stochastic solver.

    Parameters
    ----------
    estimator : BaseMLP
        Gives the solver, and what scikit-learn's have not.
    kept : dict
        `constants` of the fit that the optimizer began with.
    """
    e = estimator
    if isinstance(e.solver, optimizers.Optimizer):
        return e.solver
    is_scheduled = isinstance(e.learning_rate, Schedule)
    rate = e.learning_rate if is_scheduled else kept["learning_rate_init"]
    extras: dict[str, Any] = {"clip_value": e.clip_value, "clip_norm": e.clip_norm}
    if e.solver == "sgd":
        momentum = min(kept["momentum"], MOST_MOMENTUM)
        return optimizers.SGD(rate, momentum, bool(kept["nesterovs_momentum"]), **extras)
    moments = kept["beta_1"], kept["beta_2"], kept["epsilon"]
    if e.solver == "adam":
        return Adam(rate, *moments, epsilon_hat=True, **extras)
    return AdamW(rate, *moments, weight_decay=e.weight_decay, **extras)
