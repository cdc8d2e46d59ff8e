"""Some rows of a batch through all operations and back, a row block at a time.

A block is gathered (and converted) from the caller's arrays, or read where it stands if it can be,
runs forward through every operation, meets its targets, and runs back, while its activations are
still in the nearest caches.
"""
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t
from libc.string cimport memcpy

from fastbp._core.activation cimport forward_op
from fastbp._core.delta cimport (
    RowRun,
    Target,
    add_rows,
    arena_target,
    backward_op,
    chain_target,
    ends_chain,
    slot_target,
    take_sums,
)
from fastbp._core.layout cimport (
    FBP_OP_dense,
    fbp_frame,
    fbp_op,
    fbp_output,
    fbp_plan,
    fbp_rows,
    fbp_source_bytes,
    tensor,
    value,
)
from fastbp._core.narrow cimport backward_run, forward_run


cdef size_t data_row(const Pass *run, size_t row) noexcept nogil:
    """Row of the data that the batch's row `row` is."""
    cdef size_t place = run.start + row
    return <size_t>run.order[place] if run.order != NULL else place


cdef double row_weight(const Pass *run, size_t output, size_t row) noexcept nogil:
    """Sample weight of the batch's row `row` at an output."""
    cdef const double *weights = run.data.answers[output].weights
    return weights[data_row(run, row)] if weights != NULL else 1.0


cdef size_t rows_measured(const Pass *run, size_t output) noexcept nogil:
    """Rows of the batch that metrics of an output count."""
    cdef const Answers *answers = &run.data.answers[output]
    cdef size_t row, count = 0
    if not answers.leaves_out:
        return run.rows
    for row in range(run.rows):
        count += answers.labels[data_row(run, row)] >= 0
    return count


cdef const char *source_row(const Pass *run, const fbp_rows *source, size_t row) noexcept nogil:
    return source.data + <ptrdiff_t>data_row(run, row) * source.stride


cdef bint gather(const Pass *run, const fbp_rows *source, size_t n, size_t first, size_t rows,
                 char *to) noexcept nogil:
    """Copy rows of n elements, converted; False if they are to be looked at and aren't finite."""
    cdef const fbp_plan *plan = run.plan
    cdef size_t row, at_once = 1
    if run.order == NULL and source.stride == <ptrdiff_t>(n * fbp_source_bytes(source.type)):
        at_once = rows
    for row from 0 <= row < rows by at_once:
        plan.kernels.convert[<size_t>source.type](
            at_once * n, source_row(run, source, first + row), to + row * n * plan.itemsize)
    return not run.data.unchecked or plan.kernels.all_finite(rows * n, to)


cdef bint reads_in_place(const Pass *run) noexcept nogil:
    """Whether rows of the first input are what the operations read: in order, contiguous, of the
    plan's type."""
    cdef const fbp_rows *x = run.data.x
    return (run.order == NULL and x.type == run.plan.type
            and x.stride == <ptrdiff_t>(run.plan.sizes[0] * run.plan.itemsize))


cdef void place_frame(const Pass *run, fbp_frame *frame) noexcept nogil:
    """Let the frame's inputs and outputs stand in the caller's arrays where they can."""
    frame.inputs = frame.outputs = NULL
    if reads_in_place(run):
        frame.inputs = <char *>source_row(run, run.data.x, 0)
    if (run.outputs != NULL and not run.outputs_by_row
            and run.plan.outputs.tensor >= run.plan.n_inputs):
        frame.outputs = run.outputs[0]


cdef void gather_inputs(Pass *run, const fbp_frame *frame, size_t first,
                        size_t rows) noexcept nogil:
    cdef size_t i
    for i in range(0 if frame.inputs == NULL else 1, run.plan.n_inputs):
        if not gather(run, &run.data.x[i], run.plan.sizes[i], first, rows,
                      value(run.plan, frame, i, first)):
            run.fault = 1 + <int>i


cdef void look_at_inputs(Pass *run, const fbp_frame *frame, size_t first,
                         size_t rows) noexcept nogil:
    """Look at rows that were read where they stand: now they are in the cache."""
    if frame.inputs == NULL or not run.data.unchecked:
        return
    if not run.plan.kernels.all_finite(rows * run.plan.sizes[0], value(run.plan, frame, 0, first)):
        run.fault = 1


