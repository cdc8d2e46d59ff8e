"""Memory for activations, deltas and scratch: it grows, and is kept for the next call.

A layout is one function that claims its parts in order. It is walked twice: with a NULL base to
measure, then over the memory itself.
"""
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastbp._core.epochs cimport Training, snapshot_bytes
from fastbp._core.gradients cimport chunk_bytes, thinned_bytes
from fastbp._core.layout cimport (
    FBP_ALIGNMENT,
    FBP_CHUNK,
    fbp_aligned,
    fbp_frame,
    fbp_frame_bytes,
    fbp_op,
    fbp_plan,
    fbp_slots,
    fbp_units,
)
from fastbp._core.matmul cimport panel_bytes
from fastbp._core.rows cimport Scratch
from fastbp._core.scores cimport Score
from fastbp._core.team cimport Team
from fastbp._core.thinning cimport Thinning, group_size


cdef char *claim(Claim *walk, size_t size) noexcept nogil:
    """The next `size` bytes, aligned, with readable padding behind them."""
    cdef char *part = walk.base + walk.used if walk.base != NULL else NULL
    walk.used += fbp_aligned(size)
    return part


cdef void claim_frame(Claim *walk, const fbp_plan *plan, fbp_frame *frame,
                      size_t capacity) noexcept nogil:
    frame.first = 0
    frame.capacity = capacity
    frame.values = claim(walk, fbp_frame_bytes(plan, capacity))
    frame.deltas = claim(walk, fbp_frame_bytes(plan, capacity))


cdef void claim_scratch(Claim *walk, const fbp_plan *plan, Scratch *scratch,
                        bint gradients) noexcept nogil:
    """One thread's memory; without `gradients` only what prediction needs."""
    cdef size_t k, width = 1
    for k in range(plan.n_outputs):
        width = max(width, plan.sizes[plan.outputs[k].tensor])
    claim_frame(walk, plan, &scratch.frame, plan.row_block)
    scratch.targets = claim(walk, plan.row_block * max(width * plan.itemsize, sizeof(int)))
    scratch.scales = claim(walk, plan.row_block * plan.itemsize)
    scratch.gradient_scales = <double *>claim(walk, plan.n_outputs * sizeof(double))
    scratch.panel = claim(walk, panel_bytes(plan))
    scratch.values = claim(walk, plan.row_block * plan.run_elements * plan.itemsize)
    scratch.partial = claim(
        walk, plan.row_block * plan.kernels.row_lanes * plan.itemsize if gradients else 0)
    scratch.gradient = claim(walk, chunk_bytes(plan) if gradients else 0)
    scratch.thinned = claim(walk, thinned_bytes(plan) if gradients else 0)
    scratch.chains = claim(walk, plan.chain_elements * plan.itemsize if gradients else 0)
    scratch.lanes = claim(walk, plan.lane_elements * plan.itemsize if gradients else 0)


cdef void claim_units(Claim *walk, fbp_units *units, size_t size) noexcept nogil:
    units.size = size
    units.kept = <uint32_t *>claim(walk, size * sizeof(uint32_t))
    units.before = <uint32_t *>claim(walk, (size + 1) * sizeof(uint32_t))


cdef void claim_thinning(Claim *walk, Thinning *thinning, const fbp_plan *plan) noexcept nogil:
    """Memory of the thinned plan, for a plan with structured dropout."""
    cdef fbp_units unplaced
    cdef size_t group
    cdef size_t parameters = plan.n_parameters * plan.itemsize if plan.n_groups else 0
    thinning.plan.ops = <fbp_op *>claim(walk, plan.n_ops * sizeof(fbp_op))
    thinning.plan.sizes = <size_t *>claim(walk, plan.n_tensors * sizeof(size_t))
    thinning.masks = claim(walk, plan.mask_elements * plan.itemsize)
    thinning.parameters = claim(walk, parameters)
    thinning.sums = claim(walk, 0 if plan.wide else parameters)
    thinning.units = <fbp_units *>claim(walk, plan.n_groups * sizeof(fbp_units))
    for group in range(plan.n_groups):
        claim_units(walk, &unplaced if walk.base == NULL else &thinning.units[group],
                    group_size(plan, group))


