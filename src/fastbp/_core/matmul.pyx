"""The three products of a dense layer, by register tiles.

    z_bo = x_bi w_io + b_o          forward
    dx_bi = delta_bo w_io^T         gradient with respect to the input
    dw_io = x_bi^T delta_bo         gradient with respect to the weights

All are one loop over tiles: terms in blocks of 256, each a chain of fused multiply-adds, block sums
added in order (the arithmetic contract). Operands stand as they are but for w_io^T, of which a
panel of tile_columns columns is packed at a time.
"""
from libc.stddef cimport ptrdiff_t

from fastbp._core.layout cimport (
    FBP_BLOCK,
    FBP_CHAIN_ADD,
    FBP_CHAIN_START,
    FBP_NONE,
    fbp_aligned,
    fbp_chain,
    fbp_kernels,
    fbp_op,
    fbp_plan,
)

cdef double ONE_64 = 1.0
cdef float ONE_32 = 1.0


cdef struct Matrix:
    # Element (r, c) stands at data + (r * row + c * column) elements.
    const char *data
    ptrdiff_t row
    ptrdiff_t column


cdef void multiply(const fbp_kernels *kernels, fbp_chain chain, size_t m, size_t n, size_t k,
                   Matrix a, Matrix b, char *c, ptrdiff_t c_row) noexcept nogil:
    """C (+)= A B for k <= 256 terms; `chain` says how it meets what C holds."""
    cdef ptrdiff_t itemsize = <ptrdiff_t>kernels.itemsize
    cdef size_t i, j
    for j from 0 <= j < n by kernels.tile_columns:
        for i from 0 <= i < m by kernels.tile_rows:
            kernels.matmul_tile(
                chain, min(m - i, kernels.tile_rows), min(n - j, kernels.tile_columns), k,
                a.data + <ptrdiff_t>i * a.row * itemsize, a.row, a.column,
                b.data + <ptrdiff_t>j * itemsize, b.row,
                c + (<ptrdiff_t>i * c_row + <ptrdiff_t>j) * itemsize, c_row)


cdef void multiply_blocks(const fbp_kernels *kernels, fbp_chain chain, size_t m, size_t n,
                          size_t k, Matrix a, Matrix b, char *c, ptrdiff_t c_row) noexcept nogil:
    """C (+)= A B for any k, block after block; `chain` is that of the first."""
    cdef ptrdiff_t itemsize = <ptrdiff_t>kernels.itemsize
    cdef size_t p
    for p from 0 <= p < k by FBP_BLOCK:
        multiply(kernels, chain if p == 0 else FBP_CHAIN_ADD, m, n, min(k - p, FBP_BLOCK),
                 Matrix(a.data + <ptrdiff_t>p * a.column * itemsize, a.row, a.column),
                 Matrix(b.data + <ptrdiff_t>p * b.row * itemsize, b.row, 1), c, c_row)


cdef void dense_forward(const fbp_plan *plan, const fbp_op *op, const char *parameters,
                        const char *x, char *z, size_t rows) noexcept nogil:
    """z_bo = x_bi w_io + b_o for some rows."""
    cdef const char *weights = parameters + op.weights * plan.itemsize
    multiply_blocks(plan.kernels, FBP_CHAIN_START, rows, op.n_out, op.n_in,
                    Matrix(x, op.n_in, 1), Matrix(weights, op.n_out, 1), z, op.n_out)
    if op.biases != FBP_NONE:
        plan.kernels.add_bias(rows, op.n_out, parameters + op.biases * plan.itemsize, z)


cdef size_t panel_bytes(const fbp_plan *plan) noexcept nogil:
    """Bytes of the panel that input_gradient packs."""
    return fbp_aligned(FBP_BLOCK * plan.kernels.tile_columns * plan.itemsize)


cdef void input_gradient(const fbp_plan *plan, const fbp_op *op, const char *parameters,
                         const char *delta, char *dx, size_t rows, char *panel) noexcept nogil:
    """dx_bi = delta_bo w_io^T for some rows; `panel` is scratch of panel_bytes."""
    cdef const fbp_kernels *kernels = plan.kernels
    cdef size_t width = kernels.tile_columns, size = plan.itemsize
    cdef size_t i, o, columns, terms
    for i from 0 <= i < op.n_in by width:
        columns = min(op.n_in - i, width)
        for o from 0 <= o < op.n_out by FBP_BLOCK:
            terms = min(op.n_out - o, FBP_BLOCK)
            kernels.pack_transposed(
                terms, columns, parameters + (op.weights + i * op.n_out + o) * size,
                op.n_out, panel)
            multiply(kernels, FBP_CHAIN_START if o == 0 else FBP_CHAIN_ADD, rows, columns, terms,
                     Matrix(delta + o * size, op.n_out, 1), Matrix(panel, width, 1),
                     dx + i * size, op.n_in)


cdef void weights_gradient(const fbp_plan *plan, const fbp_op *op, const char *x,
                           const char *delta, size_t rows, size_t first_input, size_t inputs,
                           fbp_chain chain, char *gradient) noexcept nogil:
    """dw_io (+)= x_bi^T delta_bo for `inputs` rows of w from `first_input` on, over some rows b."""
    cdef size_t size = plan.itemsize
    multiply_blocks(plan.kernels, chain, inputs, op.n_out, rows,
                    Matrix(x + first_input * size, 1, op.n_in), Matrix(delta, op.n_out, 1),
                    gradient + first_input * op.n_out * size, op.n_out)


cdef void biases_gradient(const fbp_plan *plan, const fbp_op *op, const char *delta,
                          size_t rows, fbp_chain chain, char *gradient) noexcept nogil:
    """db_o (+)= sum over rows of delta_bo: the product with an input that is always 1."""
    cdef const char *one = <const char *>&ONE_32 if plan.itemsize == 4 else <const char *>&ONE_64
    multiply_blocks(plan.kernels, chain, 1, op.n_out, rows,
                    Matrix(one, 0, 0), Matrix(delta, op.n_out, 1), gradient, op.n_out)
