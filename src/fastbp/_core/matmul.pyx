"""The three products of a dense layer, by register tiles.

    z_bo = x_bi w_io + b_o          forward
    dx_bi = delta_bo w_io^T         gradient with respect to the input
    dw_io = x_bi^T delta_bo         gradient with respect to the weights

All are one loop over tiles: terms in blocks of 256, each a chain of fused multiply-adds, block sums
added in order (the arithmetic contract). The tile reads rows of the right operand as vectors; where
those are columns, or are read often enough, a panel of tile_columns columns is packed first.
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
# A panel pays when so many tiles read it.
cdef size_t TILES_PER_PANEL = 4


cdef struct Matrix:
    # Element (r, c) stands at data + (r * row + c * column) elements.
    const char *data
    ptrdiff_t row
    ptrdiff_t column


cdef Matrix part(const fbp_kernels *kernels, Matrix matrix, size_t row,
                 size_t column) noexcept nogil:
    """The matrix from an element on."""
    cdef ptrdiff_t at = <ptrdiff_t>row * matrix.row + <ptrdiff_t>column * matrix.column
    return Matrix(matrix.data + at * <ptrdiff_t>kernels.itemsize, matrix.row, matrix.column)


cdef void multiply(const fbp_kernels *kernels, fbp_chain chain, size_t m, size_t n, size_t k,
                   Matrix a, Matrix b, char *c, ptrdiff_t c_row, char *panel) noexcept nogil:
    """C (+)= A B for k <= 256 terms; `chain` says how it meets what C holds."""
    cdef size_t i, j, columns, height = kernels.tile_rows, width = kernels.tile_columns
    cdef bint packs = b.column != 1 or m >= TILES_PER_PANEL * height
    cdef Matrix left, right
    for j from 0 <= j < n by width:
        columns = min(n - j, width)
        right = part(kernels, b, 0, j)
        if packs:
            kernels.pack(k, columns, right.data, right.row, right.column, panel)
            right = Matrix(panel, <ptrdiff_t>width, 1)
        for i from 0 <= i < m by height:
            left = part(kernels, a, i, 0)
            kernels.matmul_tile(
                chain, min(m - i, height), columns, k, left.data, left.row, left.column,
                right.data, right.row,
                c + (<ptrdiff_t>i * c_row + <ptrdiff_t>j) * <ptrdiff_t>kernels.itemsize, c_row)


cdef void multiply_blocks(const fbp_kernels *kernels, fbp_chain chain, size_t m, size_t n,
                          size_t k, Matrix a, Matrix b, char *c, ptrdiff_t c_row,
                          char *panel) noexcept nogil:
    """C (+)= A B for any k, block after block; `chain` is that of the first."""
    cdef size_t p
    for p from 0 <= p < k by FBP_BLOCK:
        multiply(kernels, chain if p == 0 else FBP_CHAIN_ADD, m, n, min(k - p, FBP_BLOCK),
                 part(kernels, a, 0, p), part(kernels, b, p, 0), c, c_row, panel)


cdef size_t panel_bytes(const fbp_plan *plan) noexcept nogil:
    """Bytes of the scratch `panel` that the products take."""
    return fbp_aligned(FBP_BLOCK * plan.kernels.tile_columns * plan.itemsize)


cdef void dense_forward(const fbp_plan *plan, const fbp_op *op, const char *parameters,
                        const char *x, char *z, size_t rows, char *panel) noexcept nogil:
    """z_bo = x_bi w_io + b_o for some rows."""
    cdef const char *weights = parameters + op.weights * plan.itemsize
    multiply_blocks(plan.kernels, FBP_CHAIN_START, rows, op.n_out, op.n_in,
                    Matrix(x, op.n_in, 1), Matrix(weights, op.n_out, 1), z, op.n_out, panel)
    if op.biases != FBP_NONE:
        plan.kernels.add_bias(rows, op.n_out, parameters + op.biases * plan.itemsize, z)


cdef void input_gradient(const fbp_plan *plan, const fbp_op *op, const char *parameters,
                         const char *delta, char *dx, size_t rows, char *panel) noexcept nogil:
    """dx_bi = delta_bo w_io^T for some rows."""
    cdef const char *weights = parameters + op.weights * plan.itemsize
    multiply_blocks(plan.kernels, FBP_CHAIN_START, rows, op.n_in, op.n_out,
                    Matrix(delta, op.n_out, 1), Matrix(weights, 1, op.n_out), dx, op.n_in, panel)


cdef void weights_gradient(const fbp_plan *plan, const fbp_op *op, const char *x,
                           const char *delta, size_t rows, size_t first_input, size_t inputs,
                           fbp_chain chain, char *gradient, char *panel) noexcept nogil:
    """dw_io (+)= x_bi^T delta_bo for `inputs` rows of w from `first_input` on, over some rows b.

    `gradient` is where the first of these rows goes.
    """
    cdef size_t size = plan.itemsize
    multiply_blocks(plan.kernels, chain, inputs, op.n_out, rows,
                    Matrix(x + first_input * size, 1, op.n_in), Matrix(delta, op.n_out, 1),
                    gradient, op.n_out, panel)


cdef void biases_gradient(const fbp_plan *plan, const fbp_op *op, const char *delta,
                          size_t rows, fbp_chain chain, char *gradient,
                          char *panel) noexcept nogil:
    """db_o (+)= sum over rows of delta_bo: the product with an input that is always 1."""
    cdef const char *one = <const char *>&ONE_32 if plan.itemsize == 4 else <const char *>&ONE_64
    multiply_blocks(plan.kernels, chain, 1, op.n_out, rows,
                    Matrix(one, 0, 0), Matrix(delta, op.n_out, 1), gradient, op.n_out, panel)
