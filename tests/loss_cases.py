"""Losses as tests need them: which may follow an activation, and targets that each takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastbp.activations import ACTIVATIONS
from fastbp.losses import LOSSES, Loss, Poisson, ProbabilityLoss

PROBABILITIES = {loss.probability for loss in LOSSES.values()} - {None}
# What makes a probability loss read net inputs; Poisson's logarithms of rates are like them.
UNLINKED: dict[str, dict[str, Any]] = {
    name: {"log_input": True} if kind is Poisson else {"from_logits": True}
    for name, kind in LOSSES.items()
    if kind is Poisson or issubclass(kind, ProbabilityLoss)
}


def options_after(activation: str, kind: type[Loss]) -> list[dict[str, Any]]:
    """Return the options with which a loss may follow an activation, one dict for each way."""
    if issubclass(kind, ProbabilityLoss):
        given: list[dict[str, Any]] = [{}] if activation == kind.probability else []
        return given + ([UNLINKED[kind.name]] if activation not in PROBABILITIES else [])
    if kind is Poisson:
        return [{}] * ACTIVATIONS[activation].nonnegative + [UNLINKED[kind.name]]
    return [{}]


def pairs() -> list[Any]:
    """Every activation with every loss that may follow it: (activation, kind, options)."""
    return [
        pytest.param(activation, kind, options, id="-".join([activation, kind.name, *options]))
        for activation in ACTIVATIONS
        for kind in LOSSES.values()
        for options in options_after(activation, kind)
    ]


def last_activation(kind: type[Loss]) -> str | None:
    """Return the activation that a loss without options is meant for."""
    return "softplus" if kind is Poisson else kind.probability


def draw_targets(loss: Loss, rng: np.random.Generator, rows: int, outputs: int) -> Any:
    """Return random targets, shape (rows, outputs), or (rows,) class numbers."""
    if loss.targets == "labels":
        return rng.integers(0, outputs, rows).astype(np.int32)
    if loss.targets == "values":
        return rng.normal(size=(rows, outputs))
    if loss.targets == "amounts":
        return rng.poisson(2, (rows, outputs)).astype(float)
    if loss.targets == "signs":
        return rng.choice([-1.0, 1.0], (rows, outputs))
    t = rng.uniform(size=(rows, outputs))
    return t / t.sum(axis=1, keepdims=True) if loss.targets == "distributions" else t
