/* Gradients of layers narrower than a vector: rows stand in the lanes, and each element of the
 * gradient has a chain in every lane. */

/* A group of at most ROW_LANES rows, in lanes of `vectors` vectors. */
typedef struct narrow_group {
    size_t n_in, n_out;
    const real *x, *delta;   /* (n_in, lanes), (n_out, lanes) */
    mask holds[ROW_VECTORS]; /* which lanes hold rows */
} narrow_group;

/* What becomes of the chains: they start at 0 or go on; they are kept, or summed over the vectors
 * of a group, and then n chains take the places of n vectors. */
typedef struct stretch {
    int vectors;
    bool starts, ends;
} stretch;

/* A chain for each output grows by x delta; x NULL: by delta. */
INLINE void add_products(const stretch k, const narrow_group *group, const real *x,
                         const real *chains, real *to)
{
    vec x_b[ROW_VECTORS];
    const size_t step = k.ends ? LANES : ROW_LANES;
    const real *delta = group->delta;
    for (int j = 0; j < k.vectors; j++) x_b[j] = x ? v_load(x + j * LANES) : v_set(1);
    for (size_t o = group->n_out; o > 0; o--, chains += ROW_LANES, to += step) {
        vec chain[ROW_VECTORS];
        for (int j = 0; j < ROW_VECTORS; j++)
            chain[j] = k.starts ? v_set(0) : v_load(chains + j * LANES);
        for (int j = 0; j < k.vectors; j++, delta += LANES) {
            const vec delta_j = v_load(delta), longer = v_fma(x_b[j], delta_j, chain[j]);
            chain[j] = v_select(group->holds[j], longer, chain[j]);
        }
        if (k.ends)
            v_store(to, sum_of_vectors(chain));
        else
            for (int j = 0; j < ROW_VECTORS; j++) v_store(to + j * LANES, chain[j]);
    }
}

/* chains: (n_in + 1, n_out, ROW_LANES) */
INLINE void add_group(const stretch k, const narrow_group *group, real *chains)
{
    const size_t row = group->n_out * ROW_LANES, to_row = k.ends ? group->n_out * LANES : row;
    real *to = chains;
    const real *x = group->x;
    for (size_t i = group->n_in; i > 0; i--, x += k.vectors * LANES, chains += row, to += to_row)
        add_products(k, group, x, chains, to);
    add_products(k, group, NULL, chains, to);
}

/* sums[e] = the sum over the lanes of vector e, by halves, a square block of vectors at a time:
 * then the lanes of many are added at once. Sums take the places of vectors that were read before.
 */
static void sum_lanes(size_t count, real *sums)
{
    for (size_t e = 0; e < count; e += LANES) {
        vec block[LANES];
        for (size_t l = 0; l < LANES; l++)
            block[l] = e + l < count ? v_load(sums + (e + l) * LANES) : v_set(0);
        v_transpose(block);
        for (int half = LANES / 2; half > 0; half /= 2)
            for (int l = 0; l < half; l++) block[l] = v_add(block[l], block[l + half]);
        v_store_part(sums + e, block[0], count - e);
    }
}

static void narrow_sum(size_t count, void *lanes)
{
    real *sums = lanes;
    for (size_t i = 0; i < count; i++) {
        vec sum[ROW_VECTORS];
        for (int j = 0; j < ROW_VECTORS; j++) sum[j] = v_load(sums + i * ROW_LANES + j * LANES);
        v_store(sums + i * LANES, sum_of_vectors(sum));
    }
    sum_lanes(count, sums);
}

/* to(n, ROW_LANES) = from(rows, n); `rows` is a constant where this is inlined, or few. */
INLINE void rows_to_lanes(const size_t rows, size_t n, const real *from, real *to)
{
    for (size_t i = 0; i < n; i++)
        for (size_t b = 0; b < rows; b++) to[i * ROW_LANES + b] = from[b * n + i];
}

/* Lanes [first, first + rows) of a group of n units; 0 in the others. */
INLINE void lanes_from_rows(size_t first, size_t rows, size_t n, const real *from, real *to)
{
    if (rows == ROW_LANES) {
        rows_to_lanes(ROW_LANES, n, from, to);
        return;
    }
    memset(to, 0, n * ROW_LANES * sizeof(real));
    rows_to_lanes(rows, n, from, to + first);
}

static void narrow_gradient(size_t first, size_t rows, size_t n_in, size_t n_out, const void *x_bi,
                            const void *delta_bo, void *lanes)
{
    _Alignas(64) real x[ROW_LANES * ROW_LANES], delta[ROW_LANES * ROW_LANES];
    const real *x_b = x_bi, *delta_b = delta_bo;
    narrow_group group = {.n_in = n_in, .n_out = n_out, .x = x, .delta = delta};
    for (size_t taken; rows > 0; rows -= taken, first += taken) {
        const size_t lane = first % ROW_LANES, free_lanes = ROW_LANES - lane;
        taken = rows < free_lanes ? rows : free_lanes;
        lanes_from_rows(lane, taken, n_in, x_b, x);
        lanes_from_rows(lane, taken, n_out, delta_b, delta);
        for (int j = 0; j < ROW_VECTORS; j++) group.holds[j] = lanes_with_rows(lane, taken, j);
        add_group((stretch){ROW_VECTORS, false, false}, &group, lanes);
        x_b += taken * n_in, delta_b += taken * n_out;
    }
}
