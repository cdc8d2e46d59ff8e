from fastbp._core.batch cimport Worker
from fastbp._core.rows cimport Pass

cdef void run_in_step(const Worker *worker, Pass *run) noexcept nogil
cdef void run_segments(const Worker *worker, Pass *run) noexcept nogil
