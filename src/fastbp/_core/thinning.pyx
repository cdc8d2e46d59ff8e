"""Structured dropout: a batch of training runs through a plan that lacks what is dropped.

The units that a batch keeps are listed once, and the weights between them copied close together.
What is left is a network of smaller layers, a *thinned* plan, which runs like any other: its frames
hold kept units alone. In its gradients everything that belongs to a dropped unit is 0.

Between a dense layer that reads and the layer whose outputs it reads, tensors keep the same units:
they are a *group*. Above a structured dropout a unit that the reader lacks needs neither value nor
delta, as long as each element goes its own way: up to the outputs of a dense layer, which then
forms columns of kept units alone. Where something else comes before, the uppermost dropout of the
group copies what it keeps. A dropout without a dense layer to follow, or of fewer units than a
vector has (narrow layers run rows in the lanes), multiplies with its mask.

No bit depends on that but the sign of a zero: what is left out is fma(0, w, sum) = sum, and blocks
of terms begin where they begin in the whole layer (matmul.pyx).
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastbp._core.activation cimport draw_mask
from fastbp._core.layout cimport (
    FBP_ACTIVATION_softmax,
    FBP_NONE,
    FBP_OP_activation,
    FBP_OP_dense,
    FBP_OP_rescale,
    FBP_OP_structured_dropout,
    fbp_op,
    fbp_plan,
    fbp_units,
)
from fastbp._core.share cimport share


# Which tensors lack units: a matter of the plan.

cdef const fbp_op *writer(const fbp_plan *plan, size_t tensor) noexcept:
    """The operation whose output a tensor is, or NULL."""
    cdef size_t i
    for i in range(plan.n_ops):
        if plan.ops[i].output == tensor:
            return &plan.ops[i]
    return NULL


cdef bint is_shared(const fbp_op *op) noexcept:
    """Whether others have its parameters: a batch may drop other units of each call's tensors."""
    return op.adds or op.earlier != FBP_NONE


cdef size_t top_of_group(const fbp_plan *plan, size_t tensor, const size_t *readers) noexcept:
    """The first tensor that lacks units if `tensor`, a dense layer's input, does; or FBP_NONE.

    It is read once from there on, and a dropout that copies what it keeps is first to give a delta.
    """
    cdef size_t top = FBP_NONE
    cdef bint zeros_stay = True  # from here to the dense layer
    cdef const fbp_op *op = writer(plan, tensor)
    while op != NULL and readers[op.output] == 1:
        if op.kind == FBP_OP_structured_dropout and zeros_stay and not op.inputs.adds:
            top = op.output
        elif (op.kind == FBP_OP_dense and op.activation != FBP_ACTIVATION_softmax
              and not is_shared(op)):
            return op.output if top != FBP_NONE else FBP_NONE
        elif op.kind == FBP_OP_activation and op.activation != FBP_ACTIVATION_softmax:
            zeros_stay = False
        elif op.kind != FBP_OP_rescale:
            break
        op = writer(plan, op.input)
    return top


cdef void mark_group(fbp_plan *plan, size_t tensor, size_t top) noexcept:
    """Let the tensors from `top` down to `tensor` keep the same units."""
    cdef const fbp_op *op = writer(plan, tensor)
    while True:
        plan.groups[op.output] = plan.n_groups
        if op.output == top:
            break
        op = writer(plan, op.input)
    if op.saved != FBP_NONE:
        plan.groups[op.saved] = plan.n_groups
    plan.n_groups += 1


cdef void find_groups(fbp_plan *plan, const size_t *readers) noexcept:
    """Fill in what the plan says of structured dropout; `readers`: how many read each tensor."""
    cdef size_t i, top
    cdef const fbp_op *op
    for i in range(plan.n_tensors):
        plan.groups[i] = FBP_NONE
    for i in range(plan.n_ops):
        op = &plan.ops[i]
        if op.kind == FBP_OP_structured_dropout:
            plan.mask_elements += op.n_out
        if op.kind != FBP_OP_dense or op.n_in < plan.kernels.row_lanes or is_shared(op):
            continue
        top = top_of_group(plan, op.input, readers)
        if top != FBP_NONE:
            mark_group(plan, op.input, top)


cdef size_t group_size(const fbp_plan *plan, size_t group) noexcept nogil:
    """Units of a group in the whole network."""
    cdef size_t tensor = 0
    while plan.groups[tensor] != group:
        tensor += 1
    return plan.sizes[tensor]


# The thinned plan of a batch.

cdef void draw_masks(Thinning *thinning, const fbp_plan *whole, uint64_t seed,
                     uint64_t batch) noexcept nogil:
    cdef size_t i
    cdef char *mask = thinning.masks
    cdef const fbp_op *op
    for i in range(whole.n_ops):
        op = &whole.ops[i]
        if op.kind != FBP_OP_structured_dropout:
            continue
        draw_mask(whole, op, seed, batch, 0, 1, mask)
        thinning.plan.ops[i].mask = mask
        thinning.plan.ops[i].value = 1.0 / (1.0 - op.value)
        mask += op.n_out * whole.itemsize


cdef void strike_out(const char *mask, size_t itemsize, size_t n, uint32_t *keeps) noexcept nogil:
    cdef size_t unit
    for unit in range(n):
        if itemsize == 4:
            keeps[unit] &= (<const float *>mask)[unit] != 0
        else:
            keeps[unit] &= (<const double *>mask)[unit] != 0


