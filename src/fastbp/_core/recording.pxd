from fastbp._core.epochs cimport Training

cdef class Recorder:
    cdef object job
    cdef object record
    cdef object curves
    cdef object outputs
    cdef int start(self, Training *t, object dtype, size_t n_outputs) except -1
    cdef int point(self, Training *t) except -1
    cdef int show(self, Training *t) except -1
    cdef int finish(self, Training *t) except -1
    cdef object progress(self, const Training *t)
