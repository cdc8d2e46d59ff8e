"""Delta propagation: from dL/dy of an operation to its parameters' gradients and dL/dx.

Gradients are summed over slots of rows (csrc/fastbp.h). Within a slot, every 256 rows are one
chain of fused multiply-adds, and chain after chain is added in order. Where a layer is called
several times, each call has a chain, that of the last call comes first, and the chains of all calls
before those of the next 256 rows. A chain may be built up from several row blocks: then the first
chain of a slot grows in the slot's span, others in scratch.
"""
from libc.string cimport memcpy, memset

from fastbp._core.join cimport backward_join, joins
from fastbp._core.layout cimport (
    FBP_BLOCK,
    FBP_CHAIN_ADD,
    FBP_CHAIN_CONTINUE,
    FBP_CHAIN_START,
    FBP_OP_activation,
    FBP_OP_dense,
    FBP_OP_dropout,
    FBP_OP_rescale,
    FBP_OP_structured_dropout,
    fbp_chain,
    fbp_frame,
    fbp_op,
    fbp_plan,
    parameters_of,
    tensor,
    value,
)
from fastbp._core.activation cimport backward_activation
from fastbp._core.matmul cimport biases_gradient, input_gradient, weights_gradient
from fastbp._core.share cimport Shared
from fastbp._core.thinning cimport spread


cdef void backward_structured_dropout(const fbp_plan *plan, const fbp_op *op, char *delta,
                                      char *dx, size_t rows) noexcept nogil:
    """What is dropped has no delta; that of the output, which nobody needs again, is scaled."""
    cdef size_t row, n = op.n_out, size = plan.itemsize
    if op.units_out != NULL:
        plan.kernels.scale(rows * n, op.value, delta, delta)
    for row in range(rows):
        if op.units_out != NULL:
            spread(plan, op.units_out, op.n_in, delta + row * n * size, dx + row * op.n_in * size)
        else:
            plan.kernels.multiply(n, delta + row * n * size, op.mask, dx + row * n * size)


cdef void backward_op(const fbp_plan *plan, const fbp_op *op, const char *parameters,
                      const fbp_frame *frame, size_t first, size_t rows, bint training,
                      bint activated, bint to_input, const Shared *shared,
                      char *panel) noexcept nogil:
    """dL/dz from dL/dy in place, then dL/dx where training wants it or `to_input`, for some rows.

    `activated` False: the loss has given dL/dz already.
    """
    cdef char *delta = tensor(plan, frame, frame.deltas, op.output, first)
    cdef char *dx = tensor(plan, frame, frame.deltas, op.input, first)
    cdef size_t n = rows * op.n_out
    if joins(op):
        backward_join(plan, op, frame, first, rows, to_input)
        return
    if activated and (op.kind == FBP_OP_dense or op.kind == FBP_OP_activation):
        backward_activation(plan, op, frame, first, rows)
    if not (op.propagates or to_input):
        return
    if op.kind == FBP_OP_dense:
        input_gradient(plan, op, parameters_of(op, parameters), delta, dx, op.inputs.adds, rows,
                       shared, panel)
        return
    cdef char *passed_on = delta if op.inputs.adds else dx
    if op.kind == FBP_OP_dropout and training:
        plan.kernels.multiply(n, delta, value(plan, frame, op.saved, first), passed_on)
    elif op.kind == FBP_OP_structured_dropout and training:
        backward_structured_dropout(plan, op, delta, passed_on, rows)
    else:
        plan.kernels.scale(n, op.value if op.kind == FBP_OP_rescale else 1.0, delta, passed_on)
    if op.inputs.adds:
        plan.kernels.add(n, delta, dx)


cdef Target target(const fbp_plan *plan, const fbp_op *op, char *base, size_t weights,
                   size_t biases) noexcept nogil:
    cdef Target to = Target(NULL, NULL)
    if op.trains_weights:
        to.weights = base + weights * plan.itemsize
    if op.trains_biases:
        to.biases = base + biases * plan.itemsize
    return to


cdef Target arena_target(const fbp_plan *plan, const fbp_op *op, char *gradients) noexcept nogil:
    """The layer's part of the arena's gradients."""
    return target(plan, op, gradients, op.weights, op.biases)


