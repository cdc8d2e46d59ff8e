"""Data on their way to a training: whole arrays at its start, or chunks of a feed as it goes."""
from fastbp._core.epochs cimport Part, Training, is_drained
from fastbp._core.layout cimport fbp_plan
from fastbp._core.native cimport native_data
from fastbp._core.recording cimport Recorder

from fastbp.engine import Rows


cdef class Feeding:
    """What a job's rows, or its feeds, give to a training."""

    def __init__(self, job, Recorder recorder):
        self.job, self.recorder = job, recorder

    cdef int start(self, Training *t, const fbp_plan *plan) except -1:
        """Give the data, or the first chunk."""
        job = self.job
        self.plan = plan
        t.validates = job.validation is not None
        t.feeds = t.follows = not isinstance(job.data, Rows)
        t.feeds_validation = t.validation_follows = (
            t.validates and not isinstance(job.validation, Rows))
        if t.validates and not t.feeds_validation:
            self.validation_ports = native_data(job.validation, plan)
            t.validation = self.validation_ports.data
        if t.feeds:
            t.epoch_rows, t.epoch_batches = job.data.rows or 0, job.data.batches or 0
            t.counters.part = Part(0, 0)  # a stream begins an epoch
            self.give_data(t)
        else:
            self.ports = native_data(job.data, plan)
            t.data = self.ports.data
            t.epoch_rows = <double>t.data.n
            self.fit_batch(t)
        self.outgrows(t)
        return 0

    cdef bint give(self, Training *t) except -1:
        """Give the next rows that a training asks for; whether they need a larger workspace."""
        if is_drained(t) and t.follows:
            self.give_data(t)
        else:
            self.give_validation(t)
        return self.outgrows(t)

    cdef int give_data(self, Training *t) except -1:
        rows = self.job.data.take()
        if rows is None:
            t.follows = False
            return 0
        self.data, self.ports = rows, native_data(rows, self.plan)
        t.data, t.start = self.ports.data, t.counters.part.rows
        self.recorder.expect(t, "", rows)
        return self.fit_batch(t)

    cdef int give_validation(self, Training *t) except -1:
        rows = self.job.validation.take()
        if rows is None:
            t.validation_follows = False
            return 0
        self.validation, self.validation_ports = rows, native_data(rows, self.plan)
        t.validation, t.validation_start = self.validation_ports.data, t.validated
        self.recorder.expect(t, "val_", rows)
        return 0

    cdef int fit_batch(self, Training *t) except -1:
        """Set the sizes of batches: as asked for, but no more than there are rows."""
        cdef size_t n = t.data.n
        if self.job.batch_size is None:
            t.batch_size = t.update_rows = n
            return 0
        t.batch_size = max(t.batch_size, <size_t>min(self.job.batch_size, n))
        t.update_rows = max(t.update_rows,
                            <size_t>min(self.job.batch_size * self.job.accumulate, n))
        return 0

    cdef bint outgrows(self, const Training *t):
        """Whether the workspace is too small for the rows; then it is to have room for them."""
        cdef bint larger = t.batch_size > self.batch_room or t.data.n > self.chunk_room
        self.batch_room = max(self.batch_room, t.batch_size)
        self.chunk_room = max(self.chunk_room, t.data.n)
        return larger
