from libc.stdint cimport uint64_t

from fastbp._core.calls cimport Calls
from fastbp._core.epochs cimport Counters, Sums, Training
from fastbp._core.layout cimport fbp_plan
from fastbp._core.program cimport Program
from fastbp._core.rows cimport Data, Pass
from fastbp._core.team cimport Team
from fastbp._core.update cimport Memory, Rule
from fastbp._core.workspace cimport Workspace

cdef class EngineState:
    cdef Program program
    cdef fbp_plan *native
    cdef Rule rule
    cdef Memory memory
    cdef bint flat             # rows of input and output are vectors
    cdef object dtype
    cdef tuple widths          # elements of a row of each output
    cdef list loss_names       # of each output
    cdef tuple known_metrics   # and the same with their names
    cdef list workspaces       # free ones; a call takes one, or makes one
    cdef Workspace kept        # of the last forward pass, which it holds
    cdef Team kept_team
    cdef Pass kept_pass
    cdef int kept_threads
    cdef object _optimizer
    cdef object schedule_numbers  # what the rule's schedule points to
    cdef readonly object plan
    cdef readonly object parameters
    cdef readonly object gradients
    cdef readonly object state
    cdef public uint64_t seed
    cdef Counters counters     # in C, so that no interrupt comes between them and the parameters
    cdef Sums *sums            # of the newest epoch at each output
    cdef object sums_memory

    cdef int start(self, Program program, object seed) except -1
    cdef object epoch_part(self)
    cdef int take_sums(self, object part) except -1
    cdef Workspace take_workspace(self)
    cdef Pass new_pass(self, const Data *data) except *
    cdef double flops_per_row(self, double passes) noexcept
    cdef size_t rows_called(self, size_t n) noexcept
    cdef Calls new_calls(self, Team *team)
    cdef int ask_for_loss(self, Pass *run, const Team *team, tuple metrics) except -1
    cdef void fill_team(self, Team *team) noexcept
    cdef int place_team(self, Team *team, Workspace workspace, size_t threads, size_t rows,
                        bint gradients, size_t kept_rows) except -1
    cdef int place_training(self, Training *t, Workspace workspace, size_t threads) except -1
    cdef int check_size(self, double threads, double rows, double kept_rows) except -1
    cdef tuple metrics_of(self, tuple metrics)
    cdef int fill_training(self, Training *t, object job) except -1
