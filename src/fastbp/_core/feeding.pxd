from fastbp._core.epochs cimport Training
from fastbp._core.layout cimport fbp_plan
from fastbp._core.native cimport Ports
from fastbp._core.recording cimport Recorder

cdef class Feeding:
    cdef object job
    cdef const fbp_plan *plan
    cdef Recorder recorder
    cdef object data               # with `ports`, what the training's `data` points to
    cdef Ports ports
    cdef object validation
    cdef Ports validation_ports
    cdef size_t batch_room         # rows of a batch, and of a chunk, that a workspace has room for
    cdef size_t chunk_room
    cdef int start(self, Training *t, const fbp_plan *plan) except -1
    cdef bint give(self, Training *t) except -1
    cdef int give_data(self, Training *t) except -1
    cdef int give_validation(self, Training *t) except -1
    cdef int fit_batch(self, Training *t) except -1
    cdef bint outgrows(self, const Training *t)
