from fastbp._core.delta cimport RowRun
from fastbp._core.layout cimport fbp_frame, fbp_op, fbp_plan

cdef void forward_run(const fbp_plan *plan, const fbp_op *ops, const char *parameters,
                      const fbp_frame *frame, size_t first, size_t rows, bint activates,
                      char *values) noexcept nogil
cdef void backward_run(const fbp_plan *plan, const fbp_op *ops, const char *parameters,
                       const fbp_frame *frame, const RowRun *rows, bint activated, char *values,
                       char *partial, char *lanes) noexcept nogil
