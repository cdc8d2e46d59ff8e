"""The reference engine: `fastbp.engine.EngineProtocol` in NumPy."""

from __future__ import annotations

from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from fastbp import random
from fastbp.activations import Identity
from fastbp.arena import aligned_zeros
from fastbp.engine import (
    Array,
    Arrays,
    EngineProtocol,
    EpochPart,
    Feed,
    Fit,
    Measured,
    Position,
    Record,
    Rows,
    alone,
    each,
    loss_names,
    loss_values,
    measured,
)
from fastbp.losses import Loss
from fastbp.measures import answers, measure
from fastbp.optimizers import Optimizer
from fastbp.plan import Op, Output, Plan
from fastbp.reference import optimizers as rules
from fastbp.reference.activations import ACTIVATIONS
from fastbp.reference.batches import Batch, batches, converted, gather
from fastbp.reference.losses import loss_gradient, penalty_share, row_losses, row_weights
from fastbp.reference.metrics import METRICS
from fastbp.reference.propagation import Trace, backward, forward
from fastbp.reference.restraint import add_penalty_gradient, penalty, project
from fastbp.reference.schedules import scheduled
from fastbp.reference.training import Training
from fastbp.tensors import Shape

# Rows that prediction and evaluation take at a time, so that memory does not grow with the data.
CHUNK = 4096

# What diverges is found by looking at the loss, and subnormal numbers count as 0: inside the
# engine neither overflow nor underflow is news.
quietly = np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")


def loss_of(output: Output) -> Loss:
    """Return the loss of an output; the network asks for nothing that needs one without."""
    assert output.loss is not None
    return output.loss


def mean_loss(loss: Loss, total: float, weight: float) -> float:
    """Return what a loss summed over rows of so much weight stands for, by its reduction."""
    if loss.reduction == "sum":
        return total
    return total / weight if weight else 0.0


