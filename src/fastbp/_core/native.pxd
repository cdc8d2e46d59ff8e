from fastbp._core.layout cimport fbp_plan
from fastbp._core.rows cimport Data
from fastbp._core.update cimport Rule

cdef char *address(object array) except? NULL
cdef Data native_inputs(object x) except *
cdef Data native_data(object data, const fbp_plan *plan) except *
cdef Rule native_rule(object optimizer) except *
