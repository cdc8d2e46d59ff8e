from fastbp._core.rows cimport Pass
from fastbp._core.team cimport Worker

cdef void run_share(const Worker *worker, Pass *run) noexcept nogil
cdef size_t evaluate_chunk(const Worker *worker, Pass *run, size_t start) noexcept nogil
