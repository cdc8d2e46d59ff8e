from fastbp._core.layout cimport fbp_output, fbp_plan
from fastbp._core.rows cimport Pass

cdef struct Score:
    # Sums over rows at one output: of loss times weight, of weights, of right answers; rows that
    # metrics count; and what the parameters cost, where this is the only one.
    double loss
    double weight
    double right
    size_t measured
    double penalty

cdef double penalty_scale(const Pass *run) noexcept nogil
cdef void fill_gradient_scales(Pass *run, double *scales) noexcept nogil
cdef void clear_scores(const fbp_plan *plan, Score *scores) noexcept nogil
cdef void take_scores(const Pass *run, Score *scores) noexcept nogil
cdef void add_scores(const Pass *run, Score *scores) noexcept nogil
cdef double mean_loss(const fbp_output *output, Score score) noexcept nogil
cdef double per_row(double total, size_t measured) noexcept nogil
