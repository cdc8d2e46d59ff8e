from libc.stdint cimport uint64_t

from fastbp._core.layout cimport fbp_plan
from fastbp._core.rows cimport Pass
from fastbp._core.team cimport Worker

cdef enum:
    QUANTITIES = 6             # that are recorded of a layer: fastbp.watch.QUANTITIES

cdef struct WatchedLayer:
    # fastbp.watch.WatchedLayer.
    size_t tensor
    size_t first_unit          # of its units among those of all layers
    double low
    double high
    bint saturates
    bint rectifies
    size_t n_dropouts
    size_t *dropouts           # operations that drop some of its units from a whole batch

cdef struct Piece:
    # A layer's parameters [start, stop) within a chunk of the flat vector, and sums of squares.
    size_t layer
    size_t start
    size_t stop
    double parameters
    double gradients
    double updates

cdef struct Watch:
    # What is recorded of single steps: fastbp.watch.Watch.
    uint64_t every
    uint64_t steps             # taken under this watch, in all fits
    uint64_t due               # the next one to be recorded; 0: nobody watches
    size_t n_layers
    WatchedLayer *layers
    size_t n_pieces
    Piece *pieces              # ascending
    size_t n_units             # of all layers
    double *squares            # of each unit's outputs, summed over the batch
    double *outside            # rows in which it is saturated
    double *active             # rows in which it is above 0
    char *before               # the parameters before the update, times -1
    double *records            # records that are made go behind those that are there
    size_t n
    size_t room


cdef inline bint is_due(const Watch *watch) noexcept nogil:
    """Whether the next step is to be recorded."""
    return watch.steps + 1 == watch.due


cdef inline uint64_t steps_before_due(const Watch *watch) noexcept nogil:
    """Steps to be taken before the one that is recorded."""
    return watch.due - watch.steps - 1 if watch.due else <uint64_t>-1


cdef void look_at_units(const Worker *worker, const Watch *watch, const Pass *run) noexcept nogil
cdef void look_at_gradients(const Worker *worker, const Watch *watch,
                            const char *gradients) noexcept nogil
cdef void look_at_updates(const Worker *worker, const Watch *watch) noexcept nogil
cdef void record_step(Watch *watch, const fbp_plan *plan, size_t rows, double loss) noexcept nogil

cdef class Watching:
    cdef object watch              # fastbp.watch.Watch
    cdef object rows               # of the watch, while records go there
    cdef object layers             # memory of the structs
    cdef object dropouts
    cdef object pieces
    cdef int start(self, Watch *watch, const fbp_plan *plan) except -1
    cdef int place(self, Watch *watch) except -1
    cdef int cut(self, Watch *watch) except -1
    cdef int look(self, Watch *watch) except -1
    cdef int finish(self, const Watch *watch) except -1
