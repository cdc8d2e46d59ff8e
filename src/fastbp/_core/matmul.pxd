from fastbp._core.layout cimport fbp_activation, fbp_chain, fbp_op, fbp_plan
from fastbp._core.share cimport Shared

cdef void dense_forward(const fbp_plan *plan, const fbp_op *op, const char *parameters,
                        const char *x, char *z, fbp_activation activation, size_t rows,
                        const Shared *shared, char *panel) noexcept nogil
cdef void input_gradient(const fbp_plan *plan, const fbp_op *op, const char *parameters,
                         const char *delta, char *dx, bint adds, size_t rows, const Shared *shared,
                         char *panel) noexcept nogil
cdef void weights_gradient(const fbp_plan *plan, const fbp_op *op, const char *x,
                           const char *delta, size_t rows, size_t first_input, size_t inputs,
                           fbp_chain chain, char *gradient, char *panel) noexcept nogil
cdef void biases_gradient(const fbp_plan *plan, const fbp_op *op, const char *delta,
                          size_t rows, fbp_chain chain, char *gradient,
                          char *panel) noexcept nogil
cdef size_t panel_bytes(const fbp_plan *plan) noexcept nogil
