"""Runs of dense layers narrower than a vector, with rows in the lanes from end to end (kernels.h).

What a run keeps for its way back stands in scratch, not in the frame: there only its inputs and
outputs do. Softmax, which is never within a run, works on the rows of its outputs.
"""
from fastbp._core.activation cimport activate, backward_activation
from fastbp._core.delta cimport RowRun, ends_chain, starts_chain
from fastbp._core.layout cimport (
    FBP_ACTIVATION_softmax,
    fbp_frame,
    fbp_op,
    fbp_plan,
    fbp_run,
    tensor,
    value,
)


cdef fbp_run run_of(const fbp_plan *plan, const fbp_op *ops, const char *parameters,
                    bint activates, char *values) noexcept nogil:
    cdef const fbp_op *last = ops + ops.run - 1
    return fbp_run(ops, ops.run, activates and last.activation != FBP_ACTIVATION_softmax,
                   parameters, values + ops.run_values * plan.row_block * plan.itemsize)


cdef void forward_run(const fbp_plan *plan, const fbp_op *ops, const char *parameters,
                      const fbp_frame *frame, size_t first, size_t rows, bint activates,
                      char *values) noexcept nogil:
    """Run the operations from `ops` on that belong together; else like `forward_op`."""
    cdef const fbp_op *last = ops + ops.run - 1
    cdef fbp_run run = run_of(plan, ops, parameters, activates, values)
    cdef char *y = value(plan, frame, last.output, first)
    plan.kernels.narrow_forward(&run, rows, value(plan, frame, ops.input, first), y)
    if activates and not run.activates:
        activate(plan, last, y, y, rows)


cdef void backward_run(const fbp_plan *plan, const fbp_op *ops, const char *parameters,
                       const fbp_frame *frame, const RowRun *rows, bint activated, char *values,
                       char *partial, char *lanes) noexcept nogil:
    """Back through them; their gradients go to `lanes`, see `take_sums`."""
    cdef const fbp_op *last = ops + ops.run - 1
    cdef fbp_run run = run_of(plan, ops, parameters, activated, values)
    cdef char *dx = tensor(plan, frame, frame.deltas, ops.input, rows.first)
    cdef bint adds = ops.propagates and ops.inputs.adds
    if activated and not run.activates:
        backward_activation(plan, last, frame, rows.first, rows.rows)
    plan.kernels.narrow_backward(
        &run, rows.rows, starts_chain(rows), ends_chain(rows),
        tensor(plan, frame, frame.deltas, last.output, rows.first), partial if adds else dx, lanes)
    if adds:
        plan.kernels.add(rows.rows * ops.n_in, partial, dx)
