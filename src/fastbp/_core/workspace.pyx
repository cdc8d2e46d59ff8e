"""Memory for activations, deltas and scratch: it grows, and is kept for the next call.

A layout is one function that claims its parts in order. It is walked twice: with a NULL base to
measure, then over the memory itself.
"""
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc

from fastbp._core.layout cimport (
    FBP_ALIGNMENT,
    fbp_aligned,
    fbp_frame,
    fbp_frame_bytes,
    fbp_plan,
)
from fastbp._core.matmul cimport panel_bytes
from fastbp._core.rows cimport Scratch


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
    cdef size_t targets = plan.row_block * plan.sizes[plan.output] * plan.itemsize
    claim_frame(walk, plan, &scratch.frame, plan.row_block)
    scratch.targets = claim(walk, max(targets, plan.row_block * sizeof(int)))
    scratch.scales = claim(walk, plan.row_block * plan.itemsize)
    scratch.panel = claim(walk, panel_bytes(plan) if gradients else 0)
    scratch.chains = claim(walk, plan.slot_elements * plan.itemsize if gradients else 0)
    scratch.lanes = claim(walk, plan.lane_elements * plan.itemsize if gradients else 0)


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