class Differentiated(NamedTuple):
    """What came of a batch on its way forward and back."""

    losses: list[float]  # of each output
    means: dict[str, float]  # metrics that are means over rows
    outputs: list[Array]
    gradients: Array
    traces: list[Trace]
    values: dict[int, Array]  # of all tensors


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
        # A cross-entropy reads the net input of an operation, which then stops there.
        self._measured_ops = tuple(
            op._replace(activation=Identity()) if op.fused else op for op in plan.ops
        )
        self._completing = {op.output: op.activation for op in plan.ops if op.fused}

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

    def takes(self, value: object, shape: Shape, n_threads: int | None) -> bool:
        """Ask for `fastbp.data`: there is one way here."""
        return False

    def all_finite(self, rows: Array, n_threads: int | None) -> bool:
        """Whether `rows` are finite in the plan's dtype."""
        chunks = (slice(start, start + CHUNK) for start in range(0, len(rows), CHUNK))
        return all(
            bool(np.isfinite(converted("rows", rows, chunk, self.plan.dtype)).all())
            for chunk in chunks
        )

    def predict(self, x: Arrays, out: Arrays, n_threads: int | None) -> bool:
        """Write the outputs of rows `x` to `out`; return whether these are all finite."""
        inputs, outputs = each(x, len(self.plan.inputs)), each(out, len(self.plan.outputs))
        for start in range(0, len(inputs[0]), CHUNK):
            rows = slice(start, start + CHUNK)
            chunk = tuple(converted("x", array, rows, self.plan.dtype) for array in inputs)
            if not all(np.isfinite(array).all() for array in chunk):
                return False
            for array, y in zip(outputs, self._predict(chunk), strict=True):
                array[rows] = y.reshape(array[rows].shape)
        return True

    @quietly
    def _predict(self, x: tuple[Array, ...]) -> list[Array]:
        _, values = forward(self.plan.ops, x, self.parameters, dropout=None)
        return [values[output.tensor] for output in self.plan.outputs]

    @quietly
    def evaluate(
        self, data: Rows | Feed, metrics: tuple[Any, ...], n_threads: int | None
    ) -> dict[str, Any]:
        """Return the loss over all rows, of an epoch, and each metric, with dropout off."""
        n_outputs = len(self.plan.outputs)
        losses, weights, rows_measured = [0.0] * n_outputs, [0.0] * n_outputs, [0] * n_outputs
        counted = self.counted(metrics)
        sums = {name: 0.0 for name, _, _ in counted}
        parts = []
        for batch, targets in batches(data, CHUNK, self.plan):
            _, values = forward(self._measured_ops, batch.x, self.parameters, dropout=None)
            for k, (output, wanted) in enumerate(
                zip(self.plan.outputs, batch.answers, strict=True)
            ):
                rows = row_losses(loss_of(output), values[output.tensor], wanted.t)
                losses[k] += float((wanted.weights * rows).sum())
                weights[k] += float(wanted.weights.sum())
                rows_measured[k] += int(wanted.measured.sum())
            outputs = self._finished(values)
            for name, rows in self._metric_rows(counted, outputs, batch).items():
                sums[name] += float(rows.sum())
            if len(sums) < len(measured(self.plan.prefixes, metrics)):
                parts.append((outputs, targets))  # some are computed from all of them
        means = [
            mean_loss(loss_of(output), *score)
            for output, *score in zip(self.plan.outputs, losses, weights, strict=True)
        ]
        share = penalty_share(loss_of(self.plan.outputs[0]), weights[0])
        means = self._with_penalty(means, share)
        found = loss_values(self.plan, means)
        found |= {name: sums[name] / rows_measured[k] for name, k, _ in counted}
        return self._in_order(found | self.measured(metrics, parts), metrics)

    @quietly
    def forward(self, x: Arrays, training: bool, n_threads: int | None) -> Any:
        """Return the outputs of `x`, keeping what `backward` needs."""
        # Copies on both sides: what backward needs stays, whatever becomes of the caller's arrays.
        own = tuple(np.array(a, dtype=self.plan.dtype) for a in each(x, len(self.plan.inputs)))
        dropout = self._dropout_factors if training else None
        self._traces, values = forward(self.plan.ops, own, self.parameters, dropout)
        return alone(tuple(values[output.tensor].copy() for output in self.plan.outputs))

    @quietly
    def backward(self, grad_output: Arrays, accumulate: bool, n_threads: int | None) -> Any:
        """Return dL/dx for the rows of the last `forward`; write or add to `gradients`."""
        if self._traces is None:
            raise RuntimeError("backward: expected a forward pass before it, got none")
        outputs = each(grad_output, len(self.plan.outputs))
        deltas = {o.tensor: dy for o, dy in zip(self.plan.outputs, outputs, strict=True)}
        gradients = np.zeros_like(self.gradients)
        backward(self._traces, deltas, self.parameters, gradients, to_input=True)
        self._keep(gradients, accumulate)
        return alone(tuple(deltas[tensor] for tensor in range(len(self.plan.inputs))))

    def loss_and_gradients(
        self, data: Rows, metrics: tuple[Any, ...], accumulate: bool, n_threads: int | None
    ) -> dict[str, Any]:
        """Take all rows as one batch, as in training; return its loss and metrics."""
        batch = gather(data, np.arange(data.n), self.plan)
        found = self.differentiate(batch, metrics)
        self._keep(found.gradients, accumulate)
        parts = [(found.outputs, each(data.y, len(found.outputs)))]
        values = loss_values(self.plan, found.losses) | found.means | self.measured(metrics, parts)
        return self._in_order(values, metrics)

    @quietly
    def differentiate(self, batch: Batch, metrics: tuple[Any, ...]) -> Differentiated:
        """Go forward and back with a batch in training."""
        traces, values = forward(
            self._measured_ops, batch.x, self.parameters, self._dropout_factors
        )
        losses, deltas = [], {}
        for output, wanted in zip(self.plan.outputs, batch.answers, strict=True):
            loss, y = loss_of(output), values[output.tensor]
            weights = row_weights(loss, wanted.weights)
            losses.append(float((weights * row_losses(loss, y, wanted.t)).sum()))
            deltas[output.tensor] = loss_gradient(loss, y, wanted.t, output.weight * weights)
        outputs = self._finished(values)
        counted = self.counted(metrics)
        means = {
            name: float(rows.mean()) if len(rows) else 0.0
            for name, rows in self._metric_rows(counted, outputs, batch).items()
        }
        gradients = np.zeros_like(self.gradients)
        weight = float(batch.answers[0].weights.sum())
        share = penalty_share(loss_of(self.plan.outputs[0]), weight)
        losses = self._with_penalty(losses, share)
        backward(traces, deltas, self.parameters, gradients, to_input=False)
        add_penalty_gradient(self.plan, self.parameters, gradients, share)
        tensors = (output.tensor for output in self.plan.outputs)
        values |= dict(zip(tensors, outputs, strict=True))
        return Differentiated(losses, means, outputs, gradients, traces, values)

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
        project(self.plan, parameters)
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

    def _finished(self, values: dict[int, Array]) -> list[Array]:
        """Return the outputs that belong to what their losses read."""
        outputs = []
        for output in self.plan.outputs:
            f = self._completing.get(output.tensor, Identity())
            outputs.append(ACTIVATIONS[f.name].forward(values[output.tensor], f.parameter))
        return outputs

    def counted(self, metrics: tuple[Any, ...]) -> list[Measured]:
        """Return the metrics that are means over rows."""
        return [m for m in measured(self.plan.prefixes, metrics) if m.metric.of_rows]

    def _metric_rows(
        self, counted: list[Measured], outputs: list[Array], batch: Batch
    ) -> dict[str, Array]:
        """Return each metric that is a mean over rows, of the rows that count."""
        found = {}
        for name, k, metric in counted:
            wanted, loss = batch.answers[k], loss_of(self.plan.outputs[k])
            y, t = outputs[k][wanted.measured], wanted.t[wanted.measured]
            found[name] = METRICS[metric.name](y, t, loss)
        return found

    def measured(self, metrics: tuple[Any, ...], parts: list[tuple[Any, Any]]) -> dict[str, Any]:
        """Return the metrics that are computed from all outputs and targets, given in parts."""
        return {
            name: measure(metric, loss_of(self.plan.outputs[k]), *answers(parts, k))
            for name, k, metric in measured(self.plan.prefixes, metrics)
            if not metric.of_rows
        }

    def _in_order(self, values: dict[str, Any], metrics: tuple[Any, ...]) -> dict[str, Any]:
        """Return losses and metrics in the order in which they are named."""
        names = [m.name for m in measured(self.plan.prefixes, metrics)]
        return {name: values[name] for name in (*loss_names(self.plan.prefixes), *names)}

    def _with_penalty(self, losses: list[float], share: float) -> list[float]:
        """Return losses of the outputs with what parameters cost, as `Plan.loss_weights` has it."""
        cost = share * penalty(self.plan, self.parameters)
        if len(losses) < len(self.plan.loss_weights):
            return [*losses, cost]
        losses[0] += cost / self.plan.outputs[0].weight
        return losses

    def _dropout_factors(self, number: int, op: Op, shape: tuple[int, int]) -> Array:
        """0 for a unit that is dropped, 1 / (1 - rate) for one that is kept."""
        rows, units = shape
        if op.kind == "structured_dropout":
            rows = 1
        kept = random.keep_mask(self.seed, number, self.position.batches, (rows, units), op.value)
        return kept * np.dtype(self.plan.dtype).type(1 / (1 - op.value))

    def _keep(self, gradients: Array, accumulate: bool) -> None:
        self.gradients[:] = self.gradients + gradients if accumulate else gradients