cdef Target slot_target(const fbp_plan *plan, const fbp_op *op, char *slot) noexcept nogil:
    """The layer's part of a slot's span."""
    return target(plan, op, slot, op.slot_weights, op.slot_biases)


cdef Target chain_target(const fbp_plan *plan, const fbp_op *op, char *chains) noexcept nogil:
    """Where chains of the operation grow that are not the first of its layer's in a slot."""
    return target(plan, op, chains, op.chains, op.chains + op.n_in * op.n_out)


cdef void fold(const fbp_plan *plan, const char *sums, size_t n, char *to,
               bint adds) noexcept nogil:
    if to == NULL:
        return
    if adds:
        plan.kernels.add(n, sums, to)
    else:
        memcpy(to, sums, n * plan.itemsize)


cdef void take_sums(const fbp_plan *plan, const fbp_op *op, Target sums, const char *lanes,
                    const RowRun *run) noexcept nogil:
    """The sums of a narrow layer's chains, which stand in the lanes where these rows end them."""
    cdef size_t weights = op.n_in * op.n_out
    cdef bint adds = op.adds or run.place >= FBP_BLOCK
    lanes += op.lanes * plan.itemsize
    fold(plan, lanes, weights, sums.weights, adds)
    fold(plan, lanes + weights * plan.itemsize, op.n_out, sums.biases, adds)


cdef void add_narrow_rows(const fbp_plan *plan, const fbp_op *op, Target sums, char *lanes,
                          const char *x, const char *delta, const RowRun *run) noexcept nogil:
    cdef size_t count = (op.n_in + 1) * op.n_out
    cdef char *chains = lanes + op.lanes * plan.itemsize
    if starts_chain(run):
        memset(chains, 0, plan.kernels.row_lanes * count * plan.itemsize)
    plan.kernels.narrow_gradient(run.place, run.rows, op.n_in, op.n_out, x, delta, chains)
    if ends_chain(run):
        plan.kernels.narrow_sum(count, chains)
        take_sums(plan, op, sums, lanes, run)


cdef void add_products(const fbp_plan *plan, const fbp_op *op, Target to, const char *x,
                       const char *delta, size_t rows, size_t first_input, size_t inputs,
                       fbp_chain chain, char *panel) noexcept nogil:
    if to.weights != NULL:
        weights_gradient(plan, op, x, delta, rows, first_input, inputs, chain, to.weights,
                         panel)
    if to.biases != NULL:
        biases_gradient(plan, op, delta, rows, chain, to.biases, panel)


cdef void add_rows(const fbp_plan *plan, const fbp_op *op, Target sums, Target chains,
                   char *lanes, char *panel, const fbp_frame *frame, const RowRun *run,
                   size_t first_input, size_t inputs) noexcept nogil:
    """Add some rows to the gradients of a dense layer: biases, and `inputs` rows of the weights.

    `sums` points to the first of these rows of the weights.
    `chains` is scratch that keeps a chain between calls, and is not touched if each call has whole
    runs of 256 rows.
    """
    cdef const char *x = value(plan, frame, op.input, run.first)
    cdef const char *delta = tensor(plan, frame, frame.deltas, op.output, run.first)
    cdef bint starts = starts_chain(run), ends = ends_chain(run)
    if op.narrow:
        add_narrow_rows(plan, op, sums, lanes, x, delta, run)
        return
    cdef fbp_chain chain = FBP_CHAIN_START if starts else FBP_CHAIN_CONTINUE
    if run.place < FBP_BLOCK and not op.adds:
        add_products(plan, op, sums, x, delta, run.rows, first_input, inputs, chain, panel)
    elif starts and ends:
        chain = FBP_CHAIN_ADD
        add_products(plan, op, sums, x, delta, run.rows, first_input, inputs, chain, panel)
    else:
        add_products(plan, op, chains, x, delta, run.rows, first_input, inputs, chain, panel)
        if ends:
            fold(plan, chains.weights, op.n_in * op.n_out, sums.weights, True)
            fold(plan, chains.biases, op.n_out, sums.biases, True)
