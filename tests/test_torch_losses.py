"""Losses and their gradients are PyTorch's: recorded, and computed anew where it is installed.

torch_losses.json holds what PyTorch gives, in float64, for a layer of three units. It is written by

    python tests/test_torch_losses.py

from the root of the repository, with fastbp and PyTorch installed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastbp
from fastbp import random
from fastbp.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    KLDivergence,
    Loss,
    Poisson,
    Quantile,
    SparseCategoricalCrossentropy,
)

RECORDED = Path(__file__).with_name("torch_losses.json")
ROWS, INPUTS, OUTPUTS = 7, 4, 3
WEIGHTS = [0.5, 2.0, 3.0]


class Case(NamedTuple):
    """A loss, the activation before it, and the same in PyTorch: (torch, z, t) -> loss."""

    loss: Loss
    last: str
    theirs: Callable[[Any, Any, Any], Any]
    class_weight: Any = None


def cross_entropy(torch: Any, z: Any, t: Any, **options: Any) -> Any:
    return torch.nn.functional.cross_entropy(z, t, **options)


def binary(torch: Any, z: Any, t: Any) -> Any:
    return torch.nn.functional.binary_cross_entropy_with_logits(z, t)


def divergence(torch: Any, z: Any, t: Any) -> Any:
    log_p = torch.nn.functional.log_softmax(z, dim=1)
    return torch.nn.functional.kl_div(log_p, t, reduction="batchmean")


def poisson(torch: Any, z: Any, t: Any) -> Any:
    return torch.nn.functional.poisson_nll_loss(z, t)


def poisson_of_rates(torch: Any, z: Any, t: Any) -> Any:
    y = torch.nn.functional.softplus(z)
    return torch.nn.functional.poisson_nll_loss(y, t, log_input=False, eps=1e-7)


def pinball(torch: Any, z: Any, t: Any) -> Any:
    return torch.maximum(0.9 * (t - z), -0.1 * (t - z)).mean()


CASES = {
    "binary": Case(BinaryCrossentropy(), "sigmoid", binary),
    "binary, smoothed": Case(
        BinaryCrossentropy(label_smoothing=0.2),
        "sigmoid",
        lambda torch, z, t: binary(torch, z, 0.8 * t + 0.1),
    ),
    "categorical": Case(CategoricalCrossentropy(), "softmax", cross_entropy),
    "categorical, smoothed": Case(
        CategoricalCrossentropy(label_smoothing=0.2),
        "softmax",
        lambda torch, z, t: cross_entropy(torch, z, t, label_smoothing=0.2),
    ),
    "labels": Case(SparseCategoricalCrossentropy(), "softmax", cross_entropy),
    "labels, smoothed": Case(
        SparseCategoricalCrossentropy(label_smoothing=0.2, from_logits=True),
        "identity",
        lambda torch, z, t: cross_entropy(torch, z, t, label_smoothing=0.2),
    ),
    "ignored label": Case(
        SparseCategoricalCrossentropy(ignore_label=1),
        "softmax",
        lambda torch, z, t: cross_entropy(torch, z, t, ignore_index=1),
    ),
    "ignored label, sum": Case(
        SparseCategoricalCrossentropy("sum", ignore_label=1),
        "softmax",
        lambda torch, z, t: cross_entropy(torch, z, t, ignore_index=1, reduction="sum"),
    ),
    "class weights": Case(
        SparseCategoricalCrossentropy(),
        "softmax",
        lambda torch, z, t: cross_entropy(
            torch, z, t, weight=torch.tensor(WEIGHTS, dtype=torch.float64)
        ),
        WEIGHTS,
    ),
    "class weights and ignored label": Case(
        SparseCategoricalCrossentropy(ignore_label=0, from_logits=True),
        "identity",
        lambda torch, z, t: cross_entropy(
            torch, z, t, weight=torch.tensor(WEIGHTS, dtype=torch.float64), ignore_index=0
        ),
        {1: 2.0, 2: 3.0},
    ),
    "divergence": Case(KLDivergence(), "softmax", divergence),
    "poisson": Case(Poisson(log_input=True), "identity", poisson),
    "poisson of rates": Case(Poisson(), "softplus", poisson_of_rates),
    "quantile": Case(Quantile(quantile=0.9), "identity", pinball),
    "huber": Case(
        Huber(delta=0.5),
        "identity",
        lambda torch, z, t: torch.nn.functional.huber_loss(z, t, delta=0.5),
    ),
}


def numbers(stream: int, *shape: int) -> Any:
    """Return numbers in [-2, 2), the same everywhere."""
    return random.uniform(3, stream, int(np.prod(shape)), "float64").reshape(shape) * 4 - 2


def targets(loss: Loss) -> Any:
    """Return targets that the loss takes."""
    t = numbers(1, ROWS, OUTPUTS)
    if loss.targets == "labels":
        return ((t[:, 0] + 2) / 4 * OUTPUTS).astype(np.int64)
    if loss.targets == "amounts":
        return np.floor(t + 2)
    if loss.targets == "values":
        return t
    t = (t + 2) / 4
    return t / t.sum(axis=1, keepdims=True) if loss.targets == "distributions" else t


def ours(kind: type[fastbp.Network], case: Case) -> list[float]:
    """Return the loss, then its gradient with respect to weights and biases."""
    net = kind(
        [fastbp.Dense(OUTPUTS, case.last)], input_shape=INPUTS, loss=case.loss, dtype="float64"
    )
    net.parameters[:] = numbers(2, net.n_parameters)
    loss, gradients = net.loss_and_gradients(
        numbers(0, ROWS, INPUTS), targets(case.loss), class_weight=case.class_weight
    )
    return [loss, *gradients.tolist()]


def theirs(torch: Any, case: Case) -> list[float]:
    parameters = torch.tensor(numbers(2, (INPUTS + 1) * OUTPUTS), requires_grad=True)
    weights = parameters[: INPUTS * OUTPUTS].reshape(INPUTS, OUTPUTS)
    z = torch.tensor(numbers(0, ROWS, INPUTS)) @ weights + parameters[INPUTS * OUTPUTS :]
    loss = case.theirs(torch, z, torch.tensor(targets(case.loss)))
    loss.backward()
    return [loss.item(), *parameters.grad.tolist()]


def check(ours: list[float], theirs: list[float]) -> None:
    """Assert that they agree to some ten roundings of the largest number."""
    limit = 10 * np.finfo("float64").eps * max(map(abs, theirs))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=limit)


@pytest.mark.parametrize("name", CASES)
def test_losses_are_those_recorded_of_pytorch(Network: type[fastbp.Network], name: str) -> None:
    recorded = json.loads(RECORDED.read_text())
    check(ours(Network, CASES[name]), recorded[name])


@pytest.mark.parametrize("name", CASES)
def test_losses_are_those_of_pytorch(Network: type[fastbp.Network], name: str) -> None:
    torch = pytest.importorskip("torch")
    check(ours(Network, CASES[name]), theirs(torch, CASES[name]))


def test_every_record_has_its_case() -> None:
    assert list(json.loads(RECORDED.read_text())) == list(CASES)


def record() -> None:
    """Write torch_losses.json anew."""
    import torch

    found = {name: theirs(torch, case) for name, case in CASES.items()}
    RECORDED.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    record()
