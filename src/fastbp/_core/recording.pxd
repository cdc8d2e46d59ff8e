from fastbp._core.epochs cimport Training

cdef class Recorder:
    cdef object job
    cdef object record
    cdef size_t room
    cdef object curves
    cdef object outputs
    cdef list kept_outputs
    cdef int start(self, Training *t, object dtype, size_t n_outputs) except -1
    cdef int drain(self, Training *t) except -1
    cdef int finish(self, Training *t) except -1
    cdef object progress(self, const Training *t)
