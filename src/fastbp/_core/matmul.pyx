"""The three products of a dense layer, in blocks that stay in the caches.

    z_bo = x_bi w_io + b_o          forward
    dx_bi = delta_bo w_io^T         gradient with respect to the input
    dw_io = x_bi^T delta_bo         gradient with respect to the weights

All are one loop: terms in blocks of 256, each a chain of fused multiply-adds, block sums added in
order (the arithmetic contract). The kernel takes a strip of tile_columns columns of the right
operand after the other, and runs down the left one for each: so a block of the left operand has to
stay in the second cache, and a strip of the right one in the first. Rows that are a power of two
apart share few places in a cache. So where an operand is large and read often, the kernel is given
scratch in which it keeps the operand close together.
"""
from fastbp._core.layout cimport (
    FBP_ACTIVATION_identity,
    FBP_BLOCK,
    FBP_CHAIN_ADD,
    FBP_CHAIN_START,
    FBP_NONE,
    fbp_activation,
    fbp_aligned,
    fbp_chain,
    fbp_kernels,
    fbp_op,
    fbp_plan,
    fbp_product,
)
from fastbp._core.share cimport Shared, by_columns, meet, share

cdef double ONE_64 = 1.0
cdef float ONE_32 = 1.0
# A block of the left operand: half of the second cache.
cdef size_t LEFT_BYTES = 256 * 1024
# An operand that spans no more is read well where it is; half of it, if terms are apart.
cdef size_t NEAR_BYTES = 64 * 1024
# So many columns repay the filling of a block, which costs more if rows have to be transposed.
cdef size_t LEAST_COLUMNS = 64
cdef size_t LEAST_COLUMNS_TRANSPOSED = 512


cdef size_t left_rows(const fbp_kernels *kernels) noexcept nogil:
    """Rows of a block of the left operand."""
    return LEFT_BYTES // (FBP_BLOCK * kernels.itemsize)


cdef size_t strip_bytes(const fbp_kernels *kernels) noexcept nogil:
    """Bytes of a strip of the right operand, or of one of a result that has as many rows."""
    return fbp_aligned(FBP_BLOCK * kernels.tile_columns * kernels.itemsize)


cdef size_t panel_bytes(const fbp_plan *plan) noexcept nogil:
    """Bytes of the scratch `panel` that the products take: two strips and a block."""
    cdef const fbp_kernels *kernels = plan.kernels
    cdef size_t tiles = left_rows(kernels) // kernels.tile_rows + 1
    cdef size_t tile = kernels.tile_rows * FBP_BLOCK + kernels.row_lanes
    return 2 * strip_bytes(kernels) + fbp_aligned(tiles * tile * kernels.itemsize)


