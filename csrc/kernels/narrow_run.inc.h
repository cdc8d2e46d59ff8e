/* Dense layers narrower than a vector, fed one by the other: rows stand in the lanes from the
 * inputs of the first to the outputs of the last, and back.
 *
 * A group of rows keeps its values in one block: the inputs of the first layer, then of each layer
 * its net inputs where they are saved, and its outputs; all (units, width). Its width is a vector
 * if that has a lane for each row, or ROW_LANES. */

/* Chains that are summed at the same time, to keep the multipliers busy. */
#define TOGETHER (ROW_VECTORS < 8 ? 8 / ROW_VECTORS : 1)

/* A layer's weights, or their transpose: from term t to result r by w[t * w_t + r * w_r]. */
typedef struct weights {
    size_t terms, results;
    const real *w;
    size_t w_t, w_r;
    const real *bias; /* or NULL */
} weights;

/* Results r to r + count of each row: a chain over ascending terms, then the bias. */
INLINE void weigh_terms(const int vectors, const int count, const weights *by, size_t r,
                        const real *x, real *z)
{
    const real *w = by->w + r * by->w_r;
    vec sum[TOGETHER][ROW_VECTORS];
    for (int i = 0; i < count; i++)
        for (int j = 0; j < vectors; j++) sum[i][j] = v_set(0);
    for (size_t t = 0; t < by->terms; t++, w += by->w_t, x += vectors * LANES)
        for (int i = 0; i < count; i++) {
            const vec w_t = v_set(w[i * by->w_r]);
            for (int j = 0; j < vectors; j++)
                sum[i][j] = v_fma(v_load(x + j * LANES), w_t, sum[i][j]);
        }
    for (int i = 0; i < count; i++)
        for (int j = 0; j < vectors; j++) {
            const vec z_j = by->bias ? v_add(sum[i][j], v_set(by->bias[r + i])) : sum[i][j];
            v_store(z + (r + i) * vectors * LANES + j * LANES, z_j);
        }
}

INLINE void weigh_group(const int vectors, const weights by, const real *x, real *z)
{
    size_t r = 0;
    for (; r + TOGETHER <= by.results; r += TOGETHER) weigh_terms(vectors, TOGETHER, &by, r, x, z);
    for (; r < by.results; r++) weigh_terms(vectors, 1, &by, r, x, z);
}

/* Elements of a row in a group's block. */
static size_t row_elements(const fbp_op *ops, size_t n_ops)
{
    size_t n = ops->n_in;
    for (size_t k = 0; k < n_ops; k++) n += ops[k].n_out * (ops[k].saved == FBP_NONE ? 1 : 2);
    return n;
}

INLINE void forward_group(const int vectors, const fbp_run *run, size_t rows, const real *x_bi,
                          real *y_bo, real *values)
{
    const size_t width = (size_t)vectors * LANES;
    const real *p = run->parameters;
    const fbp_op *op = run->ops, *end = op + run->n_ops;
    group_from_rows(width, rows, op->n_in, x_bi, values);
    for (; op < end; op++) {
        real *z = values + op->n_in * width, *a = z;
        if (op->saved != FBP_NONE) a += op->n_out * width;
        const real *bias = op->biases == FBP_NONE ? NULL : p + op->biases;
        weigh_group(vectors, (weights){op->n_in, op->n_out, p + op->weights, op->n_out, 1, bias},
                    values, z);
        if (op + 1 < end || run->activates)
            activate(op->activation, op->parameter, op->n_out * width, z, a);
        values = op + 1 < end || run->activates ? a : z;
    }
    rows_from_group(width, rows, op[-1].n_out, values, y_bo);
}

static void narrow_forward(const fbp_run *run, size_t rows, const void *x_bi, void *y_bo)
{
    const size_t n_in = run->ops->n_in, n_out = run->ops[run->n_ops - 1].n_out;
    const size_t group = row_elements(run->ops, run->n_ops) * ROW_LANES;
    const real *x = x_bi;
    real *y = y_bo, *values = run->values;
    for (size_t b = 0; b < rows; b += ROW_LANES, values += group) {
        const size_t taken = rows - b < ROW_LANES ? rows - b : ROW_LANES;
        if (taken <= LANES)
            forward_group(1, run, taken, x + b * n_in, y + b * n_out, values);
        else
            forward_group(ROW_VECTORS, run, taken, x + b * n_in, y + b * n_out, values);
    }
}

/* One layer's chains over the rows of a group, and their sums if they end with it. */
INLINE void add_rows_of_group(const int vectors, bool starts, bool ends, const narrow_group *group,
                              real *lanes)
{
    if (starts && ends)
        add_group((stretch){vectors, true, true}, group, lanes);
    else if (starts)
        add_group((stretch){vectors, true, false}, group, lanes);
    else if (ends)
        add_group((stretch){vectors, false, true}, group, lanes);
    else
        add_group((stretch){vectors, false, false}, group, lanes);
    if (ends) sum_lanes((group->n_in + 1) * group->n_out, lanes);
}

/* `end` is where the group's values end. */
INLINE void backward_group(const int vectors, const fbp_run *run, size_t rows, bool starts,
                           bool ends, const real *end, const real *delta_bo, real *dx_bi,
                           real *lanes)
{
    _Alignas(64) real deltas[2][ROW_LANES * ROW_LANES];
    const size_t width = (size_t)vectors * LANES;
    const real *p = run->parameters;
    const fbp_op *op = run->ops + run->n_ops - 1;
    real *delta = deltas[0], *below = deltas[1], *swapped;
    bool activated = run->activates;
    narrow_group group;
    for (int j = 0; j < vectors; j++) group.holds[j] = lanes_with_rows(0, rows, j);
    group_from_rows(width, rows, op->n_out, delta_bo, delta);
    for (;; op--, activated = true, swapped = delta, delta = below, below = swapped) {
        const real *a = end - op->n_out * width, *z = a;
        if (op->saved != FBP_NONE) z -= op->n_out * width;
        if (activated)
            activate_backward(op->activation, op->parameter, op->n_out * width, z, a, delta, delta);
        end = z;
        group.n_in = op->n_in, group.n_out = op->n_out, group.x = z - op->n_in * width;
        group.delta = delta;
        if (op->trains_weights || op->trains_biases)
            add_rows_of_group(vectors, starts, ends, &group, lanes + op->lanes);
        if (!op->propagates) return;
        weigh_group(vectors, (weights){op->n_out, op->n_in, p + op->weights, 1, op->n_out, NULL},
                    delta, below);
        if (op == run->ops) break;
    }
    rows_from_group(width, rows, op->n_in, below, dx_bi);
}

static void narrow_backward(const fbp_run *run, size_t rows, bool starts, bool ends,
                            const void *delta_bo, void *dx_bi, void *lanes)
{
    const size_t n_in = run->ops->n_in, n_out = run->ops[run->n_ops - 1].n_out;
    const size_t elements = row_elements(run->ops, run->n_ops);
    const real *delta = delta_bo, *values = run->values;
    real *dx = dx_bi;
    for (size_t b = 0; b < rows; b += ROW_LANES, values += elements * ROW_LANES) {
        const size_t taken = rows - b < ROW_LANES ? rows - b : ROW_LANES;
        const bool first = starts && b == 0, last = ends && b + taken == rows;
        if (taken <= LANES)
            backward_group(1, run, taken, first, last, values + elements * LANES, delta + b * n_out,
                           dx + b * n_in, lanes);
        else
            backward_group(ROW_VECTORS, run, taken, first, last, values + elements * ROW_LANES,
                           delta + b * n_out, dx + b * n_in, lanes);
    }
}
