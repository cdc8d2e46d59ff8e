"""The training loop of the reference engine: epochs of batches, snapshots, progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastbp import random
from fastbp.engine import Array, EpochPart, Fit, Position, Progress, Record
from fastbp.reference.batches import gather
from fastbp.reference.schedules import scheduled

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
        self.n_batches = -(-len(job.data.x) // self.update_rows)
        self.n_outputs = engine.plan.tensors[engine.plan.output]
        self.names = ("loss", *(metric.key for metric in job.metrics if metric.of_rows))
        self.measures = not all(metric.of_rows for metric in job.metrics)
        self.means = dict.fromkeys(self.names, 0.0)  # of the running epoch, or of the last one
        self.outputs: list[Array] = []  # of each epoch, or of the last one
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
            self.engine.position = self.engine.position._replace(part=EpochPart())
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
        """Train on every row once, or on those that the epoch has not taken yet."""
        part = self.begin_epoch()
        order = self.order()
        while part.rows < part.of_rows:
            rows = order[part.rows : part.rows + self.update_rows]
            part = self.run_batch(rows, part)
            self.means = self.means_of(part)
            batch = -(-part.rows // self.update_rows)
            self.call(self.job.on_batch_end, batch - 1, dict(self.means))
            if batch < self.n_batches:
                self.report(batch)

    def begin_epoch(self) -> EpochPart:
        """Begin an epoch, or go on with one that is not over, and return where it stands."""
        engine, x = self.engine, self.job.data.x
        begun = engine.position.part
        resumes = 0 < begun.rows <= begun.of_rows == len(x)
        part = begun if resumes else EpochPart(of_rows=len(x))
        if self.job.record_outputs or self.measures:
            if not self.job.record_outputs:
                self.outputs.clear()
            self.outputs.append(np.empty((len(x), self.n_outputs), engine.plan.dtype))
            if resumes:
                engine.predict(x, self.outputs[-1], self.job.n_threads)
        if resumes:
            self.means = self.means_of(part)
            self.learning_rate = self.last_rate(part)
        else:
            engine.position = engine.position._replace(
                epochs=engine.position.epochs + 1, part=EpochPart()
            )
        return part

    def last_rate(self, part: EpochPart) -> float:
        """Return the learning rate of the last update, if it was one of this epoch."""
        position = self.engine.position
        last = position._replace(steps=max(position.steps - 1, position.schedule_steps))
        share = (part.rows - 1) // self.update_rows * self.update_rows / part.of_rows
        return float(scheduled(self.engine.optimizer, last, share).learning_rate)

    def order(self) -> Array:
        """Return the order of the rows in the newest epoch."""
        n, epoch = len(self.job.data.x), self.engine.position.epochs - 1
        return random.row_order(self.engine.seed, epoch, n) if self.job.shuffle else np.arange(n)

    def run_batch(self, rows: Array, part: EpochPart) -> EpochPart:
        """Train on the rows that follow in an epoch, and return where it stands then."""
        engine = self.engine
        batch = gather(self.job.data, rows, engine.plan.dtype)
        values, outputs, gradients = engine.differentiate(batch, self.job.metrics)
        if not math.isfinite(values["loss"]):
            raise DivergedError
        measured = int(batch.measured.sum())
        right = values[self.names[1]] if len(self.names) > 1 else 0.0
        after = part._replace(
            rows=part.rows + len(rows),
            measured=part.measured + measured,
            loss_sum=part.loss_sum + measured * values["loss"],
            right_sum=part.right_sum + measured * right,
        )
        share = part.rows / part.of_rows
        self.learning_rate = engine.update(gradients, share, after).learning_rate
        if self.outputs:
            self.outputs[-1][rows] = outputs
        return after

    def means_of(self, part: EpochPart) -> dict[str, float]:
        """Return the means over the rows that an epoch has taken."""
        measured = max(part.measured, 1)
        counted = dict.fromkeys(self.names[1:], part.right_sum / measured)
        return {"loss": part.loss_sum / measured} | counted

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
        engine.position = engine.position._replace(part=EpochPart())
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
            shape = epochs, len(self.job.data.x), self.n_outputs
            kept = np.array(self.outputs[:epochs], self.engine.plan.dtype)
            self.record.outputs = kept.reshape(shape)

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
            metrics={name: self.means[name] for name in self.names[1:]},
        )
        self.call(self.job.on_progress, progress)
