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
    EpochPart,
    Fit,
    Position,
    Progress,
    Record,
    Rows,
    alone,
    chunks,
    each,
    loss_names,
    loss_values,
    measured,
    recorded,
)
from fastbp.reference.batches import gather
from fastbp.reference.schedules import scheduled
from fastbp.reference.watch import record_step

if TYPE_CHECKING:
    from fastbp.reference.engine import Differentiated, Engine

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
    """What an epoch adds up over its rows for each of the plan's losses."""

    losses: list[float]
    right: list[float]  # of the metric that is a mean over rows
    measured: list[int]  # rows that metrics count

    @classmethod
    def of(cls, part: EpochPart, n_losses: int) -> Sums:
        """Return the sums of an epoch that is not over."""
        sums = part.loss_sum, part.right_sum, part.measured
        return cls(*(list(each(total, n_losses)) for total in sums))

    def part(self, rows: int, of_rows: int) -> EpochPart:
        """Return where an epoch with these sums stands."""
        loss_sum, right_sum, measured = (alone(tuple(total)) for total in self)
        return EpochPart(rows, of_rows, measured, loss_sum, right_sum)

    def copy(self) -> Sums:
        """Return sums of their own."""
        return Sums(self.losses[:], self.right[:], self.measured[:])


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
        # Gradients that are added up for an update are those of one batch of so many rows; None:
        # a chunk of the data is a batch.
        self.update_rows = job.batch_size and job.batch_size * job.accumulate
        self.n_rows, self.n_batches = self.epoch_length()
        self.counted = engine.counted(job.metrics)
        self.measures = len(self.counted) < len(measured(job.prefixes, job.metrics))
        names = *loss_names(job.prefixes), *(name for name, _, _ in self.counted)
        self.means = dict.fromkeys(names, 0.0)  # of the running epoch, or of the last one
        self.outputs: list[tuple[Array, ...]] = []  # of each epoch
        self.answers: list[tuple[Any, Any]] = []  # of the last one: outputs and targets
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

    def epoch_length(self) -> tuple[int, int]:
        """Return rows and batches of an epoch, as far as they are known; 0 if nobody knows."""
        data = self.job.data
        rows, batches = (data.n, None) if isinstance(data, Rows) else (data.rows, data.batches)
        if rows and self.update_rows:
            batches = -(-rows // self.update_rows)
        return rows or 0, batches or 0

    def run_epoch(self) -> None:
        """Train on every row once, or on those that the epoch has not taken yet."""
        self.begin_epoch()
        self.answers.clear()
        batches = self.engine.position.batches
        try:
            for data in chunks(self.job.data):
                self.run_rows(data, 0 if self.job.data is data else self.part.rows)
        except BaseException:
            position = self.engine.position
            # An epoch counts from its first update on; an interrupt may come right behind that.
            if self.part.rows == 0 and position.batches == batches:
                self.engine.position = position._replace(epochs=position.epochs - 1)
            raise

    def begin_epoch(self) -> None:
        """Begin an epoch, or go on with one that is not over."""
        engine, data, n_losses = self.engine, self.job.data, len(self.engine.plan.loss_weights)
        n = data.n if isinstance(data, Rows) and self.job.order is None else 0
        begun = engine.position.part
        if 0 < begun.rows <= begun.of_rows == n:
            self.part, self.sums = begun, Sums.of(begun, n_losses)
            self.means = self.means_of(self.sums)
            self.learning_rate = self.last_rate(begun)
        else:
            self.part = EpochPart(of_rows=n)
            self.sums = Sums([0.0] * n_losses, [0.0] * n_losses, [0] * n_losses)
            engine.position = engine.position._replace(
                epochs=engine.position.epochs + 1, part=EpochPart()
            )
        self.batch = -(-self.part.rows // self.update_rows) if self.update_rows else 0

    def last_rate(self, part: EpochPart) -> float:
        """Return the learning rate of the last update, if it was one of this epoch."""
        assert self.update_rows is not None
        position = self.engine.position
        last = position._replace(steps=max(position.steps - 1, position.schedule_steps))
        share = (part.rows - 1) // self.update_rows * self.update_rows / part.of_rows
        return float(scheduled(self.engine.optimizer, last, share).learning_rate)

    def order_of(self, data: Rows, start: int) -> Array:
        """Return the order in which the epoch takes these rows, from its row `start` on."""
        if self.job.order is not None:
            return self.job.order
        if not self.job.shuffle:
            return np.arange(data.n)
        epoch = self.engine.position.epochs - 1
        return random.row_order(self.engine.seed, epoch, data.n, start)

    def run_rows(self, data: Rows, start: int) -> None:
        """Train on rows of the running epoch, of which they are those from `start` on."""
        order, plan = self.order_of(data, start), self.engine.plan
        widths = [plan.tensors[output.tensor] for output in plan.outputs]
        outputs = tuple([np.empty((data.n, width), plan.dtype) for width in widths])
        if self.job.record_outputs:
            self.outputs.append(outputs)
        if self.measures:
            self.answers.append((outputs, [np.array(t) for t in each(data.y, len(outputs))]))
        if self.part.rows > start and (self.job.record_outputs or self.measures):
            self.engine.predict(data.x, alone(outputs), self.job.n_threads)
        size = self.update_rows or data.n
        for at in range(self.part.rows - start, data.n, size):
            rows = order[at : at + size]
            for kept, y in zip(outputs, self.run_batch(data, rows), strict=True):
                kept[rows] = y
            self.means = self.means_of(self.sums)
            self.call(self.job.on_batch_end, self.batch - 1, dict(self.means))
            if self.batch != self.n_batches:
                self.report(self.batch)

    def epoch_share(self) -> float:
        """Return how far the epoch is; one of unknown length is at its begin until it ends."""
        if self.n_rows:
            return self.part.rows / self.n_rows
        return self.batch / self.n_batches if self.n_batches else 0.0

    def means_of(self, sums: Sums) -> dict[str, float]:
        """Return losses and metrics as means over the rows that metrics count."""
        counts = [max(count, 1) for count in sums.measured]
        losses = [total / count for total, count in zip(sums.losses, counts, strict=True)]
        means = loss_values(self.engine.plan, losses)
        return means | {name: sums.right[k] / counts[k] for name, k, _ in self.counted}

    def run_batch(self, data: Rows, rows: Array) -> list[Array]:
        """Train on a few rows, keep the books, and return the outputs from before the update."""
        engine = self.engine
        batch = gather(data, rows, engine.plan)
        found = engine.differentiate(batch, self.job.metrics)
        losses, means = found.losses, found.means
        if not all(math.isfinite(loss) for loss in losses):
            raise DivergedError
        sums = self.sums.copy()
        counts = [int(answers.measured.sum()) for answers in batch.answers]
        counts += [len(rows)] * (len(losses) - len(counts))  # of what the parameters cost
        for k, (loss, count) in enumerate(zip(losses, counts, strict=True)):
            sums.losses[k] += count * loss
            sums.measured[k] += count
            sums.right[k] += sum(count * means[name] for name, at, _ in self.counted if at == k)
        part = sums.part(self.part.rows + len(rows), self.part.of_rows)
        stands = part if part.of_rows else EpochPart()
        before = engine.parameters.copy()
        rule = engine.update(found.gradients, self.epoch_share(), stands)
        self.learning_rate = rule.learning_rate
        self.part, self.sums, self.batch = part, sums, self.batch + 1
        self.watch_step(found, before)
        return found.outputs

    def watch_step(self, found: Differentiated, before: Array) -> None:
        """Put a step on record, if that is due."""
        watch, engine = self.job.watch, self.engine
        if watch is None:
            return
        if watch.steps + 1 == watch.due:
            loss = loss_values(engine.plan, found.losses)["loss"]
            record_step(
                watch, loss, before, found.gradients, engine.parameters, found.traces, found.values
            )
        watch.steps += 1

    def close_epoch(self) -> dict[str, Any]:
        """Put the epoch on record and return its values; at times keep the parameters."""
        engine, job, record = self.engine, self.job, self.record
        values = self.means | engine.measured(job.metrics, self.answers)
        if job.validation is not None and (record.epochs + 1) % job.validation_freq == 0:
            validation = engine.evaluate(job.validation, job.metrics, job.n_threads)
            values |= {"val_" + name: value for name, value in validation.items()}
        if job.record_rates:
            values["learning_rate"] = self.learning_rate
        values = {name: values[name] for name in job.names if name in values}
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
            self.record.outputs = recorded(self.outputs[:epochs], self.n_rows, self.engine.plan)

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
