from libc.stdint cimport uint64_t

from fastbp._core.layout cimport fbp_optimizer, fbp_plan, fbp_step
from fastbp._core.schedule cimport Schedule

cdef enum:
    MOST_CONSTANTS = 8
    MOST_STATES = 3

cdef struct Rule:
    # An optimizer as numbers: `constants` as given, in the order of `CONSTANTS` in native.pyx; the
    # first, the learning rate, is set before each step where there is a schedule.
    fbp_optimizer kind
    size_t n_states
    double constants[MOST_CONSTANTS]
    double weight_decay
    bint decoupled             # it acts on the parameter itself, not by way of the gradient
    double clip_value          # infinity: no clipping
    double clip_norm
    Schedule schedule

cdef struct Memory:
    # The network's flat vectors.
    char *parameters
    char *gradients
    char *states[MOST_STATES]

cdef double chunk_square(const fbp_plan *plan, const char *gradients, size_t chunk) noexcept nogil
cdef void clip(const Rule *rule, const double *squares, size_t n, fbp_step *step) noexcept nogil
cdef fbp_step step_of(const Rule *rule, uint64_t number) noexcept nogil
cdef void update_span(const fbp_plan *plan, const Rule *rule, const fbp_step *step,
                      const Memory *memory, const char *gradients, size_t start,
                      size_t stop) noexcept nogil
cdef void sum_slots(const fbp_plan *plan, char *first, char *others, size_t slot_bytes,
                    size_t slots, size_t n) noexcept nogil
