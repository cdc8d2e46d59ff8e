from fastbp._core.layout cimport fbp_edge
from fastbp._core.rows cimport Pass
from fastbp._core.team cimport Team

cdef enum Call:
    CALL_FORWARD
    CALL_LOSS
    CALL_BACKWARD

cdef class Calls:
    cdef object plan
    cdef object dtype
    cdef dict parameters       # by operation, those of the custom ones
    cdef dict gradients
    cdef object error          # what a function has raised, or None

    cdef object rows_of(self, const Pass *run, const char *rows, size_t tensor)
    cdef tuple inputs_of(self, const Team *team, const Pass *run, size_t i)
    cdef int leave(self, const Pass *run, const fbp_edge *edge, char *dx, object answer) except -1
    cdef object targets_of(self, Pass *run, size_t output)
    cdef int forward(self, const Team *team, const Pass *run, size_t i) except -1
    cdef int backward(self, const Team *team, const Pass *run, size_t i) except -1
    cdef int meet_targets(self, const Team *team, Pass *run, size_t output) except -1

cdef int call_python(const Team *team, Pass *run, Call what, size_t i) noexcept with gil
