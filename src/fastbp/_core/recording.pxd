from fastbp._core.epochs cimport Training

cdef class Recorder:
    cdef object job
    cdef object record
    cdef object loss
    cdef object curves             # of loss, accuracy and learning rate
    cdef object outputs
    cdef object validation_outputs
    cdef tuple counted             # keys of the metrics that are means over rows
    cdef tuple measured            # the other metrics
    cdef dict measures             # curves of these
    cdef size_t epochs             # seen by `look`
    cdef bint fails                # a metric has raised
    cdef int start(self, Training *t, object plan) except -1
    cdef int point(self, Training *t) except -1
    cdef int measure_epoch(self, const Training *t) except -1
    cdef int look(self, Training *t) except -1
    cdef int finish(self, Training *t) except -1
    cdef int visit(self, Training *t, bint tells) except -1
    cdef dict running(self, const Training *t)
    cdef dict latest(self, const Training *t)
    cdef object curve(self, str name)
    cdef object progress(self, const Training *t)
