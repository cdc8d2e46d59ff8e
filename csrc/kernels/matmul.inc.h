/* The register tile of a matrix product, and the panel that an operand of it is packed into.
 *
 * The tile holds TILE_ROWS x TILE_VECTORS accumulators. Smaller tiles are compiled for each number
 * of rows and for 1, 2, 4, ... vectors, so that every loop over accumulators has constant bounds;
 * columns beyond n are computed from the padding and not stored. */

typedef struct matrix {
    const real *data;
    ptrdiff_t m, k; /* strides */
} matrix;

/* Columns of vector j that a row of n columns has. */
INLINE size_t columns_of(size_t n, int j)
{
    size_t before = (size_t)j * LANES;
    return n <= before ? 0 : n - before < LANES ? n - before : LANES;
}

INLINE void tile(const int rows, const int vectors, fbp_chain chain, size_t n, size_t k, matrix a,
                 const real *b, ptrdiff_t b_k, real *c, ptrdiff_t c_m)
{
    vec sum[TILE_ROWS][TILE_VECTORS];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 16
        for (int j = 0; j < vectors; j++) {
            const real *from = c + i * c_m + j * LANES;
            size_t columns = chain == FBP_CHAIN_CONTINUE ? columns_of(n, j) : 0;
            sum[i][j] = v_load_part(from, columns);
        }
    }
    for (size_t p = 0; p < k; p++) {
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            vec a_ip = v_set(a.data[i * a.m + (ptrdiff_t)p * a.k]);
#pragma GCC unroll 16
            for (int j = 0; j < vectors; j++)
                sum[i][j] = v_fma(a_ip, v_load(b + (ptrdiff_t)p * b_k + j * LANES), sum[i][j]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 16
        for (int j = 0; j < vectors; j++) {
            real *to = c + i * c_m + j * LANES;
            size_t columns = columns_of(n, j);
            if (chain == FBP_CHAIN_ADD) sum[i][j] = v_add(v_load_part(to, columns), sum[i][j]);
            v_store_part(to, sum[i][j], columns);
        }
    }
}

INLINE void tile_of_rows(const int rows, fbp_chain chain, size_t n, size_t k, matrix a,
                         const real *b, ptrdiff_t b_k, real *c, ptrdiff_t c_m)
{
    if (n <= LANES)
        tile(rows, 1, chain, n, k, a, b, b_k, c, c_m);
    else if (TILE_VECTORS >= 2 && n <= 2 * LANES)
        tile(rows, TILE_VECTORS < 2 ? 1 : 2, chain, n, k, a, b, b_k, c, c_m);
    else if (TILE_VECTORS >= 4 && n <= 4 * LANES)
        tile(rows, TILE_VECTORS < 4 ? 1 : 4, chain, n, k, a, b, b_k, c, c_m);
    else
        tile(rows, TILE_VECTORS, chain, n, k, a, b, b_k, c, c_m);
}

static void matmul_tile(fbp_chain chain, size_t m, size_t n, size_t k, const void *a, ptrdiff_t a_m,
                        ptrdiff_t a_k, const void *b, ptrdiff_t b_k, void *c, ptrdiff_t c_m)
{
    matrix left = {a, a_m, a_k};
    if (m == TILE_ROWS) {
        tile_of_rows(TILE_ROWS, chain, n, k, left, b, b_k, c, c_m);
        return;
    }
    real *row = c;
    for (; m > 0; m--, left.data += a_m, row += c_m)
        tile_of_rows(1, chain, n, k, left, b, b_k, row, c_m);
}

static void pack(size_t k, size_t n, const void *b, ptrdiff_t b_k, ptrdiff_t b_n, void *panel)
{
    const ptrdiff_t width = TILE_VECTORS * LANES;
    const real *from = b;
    real *to = panel;
    if (b_n == 1) {
        for (size_t p = 0; p < k; p++, from += b_k, to += width)
            for (size_t j = 0; j < n; j++) to[j] = from[j];
    } else {
        for (size_t j = 0; j < n; j++, from += b_n, to++)
            for (size_t p = 0; p < k; p++) to[(ptrdiff_t)p * width] = from[(ptrdiff_t)p * b_k];
    }
}
