from fastbp._core.rows cimport Pass
from fastbp._core.team cimport Worker

cdef void run_in_step(const Worker *worker, Pass *run) noexcept nogil
cdef void run_segments(const Worker *worker, Pass *run) noexcept nogil
