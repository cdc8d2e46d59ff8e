/* Softmax by row. Element o of a row is summed in lane o % ROW_LANES (lanes.inc.h). */

/* Largest element. A NaN may be passed over: exp of it makes the row's sum NaN all the same. */
static inline real row_max(size_t n, const real *z)
{
    real most = z[0];
    for (size_t o = 1; o < n; o++) most = z[o] > most ? z[o] : most;
    return most;
}

/* Sum of e_o = exp(z_o - most); e keeps them unless it is NULL. e may be z. */
static inline real row_exp(size_t n, const real *z, real most, real *e)
{
    vec sum[ROW_VECTORS];
    for (int j = 0; j < ROW_VECTORS; j++) sum[j] = v_set(0);
    for (size_t o = 0; o < n; o += ROW_LANES)
        for (int j = 0; j < ROW_VECTORS && o + (size_t)j * LANES < n; j++) {
            size_t at = o + (size_t)j * LANES, rest = n - at < LANES ? n - at : LANES;
            vec e_o = m_exp(v_sub(v_load_part(z + at, rest), v_set(most)));
            if (e) v_store_part(e + at, e_o, rest);
            sum[j] = v_add(sum[j], first_lanes(e_o, rest));
        }
    return vectors_sum(sum);
}

static inline real row_dot(size_t n, const real *a, const real *b)
{
    vec sum[ROW_VECTORS];
    for (int j = 0; j < ROW_VECTORS; j++) sum[j] = v_set(0);
    for (size_t o = 0; o < n; o += ROW_LANES)
        for (int j = 0; j < ROW_VECTORS && o + (size_t)j * LANES < n; j++) {
            size_t at = o + (size_t)j * LANES, rest = n - at < LANES ? n - at : LANES;
            sum[j] = v_fma(v_load_part(a + at, rest), v_load_part(b + at, rest), sum[j]);
        }
    return vectors_sum(sum);
}

INLINE vec quotient_of(vec a, vec b, vec c) { return (void)b, v_div(a, c); }
INLINE vec softmax_slope(vec p, vec dp, vec mean) { return v_mul(p, v_sub(dp, mean)); }

static void softmax(size_t rows, size_t n, const void *z, void *p)
{
    for (size_t b = 0; b < rows; b++) {
        const real *z_o = (const real *)z + b * n;
        real *p_o = (real *)p + b * n;
        real sum = row_exp(n, z_o, row_max(n, z_o), p_o);
        map_constant(quotient_of, n, p_o, p_o, sum, p_o);
    }
}

static void softmax_backward(size_t rows, size_t n, const void *p, const void *dp, void *dz)
{
    for (size_t b = 0; b < rows; b++) {
        const real *p_o = (const real *)p + b * n, *dp_o = (const real *)dp + b * n;
        map_constant(softmax_slope, n, p_o, dp_o, row_dot(n, dp_o, p_o), (real *)dz + b * n);
    }
}
