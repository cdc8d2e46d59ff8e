"""A plan in C: `fastbp.plan.Plan` turned into the structs of csrc/fastbp.h."""
from cpython.mem cimport PyMem_Calloc, PyMem_Free

from fastbp._core.layout cimport (
    FBP_ACCURACY_LABEL,
    FBP_ACCURACY_LARGEST,
    FBP_ACCURACY_YES,
    FBP_ACTIVATION_softmax,
    FBP_BLOCK,
    FBP_NONE,
    FBP_OP_custom,
    FBP_OP_dense,
    FBP_SLOT_ROWS,
    FBP_SLOT_WEIGHTS,
    FBP_STREAM_DROPOUT,
    fbp_activation,
    fbp_aligned,
    fbp_constraint,
    fbp_constraint_kind,
    fbp_edge,
    fbp_find_activation,
    fbp_find_constraint,
    fbp_find_loss,
    fbp_find_op_kind,
    fbp_find_source,
    fbp_kernels,
    fbp_loss,
    fbp_op,
    fbp_op_kind,
    fbp_output,
    fbp_penalty,
    fbp_plan,
    fbp_source,
)
from fastbp._core.thinning cimport find_groups

from fastbp.losses import Custom as CustomLoss

# Values and deltas of a block of rows should stay in the first two levels of cache; those of a
# slot, whose gradients are then one chain, in the second.
cdef size_t BLOCK_BYTES = 64 * 1024
cdef size_t SLOT_BYTES = 256 * 1024
cdef size_t LEAST_BLOCK = 16


ACCURACIES = {
    "label": FBP_ACCURACY_LABEL,
    "yes": FBP_ACCURACY_YES,
    "largest": FBP_ACCURACY_LARGEST,
}


cdef class Program:
    """Owns an fbp_plan and the arrays it points to."""

    def __dealloc__(self):
        PyMem_Free(self.memory)


cdef int found(int position, str what) except -1:
    if position < 0:
        raise NotImplementedError(f"the compiled engine has no {what}")
    return position


cdef size_t start_of(object parameter) except? 0:
    return FBP_NONE if parameter is None else parameter.start


cdef bint trains(object parameter) except -1:
    return parameter is not None and parameter.trainable


cdef int fill_op(fbp_plan *plan, fbp_op *op, fbp_edge *edges, object source,
                 size_t position) except -1:
    op.kind = <fbp_op_kind>found(fbp_find_op_kind(source.kind.encode()), source.kind)
    if source.calls is None:
        name = source.activation.name
        op.activation = <fbp_activation>found(fbp_find_activation(name.encode()), name)
        op.parameter = source.activation.parameter
    op.value = source.value
    op.input = source.inputs[0].tensor
    op.n_inputs, op.inputs = len(source.inputs), edges
    for i, edge in enumerate(source.inputs):
        edges[i] = fbp_edge(edge.tensor, edge.propagates, edge.adds)
    op.pieces = source.pieces
    op.output = source.output
    op.saved = FBP_NONE if source.saved is None else source.saved
    op.n_in = plan.sizes[op.input]
    op.n_out = plan.sizes[op.output]
    op.weights = start_of(source.weights)
    op.biases = start_of(source.biases)
    op.trains_weights = trains(source.weights)
    op.trains_biases = trains(source.biases)
    if source.own:
        op.weights, op.trains_weights = source.own[0].start, source.own[0].trainable
        op.n_own = sum([parameter.size for parameter in source.own])
    op.propagates, op.adds, op.fused = source.propagates, source.adds, source.fused
    op.narrow = (op.kind == FBP_OP_dense and op.n_in < plan.kernels.row_lanes
                 and op.n_out < plan.kernels.row_lanes)
    op.stream = FBP_STREAM_DROPOUT + <unsigned int>position
    return 0


