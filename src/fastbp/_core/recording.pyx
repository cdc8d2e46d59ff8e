"""What a fit reports: curves, and outputs, one value or row an epoch, in memory that grows; and
whom it calls on the way."""
import numpy as np

from fastbp._core.epochs cimport (
    BATCH_ENDED,
    DIVERGED,
    DONE,
    DRAINED,
    RUNNING,
    Training,
    loss_so_far,
    stop,
)
from fastbp._core.native cimport address
from fastbp._core.scores cimport per_row
from fastbp._core.watch cimport Watching

from fastbp.engine import Progress, alone, each
from fastbp.measures import answers, measure

# Memory for so many bytes of curves and outputs before it first has to grow; what no epoch comes to
# is never touched.
FIRST_BYTES = 1 << 22


cdef object pointers_to(list arrays):
    """Where arrays begin, as an array that C reads."""
    return np.array([array.ctypes.data for array in arrays], np.uintp)


cdef size_t batches_of_epoch(const Training *t) noexcept:
    """0 if nobody knows."""
    if t.epoch_rows > 0:
        return (<size_t>t.epoch_rows + t.update_rows - 1) // t.update_rows
    return <size_t>t.epoch_batches


cdef class Recorder:
    """The memory that a training writes its curves to, and what of it Python sees."""

    def __init__(self, job, record, plan, tuple widths, tuple metrics):
        cdef size_t k, n = len(widths)
        cdef tuple names = job.names
        self.job, self.record, self.plan, self.widths = job, record, plan, widths
        self.every = {name: job.every(name) for name in names}
        # Place of each curve among those of a set of data: loss, losses and accuracies of outputs.
        self.own_losses = n if n > 1 else 0
        self.n_curves = 1 + self.own_losses
        self.places = {names[k]: k for k in range(<size_t>self.n_curves)}
        self.places |= {name: self.n_curves + k for name, k, m in metrics if m.of_rows}
        if len(self.places) > self.n_curves:
            self.n_curves += n
        self.measured = tuple([m for m in metrics if not m.metric.of_rows])
        self.measures = {prefix + m.name: [] for prefix in ("", "val_") for m in self.measured}
        self.parts = {"": [], "val_": []}
        self.watching = None if job.watch is None else Watching(job.watch)

    cdef int start(self, Training *t) except -1:
        """Point the training to the memory."""
        itemsize = t.team.plan.itemsize
        row_bytes = sum(self.widths) * itemsize if self.job.record_outputs else 0
        n_curves = self.rate_curve(t) + self.job.record_rates
        room = min(self.job.epochs, max(1, FIRST_BYTES // (n_curves * 8 + t.data.n * row_bytes)))
        self.curves = np.empty((n_curves, room))
        if self.job.record_outputs or self.measured:
            self.output_bytes = np.array(
                [t.data.n * n * itemsize if self.job.record_outputs else 0 for n in self.widths],
                np.uintp)
            t.output_bytes = <const size_t *>address(self.output_bytes)
        if (self.job.record_outputs or self.measured) and not t.feeds:
            self.outputs = self.new_outputs(room if self.job.record_outputs else 1, t.data.n)
            self.pointers = np.empty(len(self.widths), np.uintp)
            t.outputs = <char **>address(self.pointers)
        if self.measured and t.validates and not t.feeds_validation:
            self.validation_outputs = self.new_outputs(1, t.validation.n)
            self.validation_pointers = pointers_to(self.validation_outputs)
            t.validation_outputs = <char **>address(self.validation_pointers)
        self.point(t)
        if self.watching is not None:
            self.watching.start(&t.watch, t.team.plan)
        return 0

    cdef int rate_curve(self, const Training *t) except -1:
        """Place of the learning rate's curve, behind those of training and validation."""
        return self.n_curves * (2 if t.validates else 1)

    cdef int point(self, Training *t) except -1:
        t.curves.room, t.curves.own_losses = self.curves.shape[1], self.own_losses
        t.curves.training = <double *>address(self.curves)
        t.curves.validation = t.curves.training + self.n_curves * t.curves.room
        if self.job.record_rates:
            t.curves.learning_rate = t.curves.training + self.rate_curve(t) * t.curves.room
        if self.outputs is not None:
            self.pointers[:] = pointers_to(self.outputs) + t.epoch * self.output_bytes
        return 0

    cdef list new_outputs(self, size_t epochs, size_t n):
        """Arrays for each output of n rows, for so many epochs."""
        return [np.empty((epochs, n, width), self.plan.dtype) for width in self.widths]

    cdef int expect(self, Training *t, str prefix, object rows) except -1:
        """Keep the outputs of a chunk, and its targets, if a metric is computed from them."""
        if not self.measured:
            return 0
        outputs = self.new_outputs(1, rows.n)
        targets = tuple([y.copy() for y in each(rows.y, len(outputs))])
        self.parts[prefix].append((tuple([y[0] for y in outputs]), targets))
        if prefix:
            self.validation_pointers = pointers_to(outputs)
            t.validation_outputs = <char **>address(self.validation_pointers)
        else:
            self.pointers = pointers_to(outputs)
            t.outputs = <char **>address(self.pointers)
        return 0

    cdef list parts_of(self, str prefix, object rows, list outputs, size_t at):
        """Outputs and targets of the last epoch, for which there is so much memory before."""
        if outputs is None:
            return self.parts[prefix]
        return [(tuple([y[at] for y in outputs]), each(rows.y, len(outputs)))]

    cdef int measure_epoch(self, const Training *t) except -1:
        """Compute the metrics of all outputs of the last epoch, unless that has been done."""
        if not self.measured or t.epoch <= self.epochs:
            return 0
        at = t.epoch - 1 if self.job.record_outputs else 0
        sets = {"": self.parts_of("", self.job.data, self.outputs, at)}
        if t.validates and t.epoch % t.validation_freq == 0:
            sets["val_"] = self.parts_of(
                "val_", self.job.validation, self.validation_outputs, 0)
        # All of them before the first is kept: an interrupt may come in between.
        try:
            values = {
                prefix + name: measure(metric, self.plan.outputs[k].loss, *answers(parts, k))
                for prefix, parts in sets.items() for name, k, metric in self.measured
            }
        except Exception:  # of a custom metric: the epoch is not on record
            self.fails = True
            raise
        for name, value in values.items():
            self.measures[name].append(value)
        for parts in self.parts.values():
            parts.clear()
        return 0

    cdef int look(self, Training *t) except -1:
        """Take up the last epoch, and make room for more where there is none left."""
        self.measure_epoch(t)
        self.epochs = t.epoch
        if self.watching is not None:
            self.watching.look(&t.watch)
        if t.curves.room == t.epoch < t.epochs:
            self.curves = np.concatenate([self.curves, np.empty_like(self.curves)], axis=1)
            if self.job.record_outputs:
                self.outputs = [np.concatenate([y, np.empty_like(y)]) for y in self.outputs]
            self.point(t)
        return 0

    cdef object curve(self, str name):
        """The memory of a curve, which may go on behind what has happened."""
        if name in self.measures:
            return self.measures[name]
        if name == "learning_rate":
            return self.curves[len(self.curves) - 1].data
        place = self.places[name.removeprefix("val_")]
        return self.curves[place + self.n_curves * name.startswith("val_")].data

    cdef int finish(self, Training *t) except -1:
        """Let the record show the epochs that are completed."""
        if self.watching is not None:
            self.watching.finish(&t.watch)
        if not self.fails:
            self.measure_epoch(t)
        epochs = self.epochs if self.fails else t.epoch
        # All of them before the first is kept: an interrupt may come in between.
        curves = {
            name: self.curve(name)[:epochs // every] for name, every in self.every.items()
        }
        self.record.epochs, self.record.curves = epochs, curves
        self.record.diverged = t.outcome == DIVERGED
        if self.job.record_outputs:
            self.record.outputs = alone(tuple([y[:epochs] for y in self.outputs]))
        return 0

    cdef int visit(self, Training *t, bint tells) except -1:
        """Call whom the job names for the place where the training stands; their True ends it.

        `tells` is whether it is time to tell about the progress too.
        """
        cdef bint stops = False, ended = t.epoch > self.epochs
        cdef bint begins = t.outcome == RUNNING or t.counters.part.rows == 0
        job = self.job
        self.look(t)
        if t.outcome == BATCH_ENDED:
            stops = job.on_batch_end(t.batches - 1, self.running(t))
        elif ended and job.on_epoch_end is not None:
            stops = job.on_epoch_end(t.epoch - 1, self.latest(t))
        if tells and job.on_progress is not None:
            stops = job.on_progress(self.progress(t)) or stops
        if t.outcome == DONE:
            return 0
        if begins and t.outcome != DRAINED and not stops and job.on_epoch_begin is not None:
            stops = job.on_epoch_begin(t.epoch)
        t.outcome = RUNNING
        if stops:
            stop(t)
        return 0

    cdef dict running(self, const Training *t):
        """Means over the rows that the running epoch has taken."""
        cdef size_t k, n = t.team.plan.n_outputs
        losses = [per_row(t.sums[k].loss, t.sums[k].measured) for k in range(n)]
        shares = [per_row(t.sums[k].right, t.sums[k].measured) for k in range(n)]
        values = [loss_so_far(t), *losses[:self.own_losses], *shares]
        return {name: values[place] for name, place in self.places.items()}

    cdef dict latest(self, const Training *t):
        """What the last epoch left."""
        return {
            name: self.curve(name)[t.epoch // every - 1]
            for name, every in self.every.items() if t.epoch % every == 0
        }

    cdef object progress(self, const Training *t):
        """Where the training stands."""
        values = self.running(t) if t.counters.part.rows else self.latest(t)
        return Progress(
            epoch=t.epoch,
            epochs=t.epochs,
            batch=t.batches,
            batches=batches_of_epoch(t),
            loss=values["loss"],
            metrics={name: values[name] for name in self.places if name != "loss"},
        )
