"""The learning rate at a time, by `fastbp.schedules`' formulas.

In float64, with operations that give the same bits on every machine. Time comes from epochs.pyx.
"""
from libc.float cimport DBL_MAX
from libc.math cimport rint
from libc.string cimport memset

import numpy as np

from fastbp._core.power cimport real_power

from fastbp.schedules import Piecewise, Warmup
from fastbp.schedules import Schedule as Description

cdef extern from "elementary.h" nogil:
    double fbp_half_cosine(double x)

# Each schedule's constants, in the order in which its function reads them.
CONSTANTS = {
    "constant": lambda s: (s,),
    "piecewise": lambda s: (),
    "exponential": lambda s: (s.start, s.decay, s.length, s.staircase),
    "polynomial": lambda s: (s.start, s.end, s.length, s.power),
    "cosine": lambda s: (s.start, s.end, s.length),
    "cosine_restarts": lambda s: (s.start, s.end, s.length, s.t_mul, s.m_mul),
    "inverse_scaling": lambda s: (s.start, s.power, s.decay, s.length, s.staircase),
    "one_cycle": lambda s: (s.peak, s.length, s.rise, s.start_divisor, s.end_divisor,
                            s.shape == "linear", s.three_phases, s.per == "step"),
    "cyclical": lambda s: (s.low, s.high, s.rise, s.fall,
                           0.5 if s.shape == "triangular2" else 1.0, s.decay),
}


cdef double whole(double x) noexcept nogil:
    """The whole number at or below x."""
    cdef double nearest = rint(x)
    return nearest - 1.0 if nearest > x else nearest


cdef double along(double start, double end, double x, bint linear) noexcept nogil:
    """From `start` at x = 0 to `end` at x = 1, along a line or half a cosine."""
    if linear:
        return start + (end - start) * x
    return end + (start - end) * fbp_half_cosine(x)


cdef double constant(const Schedule *s, double t) noexcept nogil:
    return s.constants[0]


cdef double piecewise(const Schedule *s, double t) noexcept nogil:
    """`numbers` are the boundaries, then the values, of which there is one more."""
    cdef size_t i = 0, boundaries = s.n_numbers // 2
    while i < boundaries and s.numbers[i] <= t:
        i += 1
    return s.numbers[boundaries + i]


cdef double exponential(const Schedule *s, double t) noexcept nogil:
    cdef double start = s.constants[0], decay = s.constants[1], x = t / s.constants[2]
    return start * real_power(decay, whole(x) if s.constants[3] else x)


cdef double polynomial(const Schedule *s, double t) noexcept nogil:
    cdef double start = s.constants[0], end = s.constants[1], x = t / s.constants[2]
    return end + (start - end) * real_power(1.0 - x, s.constants[3]) if x < 1.0 else end


cdef double cosine(const Schedule *s, double t) noexcept nogil:
    return along(s.constants[0], s.constants[1], min(1.0, t / s.constants[2]), False)


cdef double cosine_restarts(const Schedule *s, double t) noexcept nogil:
    cdef double start = s.constants[0], end = s.constants[1], length = s.constants[2]
    cdef double t_mul = s.constants[3], cycle = 0.0
    if t_mul == 1.0:
        cycle = whole(t / length)
        t -= cycle * length
    while t_mul > 1.0 and t >= length:
        cycle, t, length = cycle + 1.0, t - length, length * t_mul
    return end + real_power(s.constants[4], cycle) * (along(start, end, t / length, False) - end)


cdef double inverse_scaling(const Schedule *s, double t) noexcept nogil:
    cdef double x = t / s.constants[3]
    if s.constants[4]:
        x = whole(x)
    return s.constants[0] / real_power(1.0 + s.constants[2] * x, s.constants[1])


cdef double one_cycle(const Schedule *s, double t) noexcept nogil:
    cdef double peak = s.constants[0], low = peak / s.constants[3], lowest = low / s.constants[4]
    cdef bint linear = s.constants[5] != 0, three_phases = s.constants[6] != 0
    cdef double step = s.constants[7]  # the last of `length` steps has the last rate
    cdef double top = s.constants[2] * s.constants[1] - step, last = s.constants[1] - step
    if t < top:
        return along(low, peak, t / top, linear)
    if t >= last:
        return lowest
    if not three_phases:
        return along(peak, lowest, (t - top) / (last - top), linear)
    if t < 2.0 * top:
        return along(peak, low, (t - top) / top, linear)
    return along(low, lowest, (t - 2.0 * top) / (last - 2.0 * top), linear)


cdef double cyclical(const Schedule *s, double t) noexcept nogil:
    cdef double low = s.constants[0], high = s.constants[1]
    cdef double rise = s.constants[2], fall = s.constants[3]
    cdef double cycle = whole(t / (rise + fall)), u = t - cycle * (rise + fall)
    cdef double height = u / rise if u < rise else (rise + fall - u) / fall
    cdef double scale = real_power(s.constants[4], cycle) * real_power(s.constants[5], t)
    return low + (high - low) * height * scale


# A new schedule is a function, a line here and one in CONSTANTS.
cdef RateFunction rate_function(str name) except NULL:
    if name == "constant":
        return constant
    if name == "piecewise":
        return piecewise
    if name == "exponential":
        return exponential
    if name == "polynomial":
        return polynomial
    if name == "cosine":
        return cosine
    if name == "cosine_restarts":
        return cosine_restarts
    if name == "inverse_scaling":
        return inverse_scaling
    if name == "one_cycle":
        return one_cycle
    if name == "cyclical":
        return cyclical
    raise NotImplementedError(f"the compiled engine has no {name}")


cdef double rate_at(const Schedule *s, double t) noexcept nogil:
    """The rate at time t >= 0 of a schedule that changes."""
    cdef double rate
    if t < s.warmup:
        rate = along(s.warmup_start, s.rate(s, 0.0), t / s.warmup, True)
    else:
        rate = s.rate(s, t - s.warmup)
    return min(rate, DBL_MAX)  # one that grows without bound stays finite


cdef object schedule_numbers(object schedule):
    """What of a description stands in an array, for the engine to keep."""
    if isinstance(schedule, Warmup):
        schedule = schedule.after
    if isinstance(schedule, Piecewise):
        return np.array([*schedule.boundaries, *schedule.values])
    return np.empty(0)


cdef Schedule native_schedule(object schedule, const double *numbers, size_t n) except *:
    """A description as numbers, n of them its `schedule_numbers`. Of a rate, nothing."""
    cdef Schedule native
    memset(&native, 0, sizeof(Schedule))
    if not isinstance(schedule, Description):
        return native
    native.per_epoch = schedule.per == "epoch"
    if isinstance(schedule, Warmup):
        native.warmup, native.warmup_start = schedule.length, schedule.start
        schedule = schedule.after
    name = getattr(schedule, "name", "constant")
    native.rate = rate_function(name)
    for i, value in enumerate(CONSTANTS[name](schedule)):
        native.constants[i] = value
    native.numbers, native.n_numbers = numbers, n
    return native
