"""What a fit reports: curves, and outputs, one value or row an epoch, in memory that grows; and
whom it calls on the way."""
import numpy as np

from fastbp._core.epochs cimport BATCH_ENDED, DIVERGED, DONE, RUNNING, Training, stop
from fastbp._core.native cimport address

from fastbp.engine import Progress

# Memory for so many bytes of curves and outputs before it first has to grow; what no epoch comes to
# is never touched.
FIRST_BYTES = 1 << 22
# Loss and metric, both on validation data, the learning rate.
N_CURVES = 5


cdef size_t curve(str name):
    """Which of the curves a name stands for."""
    if name == "learning_rate":
        return 4
    return 2 * name.startswith("val_") + (not name.endswith("loss"))


cdef class Recorder:
    """The memory that a training writes its curves to, and what of it Python sees."""

    def __init__(self, job, record):
        record.curves = {name: [] for name in job.names}
        self.metrics = tuple(metric.name for metric in job.metrics)
        self.job, self.record = job, record

    cdef int start(self, Training *t, object dtype, size_t n_outputs) except -1:
        """Point the training to the memory."""
        width = t.data.n * n_outputs if self.job.record_outputs else 0
        bytes_per_epoch = N_CURVES * 8 + width * np.dtype(dtype).itemsize
        room = min(self.job.epochs, max(1, FIRST_BYTES // bytes_per_epoch))
        self.curves = np.empty((N_CURVES, room))
        if self.job.record_outputs:
            self.outputs = np.empty((room, t.data.n, n_outputs), dtype)
        if t.rule.schedule.rate != NULL:
            self.record.curves["learning_rate"] = []
        self.point(t)
        return 0

    cdef int point(self, Training *t) except -1:
        t.curves.room = self.curves.shape[1]
        t.curves.loss = <double *>address(self.curves[0])
        t.curves.right = <double *>address(self.curves[1])
        t.curves.validation_loss = <double *>address(self.curves[2])
        t.curves.validation_right = <double *>address(self.curves[3])
        t.curves.learning_rate = <double *>address(self.curves[4])
        t.recorded = address(self.outputs) if self.job.record_outputs else NULL
        return 0

    cdef int grow(self, Training *t) except -1:
        """Make room for more epochs where there is none left."""
        if t.curves.room == t.epoch < t.epochs:
            self.curves = np.concatenate([self.curves, np.empty_like(self.curves)], axis=1)
            if self.job.record_outputs:
                self.outputs = np.concatenate([self.outputs, np.empty_like(self.outputs)])
            self.point(t)
        return 0

    cdef int finish(self, Training *t) except -1:
        """Let the record show the epochs that are completed."""
        self.record.epochs = t.epoch
        for name in self.record.curves:
            count = t.epoch // t.validation_freq if name.startswith("val_") else t.epoch
            self.record.curves[name] = self.curves[curve(name)].data[:count]
        self.record.diverged = t.outcome == DIVERGED
        if self.job.record_outputs:
            self.record.outputs = self.outputs[:t.epoch]
        return 0

    cdef int visit(self, Training *t, bint tells) except -1:
        """Call whom the job names for the place where the training stands; their True ends it.

        `tells` is whether it is time to tell about the progress too.
        """
        cdef bint stops = False
        job = self.job
        self.grow(t)
        if t.outcome == BATCH_ENDED:
            stops = job.on_batch_end((t.place - 1) // t.batch_size, self.running(t))
        elif t.epoch > self.epochs and job.on_epoch_end is not None:
            stops = job.on_epoch_end(t.epoch - 1, self.latest(t))
        self.epochs = t.epoch
        if tells and job.on_progress is not None:
            stops = job.on_progress(self.progress(t)) or stops
        if t.outcome == DONE:
            return 0
        if t.place == 0 and not stops and job.on_epoch_begin is not None:
            stops = job.on_epoch_begin(t.epoch)
        t.outcome = RUNNING
        if stops:
            stop(t)
        return 0

    cdef dict running(self, const Training *t):
        """Means over the rows that the running epoch has taken."""
        cdef double rows = <double>t.place
        return {"loss": t.loss_sum / rows, **dict.fromkeys(self.metrics, t.right_sum / rows)}

    cdef dict latest(self, const Training *t):
        """What the last epoch left."""
        cdef size_t at = t.epoch - 1
        values = {"loss": t.curves.loss[at], **dict.fromkeys(self.metrics, t.curves.right[at])}
        if t.validates and t.epoch % t.validation_freq == 0:
            at = t.epoch // t.validation_freq - 1
            values["val_loss"] = t.curves.validation_loss[at]
            for name in self.metrics:
                values["val_" + name] = t.curves.validation_right[at]
        if "learning_rate" in self.record.curves:
            values["learning_rate"] = t.curves.learning_rate[t.epoch - 1]
        return values

    cdef object progress(self, const Training *t):
        """Where the training stands."""
        values = self.running(t) if t.place else self.latest(t)
        return Progress(
            epoch=t.epoch,
            epochs=t.epochs,
            batch=(t.place + t.batch_size - 1) // t.batch_size,
            batches=(t.data.n + t.batch_size - 1) // t.batch_size,
            loss=values["loss"],
            metrics={name: values[name] for name in self.metrics},
        )
