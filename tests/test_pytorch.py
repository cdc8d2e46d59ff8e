"""Update rules give PyTorch's values: recorded ones, and live ones where torch is installed.

pytorch.json holds the parameters after the first, fourth and twelfth step of PyTorch's optimizers
in float64, on gradients that depend on nothing else. It is written by

    python tests/test_pytorch.py

from the root of the repository, with torch installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastbp import SGD, Adagrad, Adam, AdamW, Dense, NAdam, RMSprop, Rprop, random

RECORDED = Path(__file__).with_name("pytorch.json")
STEPS, INPUTS, UNITS = 12, 3, 2
N = (INPUTS + 1) * UNITS
KEPT = [0, 3, STEPS - 1]
# Ours; PyTorch's name; its arguments; norm and value at which its gradients are clipped.
PAIRS: dict[str, tuple[Any, str, dict[str, Any], tuple[float, float]]] = {
    name: (ours, kind, given, clip)
    for name, ours, kind, given, *rest in [
        ("sgd", SGD(0.1), "SGD", {"lr": 0.1}),
        ("momentum", SGD(0.1, 0.9), "SGD", {"lr": 0.1, "momentum": 0.9}),
        ("nesterov", SGD(0.1, 0.9, True), "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        ("sgd, decay", SGD(0.1, 0.5, weight_decay=0.2), "SGD",
         {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.2}),
        ("adam", Adam(epsilon=1e-8), "Adam", {}),
        ("adam, constants", Adam(0.1, 0.5, 0.9, 0.1, weight_decay=0.3), "Adam",
         {"lr": 0.1, "betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.3}),
        ("adamw", AdamW(), "AdamW", {}),
        ("adamw, constants", AdamW(0.1, 0.5, 0.9, 0.1, weight_decay=0.3), "AdamW",
         {"lr": 0.1, "betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.3}),
        ("nadam", NAdam(), "NAdam", {}),
        ("nadam, constants", NAdam(0.1, 0.5, 0.9, 0.1, 0.7), "NAdam",
         {"lr": 0.1, "betas": (0.5, 0.9), "eps": 0.1, "momentum_decay": 0.7}),
        ("nadam, decoupled decay", NAdam(weight_decay=0.3, decoupled_weight_decay=True), "NAdam",
         {"weight_decay": 0.3, "decoupled_weight_decay": True}),
        ("rmsprop", RMSprop(), "RMSprop", {}),
        ("rmsprop, momentum", RMSprop(0.1, 0.9, 0.5, 0.1), "RMSprop",
         {"lr": 0.1, "alpha": 0.9, "momentum": 0.5, "eps": 0.1}),
        ("rmsprop, centred", RMSprop(centred=True), "RMSprop", {"centered": True}),
        ("rmsprop, all", RMSprop(0.1, 0.9, 0.5, centred=True, weight_decay=0.2), "RMSprop",
         {"lr": 0.1, "alpha": 0.9, "momentum": 0.5, "centered": True, "weight_decay": 0.2}),
        ("adagrad", Adagrad(), "Adagrad", {}),
        ("adagrad, constants", Adagrad(0.1, 0.3, 0.1), "Adagrad",
         {"lr": 0.1, "initial_accumulator_value": 0.3, "eps": 0.1}),
        ("rprop", Rprop(), "Rprop", {}),
        ("rprop, constants", Rprop(0.1, 0.25, 2, 0.05, 0.2), "Rprop",
         {"lr": 0.1, "etas": (0.25, 2), "step_sizes": (0.05, 0.2)}),
        ("clipped values", Adam(epsilon=1e-8, clip_value=0.1), "Adam", {}, (np.inf, 0.1)),
        ("clipped norm", SGD(0.1, 0.9, clip_norm=0.5), "SGD", {"lr": 0.1, "momentum": 0.9},
         (0.5, np.inf)),
    ]
    for clip in [tuple(rest[0]) if rest else (np.inf, np.inf)]
}  # fmt: skip


def numbers(stream: int, count: int) -> np.ndarray:
    """Return numbers in [-1, 1) that change sign at times, the same everywhere."""
    return random.uniform(1, stream, count, "float64") * 2 - 1


def start_and_gradients() -> tuple[np.ndarray, np.ndarray]:
    return numbers(0, N), numbers(1, STEPS * N).reshape(STEPS, N)


def path_of_torch(torch: Any, name: str) -> np.ndarray:
    """Return PyTorch's parameters after some steps."""
    _, kind, given, (norm, value) = PAIRS[name]
    start, gradients = start_and_gradients()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # in which NAdam keeps its product of momenta
    p = torch.nn.Parameter(torch.tensor(start))
    optimizer = getattr(torch.optim, kind)([p], **given)
    path = []
    for g in gradients:
        p.grad = torch.tensor(g)
        torch.nn.utils.clip_grad_norm_([p], norm)
        torch.nn.utils.clip_grad_value_([p], value)
        optimizer.step()
        path.append(p.detach().numpy().copy())
    torch.set_default_dtype(before)
    return np.array(path)[KEPT]


def path_of_ours(Network: Any, name: str) -> np.ndarray:
    """Return our parameters after some steps."""
    start, gradients = start_and_gradients()
    net = Network([Dense(UNITS)], input_shape=INPUTS, optimizer=PAIRS[name][0], dtype="float64")
    net.parameters[:] = start
    path = []
    for g in gradients:
        net.gradients[:] = g
        net.step()
        path.append(net.parameters.copy())
    return np.array(path)[KEPT]


def check(ours: np.ndarray, theirs: np.ndarray, name: str) -> None:
    # Ten roundings a step. PyTorch adds 1e-6 to a norm that is 1 or more here.
    limit = 1e-6 if name == "clipped norm" else 10 * STEPS * np.finfo(np.float64).eps
    np.testing.assert_allclose(ours, theirs, rtol=limit, atol=limit)


@pytest.mark.parametrize("name", PAIRS)
def test_updates_give_the_values_recorded_of_pytorch(name: str, Network: Any) -> None:
    check(path_of_ours(Network, name), np.array(json.loads(RECORDED.read_text())[name]), name)


@pytest.mark.parametrize("name", PAIRS)
def test_updates_give_the_values_of_pytorch(name: str, Network: Any) -> None:
    torch = pytest.importorskip("torch")
    check(path_of_ours(Network, name), path_of_torch(torch, name), name)


def test_the_recorded_values_differ() -> None:
    """Else a constant that a record is there for would not show."""
    ends = [str(path[-1]) for path in json.loads(RECORDED.read_text()).values()]
    assert len(set(ends)) == len(PAIRS)


def record() -> None:
    """Write pytorch.json anew."""
    import torch

    paths = {name: path_of_torch(torch, name).tolist() for name in PAIRS}
    lines = [f" {json.dumps(name)}: {json.dumps(path)}" for name, path in paths.items()]
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    record()
