"""The training loop of the reference engine: epochs of batches, snapshots, progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastbp import random
from fastbp.engine import (
    Array,
    Fit,
    Position,
    Progress,
    Record,
    loss_names,
    loss_values,
    measured,
    recorded,
)
from fastbp.reference.batches import gather

if TYPE_CHECKING:
    from fastbp.reference.engine import Engine

# Batches between two snapshots, at least; they are taken at the ends of epochs.
SNAPSHOT_BATCHES = 1024
PROGRESS_SECONDS = 0.05


class DivergedError(Exception):
    """Loss or parameters are no longer finite."""


class StoppedError(Exception):
    """Someone called on the way has had enough."""


class Snapshot(NamedTuple):
    """A good state of the training, to return to."""

    parameters: Array
    state: Array
    position: Position
    epochs: int  # of the record


class Sums(NamedTuple):
    """What an epoch adds up over its rows."""

    losses: list[float]  # of each output
    measured: list[int]  # rows that metrics of each output count
    metrics: dict[str, float]  # that are means over rows


class Training:
    """One fit of an engine.

    Parameters
    ----------
    engine : Engine
        What is trained.
    job : Fit
        What is asked for.
    record : Record
        What is reported.
    """

    def __init__(self, engine: Engine, job: Fit, record: Record) -> None:
        self.engine = engine
        self.job = job
        self.record = record
        # Gradients that are added up for an update are those of one batch of so many rows.
        self.update_rows = job.batch_size * job.accumulate
        self.n_batches = -(-job.data.n // self.update_rows)
        self.counted = engine.counted(job.metrics)
        self.measures = len(self.counted) < len(measured(job.prefixes, job.metrics))
        names = *loss_names(job.prefixes), *(name for name, _, _ in self.counted)
        self.means = dict.fromkeys(names, 0.0)  # of the running epoch, or of the last one
        self.outputs: list[list[Array]] = []  # of each epoch, or of the last one
        self.last_progress = time.monotonic()
        record.curves = {name: [] for name in job.names}
        self.learning_rate = 0.0  # of the last update
        self.snapshot = self.take_snapshot()

    def run(self) -> None:
        """Train until the epochs are over, the loss is low enough or the training diverges."""
        try:
            while not self.is_over():
                self.call(self.job.on_epoch_begin, self.record.epochs)
                self.run_epoch()
                values = self.close_epoch()
                self.call(self.job.on_epoch_end, self.record.epochs - 1, values)
                self.report(batch=0)
        except DivergedError:
            self.return_to_snapshot()
        except StoppedError:
            if not np.isfinite(self.engine.parameters).all():
                self.return_to_snapshot()
        finally:
            # An interrupt may have come when part of an epoch was on record.
            self.cut_record(self.record.epochs)

    def is_over(self) -> bool:
        """Whether the last epoch on record is the last of all."""
        losses, goal = self.record.curves["loss"], self.job.stop_at_loss
        reached = goal is not None and len(losses) > 0 and losses[-1] <= goal
        return reached or self.record.epochs == self.job.epochs

    def run_epoch(self) -> None:
        """Train on every row once."""
        order = self.next_order()
        n, size = len(order), self.update_rows
        n_outputs = len(self.engine.plan.outputs)
        sums = Sums([0.0] * n_outputs, [0] * n_outputs, dict.fromkeys(self.means, 0.0))
        if self.job.record_outputs or self.measures:
            if not self.job.record_outputs:
                self.outputs.clear()
            self.outputs.append(
                [np.empty((n, width), self.engine.plan.dtype) for width in self.widths]
            )
        for batch, start in enumerate(range(0, n, size), start=1):
            rows = order[start : start + size]
            self.run_batch(rows, sums, epoch_share=start / n)
            self.means = self.means_of(sums)
            self.call(self.job.on_batch_end, batch - 1, dict(self.means))
            if batch < self.n_batches:
                self.report(batch)

    @property
    def widths(self) -> list[int]:
        """Elements of a row of each output."""
        plan = self.engine.plan
        return [plan.tensors[output.tensor] for output in plan.outputs]

    def means_of(self, sums: Sums) -> dict[str, float]:
        """Return losses and metrics as means over the rows that metrics count."""
        counts = [max(count, 1) for count in sums.measured]
        losses = [total / count for total, count in zip(sums.losses, counts, strict=True)]
        means = loss_values(self.engine.plan, losses)
        return means | {name: sums.metrics[name] / counts[k] for name, k, _ in self.counted}

    def next_order(self) -> Array:
        """Begin an epoch and return the order of its rows."""
        engine, n = self.engine, self.job.data.n
        epoch = engine.position.epochs
        engine.position = engine.position._replace(epochs=epoch + 1)
        return random.row_order(engine.seed, epoch, n) if self.job.shuffle else np.arange(n)

    def run_batch(self, rows: Array, sums: Sums, epoch_share: float) -> None:
        """Train on a few rows; add losses and metrics from before the update, a row at a time."""
        engine = self.engine
        batch = gather(self.job.data, rows, engine.plan)
        losses, means, outputs, gradients = engine.differentiate(batch, self.job.metrics)
        if not all(math.isfinite(loss) for loss in losses):
            raise DivergedError
        self.learning_rate = engine.update(gradients, epoch_share).learning_rate
        for kept, y in zip(self.outputs[-1] if self.outputs else [], outputs, strict=False):
            kept[rows] = y
        counts = [int(answers.measured.sum()) for answers in batch.answers]
        for k, (loss, count) in enumerate(zip(losses, counts, strict=True)):
            sums.losses[k] += count * loss
            sums.measured[k] += count
        for name, k, _ in self.counted:
            sums.metrics[name] += counts[k] * means[name]

    def close_epoch(self) -> dict[str, Any]:
        """Put the epoch on record and return its values; at times keep the parameters."""
        engine, job, record = self.engine, self.job, self.record
        values = self.means | engine.measured(job.metrics, self.outputs[-1:], job.data.y)
        if job.validation is not None and (record.epochs + 1) % job.validation_freq == 0:
            validation = engine.evaluate(job.validation, job.metrics, job.n_threads)
            values |= {"val_" + name: value for name, value in validation.items()}
        if job.record_rates:
            values["learning_rate"] = self.learning_rate
        for name, value in values.items():
            record.curves[name].append(value)
        record.epochs += 1
        batches = engine.position.batches - self.snapshot.position.batches
        if batches >= SNAPSHOT_BATCHES or self.is_over():
            if not np.isfinite(engine.parameters).all():
                raise DivergedError
            self.snapshot = self.take_snapshot()
        return values

    def take_snapshot(self) -> Snapshot:
        """Copy the state of the training."""
        engine = self.engine
        parameters, state = engine.parameters.copy(), engine.state.copy()
        return Snapshot(parameters, state, engine.position, self.record.epochs)

    def return_to_snapshot(self) -> None:
        """Undo what came after the last snapshot."""
        snapshot = self.snapshot
        self.record.diverged = True
        self.record.epochs = snapshot.epochs
        self.engine.commit(snapshot.parameters, snapshot.state, snapshot.position)

    def cut_record(self, epochs: int) -> None:
        """Leave what belongs to the first `epochs` epochs on record."""
        for name, curve in self.record.curves.items():
            del curve[epochs // self.job.every(name) :]
        if self.job.record_outputs:
            self.record.outputs = recorded(self.outputs[:epochs], self.job.data.n, self.engine.plan)

    def call(self, hook: Callable[..., bool | None] | None, *arguments: Any) -> None:
        """Call whom the job names for this place, if it does."""
        if hook is not None and hook(*arguments):
            raise StoppedError

    def report(self, batch: int) -> None:
        """Tell about the progress, some twenty times a second."""
        now = time.monotonic()
        if self.job.on_progress is None or now - self.last_progress < PROGRESS_SECONDS:
            return
        self.last_progress = now
        progress = Progress(
            epoch=self.record.epochs,
            epochs=self.job.epochs,
            batch=batch,
            batches=self.n_batches,
            loss=self.means["loss"],
            metrics={name: mean for name, mean in self.means.items() if name != "loss"},
        )
        self.call(self.job.on_progress, progress)
