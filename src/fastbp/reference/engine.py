"""The reference engine: `fastbp.engine.EngineProtocol` in NumPy."""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np

from fastbp import random
from fastbp.activations import Identity
from fastbp.arena import aligned_zeros
from fastbp.engine import Array, EngineProtocol, EpochPart, Fit, Position, Record, Rows
from fastbp.losses import Loss
from fastbp.measures import measure
from fastbp.metrics import Metric
from fastbp.optimizers import Optimizer
from fastbp.plan import Op, Plan
from fastbp.reference import optimizers as rules
from fastbp.reference.activations import ACTIVATIONS
from fastbp.reference.batches import Batch, converted, gather
from fastbp.reference.losses import loss_gradient, row_losses, row_weights
from fastbp.reference.metrics import METRICS
from fastbp.reference.propagation import Trace, backward, forward
from fastbp.reference.schedules import scheduled
from fastbp.reference.training import Training

# Rows that prediction and evaluation take at a time, so that memory does not grow with the data.
CHUNK = 4096

# What diverges is found by looking at the loss, and subnormal numbers count as 0: inside the
# engine neither overflow nor underflow is news.
quietly = np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")


class Engine(EngineProtocol):
    """Runs one plan in NumPy; see `fastbp.engine.EngineProtocol`.

    Parameters
    ----------
    plan : Plan
        What to compute.
    optimizer : Optimizer
        The update rule.
    seed : int
        Key of the row orders and dropout masks. Parameters start at 0, for the caller to set.
    """

    def __init__(self, plan: Plan, optimizer: Optimizer, seed: int) -> None:
        self.plan = plan
        self.parameters = aligned_zeros(plan.n_parameters, plan.dtype)
        self.gradients = aligned_zeros(plan.n_parameters, plan.dtype)
        self.seed = seed
        self.position = Position()
        self._optimizer: Optimizer
        self._set_optimizer(optimizer)
        self._traces: list[Trace] | None = None  # of the last forward()
        # A cross-entropy reads the net input of the last operation, which then stops there.
        self._measured_ops = plan.ops
        if plan.fused:
            self._measured_ops = (*plan.ops[:-1], plan.ops[-1]._replace(activation=Identity()))

    @property
    def optimizer(self) -> Optimizer:
        """The update rule."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        before = self._optimizer
        if optimizer.remembers_as(before):
            self._optimizer = optimizer
        else:
            self._set_optimizer(optimizer)
        if optimizer.starts_schedule(before):
            now = self.position
            self.position = now._replace(schedule_steps=now.steps, schedule_epochs=now.epochs)

    @property
    def learning_rate(self) -> float:
        """The rate that `step` takes next."""
        rate: float = scheduled(self._optimizer, self.position).learning_rate
        return rate

    def _set_optimizer(self, optimizer: Optimizer) -> None:
        shape = optimizer.n_states, self.plan.n_parameters
        self.state = aligned_zeros(shape[0] * shape[1], self.plan.dtype).reshape(shape)
        self.state[:] = np.reshape(optimizer.initial_state, (-1, 1))
        self.position = self.position._replace(steps=0)
        self._optimizer = optimizer

    def call(self, x: object, out: object, changing: Lock) -> Array | None:
        """Ask for `predict`: there is one way here."""
        return None

    def all_finite(self, rows: Array, n_threads: int | None) -> bool:
        """Whether `rows` are finite in the plan's dtype."""
        chunks = (slice(start, start + CHUNK) for start in range(0, len(rows), CHUNK))
        return all(
            bool(np.isfinite(converted("rows", rows, chunk, self.plan.dtype)).all())
            for chunk in chunks
        )

    def predict(self, x: Array, out: Array, n_threads: int | None) -> bool:
        """Write the outputs of rows `x` to `out`; return whether these are all finite."""
        for start in range(0, len(x), CHUNK):
            rows = slice(start, start + CHUNK)
            chunk = converted("x", x, rows, self.plan.dtype)
            if not np.isfinite(chunk).all():
                return False
            out[rows] = self._predict(chunk)
        return True

    @quietly
    def _predict(self, x: Array) -> Array:
        return forward(self.plan.ops, x, self.parameters, dropout=None)[1]

    @quietly
    def evaluate(
        self, data: Rows, metrics: tuple[Metric, ...], n_threads: int | None
    ) -> dict[str, Any]:
        """Return the loss over all rows, and each metric, with dropout off."""
        n = len(data.x)
        loss_sum = weight_sum = 0.0
        measured = 0
        sums = {metric.key: 0.0 for metric in metrics if metric.of_rows}
        outputs = []
        for start in range(0, n, CHUNK):
            batch = gather(data, np.arange(start, min(start + CHUNK, n)), self.plan.dtype)
            _, y = forward(self._measured_ops, batch.x, self.parameters, dropout=None)
            loss_sum += float((batch.weights * row_losses(self._loss, y, batch.t)).sum())
            weight_sum += float(batch.weights.sum())
            measured += int(batch.measured.sum())
            outputs.append(self._finished(y))
            for name, rows in self._metric_rows(metrics, outputs[-1], batch).items():
                sums[name] += float(rows.sum())
            if len(sums) == len(metrics):
                outputs.clear()  # none is computed from all of them
        if self._loss.reduction == "mean":
            loss_sum = loss_sum / weight_sum if weight_sum else 0.0
        values = {"loss": loss_sum} | {name: total / measured for name, total in sums.items()}
        return values | self.measured(metrics, outputs, data.y)

    @quietly
    def forward(self, x: Array, training: bool, n_threads: int | None) -> Array:
        """Return the outputs of `x`, keeping what `backward` needs."""
        # Copies on both sides: what backward needs stays, whatever becomes of the caller's arrays.
        own = np.array(x, dtype=self.plan.dtype)
        dropout = self._dropout_factors if training else None
        self._traces, y = forward(self.plan.ops, own, self.parameters, dropout)
        return y.copy()

    @quietly
    def backward(self, grad_output: Array, accumulate: bool, n_threads: int | None) -> Array:
        """Return dL/dx for the rows of the last `forward`; write or add to `gradients`."""
        if self._traces is None:
            raise RuntimeError("backward: expected a forward pass before it, got none")
        gradients = np.zeros_like(self.gradients)
        dx = backward(self._traces, grad_output, self.parameters, gradients, to_input=True)
        self._keep(gradients, accumulate)
        return dx

    def loss_and_gradients(
        self, data: Rows, metrics: tuple[Metric, ...], accumulate: bool, n_threads: int | None
    ) -> dict[str, Any]:
        """Take all rows as one batch, as in training; return its loss and metrics."""
        batch = gather(data, np.arange(len(data.x)), self.plan.dtype)
        values, outputs, gradients = self.differentiate(batch, metrics)
        self._keep(gradients, accumulate)
        return values | self.measured(metrics, [outputs], data.y)

    @quietly
    def differentiate(
        self, batch: Batch, metrics: tuple[Metric, ...]
    ) -> tuple[dict[str, float], Array, Array]:
        """Return loss and means over rows of a batch in training, its outputs, and gradients."""
        traces, y = forward(self._measured_ops, batch.x, self.parameters, self._dropout_factors)
        weights = row_weights(self._loss, batch.weights)
        outputs = self._finished(y)
        values = {"loss": float((weights * row_losses(self._loss, y, batch.t)).sum())}
        for name, rows in self._metric_rows(metrics, outputs, batch).items():
            values[name] = float(rows.mean()) if len(rows) else 0.0
        dy = loss_gradient(self._loss, y, batch.t, weights)
        gradients = np.zeros_like(self.gradients)
        backward(traces, dy, self.parameters, gradients, to_input=False)
        return values, outputs, gradients

    def step(self) -> None:
        """Update the trainable parameters from `gradients`; count a step and a batch."""
        self.update(self.gradients)

    @quietly
    def update(
        self, gradients: Array, epoch_share: float = 1, part: EpochPart | None = None
    ) -> Optimizer:
        """Take one optimizer step, so far into the newest epoch; count a step and a batch.

        `part` is where the epoch stands after it, None to leave that as it is.

        Return the optimizer with the learning rate of that step.
        """
        t = self.position.steps + 1
        optimizer = scheduled(self._optimizer, self.position, epoch_share)
        parameters, state = self.parameters.copy(), self.state.copy()
        spans = [slice(start, stop) for start, stop in self.plan.trainable_spans]
        scale = rules.clipping_scale(optimizer, [gradients[span] for span in spans])
        for span in spans:
            parameters[span], state[:, span] = rules.update(
                optimizer, parameters[span], gradients[span], state[:, span], t, scale
            )
        position = self.position
        position = position._replace(
            steps=t, batches=position.batches + 1, part=part or position.part
        )
        self.commit(parameters, state, position)
        return optimizer

    def commit(self, parameters: Array, state: Array, position: Position) -> None:
        """Take over a new state of the training, whole, even if interrupted.

        Python raises KeyboardInterrupt between any two of its instructions. All that is slow or
        can fail comes before, on arrays of its own; an interrupt in here meets a few copies, and
        they are made again before it goes on its way.
        """
        try:
            self._copy(parameters, state, position)
        except BaseException:
            self._copy(parameters, state, position)
            raise

    def _copy(self, parameters: Array, state: Array, position: Position) -> None:
        self.parameters[:] = parameters
        self.state[:] = state
        self.position = position

    def fit(self, job: Fit, record: Record) -> None:
        """Train, and fill `record` epoch by epoch."""
        Training(self, job, record).run()

    @property
    def _loss(self) -> Loss:
        assert self.plan.loss is not None  # the network asks for nothing that needs one without
        return self.plan.loss

    def _finished(self, y: Array) -> Array:
        """Return the outputs that belong to what the loss reads."""
        if not self.plan.fused:
            return y
        last = self.plan.ops[-1].activation
        return ACTIVATIONS[last.name].forward(y, last.parameter)

    def _metric_rows(
        self, metrics: tuple[Metric, ...], outputs: Array, batch: Batch
    ) -> dict[str, Array]:
        """Return each metric that is a mean over rows, of the rows that count."""
        y, t = outputs[batch.measured], batch.t[batch.measured]
        return {m.key: METRICS[m.name](y, t, self._loss) for m in metrics if m.of_rows}

    def measured(
        self, metrics: tuple[Metric, ...], outputs: list[Array], t: Array | None
    ) -> dict[str, Any]:
        """Return the metrics that are computed from all outputs, given in parts."""
        chosen = [m for m in metrics if not m.of_rows]
        if not chosen:
            return {}
        assert t is not None
        y = np.concatenate(outputs)
        return {m.key: measure(m, self._loss, y, t) for m in chosen}

    def _dropout_factors(self, number: int, op: Op, shape: tuple[int, int]) -> Array:
        """0 for a unit that is dropped, 1 / (1 - rate) for one that is kept."""
        kept = random.keep_mask(self.seed, number, self.position.batches, shape, op.value)
        return kept * np.dtype(self.plan.dtype).type(1 / (1 - op.value))

    def _keep(self, gradients: Array, accumulate: bool) -> None:
        self.gradients[:] = self.gradients + gradients if accumulate else gradients
