"""What holds parameters back: penalties in the loss, constraints behind an update."""
from libc.math cimport sqrt

from fastbp._core.layout cimport (
    FBP_ACTIVATION_relu,
    FBP_CHUNK,
    FBP_CONSTRAINT_non_neg,
    fbp_constraint,
    fbp_penalty,
    fbp_plan,
)
from fastbp._core.share cimport share


cdef double chunk_penalty(const fbp_plan *plan, const char *parameters,
                          size_t chunk) noexcept nogil:
    """What the parameters in [chunk, chunk + FBP_CHUNK) cost."""
    cdef double total = 0.0
    cdef const fbp_penalty *penalty
    cdef size_t i, low, high
    for i in range(plan.n_penalties):
        penalty = &plan.penalties[i]
        low, high = max(chunk, penalty.start), min(chunk + FBP_CHUNK, penalty.stop)
        if low < high:
            total += plan.kernels.penalty(penalty.l1, penalty.l2, high - low,
                                          parameters + low * plan.itemsize)
    return total


cdef void add_penalty_gradient(const fbp_plan *plan, const char *parameters, char *gradients,
                               size_t start, size_t stop, double scale) noexcept nogil:
    """Add `scale` times what parameters [start, stop) cost to their gradients.

    These are what `gradients` begins with.
    """
    cdef const fbp_penalty *penalty
    cdef size_t i, low, high
    for i in range(plan.n_penalties):
        penalty = &plan.penalties[i]
        low, high = max(start, penalty.start), min(stop, penalty.stop)
        if low < high:
            plan.kernels.penalty_gradient(
                scale * penalty.l1, scale * penalty.l2, high - low,
                parameters + low * plan.itemsize, gradients + (low - start) * plan.itemsize)


cdef void limit_span(const fbp_plan *plan, double limit, size_t n, char *w) noexcept nogil:
    """Shrink n parameters to a norm of `limit`, if theirs is larger."""
    cdef double total = 0.0, norm
    cdef size_t at
    cdef const char *part
    for at from 0 <= at < n by FBP_CHUNK:
        part = w + at * plan.itemsize
        total += plan.kernels.dot(min(n - at, FBP_CHUNK), part, part)
    norm = sqrt(total)
    if norm > limit:
        plan.kernels.scale(n, limit / norm, w, w)


cdef void project_part(const fbp_plan *plan, const fbp_constraint *to, char *w, int rank,
                       int size) noexcept nogil:
    """One of `size` parts of a parameter that begins at `w`."""
    cdef bint of_elements = to.kind == FBP_CONSTRAINT_non_neg
    cdef size_t n = to.rows * to.columns if of_elements else to.rows if to.of_rows else to.columns
    cdef size_t grain = 1 if to.of_rows and not of_elements else plan.kernels.row_lanes
    cdef size_t low = share(n, rank, size, grain), high = share(n, rank + 1, size, grain), row
    if of_elements:
        w += low * plan.itemsize
        plan.kernels.activate(FBP_ACTIVATION_relu, 0.0, high - low, w, w)
    elif to.of_rows:
        for row in range(low, high):
            limit_span(plan, to.limit, to.columns, w + row * to.columns * plan.itemsize)
    else:
        plan.kernels.limit_columns(to.limit, to.rows, high - low, to.columns,
                                   w + low * plan.itemsize)


cdef void project(const fbp_plan *plan, char *parameters, int rank, int size) noexcept nogil:
    """Bring this thread's part of each constrained parameter back to its constraint."""
    cdef const fbp_constraint *to
    cdef size_t i
    for i in range(plan.n_constraints):
        to = &plan.constraints[i]
        project_part(plan, to, parameters + to.start * plan.itemsize, rank, size)
