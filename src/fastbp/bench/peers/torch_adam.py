"""PyTorch with its Adam as it comes, not fused: what most programs have, on the row that asks."""

from __future__ import annotations

import torch

from fastbp.bench.peers import torch as fused

VERSIONS = fused.VERSIONS
DEVIATIONS = fused.DEVIATIONS


def train(workload, x, y, weights, threads):
    """Train as the other program does, but for the optimizer."""
    if workload.name != "W3":
        raise NotImplementedError("only the row that names it")
    return fused.train(workload, x, y, weights, threads, optimizer=_adam)


def _adam(workload, parameters):
    return torch.optim.Adam(parameters, workload.learning_rate, eps=1e-7)


def predictor(workload, weights, x, threads):
    """Refuse: no optimizer takes part in a prediction."""
    raise NotImplementedError("only the row that names it")