cdef void place_slots(fbp_plan *plan) noexcept:
    """Lay out a slot's span: like the parameters, or only the small layers of a wide plan."""
    cdef size_t i, weights
    cdef fbp_op *op
    for i in range(plan.n_ops):
        op = &plan.ops[i]
        if op.kind != FBP_OP_dense:
            continue
        weights = op.n_in * op.n_out
        if op.narrow:
            op.lanes = plan.lane_elements
            plan.lane_elements += plan.kernels.row_lanes * (weights + op.n_out)
        if not plan.wide:
            op.slot_weights, op.slot_biases = op.weights, op.biases
            op.chains = plan.chain_elements
            plan.chain_elements += (
                fbp_aligned((weights + op.n_out) * plan.itemsize) // plan.itemsize)
        elif weights <= FBP_SLOT_WEIGHTS:
            op.slot_weights = plan.slot_elements
            op.slot_biases = plan.slot_elements + weights
            plan.slot_elements += weights + op.n_out
    if not plan.wide:
        plan.slot_elements = plan.n_parameters


cdef bint goes_on(const fbp_op *op, const fbp_op *before, const size_t *readers) noexcept:
    """Whether narrow layers run as one: nobody else reads what is between them."""
    return (op.narrow and before.narrow and op.input == before.output
            and readers[before.output] == 1 and before.activation != FBP_ACTIVATION_softmax)


cdef void count_readers(const fbp_plan *plan, size_t *readers) noexcept:
    """How many operations and outputs read each tensor."""
    cdef size_t i, k
    for i in range(plan.n_ops):
        for k in range(plan.ops[i].n_inputs):
            readers[plan.ops[i].inputs[k].tensor] += 1
    for k in range(plan.n_outputs):
        readers[plan.outputs[k].tensor] += 1


cdef void find_runs(fbp_plan *plan, const size_t *readers) noexcept:
    """Put together narrow layers fed by each other; a run ends with softmax, if there is one."""
    cdef size_t i
    cdef fbp_op *op
    for i in range(plan.n_ops):
        op = &plan.ops[i]
        if not op.narrow:
            continue
        op.run = 1
        if i > 0 and goes_on(op, op - 1, readers):
            op.run += (op - 1).run
        else:
            op.run_values = plan.run_elements
            plan.run_elements += op.n_in
        plan.run_elements += op.n_out * (1 if op.saved == FBP_NONE else 2)
    for i in range(plan.n_ops - 1, 0, -1):  # each of a run knows how many it has
        if goes_on(&plan.ops[i], &plan.ops[i - 1], readers):
            plan.ops[i - 1].run = plan.ops[i].run


cdef size_t block_rows(const fbp_plan *plan) noexcept:
    """Rows that run through all operations together: as many as stay in cache."""
    cdef size_t rows = FBP_BLOCK, of_row = 2 * plan.row_elements * plan.itemsize
    if plan.wide:
        return rows
    while rows > LEAST_BLOCK and rows * of_row > (
            BLOCK_BYTES if rows > FBP_SLOT_ROWS else SLOT_BYTES):
        rows //= 2
    return rows


cdef int fill_output(fbp_plan *plan, fbp_output *output, object source) except -1:
    loss = source.loss
    output.tensor, output.weight = source.tensor, source.weight
    for op in plan.ops[:plan.n_ops]:
        output.fused |= op.fused and op.output == output.tensor
    if loss is None:
        return 0
    output.calls = isinstance(loss, CustomLoss)
    if not output.calls:
        output.loss = <fbp_loss>found(fbp_find_loss(loss.name.encode()), loss.name)
    output.parameter = loss.parameter
    output.sums, output.shares = loss.reduction == "sum", loss.reduction == "joint_mean"
    output.labels = loss.labels
    output.threshold = loss.threshold
    output.accuracy = ACCURACIES[loss.decision(plan.sizes[output.tensor])]
    return 0


cdef int fill_sizes(fbp_plan *plan, object source) except -1:
    cdef size_t t
    for t in range(plan.n_tensors):
        plan.sizes[t] = source.tensors[t]
        plan.offsets[t] = plan.row_elements
        plan.row_elements += plan.sizes[t]
    return 0


cdef int fill_ops(fbp_plan *plan, fbp_edge *edges, object source) except -1:
    cdef size_t i
    called = {}  # where a layer with parameters was called last
    for i in range(plan.n_ops):
        fill_op(plan, &plan.ops[i], edges, source.ops[i], i)
        plan.ops[i].earlier = FBP_NONE
        if source.ops[i].parameters:
            plan.ops[i].earlier = called.get(source.ops[i].layer, FBP_NONE)
            called[source.ops[i].layer] = i
        edges += plan.ops[i].n_inputs
        plan.calls |= plan.ops[i].kind == FBP_OP_custom
        if plan.ops[i].kind == FBP_OP_dense:
            plan.wide |= plan.ops[i].n_in * plan.ops[i].n_out > FBP_SLOT_WEIGHTS
    return 0


cdef int fill_constraint(fbp_constraint *constraint, object parameter) except -1:
    source = parameter.constraint
    kind = found(fbp_find_constraint(source.name.encode()), source.name)
    constraint.kind = <fbp_constraint_kind>kind
    constraint.start = parameter.start
    *rows, constraint.columns = parameter.shape
    constraint.rows = rows[0] if rows else 1
    constraint.limit = getattr(source, "max_value", 0)
    constraint.of_rows = not rows or getattr(source, "axis", 0) == 1
    return 0


cdef int fill_restraints(fbp_plan *plan, object source) except -1:
    """What parameters cost in the loss, and what updates bring them back to."""
    for i, (parameter, l1, l2) in enumerate(source.penalties):
        plan.penalties[i] = fbp_penalty(parameter.start, parameter.stop, l1, l2)
    for i, parameter in enumerate(source.constrained):
        fill_constraint(&plan.constraints[i], parameter)
    return 0


cdef Program build(object source, const fbp_kernels *kernels):
    """Return the C form of `source`, to run on `kernels`."""
    cdef Program program = Program()
    cdef fbp_plan *plan = &program.plan
    cdef fbp_edge *edges
    cdef fbp_output *outputs
    cdef size_t *readers
    cdef size_t n_edges = sum([len(op.inputs) for op in source.ops])
    spans = source.trainable_spans
    program.source = source
    plan.kernels = kernels
    plan.itemsize = kernels.itemsize
    plan.type = <fbp_source>fbp_find_source(source.dtype.encode())
    plan.n_ops, plan.n_tensors = len(source.ops), len(source.tensors)
    plan.n_inputs, plan.n_outputs = len(source.inputs), len(source.outputs)
    plan.n_losses = len(source.loss_weights)
    plan.n_spans, plan.n_parameters = len(spans), source.n_parameters
    plan.n_penalties, plan.n_constraints = len(source.penalties), len(source.constrained)
    program.memory = <char *>PyMem_Calloc(
        1, plan.n_ops * sizeof(fbp_op) + plan.n_losses * sizeof(fbp_output)
        + n_edges * sizeof(fbp_edge) + plan.n_penalties * sizeof(fbp_penalty)
        + plan.n_constraints * sizeof(fbp_constraint)
        + (4 * plan.n_tensors + 2 * plan.n_spans) * sizeof(size_t))
    if program.memory == NULL:
        raise MemoryError()
    plan.ops = <fbp_op *>program.memory
    outputs = <fbp_output *>(plan.ops + plan.n_ops)
    edges = <fbp_edge *>(outputs + plan.n_losses)
    plan.sizes = <size_t *>(edges + n_edges)
    plan.offsets = plan.sizes + plan.n_tensors
    plan.groups = plan.offsets + plan.n_tensors
    plan.spans = plan.groups + plan.n_tensors
    readers = plan.spans + 2 * plan.n_spans
    plan.penalties = <fbp_penalty *>(readers + plan.n_tensors)
    plan.constraints = <fbp_constraint *>(plan.penalties + plan.n_penalties)
    plan.outputs = outputs
    for i, (start, stop) in enumerate(spans):
        plan.spans[2 * i], plan.spans[2 * i + 1] = start, stop
    fill_sizes(plan, source)
    fill_ops(plan, edges, source)
    for i, output in enumerate(source.outputs):
        fill_output(plan, &outputs[i], output)
        plan.calls |= outputs[i].calls
    for i in range(plan.n_outputs, plan.n_losses):
        outputs[i].weight, outputs[i].sums = source.loss_weights[i], True
    plan.wide |= plan.calls
    place_slots(plan)
    count_readers(plan, readers)
    find_runs(plan, readers)
    find_groups(plan, readers)
    fill_restraints(plan, source)
    plan.row_block = block_rows(plan)
    program.flops_forward = 2.0 * sum([p.size for op in source.ops if op.calls is None
                                       for p in op.parameters])
    return program
