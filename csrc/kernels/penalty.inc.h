/* What parameters cost beside the loss, and the bounds that updates bring them back to. */

enum { PENALTY_LANES = 16, COLUMNS_AT_ONCE = 32 };

typedef double (*element_cost)(double sum, double w);

INLINE double plus_size(double sum, double w) { return sum + fabs(w); }
INLINE double plus_square(double sum, double w) { return fma(w, w, sum); }

/* Element i to lane i % PENALTY_LANES, and a halving tree. */
INLINE double cost_sum(element_cost cost, size_t n, const real *w)
{
    double lanes[PENALTY_LANES] = {0};
    size_t i = 0;
    for (; i + PENALTY_LANES <= n; i += PENALTY_LANES)
        for (size_t l = 0; l < PENALTY_LANES; l++) lanes[l] = cost(lanes[l], (double)w[i + l]);
    for (size_t l = 0; i < n; i++, l++) lanes[l] = cost(lanes[l], (double)w[i]);
    for (size_t l = 0; l < 8; l++) lanes[l] = lanes[l] + lanes[l + 8];
    return double_lanes_sum(lanes);
}

static double penalty(double l1, double l2, size_t n, const void *w)
{
    const double sizes = l1 != 0 ? l1 * cost_sum(plus_size, n, w) : 0;
    return l2 != 0 ? sizes + l2 * cost_sum(plus_square, n, w) : sizes;
}

INLINE vec with_l1(vec g, vec w, vec l1) { return v_fma(l1, sign_of_vec(w), g); }
INLINE vec with_l2(vec g, vec w, vec twice_l2) { return v_fma(twice_l2, w, g); }

static void penalty_gradient(double l1, double l2, size_t n, const void *w, void *g)
{
    if (l1 != 0) map_constant(with_l1, n, g, w, (real)l1, g);
    if (l2 != 0) map_constant(with_l2, n, g, w, (real)(2 * l2), g);
}

/* Squares of each of `n` columns, in chains down FBP_CHUNK rows. */
INLINE void column_squares(const size_t n, size_t rows, ptrdiff_t w_r, const real *w, double *sums)
{
    for (size_t c = 0; c < n; c++) sums[c] = 0;
    for (size_t first = 0; first < rows; first += FBP_CHUNK) {
        double chains[COLUMNS_AT_ONCE] = {0};
        const size_t stop = first + FBP_CHUNK < rows ? first + FBP_CHUNK : rows;
        for (size_t r = first; r < stop; r++, w += w_r)
            for (size_t c = 0; c < n; c++) chains[c] = fma((double)w[c], (double)w[c], chains[c]);
        for (size_t c = 0; c < n; c++) sums[c] = sums[c] + chains[c];
    }
}

INLINE void limit_some_columns(double limit, const size_t n, size_t rows, ptrdiff_t w_r, real *w)
{
    double sums[COLUMNS_AT_ONCE];
    real factors[COLUMNS_AT_ONCE];
    bool any = false;
    column_squares(n, rows, w_r, w, sums);
    for (size_t c = 0; c < n; c++) {
        const double norm = sqrt(sums[c]);
        factors[c] = norm > limit ? (real)(limit / norm) : 1;
        any |= norm > limit;
    }
    for (size_t r = 0; any && r < rows; r++, w += w_r)
        for (size_t c = 0; c < n; c++) w[c] = w[c] * factors[c];
}

static void limit_columns(double limit, size_t rows, size_t columns, ptrdiff_t w_r, void *w)
{
    real *strip = w;
    size_t left = columns;
    for (; left >= COLUMNS_AT_ONCE; left -= COLUMNS_AT_ONCE, strip += COLUMNS_AT_ONCE)
        limit_some_columns(limit, COLUMNS_AT_ONCE, rows, w_r, strip);
    if (left > 0) limit_some_columns(limit, left, rows, w_r, strip);
}
