"""Engines of the reference with drawn parameters, and data that fits a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from loss_cases import draw_targets

from fastbp.engine import Rows
from fastbp.losses import Loss, MeanSquaredError
from fastbp.lowering import lower
from fastbp.optimizers import SGD, Optimizer
from fastbp.reference import Engine


@pytest.fixture(scope="session")
def make_engine() -> Callable[..., Engine]:
    """A function that returns an engine of the given layers, with normal parameters."""

    def make(
        layers: list[Any],
        inputs: int,
        loss: Loss | None = None,
        optimizer: Optimizer | None = None,
        dtype: Any = "float64",
        seed: int = 0,
    ) -> Engine:
        plan = lower(tuple(layers), (inputs,), dtype, loss)
        engine = Engine(plan, optimizer or SGD(0.1), seed)
        engine.parameters[:] = np.random.default_rng(seed).normal(0, 0.7, plan.n_parameters)
        return engine

    return make


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., Rows]:
    """A function that returns random data of the shape and kind that an engine's loss takes."""

    def make(engine: Engine, n: int, weighted: bool = False, **fields: Any) -> Rows:
        rng = np.random.default_rng(1)
        plan, loss = engine.plan, engine.plan.loss
        inputs, outputs = plan.tensors[0], plan.tensors[plan.output]
        x = rng.normal(size=(n, inputs)).astype(plan.dtype)
        y = draw_targets(loss or MeanSquaredError(), rng, n, outputs)
        if loss is None or not loss.labels:
            y = y.astype(plan.dtype)
        weights = rng.uniform(0, 2, n) if weighted else None
        return Rows(x, y, weights, **fields)

    return make