cdef bint repays_block(const fbp_product *product, size_t itemsize) noexcept nogil:
    """Whether the left operand is worth keeping close together."""
    if product.a_k == 1:
        return (product.n >= LEAST_COLUMNS_TRANSPOSED
                and product.m * <size_t>product.a_m * itemsize > NEAR_BYTES)
    return (product.n >= LEAST_COLUMNS
            and product.k * <size_t>product.a_k * itemsize > NEAR_BYTES // 2)


cdef bint repays_panel(const fbp_product *product, size_t itemsize) noexcept nogil:
    """Whether a strip of the right operand is worth keeping close together, or has to be."""
    return product.b_n != 1 or product.k * <size_t>product.b_k * itemsize > NEAR_BYTES


cdef void multiply(const fbp_kernels *kernels, fbp_product whole, char *panel) noexcept nogil:
    """C (+)= A B for any number of terms; `whole.chain` is that of the first block of them."""
    cdef size_t size = kernels.itemsize, height = left_rows(kernels), i, p
    cdef fbp_product block
    for i from 0 <= i < whole.m by height:
        for p from 0 <= p < whole.k by FBP_BLOCK:
            block = whole
            block.m, block.k = min(whole.m - i, height), min(whole.k - p, FBP_BLOCK)
            block.a = <const char *>whole.a + (i * whole.a_m + p * whole.a_k) * size
            block.b = <const char *>whole.b + p * <size_t>whole.b_k * size
            block.c = <char *>whole.c + i * <size_t>whole.c_m * size
            if p > 0:
                block.chain = FBP_CHAIN_ADD
            if p + block.k < whole.k:
                block.bias, block.activation = NULL, FBP_ACTIVATION_identity
            if repays_panel(&block, size):
                block.panel = panel
            if repays_block(&block, size):
                block.block = panel + 2 * strip_bytes(kernels)
            kernels.matmul(&block)


cdef void dense_forward(const fbp_plan *plan, const fbp_op *op, const char *parameters,
                        const char *x, char *z, fbp_activation activation, size_t rows,
                        const Shared *shared, char *panel) noexcept nogil:
    """z_bo = f(x_bi w_io + b_o) for some rows, f identity or relu."""
    cdef size_t size = plan.itemsize, width = plan.kernels.tile_columns
    cdef size_t first = 0, stop = op.n_out
    cdef bint divided = by_columns(plan.kernels, shared, op.n_out)
    cdef const char *biases = NULL
    if divided:
        x, z = x - shared.before * op.n_in * size, z - shared.before * op.n_out * size
        rows = shared.rows
        first = share(op.n_out, shared.rank, shared.size, width)
        stop = share(op.n_out, shared.rank + 1, shared.size, width)
        meet(shared)
    if op.biases != FBP_NONE:
        biases = parameters + (op.biases + first) * size
    multiply(plan.kernels, fbp_product(
        FBP_CHAIN_START, activation, rows, stop - first, op.n_in, x, op.n_in, 1,
        parameters + (op.weights + first) * size, op.n_out, 1, z + first * size, op.n_out,
        biases, NULL, NULL), panel)
    if divided:
        meet(shared)


cdef fbp_chain chain_of(bint adds) noexcept nogil:
    """How the first block of a product's terms begins."""
    return FBP_CHAIN_ADD if adds else FBP_CHAIN_START


cdef void transposed_input_gradient(const fbp_plan *plan, const fbp_op *op, const char *weights,
                                    const char *delta, char *dx, bint adds, size_t rows,
                                    size_t inputs, char *panel) noexcept nogil:
    """dx_bi (+)= delta_bo w_io^T through dx_ib, some inputs and a strip of rows at a time."""
    cdef size_t size = plan.itemsize, width = plan.kernels.tile_columns, b, i, m, n
    cdef size_t height = left_rows(plan.kernels)
    cdef char *dx_ib = panel + strip_bytes(plan.kernels)
    for i from 0 <= i < inputs by height:
        m = min(inputs - i, height)
        for b from 0 <= b < rows by width:
            n = min(rows - b, width)
            if adds:
                plan.kernels.transpose(n, m, dx + (b * op.n_in + i) * size, op.n_in, dx_ib, width)
            multiply(plan.kernels, fbp_product(
                chain_of(adds), FBP_ACTIVATION_identity, m, n, op.n_out,
                weights + i * op.n_out * size, op.n_out, 1, delta + b * op.n_out * size, 1,
                op.n_out, dx_ib, width, NULL, NULL, NULL), panel)
            plan.kernels.transpose(m, n, dx_ib, width, dx + (b * op.n_in + i) * size, op.n_in)


cdef void form_input_gradient(const fbp_plan *plan, const fbp_op *op, const char *weights,
                              const char *delta, char *dx, bint adds, size_t rows, size_t inputs,
                              char *panel) noexcept nogil:
    """Some columns of dx, by as many rows of w: these are transposed, or delta and dx are."""
    if rows * (inputs + op.n_out) < inputs * op.n_out:
        transposed_input_gradient(plan, op, weights, delta, dx, adds, rows, inputs, panel)
        return
    multiply(plan.kernels, fbp_product(
        chain_of(adds), FBP_ACTIVATION_identity, rows, inputs, op.n_out, delta, op.n_out, 1,
        weights, 1, op.n_out, dx, op.n_in, NULL, NULL, NULL), panel)


cdef void input_gradient(const fbp_plan *plan, const fbp_op *op, const char *parameters,
                         const char *delta, char *dx, bint adds, size_t rows, const Shared *shared,
                         char *panel) noexcept nogil:
    """dx_bi = delta_bo w_io^T for some rows; `adds`: block sums are added to what dx holds."""
    cdef size_t size = plan.itemsize, first = 0, stop = op.n_in
    cdef bint divided = by_columns(plan.kernels, shared, op.n_in)
    if divided:
        delta, dx = delta - shared.before * op.n_out * size, dx - shared.before * op.n_in * size
        rows = shared.rows
        first = share(op.n_in, shared.rank, shared.size, plan.kernels.tile_columns)
        stop = share(op.n_in, shared.rank + 1, shared.size, plan.kernels.tile_columns)
        meet(shared)
    form_input_gradient(plan, op, parameters + (op.weights + first * op.n_out) * size, delta,
                        dx + first * size, adds, rows, stop - first, panel)
    if divided:
        meet(shared)


cdef void weights_gradient(const fbp_plan *plan, const fbp_op *op, const char *x,
                           const char *delta, size_t rows, size_t first_input, size_t inputs,
                           fbp_chain chain, char *gradient, char *panel) noexcept nogil:
    """dw_io (+)= x_bi^T delta_bo for `inputs` rows of w from `first_input` on, over some rows b.

    `gradient` is where the first of these rows goes.
    """
    multiply(plan.kernels, fbp_product(
        chain, FBP_ACTIVATION_identity, inputs, op.n_out, rows, x + first_input * plan.itemsize,
        1, op.n_in, delta, op.n_out, 1, gradient, op.n_out, NULL, NULL, NULL), panel)


cdef void biases_gradient(const fbp_plan *plan, const fbp_op *op, const char *delta,
                          size_t rows, fbp_chain chain, char *gradient,
                          char *panel) noexcept nogil:
    """db_o (+)= sum over rows of delta_bo: the product with an input that is always 1."""
    cdef const char *one = <const char *>&ONE_32 if plan.itemsize == 4 else <const char *>&ONE_64
    multiply(plan.kernels, fbp_product(
        chain, FBP_ACTIVATION_identity, 1, op.n_out, rows, one, 0, 0, delta, op.n_out, 1,
        gradient, op.n_out, NULL, NULL, NULL), panel)
