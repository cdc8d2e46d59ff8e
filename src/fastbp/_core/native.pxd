from fastbp._core.layout cimport fbp_plan, fbp_rows, fbp_source
from fastbp._core.rows cimport Answers, Data
from fastbp._core.update cimport Rule

cdef struct Block:
    # A row (one dimension) or rows (two) of real numbers, one right behind the other.
    char *data
    fbp_source type
    int dimensions
    size_t rows
    size_t bytes

cdef class Ports:
    cdef Data data
    cdef fbp_rows *x
    cdef Answers *answers
    cdef char **outputs        # of each output
    cdef char *memory
    cdef int place(self, const fbp_plan *plan) except -1
    cdef int point(self, tuple outputs) except -1

cdef bint find_block(object array, size_t width, bint writeable, Block *block) except -1
cdef bint find_rows(object array, tuple shape, fbp_rows *rows, size_t *n) except -1
cdef bint apart(const Block *a, const Block *b) noexcept
cdef char *address(object array) except? NULL
cdef fbp_rows native_rows(object array) except *
cdef Ports native_inputs(object x, const fbp_plan *plan)
cdef Ports native_data(object data, const fbp_plan *plan)
cdef Rule native_rule(object optimizer) except *
