from fastbp._core.native cimport Block
from fastbp._core.rows cimport Scratch
from fastbp._core.state cimport EngineState
from fastbp._core.workspace cimport Workspace

cdef class DirectCalls(EngineState):
    cdef Workspace block       # with what is claimed in it
    cdef Scratch block_scratch

    cdef int place_block(self) except -1
    cdef object new_outputs(self, const Block *rows)
    cdef bint can_fill(self, const Block *outputs, const Block *rows) noexcept
    cdef bint run(self, const Block *rows, char *out) except -1
