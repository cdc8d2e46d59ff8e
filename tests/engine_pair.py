"""The compiled engine beside the reference: asks both for the same and compares the answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from loss_cases import draw_targets

import fastbp.reference
from fastbp.engine import Array, Fit, Record, Rows, alone, each
from fastbp.losses import MeanSquaredError
from fastbp.lowering import lower
from fastbp.metrics import Accuracy
from fastbp.optimizers import SGD
from fastbp.plan import Plan
from fastbp.schedules import Schedule

# How far the engines may be apart: max|a - b| / max|b| of every tensor.
LIMITS = {"float32": 1e-5, "float64": 1e-12}


def distance(a: Any, b: Any) -> float:
    """Return max|a - b| / max|b|, or max|a| where b is 0."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    size = float(np.abs(b).max(initial=0))
    return float(np.abs(a - b).max(initial=0)) / (size or 1)


def draw_rows(plan: Plan, n: int, weighted: bool, seed: int) -> Rows:
    """Return data of the shape and kind that a plan takes; one row of weight 0, if weighted."""
    rng = np.random.default_rng(seed)
    x = tuple(rng.normal(size=(n, math.prod(shape))).astype(plan.dtype) for shape in plan.inputs)
    targets, weights = [], []
    for output in plan.outputs:
        y = draw_targets(output.loss or MeanSquaredError(), rng, n, plan.tensors[output.tensor])
        if output.loss is None or not output.loss.labels:
            y = y.astype(plan.dtype)
        targets.append(y)
        weights.append(rng.uniform(0.1, 2, n) if weighted else None)
        if weighted and n > 1:
            weights[-1][n // 2] = 0
    return Rows(alone(x), alone(tuple(targets)), alone(tuple(weights)) if weighted else None)


def draw_parameters(plan: Plan, seed: int) -> Array:
    """Return parameters under which activations keep their size from layer to layer."""
    rng = np.random.default_rng(seed)
    parts = [
        rng.normal(0, 1 / math.sqrt(p.shape[0]) if p.role == "weights" else 0.3, p.size)
        for p in plan.parameters
    ]
    return np.concatenate([*parts, np.empty(0)]).astype(plan.dtype)


class Pair:
    """Both engines of one plan, with the same parameters, and data for them.

    Its methods ask both for the same and assert that the answers agree, and that the data are what
    they were.
    """

    def __init__(
        self,
        layers: list[Any] | Plan,
        inputs: int = 0,
        loss: Any = None,
        optimizer: Any = None,
        *,
        dtype: Any = "float64",
        n_threads: int | None = 1,
        rows: int = 9,
        weighted: bool = False,
        seed: int = 0,
        scale: float = 0,
        metrics: tuple[Any, ...] = (Accuracy(),),
    ) -> None:
        given = isinstance(layers, Plan)
        self.plan = layers if given else lower(tuple(layers), (inputs,), dtype, loss)
        dtype = self.plan.dtype
        self.n_threads = n_threads
        self.metrics = metrics
        self.limit = LIMITS[dtype]
        # Sizes below `scale` count as that: a small difference of large numbers has their error.
        self.scale = scale
        self.data = draw_rows(self.plan, rows, weighted, seed)
        kinds = fastbp.network.compiled_core().Engine, fastbp.reference.Engine
        self.engines = [kind(self.plan, optimizer or SGD(0.1), seed) for kind in kinds]
        for engine in self.engines:
            engine.parameters[:] = draw_parameters(self.plan, seed)

    def both(self, ask: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Return both answers; the data must be as before."""
        data = self.data.x, self.data.y, self.data.weights
        given = (given if isinstance(given, tuple) else (given,) for given in data)
        arrays = [array for arrays in given for array in arrays if array is not None]
        before = [a.tobytes() for a in arrays]
        compiled, reference = (ask(engine) for engine in self.engines)
        assert [a.tobytes() for a in arrays] == before
        return compiled, reference

    def agree(self, what: str, compiled: Any, reference: Any, limit: float | None = None) -> None:
        if isinstance(reference, tuple):
            for k, each_of_both in enumerate(zip(compiled, reference, strict=True)):
                self.agree(f"{what} {k}", *each_of_both, limit)
            return
        limit = limit or self.limit
        size = np.abs(reference).max(initial=0)
        apart = distance(compiled, reference)
        assert np.isfinite(np.asarray(compiled)).all(), what
        assert apart * (size or 1) <= limit * max(size, self.scale), f"{what}: {apart:.1e} apart"

    def agree_by_tensor(self, what: str, ask: Callable[[Any], Any], limit: float = 0) -> None:
        """Compare flat vectors, a parameter at a time."""
        compiled, reference = (ask(engine) for engine in self.engines)
        for p in self.plan.parameters:
            part = slice(p.start, p.stop)
            self.agree(f"{what} of {p.name}", compiled[..., part], reference[..., part], limit)

    def agree_on_values(self, compiled: dict[str, float], reference: dict[str, float]) -> None:
        assert compiled.keys() == reference.keys()
        for name, value in compiled.items():
            self.agree(name, value, reference[name])

    def check_prediction(self) -> None:
        def predict(engine: Any) -> Array:
            out = tuple(
                np.empty((self.data.n, self.plan.tensors[output.tensor]), self.plan.dtype)
                for output in self.plan.outputs
            )
            engine.predict(self.data.x, alone(out), self.n_threads)
            return alone(out)

        self.agree("prediction", *self.both(predict))

    def check_evaluation(self) -> None:
        self.agree_on_values(
            *self.both(lambda e: e.evaluate(self.data, self.metrics, self.n_threads))
        )

    def check_batch(self) -> None:
        """Loss, metric and gradients of all rows as a batch; then the same added once more."""
        for accumulate in (False, True):

            def ask(engine: Any, accumulate: bool = accumulate) -> Any:
                return engine.loss_and_gradients(
                    self.data, self.metrics, accumulate, self.n_threads
                )

            self.agree_on_values(*self.both(ask))
            self.check_gradients()

    def check_gradients(self) -> None:
        self.agree_by_tensor("gradient", lambda e: e.gradients)
        for p in self.plan.parameters:
            if not p.trainable:
                assert not self.engines[0].gradients[p.start : p.stop].any(), p.name

    def check_passes(self, training: bool = True) -> None:
        """Forward; back with a gradient of the outputs, twice, the second time adding."""
        outputs = self.both(lambda e: e.forward(self.data.x, training, self.n_threads))
        self.agree("output", *outputs)
        rng = np.random.default_rng(5)
        grad_output = alone(
            tuple(
                rng.normal(size=y.shape).astype(self.plan.dtype)
                for y in each(outputs[0], len(self.plan.outputs))
            )
        )
        for accumulate in (False, True):

            def back(engine: Any, accumulate: bool = accumulate) -> Any:
                return engine.backward(grad_output, accumulate, self.n_threads)

            self.agree("gradient of the input", *self.both(back))
            self.check_gradients()

    def check_update(self, steps: int = 1, seed: int = 3) -> None:
        """One update from identical gradients, states and positions; then more of them."""
        rng = np.random.default_rng(seed)
        for _ in range(steps):
            gradients = rng.normal(size=self.plan.n_parameters)
            compiled, reference = self.engines
            reference.parameters[:], reference.state[:] = compiled.parameters, compiled.state
            before = np.vstack((compiled.parameters, compiled.state))
            for engine in self.engines:
                engine.gradients[:] = gradients
                engine.step()
            assert compiled.position == reference.position
            self.agree_by_tensor("parameter", lambda e: e.parameters)
            self.agree_by_tensor("state", lambda e: e.state)
            # Rprop may leave all of a few parameters where they are, but not what it remembers.
            changed = np.vstack((compiled.parameters, compiled.state)) != before
            for p in self.plan.parameters:
                assert changed[:, p.start : p.stop].any() == p.trainable

    def check(self) -> None:
        """All of the above that the plan allows."""
        self.check_prediction()
        self.check_passes(training=True)
        if all(output.loss is not None for output in self.plan.outputs):
            self.check_evaluation()
            self.check_batch()

    def fit(
        self, epochs: int, batch_size: int, shuffle: bool = True, **fields: Any
    ) -> list[Record]:
        """Train both engines."""

        def train(engine: Any) -> Record:
            record = Record()
            fields.setdefault("n_threads", self.n_threads)
            fields["record_rates"] = isinstance(engine.optimizer.learning_rate, Schedule)
            job = Fit(self.data, epochs, batch_size, shuffle, metrics=self.metrics,
                      prefixes=self.plan.prefixes, **fields)  # fmt: skip
            engine.fit(job, record)
            return record

        return list(self.both(train))
