"""The rows of one batch, by a team of threads: forward, over the targets and back.

In a plan of small layers a thread owns whole slots of rows, whose gradients it sums while they
pass. In a wide plan it owns some rows, but of a product with few rows some columns of all of them,
for which the team meets before and behind it. Who owns what never changes a bit.
"""
from fastbp._core.layout cimport FBP_CHUNK, fbp_frame, fbp_slot_rows, fbp_slots
from fastbp._core.restraint cimport chunk_penalty
from fastbp._core.rows cimport Pass, Scratch, Slot, run_rows
from fastbp._core.scores cimport add_scores
from fastbp._core.segments cimport run_in_step, run_segments
from fastbp._core.share cimport share
from fastbp._core.team cimport Team, Worker, first_slot, sync
from fastbp._core.thinning cimport gather_parameters, thin


cdef void thin_batch(const Worker *worker, Pass *run) noexcept nogil:
    """Let the batch run through a plan that lacks what it drops; its parts share one."""
    cdef Team *team = worker.team
    if run.before == 0:
        if worker.rank == 0:
            thin(&team.thinning, team.plan, run.seed, run.batch)
        sync(worker)
        gather_parameters(&team.thinning, team.plan, run.parameters, worker.rank, worker.size)
        sync(worker)
    run.plan = &team.thinning.plan


cdef void run_slots(const Worker *worker, Pass *run) noexcept nogil:
    """The slots that this thread owns, gradients included."""
    cdef Team *team = worker.team
    cdef size_t slots = fbp_slots(run.rows, 0), rows = fbp_slot_rows(run.rows, slots)
    cdef size_t s
    cdef Scratch *scratch = &team.scratches[worker.rank]
    cdef fbp_frame *frame = &team.frame if run.keeps else &scratch.frame
    cdef Slot slot
    for s in range(share(slots, worker.rank, worker.size, 1),
                   share(slots, worker.rank + 1, worker.size, 1)):
        slot.in_arena = s == 0
        slot.sums = first_slot(team, run) if s == 0 else team.slots + (s - 1) * team.slot_bytes
        slot.first, slot.stop = s * rows, min((s + 1) * rows, run.rows)
        run_rows(run, scratch, frame, &slot, slot.first, slot.stop)


cdef void measure_penalties(const Worker *worker, const Pass *run) noexcept nogil:
    """What this thread's share of the parameters costs, before an update changes them."""
    cdef size_t n = run.plan.n_parameters, at
    cdef size_t start = share(n, worker.rank, worker.size, FBP_CHUNK)
    cdef size_t stop = share(n, worker.rank + 1, worker.size, FBP_CHUNK)
    for at from start <= at < stop by FBP_CHUNK:
        run.penalties[at // FBP_CHUNK] = chunk_penalty(run.plan, run.parameters, at)


cdef void run_share(const Worker *worker, Pass *run) noexcept nogil:
    """The rows of the batch that this thread owns."""
    cdef Team *team = worker.team
    cdef Scratch *scratch = &team.scratches[worker.rank]
    cdef size_t grain = team.plan.kernels.tile_rows
    if run.training and team.plan.mask_elements > 0:
        thin_batch(worker, run)
    if run.penalties != NULL:
        measure_penalties(worker, run)
    if team.plan.calls:
        run_segments(worker, run)
    elif run.wants_deltas and not team.plan.wide:
        run_slots(worker, run)
    elif run.keeps:
        run_in_step(worker, run)
    else:
        run_rows(run, scratch, &scratch.frame, NULL,
                 share(run.rows, worker.rank, worker.size, grain),
                 share(run.rows, worker.rank + 1, worker.size, grain))
    if run.fault:
        team.fault = run.fault


cdef size_t evaluate_chunk(const Worker *worker, Pass *run, size_t start) noexcept nogil:
    """Add a chunk of the data's rows, from `start` on, to the team's scores.

    Returns where the next one starts. Thread 0 adds, and all have to meet before that one.
    """
    run.start = start
    run.rows = min(run.data.n - start, FBP_CHUNK)
    if start > 0:
        run.penalties = NULL  # the first chunk has counted them
    run_share(worker, run)
    sync(worker)
    if worker.rank == 0:
        add_scores(run, worker.team.scores)
    return start + run.rows
