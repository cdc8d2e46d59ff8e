from libc.stdint cimport uint64_t

from fastbp._core.layout cimport fbp_plan
from fastbp._core.rows cimport Pass
from fastbp._core.team cimport Worker
from fastbp._core.update cimport Rule

cdef size_t chunk_bytes(const fbp_plan *plan) noexcept nogil
cdef size_t thinned_bytes(const fbp_plan *plan) noexcept nogil
cdef void form_gradients(const Worker *worker, const Pass *run, const Rule *rule,
                         uint64_t number) noexcept nogil
cdef void accumulate(const Worker *worker, bint first) noexcept nogil
cdef void update_share(const Worker *worker, const char *gradients, const Rule *rule,
                       uint64_t number) noexcept nogil
cdef void project_share(const Worker *worker) noexcept nogil