cdef void gather_targets(Pass *run, size_t output, char *targets, size_t first,
                         size_t rows) noexcept nogil:
    cdef const Answers *answers = &run.data.answers[output]
    cdef size_t row
    if run.plan.outputs[output].labels:
        for row in range(rows):
            (<int32_t *>targets)[row] = answers.labels[data_row(run, first + row)]
    elif not gather(run, &answers.y, run.plan.sizes[run.plan.outputs[output].tensor], first, rows,
                    targets):
        run.fault = -1 - <int>output


cdef void fill_scales(const Pass *run, size_t output, char *scales, size_t first,
                      size_t rows) noexcept nogil:
    """What each row counts in the gradient."""
    cdef size_t row
    cdef double scale, of_one = run.scales[output]
    for row in range(rows):
        scale = row_weight(run, output, first + row) * of_one
        if run.plan.itemsize == 4:
            (<float *>scales)[row] = <float>scale
        else:
            (<double *>scales)[row] = scale


cdef bint in_lanes(const fbp_op *op, const Scratch *scratch, const fbp_frame *frame) noexcept nogil:
    """Whether the operation runs with those it belongs to, rows in the lanes.

    It can where nobody else will ask for values or deltas between them, in the thread's own frame.
    """
    return op.narrow and frame == &scratch.frame


cdef void forward_rows(const Pass *run, const Scratch *scratch, const fbp_frame *frame,
                       const Shared *shared, size_t first, size_t rows) noexcept nogil:
    cdef const fbp_plan *plan = run.plan
    cdef const fbp_op *op
    cdef size_t i = run.first_op
    cdef bint completed_by_loss
    while i < run.stop_op:
        op = &plan.ops[i]
        i += op.run if in_lanes(op, scratch, frame) else 1
        completed_by_loss = run.wants_loss and plan.ops[i - 1].fused
        if in_lanes(op, scratch, frame):
            forward_run(plan, op, run.parameters, frame, first, rows, not completed_by_loss,
                        scratch.values)
        else:
            forward_op(plan, op, run.parameters, frame, first, rows, run.training,
                       not completed_by_loss, run.seed, run.batch, run.before, shared,
                       scratch.panel)


cdef void meet_targets(Pass *run, Scratch *scratch, const fbp_frame *frame, size_t output,
                       size_t first, size_t rows) noexcept nogil:
    """Loss and accuracy of each row at an output, and its delta."""
    cdef const fbp_plan *plan = run.plan
    cdef const fbp_output *goal = &plan.outputs[output]
    cdef size_t n = plan.sizes[goal.tensor], row
    cdef double *losses = run.row_losses + output * run.rows
    cdef char *y = value(plan, frame, goal.tensor, first)
    cdef char *delta = NULL
    gather_targets(run, output, scratch.targets, first, rows)
    if run.wants_deltas:
        delta = tensor(plan, frame, frame.deltas, goal.tensor, first)
        fill_scales(run, output, scratch.scales, first, rows)
    plan.kernels.loss(goal.loss, goal.parameter, goal.fused, rows, n, scratch.targets,
                      scratch.scales, y, delta, losses + first)
    for row in range(first, first + rows if run.data.answers[output].weights != NULL else 0):
        losses[row] *= row_weight(run, output, row)
    if run.wants_accuracy:
        plan.kernels.accuracy(goal.accuracy, goal.threshold, rows, n, scratch.targets, y,
                              run.row_rights + output * run.rows + first)


cdef void hand_out(const Pass *run, const fbp_frame *frame, size_t output, size_t first,
                   size_t rows) noexcept nogil:
    cdef const fbp_plan *plan = run.plan
    cdef size_t t = plan.outputs[output].tensor, row, to, n = plan.sizes[t] * plan.itemsize
    if output == 0 and frame.outputs != NULL:
        return
    for row in range(first, first + rows):
        to = data_row(run, row) if run.outputs_by_row else row
        memcpy(run.outputs[output] + to * n, value(plan, frame, t, row), n)


cdef Target target_of(const fbp_plan *plan, const fbp_op *op, const Slot *slot) noexcept nogil:
    """Where the slot sums the layer's gradients."""
    if slot.in_arena:
        return arena_target(plan, op, slot.sums)
    return slot_target(plan, op, slot.sums)


