from fastbp._core.layout cimport fbp_frame, fbp_op, fbp_plan

cdef bint joins(const fbp_op *op) noexcept nogil
cdef void forward_join(const fbp_plan *plan, const fbp_op *op, const fbp_frame *frame,
                       size_t first, size_t rows) noexcept nogil
cdef void backward_join(const fbp_plan *plan, const fbp_op *op, const fbp_frame *frame,
                        size_t first, size_t rows, bint to_input) noexcept nogil
