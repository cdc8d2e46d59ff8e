from libc.stdint cimport uint64_t

from fastbp._core.layout cimport fbp_op, fbp_plan, fbp_units

cdef struct Thinning:
    # The thinned plan of a batch, and what it stands on.
    fbp_plan plan
    fbp_units *units           # of each group
    char *masks                # of the structured dropouts, one behind the other
    char *parameters           # of layers that lack units, at their offsets in the arena
    char *sums                 # of slot 0, in a plan of small layers


cdef inline size_t kept_before(const fbp_units *units, size_t place) noexcept nogil:
    """How many units are left before a place in the whole layer."""
    return place if units == NULL else units.before[place]


cdef inline bint lacks_units(const fbp_op *op) noexcept nogil:
    """Whether these are some rows and columns of a dense layer's weights."""
    return op.parameters != NULL


cdef void find_groups(fbp_plan *plan, const size_t *readers) noexcept
cdef size_t group_size(const fbp_plan *plan, size_t group) noexcept nogil
cdef void thin(Thinning *thinning, const fbp_plan *whole, uint64_t seed,
               uint64_t batch) noexcept nogil
cdef void gather_parameters(const Thinning *thinning, const fbp_plan *whole,
                            const char *parameters, int rank, int size) noexcept nogil
cdef size_t reach(const fbp_units *units, size_t first, size_t count, size_t stop) noexcept nogil
cdef void spread(const fbp_plan *plan, const fbp_units *units, size_t n, const char *values,
                 char *to) noexcept nogil
cdef void spread_rows(const fbp_plan *plan, const fbp_op *op, size_t n_out, size_t low,
                      size_t high, const char *values, char *to) noexcept nogil