cdef void add_block(const fbp_plan *plan, const fbp_op *op, Scratch *scratch,
                    const fbp_frame *frame, const Slot *slot, const RowRun *block) noexcept nogil:
    """The block's part of one layer's gradients."""
    add_rows(plan, op, target_of(plan, op, slot), chain_target(plan, op, scratch.chains),
             scratch.lanes, scratch.panel, frame, block, 0, op.n_in)


cdef void backward_in_lanes(const Pass *run, const fbp_op *ops, Scratch *scratch,
                            const fbp_frame *frame, const Slot *slot, const RowRun *block,
                            bint activated) noexcept nogil:
    """Back through narrow layers that belong together, and their part of the gradients."""
    cdef ptrdiff_t i
    backward_run(run.plan, ops, run.parameters, frame, block, activated, scratch.values,
                 scratch.partial, scratch.lanes)
    for i in range(ops.run - 1 if ends_chain(block) else -1, -1, -1):
        take_sums(run.plan, ops + i, target_of(run.plan, ops + i, slot), scratch.lanes, block)


cdef void backward_rows(const Pass *run, Scratch *scratch, const fbp_frame *frame,
                        const Slot *slot, const Shared *shared, size_t first,
                        size_t rows) noexcept nogil:
    cdef const fbp_plan *plan = run.plan
    cdef const fbp_op *op
    cdef size_t i = run.stop_op
    cdef bint trains, activated
    cdef RowRun block = RowRun(first, rows, 0, False)
    if slot != NULL:
        block.place, block.last = first - slot.first, first + rows == slot.stop
    while i > run.first_op:
        op = &plan.ops[i - 1]
        i -= op.run if in_lanes(op, scratch, frame) else 1
        trains = op.trains_weights or op.trains_biases
        if not (trains or op.propagates or run.wants_input_delta):
            continue
        activated = not (run.wants_loss and op.fused)
        if in_lanes(op, scratch, frame):
            backward_in_lanes(run, &plan.ops[i], scratch, frame, slot, &block, activated)
            continue
        backward_op(plan, op, run.parameters, frame, first, rows, run.training, activated,
                    run.wants_input_delta, shared, scratch.panel)
        if slot != NULL and trains and op.kind == FBP_OP_dense:
            add_block(plan, op, scratch, frame, slot, &block)


cdef void run_block(Pass *run, Scratch *scratch, const fbp_frame *frame, const Slot *slot,
                    const Shared *shared, size_t first, size_t rows) noexcept nogil:
    """Rows [first, first + rows) of the batch through the plan.

    `slot` takes the gradients, or is NULL if they are formed later. `shared` is the block that a
    team runs in step, these rows being the thread's own, or NULL.
    """
    cdef size_t output
    cdef bint meets = run.stages & TARGETS
    if run.stages & FORWARD:
        if run.first_op == 0:
            gather_inputs(run, frame, first, rows)
        forward_rows(run, scratch, frame, shared, first, rows)
        if run.first_op == 0:
            look_at_inputs(run, frame, first, rows)
    for output in range(run.plan.n_outputs if run.wants_loss and meets else 0):
        if not run.plan.outputs[output].calls:
            meet_targets(run, scratch, frame, output, first, rows)
    for output in range(run.plan.n_outputs if run.outputs != NULL and meets else 0):
        hand_out(run, frame, output, first, rows)
    if run.stages & BACKWARD and run.wants_deltas:
        backward_rows(run, scratch, frame, slot, shared, first, rows)


cdef void run_rows(Pass *run, Scratch *scratch, fbp_frame *frame, const Slot *slot,
                   size_t first, size_t stop) noexcept nogil:
    """Rows [first, stop) of the batch, a block at a time.

    `frame` is the thread's own, which then holds one block after another, or one for the whole
    batch, which keeps them all.
    """
    cdef bint moves = frame == &scratch.frame
    cdef size_t begin
    if moves:
        place_frame(run, frame)
    for begin from first <= begin < stop by run.plan.row_block:
        if moves:
            frame.first = begin
        run_block(run, scratch, frame, slot, NULL, begin, min(run.plan.row_block, stop - begin))
