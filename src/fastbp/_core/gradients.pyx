"""Gradients of one batch whose rows have run, and the update, by a team of threads.

In a plan of small layers a thread owns a part of the parameters, for which it adds the slots and
takes the optimizer's step. In a wide plan it owns some rows of each weight matrix, whose gradient
it forms over the whole batch. Who owns what never changes a bit.
"""
from libc.math cimport INFINITY
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from fastbp._core.delta cimport RowRun, Target, add_rows, arena_target, slot_target
from fastbp._core.layout cimport (
    FBP_BLOCK,
    FBP_CHUNK,
    FBP_NONE,
    FBP_OP_custom,
    FBP_OP_dense,
    fbp_op,
    fbp_plan,
    fbp_slot_rows,
    fbp_slots,
    fbp_step,
)
from fastbp._core.restraint cimport add_penalty_gradient, project
from fastbp._core.rows cimport Pass, Scratch
from fastbp._core.scores cimport penalty_scale
from fastbp._core.share cimport share
from fastbp._core.team cimport Team, Worker, first_slot, spreads, sync, whole_op
from fastbp._core.thinning cimport kept_before, lacks_units, reach, spread, spread_rows
from fastbp._core.update cimport Rule, chunk_square, clip, step_of, sum_slots, update_span

# In a wide plan the gradient of so many bytes, or of so many tiles' rows if that is more, is formed
# before the update reads it: few enough to stay in cache, and enough to make a product of.
cdef size_t CHUNK_BYTES = 128 * 1024
cdef size_t LEAST_TILES = 8
# Gradients, parameters and two states of so many bytes each stay in the first cache.
cdef size_t PIECE_BYTES = 8 * 1024


cdef void spread_layer(const Worker *worker, const Pass *run, const fbp_op *op,
                       bint biases) noexcept nogil:
    """This thread's rows of the whole gradient of a layer, and its biases if asked."""
    cdef Team *team = worker.team
    cdef size_t size = run.plan.itemsize, n_out = whole_op(team, run, op).n_out
    cdef size_t n_in = whole_op(team, run, op).n_in
    cdef size_t low = share(n_in, worker.rank, worker.size, 1)
    cdef size_t high = share(n_in, worker.rank + 1, worker.size, 1)
    cdef Target sums = arena_target(run.plan, op, team.thinning.sums)
    cdef Target to = arena_target(run.plan, op, team.memory.gradients)
    if op.trains_weights:
        memset(to.weights + low * n_out * size, 0, (high - low) * n_out * size)
        spread_rows(run.plan, op, n_out, low, high,
                    sums.weights + kept_before(op.units_in, low) * op.n_out * size,
                    to.weights + low * n_out * size)
    if op.trains_biases and biases:
        spread(run.plan, op.units_out, n_out, sums.biases, to.biases)


cdef void spread_slots(const Worker *worker, const Pass *run) noexcept nogil:
    """From the sums over slots to the gradients of all units, by the whole team."""
    cdef size_t i
    sync(worker)
    for i in range(run.plan.n_ops):
        if run.plan.ops[i].kind == FBP_OP_dense and not run.plan.ops[i].adds:
            spread_layer(worker, run, &run.plan.ops[i], worker.rank == 0)
    sync(worker)


cdef void finish_gradients(const Team *team, const Pass *run, const Rule *rule,
                           const fbp_step *step, char *gradients, size_t start,
                           size_t stop) noexcept nogil:
    """Add to the gradients of parameters [start, stop) what these cost; then the update, if any.

    Piece by piece where both are to be done, so that the update finds a piece in the first cache.
    """
    cdef const fbp_plan *plan = team.plan
    cdef size_t piece = PIECE_BYTES // plan.itemsize if run.penalties != NULL else stop - start
    cdef size_t first, last
    cdef char *g
    for first from start <= first < stop by piece:
        last = min(first + piece, stop)
        g = gradients + (first - start) * plan.itemsize
        if run.penalties != NULL:
            add_penalty_gradient(plan, team.memory.parameters, g, first, last, penalty_scale(run))
        if rule != NULL:
            update_span(plan, rule, step, &team.memory, g, first, last)


