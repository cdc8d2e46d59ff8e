"""Predictions of a few rows at once: the GIL held, no region, no workspace, no second look."""
from libc.stdint cimport uint64_t
from libc.string cimport memset

import numpy as np

from fastbp._core.layout cimport fbp_flush_begin, fbp_flush_end, fbp_rows, fbp_source_bytes
from fastbp._core.native cimport Block, apart, find_block
from fastbp._core.rows cimport Data, Pass, run_rows
from fastbp._core.scan cimport all_finite
from fastbp._core.workspace cimport Claim, Workspace, claim_scratch

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define FBP_HAS_GIL 0
    #else
    #define FBP_HAS_GIL 1
    #endif
    """
    bint HAS_GIL "FBP_HAS_GIL"

cdef object empty = np.empty

# What has more operations to do may repay a second thread; it is over in some 40 microseconds.
cdef double MOST_FLOPS = 800e3


cdef class DirectCalls(EngineState):
    """An engine's way to its outputs where everything is plain and there is little to do."""

    def call(self, x, out, changing):
        """Return the outputs of one row or a few, or None where that needs the way of `predict`.

        What passes is a plain array of real numbers, all of them finite, with little to do. The
        GIL stays held, so that nobody takes the lock `changing` between the look at it and the end,
        and so that one block of memory will do for all calls.
        """
        cdef Block rows, outputs
        cdef size_t width = self.native.sizes[self.native.outputs.tensor]
        if not HAS_GIL or not self.flat or self.native.calls:
            return None
        if not find_block(x, self.native.sizes[0], False, &rows):
            return None
        if rows.rows == 0 or self.flops_per_row(1) * <double>rows.rows > MOST_FLOPS:
            return None
        if out is None:
            out = self.new_outputs(&rows)
        if not find_block(out, width, True, &outputs) or not self.can_fill(&outputs, &rows):
            return None
        if self.block is None:
            self.place_block()
        return out if not changing.locked() and self.run(&rows, outputs.data) else None

    cdef int place_block(self) except -1:
        """Take memory for `call`, at the first of them."""
        cdef Workspace memory = Workspace()
        cdef Claim walk = Claim(NULL, 0)
        claim_scratch(&walk, self.native, &self.block_scratch, False)
        walk = Claim(memory.reserve(walk.used), 0)
        claim_scratch(&walk, self.native, &self.block_scratch, False)
        self.block = memory
        return 0

    cdef object new_outputs(self, const Block *rows):
        cdef size_t width = self.native.sizes[self.native.outputs.tensor]
        if rows.dimensions == 1:
            return empty(width, self.dtype)
        return empty((rows.rows, width), self.dtype)

    cdef bint can_fill(self, const Block *outputs, const Block *rows) noexcept:
        """Whether the outputs of `rows` can be written there."""
        return (outputs.type == self.native.type and outputs.dimensions == rows.dimensions
                and outputs.rows == rows.rows and apart(outputs, rows))

    cdef bint run(self, const Block *rows, char *out) except -1:
        """Predict on this thread, unless one of the rows is not finite."""
        cdef uint64_t mode
        cdef Data data
        cdef size_t width = self.native.sizes[0]
        cdef fbp_rows source = fbp_rows(rows.data, width * fbp_source_bytes(rows.type), rows.type)
        cdef Pass run
        cdef bint finite
        memset(&data, 0, sizeof(Data))
        data.n, data.x = rows.rows, &source
        run = self.new_pass(&data)
        run.outputs = &out
        mode = fbp_flush_begin()
        finite = all_finite(self.native, rows.type, rows.rows * width, rows.data)
        if finite:
            run_rows(&run, &self.block_scratch, &self.block_scratch.frame, NULL, 0, data.n)
        fbp_flush_end(mode)
        return finite
