from fastbp._core.layout cimport fbp_kernels, fbp_plan

cdef class Program:
    cdef fbp_plan plan
    cdef char *memory
    cdef readonly object source
    cdef double flops_forward

cdef Program build(object source, const fbp_kernels *kernels)
