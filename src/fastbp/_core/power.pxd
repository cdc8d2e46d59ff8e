from libc.stdint cimport uint64_t

cdef double power(double base, uint64_t exponent) noexcept nogil
cdef double real_power(double base, double exponent) noexcept nogil
