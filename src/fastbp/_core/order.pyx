"""The order in which an epoch takes the rows: a stable sort of one random 64-bit word per row."""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from fastbp._core.layout cimport FBP_STREAM_ORDER, fbp_philox


cdef int leading_bits(size_t n) noexcept nogil:
    """Bits that number about n buckets."""
    cdef int bits = 1
    while bits < 24 and (<size_t>1 << bits) < n:
        bits += 1
    return bits


cdef void draw_words(uint64_t seed, uint64_t epoch, size_t first, size_t n,
                     uint64_t *words) noexcept nogil:
    """Words [first, first + n) of the epoch."""
    cdef uint32_t block[4]
    cdef size_t r, place
    for r in range(n):
        place = first + r
        if r == 0 or place % 2 == 0:
            fbp_philox(seed, epoch, FBP_STREAM_ORDER, <uint32_t>(place // 2), block)
        words[r] = <uint64_t>block[place % 2 * 2] | <uint64_t>block[place % 2 * 2 + 1] << 32


cdef void scatter(size_t n, int bits, const uint64_t *words, size_t *counts, uint64_t *to,
                  int64_t *order) noexcept nogil:
    """Counting sort by the leading bits, stable."""
    cdef size_t r, bucket, at = 0, count
    cdef int shift = 64 - bits
    memset(counts, 0, sizeof(size_t) << bits)
    for r in range(n):
        counts[words[r] >> shift] += 1
    for bucket in range(<size_t>1 << bits):
        count = counts[bucket]
        counts[bucket] = at
        at += count
    for r in range(n):
        bucket = words[r] >> shift
        to[counts[bucket]] = words[r]
        order[counts[bucket]] = <int64_t>r
        counts[bucket] += 1


cdef void insertion_sort(size_t n, uint64_t *words, int64_t *order) noexcept nogil:
    """Stable; linear in time here, since buckets hold about one word."""
    cdef size_t r, at
    cdef uint64_t word
    cdef int64_t row
    for r in range(1, n):
        word, row, at = words[r], order[r], r
        while at > 0 and words[at - 1] > word:
            words[at] = words[at - 1]
            order[at] = order[at - 1]
            at -= 1
        words[at], order[at] = word, row


cdef void row_order(uint64_t seed, uint64_t epoch, size_t first, size_t n, uint64_t *words,
                    uint64_t *sorted_words, size_t *counts, int64_t *order) noexcept nogil:
    """Fill `order` for n rows, before which the epoch has had `first`.

    `words` and `sorted_words` are scratch of n, `counts` of 2n + 2.
    """
    cdef int bits = leading_bits(n)
    draw_words(seed, epoch, first, n, words)
    scatter(n, bits, words, counts, sorted_words, order)
    insertion_sort(n, sorted_words, order)
