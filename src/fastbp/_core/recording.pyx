"""What a fit reports: curves, and outputs, one value or row an epoch, in memory that grows; and
whom it calls on the way."""
import numpy as np

from fastbp._core.batch cimport per_row
from fastbp._core.epochs cimport (
    BATCH_ENDED,
    DIVERGED,
    DONE,
    Part,
    RUNNING,
    Training,
    stop,
)
from fastbp._core.native cimport address

from fastbp.engine import Progress
from fastbp.measures import measure

# Memory for so many bytes of curves and outputs before it first has to grow; what no epoch comes to
# is never touched.
FIRST_BYTES = 1 << 22
# Loss and accuracy, both on validation data, the learning rate.
N_CURVES = 5


cdef class Recorder:
    """The memory that a training writes its curves to, and what of it Python sees."""

    def __init__(self, job, record):
        record.curves = {name: [] for name in job.names}
        self.job, self.record = job, record
        self.counted = tuple([metric.key for metric in job.metrics if metric.of_rows])
        self.measured = tuple([metric for metric in job.metrics if not metric.of_rows])
        self.measures = {
            prefix + metric.key: [] for prefix in ("", "val_") for metric in self.measured
        }

    cdef int start(self, Training *t, object plan) except -1:
        """Point the training to the memory."""
        n_outputs = plan.tensors[plan.output]
        width = t.data.n * n_outputs if self.job.record_outputs else 0
        bytes_per_epoch = N_CURVES * 8 + width * np.dtype(plan.dtype).itemsize
        room = min(self.job.epochs, max(1, FIRST_BYTES // bytes_per_epoch))
        self.curves = np.empty((N_CURVES, room))
        self.loss = plan.loss
        if self.job.record_outputs:
            self.outputs = np.empty((room, t.data.n, n_outputs), plan.dtype)
        elif self.measured:
            self.outputs = np.empty((1, t.data.n, n_outputs), plan.dtype)
        if self.measured and t.validates:
            self.validation_outputs = np.empty((t.validation.n, n_outputs), plan.dtype)
            t.validation_outputs = address(self.validation_outputs)
        self.point(t)
        return 0

    cdef int point(self, Training *t) except -1:
        t.curves.room = self.curves.shape[1]
        t.curves.loss = <double *>address(self.curves[0])
        t.curves.right = <double *>address(self.curves[1])
        t.curves.validation_loss = <double *>address(self.curves[2])
        t.curves.validation_right = <double *>address(self.curves[3])
        t.curves.learning_rate = <double *>address(self.curves[4])
        t.recorded = NULL if self.outputs is None else address(self.outputs)
        t.recorded_bytes = self.outputs[0].nbytes if self.job.record_outputs else 0
        return 0

    cdef int measure_epoch(self, const Training *t) except -1:
        """Compute the metrics of all outputs of the last epoch, unless that has been done."""
        if not self.measured or t.epoch <= self.epochs:
            return 0
        at = t.epoch - 1 if self.job.record_outputs else 0
        sets = {"": (self.outputs[at], self.job.data.y)}
        if t.validates and t.epoch % t.validation_freq == 0:
            sets["val_"] = self.validation_outputs, self.job.validation.y
        # All of them before the first is kept: an interrupt may come in between.
        values = {
            prefix + metric.key: measure(metric, self.loss, outputs, targets)
            for prefix, (outputs, targets) in sets.items() for metric in self.measured
        }
        for name, value in values.items():
            self.measures[name].append(value)
        return 0

    cdef int look(self, Training *t) except -1:
        """Take up the last epoch, and make room for more where there is none left."""
        self.measure_epoch(t)
        self.epochs = t.epoch
        if t.curves.room == t.epoch < t.epochs:
            self.curves = np.concatenate([self.curves, np.empty_like(self.curves)], axis=1)
            if self.job.record_outputs:
                self.outputs = np.concatenate([self.outputs, np.empty_like(self.outputs)])
            self.point(t)
        return 0

    cdef object curve(self, str name):
        """The memory of a curve, which may go on behind what has happened."""
        if name in self.measures:
            return self.measures[name]
        if name == "learning_rate":
            return self.curves[4].data
        return self.curves[2 * name.startswith("val_") + (not name.endswith("loss"))].data

    cdef int finish(self, Training *t) except -1:
        """Let the record show the epochs that are completed."""
        self.measure_epoch(t)
        self.record.epochs = t.epoch
        for name in self.record.curves:
            self.record.curves[name] = self.curve(name)[:t.epoch // self.job.every(name)]
        self.record.diverged = t.outcome == DIVERGED
        if self.job.record_outputs:
            self.record.outputs = self.outputs[:t.epoch]
        return 0

    cdef int visit(self, Training *t, bint tells) except -1:
        """Call whom the job names for the place where the training stands; their True ends it.

        `tells` is whether it is time to tell about the progress too.
        """
        cdef bint stops = False, ended = t.epoch > self.epochs
        cdef bint begins = t.outcome == RUNNING or t.counters.part.rows == 0
        cdef size_t batch = (t.counters.part.rows - 1) // t.update_rows
        job = self.job
        self.look(t)
        if t.outcome == BATCH_ENDED:
            stops = job.on_batch_end(batch, self.running(t))
        elif ended and job.on_epoch_end is not None:
            stops = job.on_epoch_end(t.epoch - 1, self.latest(t))
        if tells and job.on_progress is not None:
            stops = job.on_progress(self.progress(t)) or stops
        if t.outcome == DONE:
            return 0
        if begins and not stops and job.on_epoch_begin is not None:
            stops = job.on_epoch_begin(t.epoch)
        t.outcome = RUNNING
        if stops:
            stop(t)
        return 0

    cdef dict running(self, const Training *t):
        """Means over the rows that the running epoch has taken."""
        cdef const Part *part = &t.counters.part
        cdef double share = per_row(part.right_sum, part.measured)
        loss = per_row(part.loss_sum, part.measured)
        return {"loss": loss, **dict.fromkeys(self.counted, share)}

    cdef dict latest(self, const Training *t):
        """What the last epoch left."""
        return {
            name: self.curve(name)[t.epoch // self.job.every(name) - 1]
            for name in self.record.curves if t.epoch % self.job.every(name) == 0
        }

    cdef object progress(self, const Training *t):
        """Where the training stands."""
        cdef size_t rows = t.counters.part.rows
        values = self.running(t) if rows else self.latest(t)
        return Progress(
            epoch=t.epoch,
            epochs=t.epochs,
            batch=(rows + t.update_rows - 1) // t.update_rows,
            batches=(t.data.n + t.update_rows - 1) // t.update_rows,
            loss=values["loss"],
            metrics={name: values[name] for name in self.counted},
        )
