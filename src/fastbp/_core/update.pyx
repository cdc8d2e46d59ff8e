"""From the gradients of slots to new parameters: the tree over slots, then one optimizer step."""
from libc.math cimport INFINITY, sqrt
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from fastbp._core.layout cimport (
    FBP_CHUNK,
    FBP_OPTIMIZER_adam,
    FBP_OPTIMIZER_adamw,
    FBP_OPTIMIZER_nadam,
    FBP_OPTIMIZER_quickprop,
    FBP_OPTIMIZER_rmsprop,
    FBP_OPTIMIZER_rprop,
    fbp_plan,
    fbp_step,
)
from fastbp._core.power cimport power, real_power

cdef double TWO_TO_MINUS_60 = 2.0 ** -60


cdef double momentum_product(double beta, double decay, uint64_t step) noexcept nogil:
    """The product of NAdam's momenta up to `step`; 0 where 1 - product is 1 in any case."""
    cdef double product = 1.0, power_of_decay = 1.0
    cdef uint64_t i = 0
    while i < step and product > TWO_TO_MINUS_60:
        power_of_decay *= decay
        product *= beta * (1.0 - 0.5 * power_of_decay)
        i += 1
    return product if i == step else 0.0


# What each rule's kernel takes at a step: c are the rule's constants, in the order of native.pyx,
# c[0] the learning rate; k are the kernel's, in the order of update.inc.h.

cdef void adam_constants(const double *c, uint64_t step, double *k) noexcept nogil:
    cdef double correction = 1.0 - power(c[2], step)
    k[0] = c[0] / (1.0 - power(c[1], step))
    k[1] = 1.0 / correction
    k[2], k[3] = c[1], 1.0 - c[1]
    k[4], k[5] = c[2], 1.0 - c[2]
    k[6] = c[3] / sqrt(correction) if c[4] != 0 else c[3]


cdef void nadam_constants(const double *c, uint64_t step, double *k) noexcept nogil:
    cdef double now = c[1] * (1.0 - 0.5 * real_power(0.96, c[5] * <double>step))
    cdef double later = c[1] * (1.0 - 0.5 * real_power(0.96, c[5] * <double>(step + 1)))
    cdef double product = momentum_product(c[1], real_power(0.96, c[5]), step)
    adam_constants(c, step, k)
    k[0] = c[0] * later / (1.0 - product * later)
    k[7] = c[0] * (1.0 - now) / (1.0 - product)


cdef void rmsprop_constants(const double *c, double *k) noexcept nogil:
    k[0], k[1] = c[0], c[1]
    k[2], k[3] = c[2], 1.0 - c[2]
    k[4], k[5] = c[3], c[4]


cdef void rule_constants(const Rule *rule, uint64_t step, double *k) noexcept nogil:
    cdef const double *c = &rule.constants[0]
    cdef size_t i
    if rule.kind == FBP_OPTIMIZER_adam or rule.kind == FBP_OPTIMIZER_adamw:
        adam_constants(c, step, k)
    elif rule.kind == FBP_OPTIMIZER_nadam:
        nadam_constants(c, step, k)
    elif rule.kind == FBP_OPTIMIZER_rmsprop:
        rmsprop_constants(c, k)
    elif rule.kind == FBP_OPTIMIZER_rprop:
        memcpy(k, c + 1, 4 * sizeof(double))
    elif rule.kind == FBP_OPTIMIZER_quickprop:
        k[0], k[1], k[2] = c[0], c[1], c[1] / (1.0 + c[1])
    else:
        for i in range(MOST_CONSTANTS):
            k[i] = c[i]


cdef fbp_step step_of(const Rule *rule, uint64_t number) noexcept nogil:
    """What the update kernel takes at a step, counted from 1; before the norm is looked at."""
    cdef fbp_step step
    memset(&step, 0, sizeof(fbp_step))
    rule_constants(rule, number, step.constants)
    step.scale, step.limit = 1.0, rule.clip_value
    if rule.decoupled:
        step.decoupled = rule.constants[0] * rule.weight_decay
    else:
        step.coupled = rule.weight_decay
    step.prepares = rule.weight_decay != 0 or rule.clip_value < INFINITY
    return step


cdef double chunk_square(const fbp_plan *plan, const char *gradients, size_t chunk) noexcept nogil:
    """Sum of the squares of the trainable gradients in [chunk, chunk + FBP_CHUNK)."""
    cdef double total = 0.0
    cdef size_t s, low, high
    cdef const char *g
    for s in range(plan.n_spans):
        low = max(chunk, plan.spans[2 * s])
        high = min(chunk + FBP_CHUNK, plan.spans[2 * s + 1])
        if low < high:
            g = gradients + low * plan.itemsize
            total += plan.kernels.dot(high - low, g, g)
    return total


cdef void clip(const Rule *rule, const double *squares, size_t n, fbp_step *step) noexcept nogil:
    """Let a step bring the norm of n gradients down to `clip_norm`, from the squares of chunks."""
    cdef double total = 0.0, norm
    cdef size_t i
    for i in range((n + FBP_CHUNK - 1) // FBP_CHUNK):
        total += squares[i]
    norm = sqrt(total)
    if norm > rule.clip_norm:
        step.scale, step.prepares = rule.clip_norm / norm, True


cdef void update_span(const fbp_plan *plan, const Rule *rule, const fbp_step *step,
                      const Memory *memory, const char *gradients, size_t start,
                      size_t stop) noexcept nogil:
    """One step of parameters [start, stop) that are trainable; `gradients` are those of these."""
    cdef size_t s, i, low, high, at
    cdef void *states[MOST_STATES]
    for s in range(plan.n_spans):
        low = max(start, plan.spans[2 * s])
        high = min(stop, plan.spans[2 * s + 1])
        if low >= high:
            continue
        at = low * plan.itemsize
        for i in range(rule.n_states):
            states[i] = memory.states[i] + at
        plan.kernels.update[<size_t>rule.kind](
            step, high - low, gradients + (low - start) * plan.itemsize,
            memory.parameters + at, states)


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
