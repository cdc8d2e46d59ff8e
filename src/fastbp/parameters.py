"""Names for parts of the flat vector of parameters, and checks of what is to be written there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastbp import data, random, validate
from fastbp.engine import Array
from fastbp.optimizers import Optimizer
from fastbp.plan import Plan


def named(plan: Plan, flat: Array) -> dict[str, Array]:
    """Return a view of each parameter's part of `flat`, in its shape, by its name."""
    return {p.name: flat[p.start : p.stop].reshape(p.shape) for p in plan.parameters}


def initial(plan: Plan, seed: int) -> dict[str, Array]:
    """Return what each parameter starts from, by its name."""
    return {
        parameter.name: random.initial_values(plan, index, seed)
        for index, parameter in enumerate(plan.parameters)
    }


def checked(plan: Plan, values: Any) -> dict[str, Array]:
    """Return copies of new values for all parameters, or some of them, by name.

    Parameters
    ----------
    plan : Plan
        Gives names, shapes and dtype.
    values : mapping of str to array_like, or array_like of shape (n_parameters,)
        The new values.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown, a shape is wrong or a value is not a finite real number.
    """
    if not isinstance(values, Mapping):
        return named(plan, data.values("parameters", values, (plan.n_parameters,), plan.dtype))
    shapes = {parameter.name: parameter.shape for parameter in plan.parameters}
    return {
        validate.choice("parameters", name, shapes): data.values(
            f"parameters[{name!r}]", value, shapes[name], plan.dtype
        )
        for name, value in values.items()
    }


def require(
    plan: Plan, parameters: Mapping[str, Array], state: Array, optimizer: Optimizer
) -> None:
    """Raise ValueError if trained arrays are not those of a plan and an optimizer."""
    expected = {parameter.name: parameter.shape for parameter in plan.parameters}
    _require_shapes("parameters", expected, {n: each.shape for n, each in parameters.items()})
    shape = optimizer.n_states, plan.n_parameters
    _require_shapes("state", {"state": shape}, {"state": state.shape})
    for each in (*parameters.values(), state):
        if each.dtype != plan.dtype:
            raise ValueError(f"parameters: expected arrays of {plan.dtype}, got {each.dtype}")


def _require_shapes(argument: str, expected: dict[str, Any], got: dict[str, Any]) -> None:
    if expected != got:
        apart = sorted(set(expected.items()) ^ set(got.items()))[:4]
        raise ValueError(f"{argument}: expected other arrays; names and shapes differ in {apart}")
