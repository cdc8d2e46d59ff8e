from libc.stdint cimport uint64_t

from fastbp._core.layout cimport fbp_frame, fbp_op, fbp_plan
from fastbp._core.share cimport Shared

cdef void forward_op(const fbp_plan *plan, const fbp_op *op, const char *parameters,
                     const fbp_frame *frame, size_t first, size_t rows, bint training,
                     bint activates, uint64_t seed, uint64_t batch,
                     size_t before, const Shared *shared, char *panel) noexcept nogil
cdef void draw_mask(const fbp_plan *plan, const fbp_op *op, uint64_t seed, uint64_t batch,
                    size_t first, size_t rows, char *mask) noexcept nogil
cdef void activate(const fbp_plan *plan, const fbp_op *op, const char *z, char *a,
                   size_t rows) noexcept nogil
cdef void backward_activation(const fbp_plan *plan, const fbp_op *op, const fbp_frame *frame,
                              size_t first, size_t rows) noexcept nogil
