"""The training loop of the reference engine: epochs of batches, snapshots, progress."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastbp import random
from fastbp.engine import Array, Fit, Position, Progress, Record
from fastbp.reference.batches import gather
from fastbp.schedules import Schedule

if TYPE_CHECKING:
    from fastbp.reference.engine import Engine

# Batches between two snapshots, at least; they are taken at the ends of epochs.
SNAPSHOT_BATCHES = 1024
PROGRESS_SECONDS = 0.05


class DivergedError(Exception):
    """Loss or parameters are no longer finite."""


class Snapshot(NamedTuple):
    """A good state of the training, to return to."""

    parameters: Array
    state: Array
    position: Position
    epochs: int  # of the record


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
        self.n_batches = -(-len(job.data.x) // job.batch_size)
        self.n_outputs = engine.plan.tensors[engine.plan.output]
        self.names = ("loss", *(metric.name for metric in job.metrics))
        self.means = dict.fromkeys(self.names, 0.0)  # of the running epoch, or of the last one
        self.outputs: list[Array] = []  # of each epoch
        self.last_progress = time.monotonic()
        sets = ("", "val_") if job.validation is not None else ("",)
        record.curves = {prefix + name: [] for prefix in sets for name in self.names}
        if isinstance(engine.optimizer.learning_rate, Schedule):
            record.curves["learning_rate"] = []
        self.learning_rate = 0.0  # of the last update
        self.snapshot = self.take_snapshot()

    def run(self) -> None:
        """Train until the epochs are over, the loss is low enough or the training diverges."""
        try:
            while not self.is_over():
                self.run_epoch()
                self.close_epoch()
                self.report(batch=0)
        except DivergedError:
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
        n, size = len(order), self.job.batch_size
        sums = dict.fromkeys(self.names, 0.0)
        if self.job.record_outputs:
            self.outputs.append(np.empty((n, self.n_outputs), self.engine.plan.dtype))
        for batch, start in enumerate(range(0, n, size), start=1):
            rows = order[start : start + size]
            values = self.run_batch(rows, epoch_share=start / n)
            for name in self.names:
                sums[name] += len(rows) * values[name]
            self.means = {name: total / (start + len(rows)) for name, total in sums.items()}
            if batch < self.n_batches:
                self.report(batch)

    def next_order(self) -> Array:
        """Begin an epoch and return the order of its rows."""
        engine, n = self.engine, len(self.job.data.x)
        epoch = engine.position.epochs
        engine.position = engine.position._replace(epochs=epoch + 1)
        return random.row_order(engine.seed, epoch, n) if self.job.shuffle else np.arange(n)

    def run_batch(self, rows: Array, epoch_share: float) -> dict[str, float]:
        """Train on a few rows; return loss and metrics from before the update."""
        engine = self.engine
        batch = gather(self.job.data, rows, engine.plan.dtype)
        values, outputs, gradients = engine.differentiate(batch, self.job.metrics)
        if not math.isfinite(values["loss"]):
            raise DivergedError
        self.learning_rate = engine.update(gradients, epoch_share).learning_rate
        if self.job.record_outputs:
            self.outputs[-1][rows] = outputs
        return values

    def close_epoch(self) -> None:
        """Put the epoch on record; at times look at the parameters and keep them."""
        engine, job, record = self.engine, self.job, self.record
        values = dict(self.means)
        if job.validation is not None:
            validation = engine.evaluate(job.validation, job.metrics, job.n_threads)
            values |= {"val_" + name: value for name, value in validation.items()}
        if "learning_rate" in record.curves:
            values["learning_rate"] = self.learning_rate
        for name, value in values.items():
            record.curves[name].append(value)
        record.epochs += 1
        batches = engine.position.batches - self.snapshot.position.batches
        if batches >= SNAPSHOT_BATCHES or self.is_over():
            if not np.isfinite(engine.parameters).all():
                raise DivergedError
            self.snapshot = self.take_snapshot()

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
        for curve in self.record.curves.values():
            del curve[epochs:]
        if self.job.record_outputs:
            shape = epochs, len(self.job.data.x), self.n_outputs
            kept = np.array(self.outputs[:epochs], self.engine.plan.dtype)
            self.record.outputs = kept.reshape(shape)

    def report(self, batch: int) -> None:
        """Tell about the progress, some twenty times a second."""
        now = time.monotonic()
        if self.job.on_progress is None or now - self.last_progress < PROGRESS_SECONDS:
            return
        self.last_progress = now
        self.job.on_progress(
            Progress(
                epoch=self.record.epochs,
                epochs=self.job.epochs,
                batch=batch,
                batches=self.n_batches,
                loss=self.means["loss"],
                metrics={name: self.means[name] for name in self.names[1:]},
            )
        )