cdef void add_and_update(const Worker *worker, const Pass *run, const Rule *rule,
                         const fbp_step *step) noexcept nogil:
    """Plan of small layers: this thread's part of the parameters."""
    cdef Team *team = worker.team
    cdef const fbp_plan *plan = team.plan
    cdef size_t slots = fbp_slots(run.rows, 0), s, low, high
    cdef size_t grain = plan.kernels.row_lanes
    cdef size_t start = share(plan.n_parameters, worker.rank, worker.size, grain)
    cdef size_t stop = share(plan.n_parameters, worker.rank + 1, worker.size, grain)
    for s in range(plan.n_spans if slots > 1 else 0):
        low, high = max(start, plan.spans[2 * s]), min(stop, plan.spans[2 * s + 1])
        if low < high:
            sum_slots(plan, first_slot(team, run) + low * plan.itemsize,
                      team.slots + low * plan.itemsize, team.slot_bytes, slots, high - low)
    if spreads(run):
        spread_slots(worker, run)
    finish_gradients(team, run, rule, step, team.memory.gradients + start * plan.itemsize, start,
                     stop)


cdef void form_slot(const Worker *worker, const Pass *run, const fbp_op *op, Target sums,
                    size_t first, size_t stop, size_t low, size_t high) noexcept nogil:
    """Rows [low, high) of a layer's weight gradient over rows [first, stop) of the batch, for `op`
    and the calls before it."""
    cdef Scratch *scratch = &worker.team.scratches[worker.rank]
    cdef const fbp_op *call
    cdef size_t row, rows
    cdef RowRun block
    for row from first <= row < stop by FBP_BLOCK:
        rows = min(stop - row, FBP_BLOCK)
        block = RowRun(row, rows, row - first, row + rows == stop)
        call = op
        while call != NULL:
            add_rows(run.plan, call, sums, Target(NULL, NULL), scratch.lanes, scratch.panel,
                     &worker.team.frame, &block, low, high - low)
            call = NULL if call.earlier == FBP_NONE else &run.plan.ops[call.earlier]


cdef void form_layer(const Worker *worker, const Pass *run, const fbp_op *op, Target sums,
                     size_t low, size_t high) noexcept nogil:
    """Gradient of rows [low, high) of a layer's weights, and of its biases."""
    cdef Team *team = worker.team
    cdef const fbp_plan *plan = run.plan
    cdef const fbp_op *whole = whole_op(team, run, op)
    cdef size_t slots = fbp_slots(run.rows, whole.n_in * whole.n_out), s
    cdef size_t rows = fbp_slot_rows(run.rows, slots)
    cdef Target others = slot_target(plan, op, team.slots), slot = sums
    if others.weights != NULL:
        others.weights += low * op.n_out * plan.itemsize
    for s in range(slots):
        if s > 0 and sums.weights != NULL:
            slot.weights = others.weights + (s - 1) * team.slot_bytes
        if s > 0 and sums.biases != NULL:
            slot.biases = others.biases + (s - 1) * team.slot_bytes
        form_slot(worker, run, op, slot, s * rows, min((s + 1) * rows, run.rows), low, high)
    if sums.weights != NULL:
        sum_slots(plan, sums.weights, others.weights, team.slot_bytes, slots,
                  (high - low) * op.n_out)
    if sums.biases != NULL:
        sum_slots(plan, sums.biases, others.biases, team.slot_bytes, slots, op.n_out)


