"""Operations that join several tensors: their sum, or one behind the other.

Copies go through the kernel that scales, as everywhere: subnormal numbers count as zero.
"""
from fastbp._core.layout cimport (
    FBP_OP_add,
    FBP_OP_concatenate,
    fbp_edge,
    fbp_frame,
    fbp_op,
    fbp_plan,
    tensor,
    value,
)


cdef bint joins(const fbp_op *op) noexcept nogil:
    return op.kind == FBP_OP_add or op.kind == FBP_OP_concatenate


cdef void put(const fbp_plan *plan, size_t n, const char *x, char *to, bint adds) noexcept nogil:
    if adds:
        plan.kernels.add(n, x, to)
    else:
        plan.kernels.scale(n, 1.0, x, to)


cdef void forward_join(const fbp_plan *plan, const fbp_op *op, const fbp_frame *frame,
                       size_t first, size_t rows) noexcept nogil:
    """Run the operation on rows [first, first + rows) of the batch."""
    cdef char *y = value(plan, frame, op.output, first)
    cdef const char *x
    cdef size_t i, n, piece, pieces = rows * op.pieces, width = op.n_out // op.pieces
    for i in range(op.n_inputs):
        x = value(plan, frame, op.inputs[i].tensor, first)
        if op.kind == FBP_OP_add:
            put(plan, rows * op.n_out, x, y, i > 0)
            continue
        n = plan.sizes[op.inputs[i].tensor] // op.pieces
        for piece in range(pieces):
            put(plan, n, x + piece * n * plan.itemsize, y + piece * width * plan.itemsize, False)
        y += n * plan.itemsize


cdef void backward_join(const fbp_plan *plan, const fbp_op *op, const fbp_frame *frame,
                        size_t first, size_t rows, bint to_input) noexcept nogil:
    """dL/d(input) of each input from dL/dy, where it is wanted, for some rows."""
    cdef const char *delta = tensor(plan, frame, frame.deltas, op.output, first)
    cdef const fbp_edge *edge
    cdef char *dx
    cdef size_t i, n, piece, pieces = rows * op.pieces, width = op.n_out // op.pieces
    for i in range(op.n_inputs):
        edge = &op.inputs[i]
        n = plan.sizes[edge.tensor] // op.pieces
        dx = tensor(plan, frame, frame.deltas, edge.tensor, first)
        if op.kind == FBP_OP_add:
            if edge.propagates or to_input:
                put(plan, rows * op.n_out, delta, dx, edge.adds)
            continue
        for piece in range(pieces if edge.propagates or to_input else 0):
            put(plan, n, delta + piece * width * plan.itemsize, dx + piece * n * plan.itemsize,
                edge.adds)
        delta += n * plan.itemsize
