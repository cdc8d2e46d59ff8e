from fastbp._core.layout cimport fbp_plan

cdef double chunk_penalty(const fbp_plan *plan, const char *parameters, size_t chunk) noexcept nogil
cdef void add_penalty_gradient(const fbp_plan *plan, const char *parameters, char *gradients,
                               size_t start, size_t stop, double scale) noexcept nogil
cdef void project(const fbp_plan *plan, char *parameters, int rank, int size) noexcept nogil
