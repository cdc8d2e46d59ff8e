from fastbp._core.layout cimport fbp_plan, fbp_rows, fbp_source

cdef struct Scan:
    # A look at rows of data for what is not finite in the plan's type.
    const fbp_plan *plan
    const fbp_rows *source
    size_t n                   # elements of a row
    size_t start               # rows [start, stop) are looked at next
    size_t stop
    volatile bint fault

cdef bint all_finite(const fbp_plan *plan, fbp_source type, size_t n,
                     const char *elements) noexcept nogil
cdef void scan_share(Scan *scan, int rank, int size) noexcept nogil
