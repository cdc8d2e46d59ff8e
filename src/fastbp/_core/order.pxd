from libc.stdint cimport int64_t, uint64_t

cdef void row_order(uint64_t seed, uint64_t epoch, size_t first, size_t n, uint64_t *words,
                    uint64_t *sorted_words, size_t *counts, int64_t *order) noexcept nogil
