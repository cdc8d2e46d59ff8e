/* Rows in the lanes: of a layer narrower than a vector, a vector holds one unit of several rows,
 * and a weight is broadcast. ROW_LANES rows make a group, of ROW_VECTORS vectors; a group of few
 * rows has one vector, if that has lanes enough. */

INLINE int vectors_of_group(size_t rows) { return rows <= LANES ? 1 : ROW_VECTORS; }

/* Which lanes of vector j of a group hold rows: [first, first + rows) of all its lanes. */
INLINE mask lanes_with_rows(size_t first, size_t rows, int j)
{
    static const real flags[2 * ROW_LANES] = {[0 ... ROW_LANES - 1] = 1};
    const mask below = v_gt(v_load(flags + ROW_LANES - first - rows + j * LANES), v_set(0));
    const mask from = v_lt(v_load(flags + ROW_LANES - first + j * LANES), v_set(1));
    return v_and(from, below);
}

/* At most LANES elements of x from `at` on, of which it has `total`; 0 behind them. */
INLINE vec load_from(const real *x, size_t at, size_t total)
{
    return at < total ? v_load_part(x + at, total - at) : v_set(0);
}

/* to(n, width) = from(rows, n), and 0 in lanes without a row. A vector from the middle of `from`
 * may begin with a row and go on with the next. */
static void group_from_rows(size_t width, size_t rows, size_t n, const real *from, real *to)
{
    const size_t total = rows * n;
    for (size_t b = 0; b < width; b += LANES) {
        if (n == 1) v_store(to + b, load_from(from, b, total));
        for (size_t i = 0; i < n && n > 1; i += LANES) {
            vec block[LANES];
            for (size_t l = 0; l < LANES; l++) block[l] = load_from(from, (b + l) * n + i, total);
            v_transpose(block);
            for (size_t l = 0; l < LANES && i + l < n; l++)
                v_store(to + (i + l) * width + b, block[l]);
        }
    }
}

/* to(rows, n) = from(n, width). What a vector writes into the next row is written over by that. */
static void rows_from_group(size_t width, size_t rows, size_t n, const real *from, real *to)
{
    const size_t total = rows * n;
    for (size_t b = 0; b < rows; b += LANES) {
        if (n == 1) v_store_part(to + b, v_load(from + b), total - b);
        for (size_t end = n > 1 ? n : 0, i; end > 0; end = i) { /* last units first */
            vec block[LANES];
            i = (end - 1) / LANES * LANES;
            for (size_t l = 0; l < LANES; l++)
                block[l] = i + l < n ? v_load(from + (i + l) * width + b) : v_set(0);
            v_transpose(block);
            for (size_t l = 0, at = b * n + i; l < LANES && at < total; l++, at += n)
                v_store_part(to + at, block[l], total - at);
        }
    }
}
