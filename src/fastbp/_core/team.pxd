# What the threads of one region have in common.
from libc.stdint cimport uint64_t

from fastbp._core.layout cimport fbp_barrier, fbp_frame, fbp_op, fbp_plan, fbp_wait
from fastbp._core.rows cimport Pass, Scratch
from fastbp._core.scores cimport Score
from fastbp._core.thinning cimport Thinning
from fastbp._core.update cimport Memory

cdef struct Team:
    # What they share while they run batches.
    const fbp_plan *plan
    Memory memory
    Scratch *scratches         # one a thread
    fbp_frame frame            # of the whole batch, for a Pass that keeps it
    char *slots                # slots 1, 2, ...
    size_t slot_bytes
    double *row_losses         # of each output, one a row
    double *row_rights
    Thinning thinning          # of the batch, with structured dropout
    Score *scores              # of each loss, over the rows that are being scored
    char *accumulated          # gradients of the parts of a batch, added up, or NULL
    double *squares            # of the gradients, summed over each chunk
    double *penalties          # of each chunk of the parameters, or NULL: there are none
    volatile int fault
    void *calls                # a `Calls`, for a plan with Python functions
    bint calls_end             # one of them has raised: no more of them, and no more rows
    fbp_barrier barrier

cdef struct Worker:
    # One thread's view.
    Team *team
    int rank
    int size
    uint64_t mode              # of floating point outside of the region


cdef inline void sync(const Worker *worker) noexcept nogil:
    fbp_wait(&worker.team.barrier, worker.size)


# Structured dropout: a batch of training runs through a plan of its own.

cdef inline bint spreads(const Pass *run) noexcept nogil:
    """Whether gradients are first those of some units."""
    return run.training and run.plan.n_groups > 0


cdef inline char *first_slot(Team *team, const Pass *run) noexcept nogil:
    """Where slot 0 sums its gradients, in a plan of small layers."""
    return team.thinning.sums if spreads(run) else team.memory.gradients


cdef inline const fbp_op *whole_op(const Team *team, const Pass *run,
                                   const fbp_op *op) noexcept nogil:
    """The operation with all of its units."""
    return &team.plan.ops[op - run.plan.ops]


cdef inline const fbp_plan *plan_of_batch(const Team *team) noexcept nogil:
    """The plan that a batch of training has gone through."""
    return &team.thinning.plan if team.plan.mask_elements > 0 else team.plan
