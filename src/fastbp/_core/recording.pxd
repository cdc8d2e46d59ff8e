from fastbp._core.epochs cimport Training

cdef class Recorder:
    cdef object job
    cdef object record
    cdef object curves
    cdef object outputs
    cdef object validation_outputs
    cdef tuple measured
    cdef object loss
    cdef int start(self, Training *t, object plan) except -1
    cdef int point(self, Training *t) except -1
    cdef int measure_epoch(self, const Training *t) except -1
    cdef int show(self, Training *t) except -1
    cdef int finish(self, Training *t) except -1
    cdef object progress(self, const Training *t)
