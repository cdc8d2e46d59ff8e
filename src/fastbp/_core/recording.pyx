"""What a fit reports: curves and outputs of some epochs at a time, handed to the record."""
import numpy as np

from fastbp._core.epochs cimport DIVERGED, Training
from fastbp._core.native cimport address

from fastbp.engine import Progress

# Epochs recorded between two visits to Python, at most.
MOST_EPOCHS = 4096


cdef class Recorder:
    """The memory that a training writes its curves to, and their way into a `Record`."""

    def __init__(self, job, record):
        names = ["loss", *(metric.name for metric in job.metrics)]
        sets = ("",) if job.validation is None else ("", "val_")
        record.curves = {prefix + name: [] for prefix in sets for name in names}
        self.job, self.record = job, record
        self.room = min(job.epochs, MOST_EPOCHS)
        self.curves = np.zeros((2, 2, self.room))
        self.outputs = None
        self.kept_outputs = []

    cdef int start(self, Training *t, object dtype, size_t n_outputs) except -1:
        """Point the training to the memory."""
        t.curves.first, t.curves.room = 0, self.room
        t.curves.loss = <double *>address(self.curves[0, 0])
        t.curves.right = <double *>address(self.curves[0, 1])
        t.curves.validation_loss = <double *>address(self.curves[1, 0])
        t.curves.validation_right = <double *>address(self.curves[1, 1])
        if self.job.record_outputs:
            self.outputs = np.empty((self.room, t.data.n, n_outputs), dtype)
            t.recorded = address(self.outputs)
            self.kept_outputs.append(self.outputs[:0].copy())
        return 0

    cdef int drain(self, Training *t) except -1:
        """Hand over the epochs completed since the last time."""
        count = t.epoch - t.curves.first
        for name, values in self.record.curves.items():
            which = int(name.startswith("val_")), int(not name.endswith("loss"))
            values.extend(self.curves[which][:count].tolist())
        if self.job.record_outputs:
            self.kept_outputs.append(self.outputs[:count].copy())
            if t.place:
                self.outputs[0] = self.outputs[count]  # what the running epoch has written so far
        t.curves.first = t.epoch
        self.record.epochs = t.epoch
        return 0

    cdef int finish(self, Training *t) except -1:
        """Cut the record back to where the training stands now, and complete it."""
        record = self.record
        record.epochs, record.diverged = t.epoch, t.outcome == DIVERGED
        for values in record.curves.values():
            del values[record.epochs:]
        if self.job.record_outputs:
            record.outputs = np.concatenate(self.kept_outputs)[:record.epochs]
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
