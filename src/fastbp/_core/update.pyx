"""From the gradients of slots to new parameters: the tree over slots, then one optimizer step."""
from libc.stdint cimport uint64_t

from fastbp._core.layout cimport FBP_OPTIMIZER_adam, fbp_plan
from fastbp._core.power cimport power


cdef void step_constants(const Rule *rule, uint64_t step, double *constants) noexcept nogil:
    """What the update kernel takes at step `step`, counted from 1."""
    cdef const double *c = &rule.constants[0]
    cdef size_t i
    if rule.kind == FBP_OPTIMIZER_adam:
        constants[0] = c[0] / (1.0 - power(c[1], step))
        constants[1] = 1.0 / (1.0 - power(c[2], step))
        constants[2], constants[3] = c[1], 1.0 - c[1]
        constants[4], constants[5] = c[2], 1.0 - c[2]
        constants[6] = c[3]
    else:
        for i in range(MOST_CONSTANTS):
            constants[i] = c[i]


cdef void update_span(const fbp_plan *plan, const Rule *rule, const double *constants,
                      const Memory *memory, const char *gradients, size_t start,
                      size_t stop) noexcept nogil:
    """One step of parameters [start, stop) that are trainable; `gradients` are those of these."""
    cdef size_t s, low, high, at
    cdef char *states[2]
    for s in range(plan.n_spans):
        low = max(start, plan.spans[2 * s])
        high = min(stop, plan.spans[2 * s + 1])
        if low >= high:
            continue
        at = low * plan.itemsize
        states[0] = memory.states[0] + at if rule.n_states > 0 else NULL
        states[1] = memory.states[1] + at if rule.n_states > 1 else NULL
        plan.kernels.update[<size_t>rule.kind](
            constants, high - low, gradients + (low - start) * plan.itemsize,
            memory.parameters + at, states[0], states[1])


cdef void sum_slots(const fbp_plan *plan, char *first, char *others, size_t slot_bytes,
                    size_t slots, size_t n) noexcept nogil:
    """first += the other slots, in a binary tree: slot s += slot s + 2^j for j = 0, 1, ...

    `others` is where slot 1 stands, and each further slot `slot_bytes` behind it; n elements.
    """
    cdef size_t s, stride = 1
    while stride < slots:
        for s from 0 <= s < slots - stride by 2 * stride:
            plan.kernels.add(n, others + (s + stride - 1) * slot_bytes,
                             first if s == 0 else others + (s - 1) * slot_bytes)
        stride *= 2