cdef void list_units(Thinning *thinning, size_t group) noexcept nogil:
    """List the units that all structured dropouts of a group keep."""
    cdef const fbp_plan *plan = &thinning.plan
    cdef fbp_units *units = &thinning.units[group]
    cdef uint32_t *kept = <uint32_t *>units.kept
    cdef uint32_t *before = <uint32_t *>units.before
    cdef size_t i
    cdef uint32_t unit, n = 0, keeps
    for unit in range(units.size):
        before[unit] = 1
    for i in range(plan.n_ops):
        if (plan.ops[i].kind == FBP_OP_structured_dropout
                and plan.groups[plan.ops[i].output] == group):
            strike_out(plan.ops[i].mask, plan.itemsize, units.size, before)
    for unit in range(units.size):
        keeps, before[unit] = before[unit], n
        if keeps:
            kept[n] = unit
            n += 1
    before[units.size], units.n = n, n


cdef const fbp_units *units_of(const Thinning *thinning, size_t tensor) noexcept nogil:
    cdef size_t group = thinning.plan.groups[tensor]
    return NULL if group == FBP_NONE else &thinning.units[group]


cdef void thin_op(const Thinning *thinning, fbp_op *op) noexcept nogil:
    op.units_in, op.units_out = units_of(thinning, op.input), units_of(thinning, op.output)
    op.n_in, op.n_out = thinning.plan.sizes[op.input], thinning.plan.sizes[op.output]
    if op.kind == FBP_OP_structured_dropout and op.units_in != NULL:
        op.kind = FBP_OP_rescale
    elif op.kind == FBP_OP_dense and (op.units_in != NULL or op.units_out != NULL):
        op.parameters = thinning.parameters


cdef void thin(Thinning *thinning, const fbp_plan *whole, uint64_t seed,
               uint64_t batch) noexcept nogil:
    """Make the thinned plan of a batch; its parameters are still to be gathered."""
    cdef fbp_plan *plan = &thinning.plan
    cdef fbp_op *ops = plan.ops
    cdef size_t *sizes = plan.sizes
    cdef size_t i
    plan[0] = whole[0]
    plan.ops, plan.sizes = ops, sizes
    memcpy(ops, whole.ops, whole.n_ops * sizeof(fbp_op))
    memcpy(sizes, whole.sizes, whole.n_tensors * sizeof(size_t))
    draw_masks(thinning, whole, seed, batch)
    for i in range(plan.n_groups):
        list_units(thinning, i)
    for i in range(plan.n_tensors):
        if plan.groups[i] != FBP_NONE:
            sizes[i] = thinning.units[plan.groups[i]].n
    for i in range(plan.n_ops):
        thin_op(thinning, &ops[i])


# Parameters in, gradients out.

cdef void pick(const fbp_plan *plan, const fbp_units *units, size_t n, const char *values,
               char *to) noexcept nogil:
    """The n values of units that are left."""
    if units == NULL:
        memcpy(to, values, n * plan.itemsize)
    else:
        plan.kernels.gather(n, units.kept, values, to)


cdef void gather_layer(const Thinning *thinning, const fbp_op *op, size_t n_out,
                       const char *parameters, int rank, int size) noexcept nogil:
    """This thread's rows of a layer's weights, and thread 0 its biases."""
    cdef const fbp_plan *plan = &thinning.plan
    cdef const fbp_units *units = op.units_out
    cdef size_t itemsize = plan.itemsize, row, place
    for row in range(share(op.n_in, rank, size, 1), share(op.n_in, rank + 1, size, 1)):
        place = row if op.units_in == NULL else op.units_in.kept[row]
        pick(plan, units, op.n_out, parameters + (op.weights + place * n_out) * itemsize,
             thinning.parameters + (op.weights + row * op.n_out) * itemsize)
    if rank == 0 and op.biases != FBP_NONE:
        pick(plan, units, op.n_out, parameters + op.biases * itemsize,
             thinning.parameters + op.biases * itemsize)


cdef void gather_parameters(const Thinning *thinning, const fbp_plan *whole,
                            const char *parameters, int rank, int size) noexcept nogil:
    """This thread's part of the thinned plan's parameters."""
    cdef size_t i
    for i in range(whole.n_ops):
        if lacks_units(&thinning.plan.ops[i]):
            gather_layer(thinning, &thinning.plan.ops[i], whole.ops[i].n_out, parameters, rank,
                         size)


cdef size_t reach(const fbp_units *units, size_t first, size_t count, size_t stop) noexcept nogil:
    """Where the places from `first` on end that hold `count` units; at most `stop`."""
    cdef size_t last = kept_before(units, first) + count
    if units == NULL:
        return min(last, stop)
    return min(<size_t>units.kept[last], stop) if last < units.n else stop


cdef void put(const fbp_plan *plan, const fbp_units *units, size_t n, const char *values,
              char *to) noexcept nogil:
    """Values of the units that are left to their places among n."""
    if units == NULL:
        memcpy(to, values, n * plan.itemsize)
    else:
        plan.kernels.scatter(units.n, units.kept, values, to)


cdef void spread(const fbp_plan *plan, const fbp_units *units, size_t n, const char *values,
                 char *to) noexcept nogil:
    """Values of the units that are left to their places among n, with zeros between them."""
    memset(to, 0, n * plan.itemsize)
    put(plan, units, n, values, to)


cdef void spread_rows(const fbp_plan *plan, const fbp_op *op, size_t n_out, size_t low,
                      size_t high, const char *values, char *to) noexcept nogil:
    """Rows [low, high) of a layer's whole weight gradient, from those that are left of them.

    In `to` columns that are dropped hold zeros.
    """
    cdef size_t row, itemsize = plan.itemsize
    for row in range(low, high):
        if kept_before(op.units_in, row + 1) == kept_before(op.units_in, row):
            memset(to, 0, n_out * itemsize)
        else:
            put(plan, op.units_out, n_out, values, to)
            values += op.n_out * itemsize
        to += n_out * itemsize
