"""What a fit reports: curves, and outputs, one value or row an epoch, in memory that grows."""
import numpy as np

from fastbp._core.epochs cimport DIVERGED, Training
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
    """The memory that a training writes its curves to, and what of it a `Record` shows."""

    def __init__(self, job, record):
        names = ["loss", *(metric.name for metric in job.metrics)]
        sets = ("",) if job.validation is None else ("", "val_")
        record.curves = {prefix + name: [] for prefix in sets for name in names}
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

    cdef int show(self, Training *t) except -1:
        """Let the record show the epochs that are completed; make room for more."""
        self.record.epochs = t.epoch
        for name in self.record.curves:
            self.record.curves[name] = self.curves[curve(name)].data[:t.epoch]
        if t.curves.room == t.epoch < t.epochs:
            self.curves = np.concatenate([self.curves, np.empty_like(self.curves)], axis=1)
            if self.job.record_outputs:
                self.outputs = np.concatenate([self.outputs, np.empty_like(self.outputs)])
            self.point(t)
        return 0

    cdef int finish(self, Training *t) except -1:
        """Cut the record back to where the training stands now, and complete it."""
        self.show(t)
        self.record.diverged = t.outcome == DIVERGED
        if self.job.record_outputs:
            self.record.outputs = self.outputs[:t.epoch]
        return 0

    cdef object progress(self, const Training *t):
        """Where the training stands."""
        cdef double rows = <double>t.place
        names = [metric.name for metric in self.job.metrics]
        if t.place:
            loss, right = t.loss_sum / rows, t.right_sum / rows
        else:
            last = t.epoch - 1
            loss = self.record.curves["loss"][last]
            right = self.record.curves[names[0]][last] if names else 0.0
        return Progress(
            epoch=t.epoch,
            epochs=t.epochs,
            batch=(t.place + t.batch_size - 1) // t.batch_size,
            batches=(t.data.n + t.batch_size - 1) // t.batch_size,
            loss=loss,
            metrics=dict.fromkeys(names, right),
        )
