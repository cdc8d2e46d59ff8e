/* Layers of exported programs, on one row: the order of sums that the arithmetic contract fixes.
 * Sizes are constants wherever these are inlined. */

#define TILE  ROW_LANES /* outputs whose sums grow together, in two vectors of AVX */
#define BLOCK 256       /* terms of a chain */

/* Some columns of x W over a block of inputs: chains of fused multiply-adds over ascending ones. */
INLINE void block_columns(const size_t columns, const size_t n_block, const size_t n_out,
                          const real *w, const real *x, real *chain)
{
    for (size_t o = 0; o < columns; o++) chain[o] = 0;
    for (size_t i = 0; i < n_block; i++)
        for (size_t o = 0; o < columns; o++) chain[o] = v_fma(x[i], w[i * n_out + o], chain[o]);
}

/* Some columns of y = x W + b: blocks added in order, the bias last. b may be NULL. */
INLINE void dense_columns(const size_t columns, const size_t n_in, const size_t n_out,
                          const real *w, const real *b, const real *x, real *y)
{
    real sum[TILE], chain[TILE];
    block_columns(columns, n_in < BLOCK ? n_in : BLOCK, n_out, w, x, sum);
    for (size_t i = BLOCK; i < n_in; i += BLOCK) {
        block_columns(columns, n_in - i < BLOCK ? n_in - i : BLOCK, n_out, w + i * n_out, x + i,
                      chain);
        for (size_t o = 0; o < columns; o++) sum[o] = sum[o] + chain[o];
    }
    for (size_t o = 0; o < columns; o++) y[o] = b ? sum[o] + b[o] : sum[o];
}

#define DENSE_COLUMNS(count)                                                                       \
    dense_columns(count, n_in, n_out, w + o, b ? b + o : NULL, x, y + o), o += count

INLINE void dense(const size_t n_in, const size_t n_out, const real *w, const real *b,
                  const real *x, real *y)
{
    size_t o = 0;
    while (n_out - o >= TILE) DENSE_COLUMNS(TILE);
    if (n_out % TILE & 8) DENSE_COLUMNS(8);
    if (n_out & 4) DENSE_COLUMNS(4);
    if (n_out & 2) DENSE_COLUMNS(2);
    if (n_out & 1) DENSE_COLUMNS(1);
}

INLINE real scaled(real x, real unused, real factor) { return (void)unused, v_mul(x, factor); }

/* y = f(x) element by element; y may be x. */
INLINE void map(real (*f)(real, real, real), const size_t n, const real c, const real *x, real *y)
{
    for (size_t i = 0; i < n; i++) y[i] = f(x[i], x[i], c);
}

/* y = a + b; y may be either. */
INLINE void add(const size_t n, const real *a, const real *b, real *y)
{
    for (size_t i = 0; i < n; i++) y[i] = flushed(a[i] + b[i]);
}

/* Puts x, of so many pieces of n elements, into a row y of as many pieces of n_row. */
INLINE void put(const size_t pieces, const size_t n, const size_t n_row, const real *x, real *y)
{
    for (size_t p = 0; p < pieces; p++) memcpy(y + p * n_row, x + p * n, n * sizeof(real));
}

/* y = softmax(x), element i summed in lane i % ROW_LANES, lanes by halves; y may be x. */
INLINE void softmax(const size_t n, const real *x, real *y)
{
    real most = x[0], sum[ROW_LANES] = {0};
    for (size_t i = 1; i < n; i++) most = v_max(x[i], most);
    for (size_t i = 0; i < n; i++) {
        y[i] = m_exp(v_sub(x[i], most));
        sum[i % ROW_LANES] = v_add(sum[i % ROW_LANES], y[i]);
    }
    for (size_t half = ROW_LANES / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++) sum[l] = v_add(sum[l], sum[l + half]);
    for (size_t i = 0; i < n; i++) y[i] = v_div(y[i], sum[0]);
}
