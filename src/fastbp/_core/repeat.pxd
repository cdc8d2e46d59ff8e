from fastbp._core.epochs cimport Training

cdef bint repeats(const Training *t) noexcept nogil
cdef size_t repeat_epochs(Training *t, size_t epochs) noexcept nogil
