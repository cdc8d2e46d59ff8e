/* Softmax by row. Element o of a row is summed in lane o % ROW_LANES (lanes.inc.h).
 *
 * Error of p_o = e_o / s, where it and e_o are normal numbers, with d = max z - z_o, L = ROW_LANES:
 * at most d + log n + ceil(n / L) + 12 units in the last place. In relative errors of half a unit:
 * d for the rounding of z_o - max z, which e^x multiplies; 4 for exp (2 units); the same two for
 * the sum, where d is weighted with p: sum p_j d_j <= log n; ceil(n / L) + 3 for its additions; 1
 * for the division. Half a unit relative to the result is at most one unit of it.
 *
 * Rows go through each step in blocks, so that a processor finds work of other rows to do while it
 * waits for the maximum or sum of one. */

#define BLOCK_ROWS 16 /* at least LANES */

/* Largest element. A NaN may be passed over: exp of it makes the row's sum NaN all the same. */
INLINE real row_max(size_t n, const real *z)
{
    vec most = v_set(z[0]);
    size_t o = 0;
    for (; o + LANES <= n; o += LANES) most = v_max(v_load(z + o), most);
    if (o < n) {
        vec last = v_select(v_lanes(n - o), v_load_part(z + o, n - o), most);
        most = v_max(last, most);
    }
    return v_max_lanes(most);
}

/* Sum of e_o = exp(z_o - most), but for v_sum_lanes; e keeps them unless it is NULL. e may be z. */
INLINE vec row_exp(size_t n, const real *z, real most, real *e)
{
    vec sum[ROW_VECTORS];
    for (int j = 0; j < ROW_VECTORS; j++) sum[j] = v_set(0);
    for (size_t o = 0; o < n; o += ROW_LANES)
        for (int j = 0; j < ROW_VECTORS && o + (size_t)j * LANES < n; j++) {
            size_t at = o + (size_t)j * LANES, rest = n - at < LANES ? n - at : LANES;
            vec e_o = m_exp(v_sub(v_load_part(z + at, rest), v_set(most)));
            if (e) v_store_part(e + at, e_o, rest);
            sum[j] = v_add(sum[j], v_select(v_lanes(rest), e_o, v_set(0)));
        }
    return sum_of_vectors(sum);
}

/* row_max and row_exp of a block of rows; `e` is NULL or as large as z. */
INLINE void block_exp(size_t rows, size_t n, const real *z, real *most, real *sum, real *e)
{
    vec sums[BLOCK_ROWS];
    for (size_t b = 0; b < rows; b++) most[b] = row_max(n, z + b * n);
    for (size_t b = 0; b < rows; b++)
        sums[b] = row_exp(n, z + b * n, most[b], e ? e + b * n : NULL);
    for (size_t b = 0; b < rows; b++) sum[b] = v_sum_lanes(sums[b]);
}

INLINE vec quotient_of(vec a, vec b, vec c) { return (void)b, v_div(a, c); }
INLINE vec softmax_slope(vec p, vec dp, vec mean) { return v_mul(p, v_sub(dp, mean)); }
INLINE vec plus_product(vec sum, vec a, vec b) { return v_fma(a, b, sum); }

static void softmax(size_t rows, size_t n, const void *z_bo, void *p_bo)
{
    const real *z = z_bo;
    real *p = p_bo, most[BLOCK_ROWS], sum[BLOCK_ROWS];
    for (size_t block; rows > 0; rows -= block, z += block * n) {
        block = rows < BLOCK_ROWS ? rows : BLOCK_ROWS;
        block_exp(block, n, z, most, sum, p);
        for (size_t b = 0; b < block; b++, p += n) map_constant(quotient_of, n, p, p, sum[b], p);
    }
}

static void softmax_backward(size_t rows, size_t n, const void *p_bo, const void *dp_bo,
                             void *dz_bo)
{
    const real *p = p_bo, *dp = dp_bo;
    real *dz = dz_bo;
    vec dot[BLOCK_ROWS];
    for (size_t block; rows > 0; rows -= block) {
        block = rows < BLOCK_ROWS ? rows : BLOCK_ROWS;
        for (size_t b = 0; b < block; b++) dot[b] = row_sum(plus_product, n, dp + b * n, p + b * n);
        for (size_t b = 0; b < block; b++, p += n, dp += n, dz += n)
            map_constant(softmax_slope, n, p, dp, v_sum_lanes(dot[b]), dz);
    }
}