cdef void claim_team(Claim *walk, Team *team, size_t n_threads, size_t rows, bint gradients,
                     size_t kept_rows) noexcept nogil:
    """Memory of a team that runs batches of `rows` rows; `kept_rows` stay in its frame."""
    cdef const fbp_plan *plan = team.plan
    cdef Scratch unplaced
    cdef size_t i, slots = fbp_slots(rows, 0) if gradients else 1
    cdef size_t n_chunks = (plan.n_parameters + FBP_CHUNK - 1) // FBP_CHUNK
    team.scratches = <Scratch *>claim(walk, n_threads * sizeof(Scratch))
    for i in range(n_threads):
        claim_scratch(walk, plan, &unplaced if walk.base == NULL else &team.scratches[i],
                      gradients)
    team.row_losses = <double *>claim(walk, rows * plan.n_outputs * sizeof(double))
    team.row_rights = <double *>claim(walk, rows * plan.n_outputs * sizeof(double))
    team.scores = <Score *>claim(walk, plan.n_losses * sizeof(Score))
    team.squares = <double *>claim(walk, n_chunks * sizeof(double))
    team.penalties = NULL
    if plan.n_penalties > 0:
        team.penalties = <double *>claim(walk, n_chunks * sizeof(double))
    team.slot_bytes = fbp_aligned(plan.slot_elements * plan.itemsize)
    team.slots = claim(walk, (slots - 1) * team.slot_bytes)
    claim_frame(walk, plan, &team.frame, kept_rows)
    if gradients and plan.mask_elements > 0:
        claim_thinning(walk, &team.thinning, plan)


cdef void claim_training(Claim *walk, Training *t, size_t n_threads) noexcept nogil:
    cdef size_t rows = t.batch_size, n = t.data.n if t.shuffles else 0
    cdef size_t most = max(rows, FBP_CHUNK if t.validates else 0)
    claim_team(walk, &t.team, n_threads, most, True,
               most if t.team.plan.calls else rows if t.team.plan.wide or t.watch.due else 0)
    if t.update_rows > t.batch_size:
        t.team.accumulated = claim(walk, t.team.plan.n_parameters * t.team.plan.itemsize)
    t.watch.squares = <double *>claim(walk, t.watch.n_units * sizeof(double))
    t.watch.outside = <double *>claim(walk, t.watch.n_units * sizeof(double))
    t.watch.active = <double *>claim(walk, t.watch.n_units * sizeof(double))
    if t.watch.due:
        t.watch.before = claim(walk, t.team.plan.n_parameters * t.team.plan.itemsize)
    t.order = <int64_t *>claim(walk, n * sizeof(int64_t))
    t.words = <uint64_t *>claim(walk, n * sizeof(uint64_t))
    t.sorted_words = <uint64_t *>claim(walk, n * sizeof(uint64_t))
    t.counts = <size_t *>claim(walk, (2 * n + 2) * sizeof(size_t))
    t.snapshot.memory = claim(walk, snapshot_bytes(t))


cdef class Workspace:
    """A block of memory that only grows."""

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    cdef char *reserve(self, size_t size) except NULL:
        """An aligned block of at least `size` bytes; what was in it is lost if it had to grow."""
        cdef char *grown
        if self.size < size:
            grown = <char *>PyMem_RawMalloc(size + FBP_ALIGNMENT)
            if grown == NULL:
                raise MemoryError(f"no memory for a workspace of {size} bytes")
            PyMem_RawFree(self.memory)
            self.memory, self.size = grown, size
        return self.memory + (-<size_t>self.memory) % FBP_ALIGNMENT
