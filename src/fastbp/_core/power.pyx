"""Powers in float64, with the same bits on every machine."""
from libc.math cimport rint
from libc.stdint cimport uint64_t

cdef extern from "elementary.h" nogil:
    double fbp_exp(double x)
    double fbp_log(double x)

# Powers of so many factors at most are multiplied out, so that those of short numbers are exact or
# nearly so; with many more, errors would add up.
cdef double MOST_FACTORS = 64.0


cdef double power(double base, uint64_t exponent) noexcept nogil:
    """base^exponent by repeated squaring: multiplications only.

    One by 1, which changes nothing, costs less than a branch that is taken by a step's number.
    """
    cdef double result = 1.0
    cdef double[2] factors
    factors[0] = 1.0
    while exponent:
        factors[1] = base
        result *= factors[exponent & 1]
        base *= base
        exponent >>= 1
    return result


cdef double real_power(double base, double exponent) noexcept nogil:
    """base^exponent, neither below 0."""
    if exponent <= MOST_FACTORS and exponent == rint(exponent):
        return power(base, <uint64_t>exponent)
    return fbp_exp(exponent * fbp_log(base))
