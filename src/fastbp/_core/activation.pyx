"""Operations forward, and activation functions forward and backward, on rows of a frame."""
from libc.stdint cimport uint64_t

from fastbp._core.join cimport forward_join, joins
from fastbp._core.layout cimport (
    FBP_ACTIVATION_identity,
    FBP_ACTIVATION_relu,
    FBP_ACTIVATION_softmax,
    FBP_NONE,
    FBP_OP_dense,
    FBP_OP_dropout,
    FBP_OP_rescale,
    fbp_activation,
    fbp_frame,
    fbp_op,
    fbp_plan,
    tensor,
    value,
)
from fastbp._core.matmul cimport dense_forward
from fastbp._core.share cimport Shared


cdef void activate(const fbp_plan *plan, const fbp_op *op, const char *z, char *a,
                   size_t rows) noexcept nogil:
    """a = f(z) for some rows."""
    if op.activation == FBP_ACTIVATION_softmax:
        plan.kernels.softmax(rows, op.n_out, z, a)
    else:
        plan.kernels.activate(op.activation, op.parameter, rows * op.n_out, z, a)


cdef void backward_activation(const fbp_plan *plan, const fbp_op *op, const fbp_frame *frame,
                              size_t first, size_t rows) noexcept nogil:
    """Turn the delta of the op's output, dL/da, into dL/dz in place."""
    # The net input is kept beside the output, or is the input of a lone activation.
    cdef size_t net_input = op.saved if op.saved != FBP_NONE else op.input
    cdef const char *z = value(plan, frame, net_input, first)
    cdef const char *a = value(plan, frame, op.output, first)
    cdef char *delta = tensor(plan, frame, frame.deltas, op.output, first)
    if op.activation == FBP_ACTIVATION_softmax:
        plan.kernels.softmax_backward(rows, op.n_out, a, delta, delta)
    else:
        plan.kernels.activate_backward(op.activation, op.parameter, rows * op.n_out, z, a,
                                       delta, delta)


cdef void forward_dense(const fbp_plan *plan, const fbp_op *op, const char *parameters,
                        const fbp_frame *frame, const char *x, char *y, size_t first,
                        size_t rows, bint activates, const Shared *shared,
                        char *panel) noexcept nogil:
    """An activation that costs nothing is the product's, if nobody wants the net input."""
    cdef char *z = y
    cdef fbp_activation fused = FBP_ACTIVATION_identity
    if op.saved != FBP_NONE:
        z = value(plan, frame, op.saved, first)
    elif activates and op.activation == FBP_ACTIVATION_relu:
        fused = op.activation
    dense_forward(plan, op, parameters, x, z, fused, rows, shared, panel)
    if activates and fused == FBP_ACTIVATION_identity:
        activate(plan, op, z, y, rows)


cdef void forward_dropout(const fbp_plan *plan, const fbp_op *op, const fbp_frame *frame,
                          const char *x, char *y, size_t first, size_t rows, bint training,
                          uint64_t seed, uint64_t batch, size_t before) noexcept nogil:
    cdef char *mask = value(plan, frame, op.saved, first)
    cdef uint64_t threshold = <uint64_t>(op.value * 4294967296.0)
    if not training:
        plan.kernels.scale(rows * op.n_out, 1.0, x, y)
        return
    plan.kernels.dropout_mask(seed, batch, op.stream, threshold, 1.0 / (1.0 - op.value),
                              before + first, rows, op.n_out, mask)
    plan.kernels.multiply(rows * op.n_out, x, mask, y)


cdef void forward_op(const fbp_plan *plan, const fbp_op *op, const char *parameters,
                     const fbp_frame *frame, size_t first, size_t rows, bint training,
                     bint activates, uint64_t seed, uint64_t batch,
                     size_t before, const Shared *shared, char *panel) noexcept nogil:
    """Run one operation on rows [first, first + rows) of the batch.

    `activates` False leaves z in the output: the loss will complete the activation. `before` are
    the rows of the batch that other parts of it have. `shared` is what a team runs in step, or
    NULL.
    """
    cdef const char *x = value(plan, frame, op.input, first)
    cdef char *y = value(plan, frame, op.output, first)
    if op.kind == FBP_OP_dense:
        forward_dense(plan, op, parameters, frame, x, y, first, rows, activates, shared, panel)
    elif joins(op):
        forward_join(plan, op, frame, first, rows)
    elif op.kind == FBP_OP_rescale:
        plan.kernels.scale(rows * op.n_out, op.value, x, y)
    elif op.kind == FBP_OP_dropout:
        forward_dropout(plan, op, frame, x, y, first, rows, training, seed, batch, before)
    elif activates:
        activate(plan, op, x, y, rows)
    else:
        plan.kernels.scale(rows * op.n_out, 1.0, x, y)
