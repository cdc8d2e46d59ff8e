from fastbp._core.layout cimport FBP_BLOCK, fbp_frame, fbp_op, fbp_plan
from fastbp._core.share cimport Shared

cdef struct Target:
    # Where the gradients of one layer, or of some rows of its weights, are summed; NULL for those
    # that are not wanted.
    char *weights
    char *biases

cdef struct RowRun:
    # Rows [first, first + rows) of the batch, which stand at `place` of their slot, all within one
    # run of 256; `last` says that the slot ends with them.
    size_t first
    size_t rows
    size_t place
    bint last


cdef inline bint starts_chain(const RowRun *run) noexcept nogil:
    return run.place % FBP_BLOCK == 0


cdef inline bint ends_chain(const RowRun *run) noexcept nogil:
    return run.last or (run.place + run.rows) % FBP_BLOCK == 0


cdef void backward_op(const fbp_plan *plan, const fbp_op *op, const char *parameters,
                      const fbp_frame *frame, size_t first, size_t rows, bint training,
                      bint activated, bint to_input, const Shared *shared,
                      char *panel) noexcept nogil
cdef Target arena_target(const fbp_plan *plan, const fbp_op *op, char *gradients) noexcept nogil
cdef Target slot_target(const fbp_plan *plan, const fbp_op *op, char *slot) noexcept nogil
cdef Target chain_target(const fbp_plan *plan, const fbp_op *op, char *chains) noexcept nogil
cdef void take_sums(const fbp_plan *plan, const fbp_op *op, Target sums, const char *lanes,
                    const RowRun *run) noexcept nogil
cdef void add_rows(const fbp_plan *plan, const fbp_op *op, Target sums, Target chains,
                   char *lanes, char *panel, const fbp_frame *frame, const RowRun *run,
                   size_t first_input, size_t inputs) noexcept nogil
