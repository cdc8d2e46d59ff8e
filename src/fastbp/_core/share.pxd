# Who does what: parts of rows and parameters, and the columns of products that a team shares out.
from fastbp._core.layout cimport fbp_barrier, fbp_kernels, fbp_wait

cdef struct Shared:
    # Rows of a batch that the threads of a team take through the plan in step, each some of them.
    fbp_barrier *barrier
    int rank
    int size
    size_t before              # of these rows stand before this thread's own
    size_t rows


cdef inline size_t share(size_t n, int part, int parts, size_t grain) noexcept nogil:
    """Where part `part` of n things begins, in whole grains; part == parts gives n."""
    cdef size_t grains = (n + grain - 1) // grain
    return min(n, grains * <size_t>part // <size_t>parts * grain)


cdef inline bint by_columns(const fbp_kernels *kernels, const Shared *shared,
                            size_t columns) noexcept nogil:
    """Whether a thread forms some columns of a product for all rows, not all for its own rows.

    It then reads and packs its part of the weights alone, many of which the other cores have just
    updated, for the price of two meetings and of all the rows, which must be few beside them.
    """
    return (shared != NULL and shared.size > 1 and 4 * shared.rows <= columns
            and columns >= <size_t>shared.size * kernels.tile_columns)


cdef inline void meet(const Shared *shared) noexcept nogil:
    fbp_wait(shared.barrier, shared.size)
