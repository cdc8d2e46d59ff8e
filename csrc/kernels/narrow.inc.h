/* Gradients of layers narrower than a vector: rows stand in the lanes, a group of ROW_LANES rows at
 * a time, and each element of the gradient has a chain in every lane. */

typedef struct narrow_group {
    size_t n_in, n_out;
    bool whole; /* all lanes have a row; else those of `holds` */
    mask holds[ROW_VECTORS];
    _Alignas(64) real x[ROW_LANES * ROW_LANES]; /* (n_in, ROW_LANES) */
    _Alignas(64) real delta[ROW_LANES * ROW_LANES];
} narrow_group;

/* to(n, ROW_LANES) = from(rows, n); `rows` is a constant where this is inlined, or few. */
INLINE void rows_to_lanes(const size_t rows, size_t n, const real *from, real *to)
{
    for (size_t i = 0; i < n; i++)
        for (size_t b = 0; b < rows; b++) to[i * ROW_LANES + b] = from[b * n + i];
}

/* Rows for lanes [first, first + rows) of the group. */
static void take_rows(narrow_group *group, size_t first, size_t rows, const real *x,
                      const real *delta)
{
    real flags[ROW_LANES] = {0};
    group->whole = rows == ROW_LANES;
    if (group->whole) {
        rows_to_lanes(ROW_LANES, group->n_in, x, group->x);
        rows_to_lanes(ROW_LANES, group->n_out, delta, group->delta);
        return;
    }
    memset(group->x, 0, group->n_in * ROW_LANES * sizeof(real));
    memset(group->delta, 0, group->n_out * ROW_LANES * sizeof(real));
    rows_to_lanes(rows, group->n_in, x, group->x + first);
    rows_to_lanes(rows, group->n_out, delta, group->delta + first);
    for (size_t b = 0; b < rows; b++) flags[first + b] = 1;
    for (int j = 0; j < ROW_VECTORS; j++)
        group->holds[j] = v_gt(v_load(flags + j * LANES), v_set(0));
}

/* Chains grow by x delta for each output; x NULL: by delta. Returns where the next chains stand. */
INLINE real *add_products(const narrow_group *group, const bool whole, const real *x, real *chains)
{
    vec x_b[ROW_VECTORS];
    for (int j = 0; j < ROW_VECTORS; j++) x_b[j] = x ? v_load(x + j * LANES) : v_set(1);
    for (size_t o = 0; o < group->n_out; o++, chains += ROW_LANES)
        for (int j = 0; j < ROW_VECTORS; j++) {
            const vec chain = v_load(chains + j * LANES);
            const vec delta = v_load(group->delta + o * ROW_LANES + j * LANES);
            const vec longer = v_fma(x_b[j], delta, chain);
            v_store(chains + j * LANES, whole ? longer : v_select(group->holds[j], longer, chain));
        }
    return chains;
}

INLINE void add_group(const narrow_group *group, const bool whole, real *chains)
{
    for (size_t i = 0; i < group->n_in; i++)
        chains = add_products(group, whole, group->x + i * ROW_LANES, chains);
    add_products(group, whole, NULL, chains);
}

static void narrow_gradient(size_t first, size_t rows, size_t n_in, size_t n_out, const void *x_bi,
                            const void *delta_bo, void *lanes)
{
    narrow_group group;
    const real *x = x_bi, *delta = delta_bo;
    group.n_in = n_in, group.n_out = n_out;
    for (size_t taken; rows > 0; rows -= taken, first += taken) {
        const size_t lane = first % ROW_LANES, free_lanes = ROW_LANES - lane;
        taken = rows < free_lanes ? rows : free_lanes;
        take_rows(&group, lane, taken, x, delta);
        if (group.whole)
            add_group(&group, true, lanes);
        else
            add_group(&group, false, lanes);
        x += taken * n_in, delta += taken * n_out;
    }
}

/* Sums take the places of the first chains, which are read before. */
static void narrow_sum(size_t count, void *lanes)
{
    real *sums = lanes;
    for (size_t i = 0; i < count; i++) {
        vec sum[ROW_VECTORS];
        for (int j = 0; j < ROW_VECTORS; j++) sum[j] = v_load(sums + i * ROW_LANES + j * LANES);
        for (int half = ROW_VECTORS / 2; half > 0; half /= 2)
            for (int j = 0; j < half; j++) sum[j] = v_add(sum[j], sum[j + half]);
        sums[i] = v_sum(sum[0], LANES);
    }
}
