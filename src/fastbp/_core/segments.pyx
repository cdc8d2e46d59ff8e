"""A whole batch in the team's frame: from one end of a plan to the other, or cut into segments.

A segment ends at an operation that is a Python function. There the team meets, thread 0, which is
the caller's own, calls it with all rows of the batch, and the team meets again.
"""
from fastbp._core.calls cimport CALL_BACKWARD, CALL_FORWARD, CALL_LOSS, Call, call_python
from fastbp._core.layout cimport (
    FBP_OP_custom,
    fbp_flush_begin,
    fbp_flush_end,
    fbp_op,
    fbp_plan,
    fbp_wait,
)
from fastbp._core.rows cimport BACKWARD, FORWARD, Pass, run_block
from fastbp._core.share cimport Shared, share
from fastbp._core.team cimport Team, Worker


cdef void run_in_step(const Worker *worker, Pass *run) noexcept nogil:
    """The whole batch in the team's frame: the threads meet where they share out a product."""
    cdef Team *team = worker.team
    cdef const fbp_plan *plan = run.plan
    cdef size_t grain = plan.kernels.tile_rows
    # Whole tiles of rows for each thread, no more than its scratch has room for.
    cdef size_t block = plan.row_block // grain * grain * <size_t>worker.size
    cdef size_t begin, stop
    cdef Shared shared = Shared(&team.barrier, worker.rank, worker.size, 0, 0)
    for begin from 0 <= begin < run.rows by block:
        shared.rows = min(block, run.rows - begin)
        shared.before = share(shared.rows, worker.rank, worker.size, grain)
        stop = share(shared.rows, worker.rank + 1, worker.size, grain)
        run_block(run, &team.scratches[worker.rank], &team.frame, NULL, &shared,
                  begin + shared.before, stop - shared.before)


cdef bint meet_for(const Worker *worker, Pass *run, Call what, size_t i) noexcept nogil:
    """Let thread 0 call a function; False if the pass ends here, for all threads alike.

    That is told between two meetings, by thread 0 alone: a thread that is ahead may have found a
    fault in the rows that come next.
    """
    cdef Team *team = worker.team
    if run.fault:
        team.fault = run.fault
    fbp_wait(&team.barrier, worker.size)
    if worker.rank == 0:
        if not team.fault:
            fbp_flush_end(worker.mode)
            team.fault = call_python(team, run, what, i)
            fbp_flush_begin()
        team.calls_end = team.fault != 0
    fbp_wait(&team.barrier, worker.size)
    return not team.calls_end


cdef size_t next_call(const fbp_plan *plan, size_t i) noexcept nogil:
    """The first custom operation from `i` on, or how many operations there are."""
    while i < plan.n_ops and plan.ops[i].kind != FBP_OP_custom:
        i += 1
    return i


cdef size_t behind_call(const fbp_plan *plan, size_t i) noexcept nogil:
    """Just behind the last custom operation before `i`, or 0."""
    while i > 0 and plan.ops[i - 1].kind != FBP_OP_custom:
        i -= 1
    return i


cdef bint go_forward(const Worker *worker, Pass *run) noexcept nogil:
    """Up to the last function; what is behind it is left to run. False as in `meet_for`."""
    cdef const fbp_plan *plan = run.plan
    cdef Pass part = run[0]
    part.stages = FORWARD
    part.stop_op = next_call(plan, 0)
    while part.stop_op < plan.n_ops:
        run_in_step(worker, &part)
        if not meet_for(worker, &part, CALL_FORWARD, part.stop_op):
            return False
        part.first_op = part.stop_op + 1
        part.stop_op = next_call(plan, part.first_op)
    return True


cdef bint calls_loss(const fbp_plan *plan) noexcept nogil:
    cdef size_t output
    for output in range(plan.n_outputs):
        if plan.outputs[output].calls:
            return True
    return False


cdef bint go_through(const Worker *worker, Pass *run, size_t first) noexcept nogil:
    """What is behind the last function, forward, over the targets and back."""
    cdef Pass part = run[0]
    cdef size_t output
    part.first_op = first
    if not (run.wants_loss and calls_loss(run.plan)):
        run_in_step(worker, &part)
        run.fault = part.fault
        return True
    part.stages = run.stages & ~BACKWARD
    run_in_step(worker, &part)
    for output in range(run.plan.n_outputs):
        if run.plan.outputs[output].calls and not meet_for(worker, &part, CALL_LOSS, output):
            return False
    part.stages = BACKWARD
    run_in_step(worker, &part)
    return True


cdef void go_back(const Worker *worker, Pass *run, size_t first) noexcept nogil:
    """From the function before operation `first` on, as far as a gradient is wanted."""
    cdef const fbp_plan *plan = run.plan
    cdef const fbp_op *op
    cdef bint wanted
    cdef Pass part = run[0]
    part.stages = BACKWARD
    while first > 0:
        op = &plan.ops[first - 1]
        wanted = op.trains_weights or op.propagates or run.wants_input_delta
        if wanted and not meet_for(worker, &part, CALL_BACKWARD, first - 1):
            return
        part.stop_op = first - 1
        first = part.first_op = behind_call(plan, part.stop_op)
        run_in_step(worker, &part)


cdef void run_segments(const Worker *worker, Pass *run) noexcept nogil:
    """This thread's share of a pass through a plan with Python functions."""
    cdef size_t last = behind_call(run.plan, run.plan.n_ops)
    if worker.team.calls_end or (run.stages & FORWARD and not go_forward(worker, run)):
        return
    if go_through(worker, run, last) and run.wants_deltas and run.stages & BACKWARD:
        go_back(worker, run, last)
