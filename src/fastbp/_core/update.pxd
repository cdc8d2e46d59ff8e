from libc.stdint cimport uint64_t

from fastbp._core.layout cimport fbp_optimizer, fbp_plan
from fastbp._core.schedule cimport Schedule

cdef enum:
    MOST_CONSTANTS = 8

cdef struct Rule:
    # An optimizer as numbers: `constants` as given, in the order of `CONSTANTS` in native.pyx; the
    # first, the learning rate, is set before each step where there is a schedule.
    fbp_optimizer kind
    size_t n_states
    double constants[MOST_CONSTANTS]
    Schedule schedule

cdef struct Memory:
    # The network's flat vectors.
    char *parameters
    char *gradients
    char *states[2]

cdef void step_constants(const Rule *rule, uint64_t step, double *constants) noexcept nogil
cdef void update_span(const fbp_plan *plan, const Rule *rule, const double *constants,
                      const Memory *memory, const char *gradients, size_t start,
                      size_t stop) noexcept nogil
cdef void sum_slots(const fbp_plan *plan, char *first, char *others, size_t slot_bytes,
                    size_t slots, size_t n) noexcept nogil
