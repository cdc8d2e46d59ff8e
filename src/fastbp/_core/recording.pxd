from fastbp._core.epochs cimport Training

cdef class Recorder:
    cdef object job
    cdef object record
    cdef object curves
    cdef object outputs
    cdef tuple metrics         # their names
    cdef size_t epochs         # completed at the last visit
    cdef int start(self, Training *t, object dtype, size_t n_outputs) except -1
    cdef int point(self, Training *t) except -1
    cdef int grow(self, Training *t) except -1
    cdef int finish(self, Training *t) except -1
    cdef int visit(self, Training *t, bint tells) except -1
    cdef dict running(self, const Training *t)
    cdef dict latest(self, const Training *t)
    cdef object progress(self, const Training *t)
