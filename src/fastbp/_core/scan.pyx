"""A look at rows of data for NaN, infinity and what is too large for the plan's type."""
from libc.stddef cimport ptrdiff_t

from fastbp._core.layout cimport fbp_plan, fbp_rows, fbp_source, fbp_source_bytes
from fastbp._core.share cimport share

cdef enum:
    PIECE = 1024               # elements converted at a time: they stay in the first cache


cdef bint all_finite(const fbp_plan *plan, fbp_source type, size_t n,
                     const char *elements) noexcept nogil:
    """Whether elements of any type are finite once they are converted."""
    cdef double piece[PIECE + 8]  # with padding, which kernels may read
    cdef size_t at, count
    if type == plan.type:
        return plan.kernels.all_finite(n, elements)
    for at from 0 <= at < n by PIECE:
        count = min(n - at, PIECE)
        plan.kernels.convert[<size_t>type](count, elements + at * fbp_source_bytes(type), piece)
        if not plan.kernels.all_finite(count, piece):
            return False
    return True


cdef void scan_share(Scan *scan, int rank, int size) noexcept nogil:
    """Look at this thread's part of the rows."""
    cdef const fbp_rows *source = scan.source
    cdef size_t n = scan.n, rows = scan.stop - scan.start, row, at_once = 1
    cdef size_t first = scan.start + share(rows, rank, size, 1)
    cdef size_t stop = scan.start + share(rows, rank + 1, size, 1)
    if source.stride == <ptrdiff_t>(n * fbp_source_bytes(source.type)):
        at_once = max(stop - first, 1)
    for row from first <= row < stop by at_once:
        if not all_finite(scan.plan, source.type, at_once * n,
                          source.data + <ptrdiff_t>row * source.stride):
            scan.fault = True
            return
