from fastbp._core.epochs cimport Training
from fastbp._core.layout cimport fbp_frame, fbp_plan
from fastbp._core.rows cimport Scratch
from fastbp._core.team cimport Team

cdef struct Claim:
    # A walk over a workspace: with base NULL it only measures.
    char *base
    size_t used

cdef char *claim(Claim *walk, size_t size) noexcept nogil
cdef void claim_frame(Claim *walk, const fbp_plan *plan, fbp_frame *frame,
                      size_t capacity) noexcept nogil
cdef void claim_scratch(Claim *walk, const fbp_plan *plan, Scratch *scratch,
                        bint gradients) noexcept nogil

cdef void claim_team(Claim *walk, Team *team, size_t n_threads, size_t rows, bint gradients,
                     size_t kept_rows) noexcept nogil
cdef void claim_training(Claim *walk, Training *t, size_t n_threads) noexcept nogil

cdef class Workspace:
    cdef char *memory
    cdef size_t size
    cdef char *reserve(self, size_t size) except NULL
