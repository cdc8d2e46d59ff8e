from fastbp._core.layout cimport fbp_plan, fbp_rows, fbp_source
from fastbp._core.rows cimport Data
from fastbp._core.update cimport Rule

cdef struct Block:
    # A row (one dimension) or rows (two) of real numbers, one right behind the other.
    char *data
    fbp_source type
    int dimensions
    size_t rows
    size_t bytes

cdef bint find_block(object array, size_t width, bint writeable, Block *block) except -1
cdef bint apart(const Block *a, const Block *b) noexcept
cdef char *address(object array) except? NULL
cdef fbp_rows native_rows(object array) except *
cdef Data native_inputs(object x) except *
cdef Data native_data(object data, const fbp_plan *plan) except *
cdef Rule native_rule(object optimizer) except *
