"""Penalties and constraints do what PyTorch does when a user writes them out there.

torch_penalties.json holds PyTorch's loss, with the penalty in it, and the parameters after each of
four steps of SGD with momentum in float64: recorded, and computed anew where torch is installed.
It is written by

    python tests/test_torch_penalties.py

from the root of the repository, with fastbp and PyTorch installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import SGD, random
from fastbp.constraints import MaxNorm
from fastbp.regularizers import L1, L1L2, L2

RECORDED = Path(__file__).with_name("torch_penalties.json")
ROWS, INPUTS, OUTPUTS, STEPS = 7, 4, 3, 4
# What the layer is given, for weights and biases.
CASES: dict[str, dict[str, Any]] = {
    "l1": {"weights_regularizer": L1(0.1), "bias_regularizer": L1(0.02)},
    "l2": {"weights_regularizer": L2(0.1), "bias_regularizer": L2(0.02)},
    "l1_l2": {"weights_regularizer": L1L2(0.1, 0.02), "bias_regularizer": L1L2(0.03, 0.2)},
    "max_norm": {"weights_constraint": MaxNorm(1.2), "bias_constraint": MaxNorm(0.4)},
    "max_norm of rows": {"weights_constraint": MaxNorm(1.2, axis=1)},
    "non_neg": {"weights_constraint": "non_neg", "bias_constraint": "non_neg"},
    "all": {"weights_regularizer": L2(0.1), "weights_constraint": MaxNorm(0.9)},
}


def numbers(stream: int, *shape: int) -> Any:
    """Return numbers in [-1, 1), the same everywhere."""
    return random.uniform(4, stream, int(np.prod(shape)), "float64").reshape(shape) * 2 - 1


def ours(kind: type[fastbp.Network], name: str) -> list[list[float]]:
    """Return loss and parameters after each step."""
    layer = fastbp.Dense(OUTPUTS, "tanh", **CASES[name])
    net = kind(
        [layer], input_shape=INPUTS, loss="squared_error", optimizer=SGD(0.1, 0.9), dtype="float64"
    )
    net.parameters[:] = numbers(2, net.n_parameters)
    path = []
    for _ in range(STEPS):
        values = net.train_on_batch(numbers(0, ROWS, INPUTS), numbers(1, ROWS, OUTPUTS))
        path.append([values["loss"], *net.parameters.tolist()])
    return path


def theirs(torch: Any, name: str) -> list[list[float]]:
    """Return the same, from a penalty in the loss and a projection by hand."""
    flat, given = numbers(2, (INPUTS + 1) * OUTPUTS), fastbp.Dense(OUTPUTS, **CASES[name])
    w = torch.tensor(flat[: INPUTS * OUTPUTS].reshape(INPUTS, OUTPUTS), requires_grad=True)
    b = torch.tensor(flat[INPUTS * OUTPUTS :], requires_grad=True)
    x, t = (torch.tensor(numbers(i, ROWS, n)) for i, n in enumerate((INPUTS, OUTPUTS)))
    optimizer = torch.optim.SGD([w, b], lr=0.1, momentum=0.9)
    held = (w, given.weights_regularizer, given.weights_constraint), (
        b, given.bias_regularizer, given.bias_constraint)  # fmt: skip
    path = []
    for _ in range(STEPS):
        loss = ((torch.tanh(x @ w + b) - t) ** 2).sum() / ROWS
        for p, regularizer, _ in held:
            l1, l2 = regularizer.factors if regularizer else (0, 0)
            loss = loss + l1 * p.abs().sum() + l2 * (p**2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for p, _, constraint in held:
            project(torch, p.data, constraint)
        parameters = torch.cat([w.detach().reshape(-1), b.detach()])
        path.append([loss.item(), *parameters.tolist()])
    return path


def project(torch: Any, p: Any, constraint: Any) -> None:
    """Bring a tensor back to its constraint."""
    if isinstance(constraint, MaxNorm):
        norms = torch.linalg.vector_norm(p, dim=constraint.axis, keepdim=True)
        p *= torch.clamp(constraint.max_value / norms, max=1)
    elif constraint is not None:
        p.clamp_(min=0)


def check(ours: list[list[float]], theirs: list[list[float]]) -> None:
    # Some twenty roundings a step.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=20 * STEPS * np.finfo("float64").eps)


@pytest.mark.parametrize("name", CASES)
def test_restraints_give_the_values_recorded_of_pytorch(Network: Any, name: str) -> None:
    check(ours(Network, name), json.loads(RECORDED.read_text())[name])


@pytest.mark.parametrize("name", CASES)
def test_restraints_give_the_values_of_pytorch(Network: Any, name: str) -> None:
    check(ours(Network, name), theirs(pytest.importorskip("torch"), name))


def test_the_recorded_values_differ() -> None:
    """Else a restraint that a record is there for would not show."""
    recorded = json.loads(RECORDED.read_text())
    assert list(recorded) == list(CASES)
    assert len({str(path[-1]) for path in recorded.values()}) == len(CASES)


def record() -> None:
    """Write torch_penalties.json anew."""
    import torch

    lines = [f" {json.dumps(name)}: {json.dumps(theirs(torch, name))}" for name in CASES]
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    record()