cdef void spread_and_update(const Worker *worker, const Pass *run, const fbp_op *op,
                            const Rule *rule, const fbp_step *step, size_t low,
                            size_t high) noexcept nogil:
    """Rows [low, high) of a layer's whole weights, from the gradient of those that are left.

    With an update behind it, the whole gradient is made some rows at a time, in scratch.
    """
    cdef Team *team = worker.team
    cdef const fbp_plan *plan = run.plan
    cdef size_t n_out = whole_op(team, run, op).n_out, size = plan.itemsize, row, last
    cdef size_t before = kept_before(op.units_in, low), rows = max(FBP_CHUNK // n_out, 1)
    cdef const char *left
    cdef char *to = team.scratches[worker.rank].gradient
    if rule == NULL:
        rows, to = high - low, team.memory.gradients + (op.weights + low * n_out) * size
    for row from low <= row < high by rows:
        last = min(row + rows, high)
        if row == low or run.penalties != NULL:  # which leave no zeros for the units that lack
            memset(to, 0, (last - row) * n_out * size)
        left = team.scratches[worker.rank].thinned
        left += (kept_before(op.units_in, row) - before) * op.n_out * size
        spread_rows(plan, op, n_out, row, last, left, to)
        finish_gradients(team, run, rule, step, to, op.weights + row * n_out,
                         op.weights + last * n_out)


cdef void form_thinned_part(const Worker *worker, const Pass *run, const fbp_op *op,
                            const Rule *rule, const fbp_step *step, size_t low, size_t high,
                            bint biases) noexcept nogil:
    """`form_part` of a layer that lacks units: rows and biases are those of the whole layer."""
    cdef Team *team = worker.team
    cdef size_t n_out = whole_op(team, run, op).n_out
    cdef char *to = team.memory.gradients + op.biases * run.plan.itemsize
    cdef char *left = team.scratches[worker.rank].thinned
    if low < high:
        form_layer(worker, run, op, Target(left, NULL), kept_before(op.units_in, low),
                   kept_before(op.units_in, high))
        spread_and_update(worker, run, op, rule, step, low, high)
    if biases and op.trains_biases:
        form_layer(worker, run, op, Target(NULL, left), 0, 0)
        spread(run.plan, op.units_out, n_out, left, to)
        finish_gradients(team, run, rule, step, to, op.biases, op.biases + n_out)


cdef void form_part(const Worker *worker, const Pass *run, const fbp_op *op, const Rule *rule,
                    const fbp_step *step, size_t low, size_t high,
                    bint biases) noexcept nogil:
    """Gradient and update of rows [low, high) of a layer's weights, and of its biases if asked.

    With an update behind it nobody else sees the gradient of the weights: it stays in scratch.
    """
    if lacks_units(op):
        form_thinned_part(worker, run, op, rule, step, low, high, biases)
        return
    cdef Team *team = worker.team
    cdef const fbp_plan *plan = team.plan
    cdef size_t start = op.weights + low * op.n_out, stop = op.weights + high * op.n_out
    cdef Target sums = arena_target(plan, op, team.memory.gradients)
    if sums.weights != NULL:
        sums.weights += low * op.n_out * plan.itemsize
        if rule != NULL:
            sums.weights = team.scratches[worker.rank].gradient
    if not biases:
        sums.biases = NULL
    form_layer(worker, run, op, sums, low, high)
    if sums.weights != NULL:
        finish_gradients(team, run, rule, step, sums.weights, start, stop)
    if sums.biases != NULL:
        finish_gradients(team, run, rule, step, sums.biases, op.biases, op.biases + op.n_out)


cdef size_t chunk_inputs(const fbp_plan *plan, const fbp_op *op) noexcept nogil:
    """Rows of a weight matrix whose gradient stays in cache until the update reads it."""
    cdef size_t height = plan.kernels.tile_rows
    cdef size_t rows = CHUNK_BYTES // (max(op.n_out, 1) * plan.itemsize)
    return max(rows // height, LEAST_TILES) * height


cdef size_t chunk_bytes(const fbp_plan *plan) noexcept nogil:
    """Bytes of the scratch `gradient`."""
    cdef size_t i, most = 0
    for i in range(plan.n_ops if plan.wide else 0):
        if plan.ops[i].kind == FBP_OP_dense:
            most = max(most, chunk_inputs(plan, &plan.ops[i]) * plan.ops[i].n_out)
    return most * plan.itemsize


cdef size_t thinned_bytes(const fbp_plan *plan) noexcept nogil:
    """Bytes of the scratch `thinned`: chunks of fewer outputs are no larger."""
    cdef size_t i, most = CHUNK_BYTES
    if not plan.wide or plan.n_groups == 0:
        return 0
    for i in range(plan.n_ops):
        most = max(most, plan.ops[i].n_out * plan.itemsize)
    return max(most, chunk_bytes(plan))


cdef void update_own(const Worker *worker, size_t i, const Rule *rule,
                     const fbp_step *step) noexcept nogil:
    """One thread's update of a custom operation's parameters, whose gradients have been given."""
    cdef Team *team = worker.team
    cdef const fbp_op *op = &team.plan.ops[i]
    if rule != NULL and <int>(i % <size_t>worker.size) == worker.rank:
        update_span(team.plan, rule, step, &team.memory,
                    team.memory.gradients + op.weights * team.plan.itemsize, op.weights,
                    op.weights + op.n_own)


cdef void form_and_update(const Worker *worker, const Pass *run, const Rule *rule,
                          const fbp_step *step) noexcept nogil:
    """Wide plan: this thread's rows of each weight matrix, some at a time.

    A narrow layer is one thread's, and so are the biases of any. All calls of a layer are gone
    through with the last one.
    """
    cdef const fbp_plan *plan = run.plan
    cdef const fbp_op *op
    cdef size_t i, rows, low, high, first, last, chunk, height = plan.kernels.tile_rows
    for i in range(plan.n_ops):
        op = &plan.ops[i]
        if op.adds or not (op.trains_weights or op.trains_biases):
            continue
        if op.kind == FBP_OP_custom:
            update_own(worker, i, rule, step)
            continue
        if <int>(i % <size_t>worker.size) == worker.rank:
            form_part(worker, run, op, rule, step, 0, op.n_in if op.narrow else 0, True)
        if op.narrow or not op.trains_weights:
            continue
        rows = whole_op(worker.team, run, op).n_in
        low = share(rows, worker.rank, worker.size, height)
        high = share(rows, worker.rank + 1, worker.size, height)
        chunk, first = chunk_inputs(plan, op), low
        while first < high:
            last = reach(op.units_in, first, chunk, high)
            form_part(worker, run, op, rule, step, first, last, False)
            first = last


cdef void form_gradients(const Worker *worker, const Pass *run, const Rule *rule,
                         uint64_t number) noexcept nogil:
    """This thread's part of the gradients, and of the update unless `rule` is NULL.

    The update follows behind each gradient while that is in the cache, unless it has to see the
    norm of them all: which of both ways is taken changes no bit.
    """
    cdef fbp_step step
    cdef bint fused = rule != NULL and rule.clip_norm == INFINITY
    cdef const Rule *behind = rule if fused else NULL
    if fused:
        step = step_of(rule, number)
    if worker.team.plan.wide:
        form_and_update(worker, run, behind, &step)
    else:
        add_and_update(worker, run, behind, &step)
    if rule != NULL and not fused:
        sync(worker)
        update_share(worker, worker.team.memory.gradients, rule, number)


cdef void accumulate(const Worker *worker, bint first) noexcept nogil:
    """Add this thread's share of the gradients to what is accumulated, or begin with them."""
    cdef Team *team = worker.team
    cdef size_t n = team.plan.n_parameters, size = team.plan.itemsize
    cdef size_t start = share(n, worker.rank, worker.size, FBP_CHUNK)
    cdef size_t stop = share(n, worker.rank + 1, worker.size, FBP_CHUNK)
    if first:
        memcpy(team.accumulated + start * size, team.memory.gradients + start * size,
               (stop - start) * size)
    else:
        team.plan.kernels.add(stop - start, team.memory.gradients + start * size,
                              team.accumulated + start * size)


cdef void update_share(const Worker *worker, const char *gradients, const Rule *rule,
                       uint64_t number) noexcept nogil:
    """This thread's part of the update, from the gradients of all parameters."""
    cdef Team *team = worker.team
    cdef const fbp_plan *plan = team.plan
    cdef size_t start = share(plan.n_parameters, worker.rank, worker.size, FBP_CHUNK)
    cdef size_t stop = share(plan.n_parameters, worker.rank + 1, worker.size, FBP_CHUNK), at
    cdef fbp_step step = step_of(rule, number)
    if rule.clip_norm < INFINITY:
        for at from start <= at < stop by FBP_CHUNK:
            team.squares[at // FBP_CHUNK] = chunk_square(plan, gradients, at)
        sync(worker)
        clip(rule, team.squares, plan.n_parameters, &step)
    update_span(plan, rule, &step, &team.memory, gradients + start * plan.itemsize, start, stop)


cdef void project_share(const Worker *worker) noexcept nogil:
    """This thread's part of what follows an update where parameters are constrained."""
    cdef Team *team = worker.team
    if team.plan.n_constraints > 0:
        sync(worker)  # columns of a matrix are updated by several
        project(team.plan, team.memory.parameters, worker.rank, worker.size)
