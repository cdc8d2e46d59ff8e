cdef enum:
    MOST_RATE_CONSTANTS = 8

# The rate at time t >= 0.
ctypedef double (*RateFunction)(const Schedule *s, double t) noexcept nogil

cdef struct Schedule:
    # A schedule as numbers, in the order of `CONSTANTS`. Numbers that are as many as the user likes
    # stand in an array that the engine keeps.
    RateFunction rate          # or NULL: the rate never changes
    double constants[MOST_RATE_CONSTANTS]
    const double *numbers
    size_t n_numbers
    bint per_epoch             # the unit of time
    double warmup              # its length; 0 without one
    double warmup_start

cdef double rate_at(const Schedule *s, double t) noexcept nogil
cdef object schedule_numbers(object schedule)
cdef Schedule native_schedule(object schedule, const double *numbers, size_t n) except *
