/* The same few rows again and again, in a network of one output and at most one hidden layer: a
 * neuron, or XOR. A step is one chain of dependent operations, so what counts is its length: units
 * go from net input to update in registers, for a number that goes by way of memory takes some nine
 * cycles. */

/* What the code is compiled for: a constant wherever the functions below are inlined. */
typedef struct form {
    int vectors; /* of a group that hold rows, */
    size_t rows; /* and their lanes */
    bool deep;   /* there is a hidden layer */
    bool sigmoids;
    bool records; /* outputs are asked for */
} form;

typedef struct repeated {
    const fbp_output *goal;
    const fbp_op *hidden, *output;
    vector_activation hidden_activation, output_activation;
    real *p;
    const real *x, *t;       /* (inputs, ROW_LANES), (ROW_LANES) */
    real *h, *h_net;         /* (hidden, ROW_LANES): outputs of the hidden layer, and its z */
    mask holds[ROW_VECTORS]; /* which lanes hold rows */
    size_t n_rows;
    real rate, factor;
} repeated;

INLINE void clear(const form k, vec z[])
{
    for (int j = 0; j < k.vectors; j++) z[j] = v_set(0);
}

INLINE void weigh(const form k, const real *x, real w, vec z[])
{
    for (int j = 0; j < k.vectors; j++) z[j] = v_fma(v_load(x + j * LANES), v_set(w), z[j]);
}

INLINE void bias(const form k, const fbp_op *op, const real *p, size_t o, vec z[])
{
    if (op->biases == FBP_NONE) return;
    for (int j = 0; j < k.vectors; j++) z[j] = v_add(z[j], v_set(p[op->biases + o]));
}

/* One parameter's step, from its input (NULL: 1) and its unit's delta, which is 0 in lanes without
 * a row; returns what it is then. */
INLINE real stepped(const form k, const repeated *r, size_t at, const real *x, const vec delta[])
{
    vec sum[ROW_VECTORS];
    for (int j = 0; j < k.vectors; j++)
        sum[j] = x ? v_fma(v_load(x + j * LANES), delta[j], v_set(0)) : v_add(delta[j], v_set(0));
    return r->p[at] = real_fma(-r->rate, rows_sum(k.vectors, k.rows, sum), r->p[at]);
}

/* A hidden unit forward; stores its output. */
INLINE void unit_forward(const form k, const repeated *r, size_t o)
{
    const fbp_op *op = r->hidden;
    const real *w = r->p + op->weights + o, *x = r->x;
    real *h = r->h + o * ROW_LANES, *h_net = r->h_net + o * ROW_LANES;
    vec z[ROW_VECTORS];
    clear(k, z);
    for (size_t i = op->n_in; i > 0; i--, w += op->n_out, x += ROW_LANES) weigh(k, x, *w, z);
    bias(k, op, r->p, o, z);
    for (int j = 0; j < k.vectors; j++) {
        if (!k.sigmoids) v_store(h_net + j * LANES, z[j]);
        v_store(h + j * LANES, activated(&r->hidden_activation, k.sigmoids, z[j]));
    }
}

/* A hidden unit's parameters, from the delta of its output. */
INLINE void unit_step(const form k, const repeated *r, size_t o, const vec da[])
{
    const fbp_op *op = r->hidden;
    const real *h = r->h + o * ROW_LANES, *h_net = r->h_net + o * ROW_LANES, *x = r->x;
    vec dz[ROW_VECTORS];
    for (int j = 0; j < k.vectors; j++)
        dz[j] = activated_backward(&r->hidden_activation, k.sigmoids, v_load(h_net + j * LANES),
                                   v_load(h + j * LANES), da[j]);
    size_t at = op->weights + o;
    if (op->trains_weights)
        for (size_t i = op->n_in; i > 0; i--, at += op->n_out, x += ROW_LANES)
            stepped(k, r, at, x, dz);
    if (op->trains_biases) stepped(k, r, op->biases + o, NULL, dz);
}

/* z of the output, by way of the hidden layer if there is one. */
INLINE void output_net(const form k, const repeated *r, vec z[])
{
    const real *input = k.deep ? r->h : r->x, *w = r->p + r->output->weights;
    clear(k, z);
    for (size_t i = 0; i < r->output->n_in; i++, input += ROW_LANES) {
        if (k.deep) unit_forward(k, r, i);
        weigh(k, input, w[i], z);
    }
}

/* 0 in lanes without a row. */
INLINE vec where_rows(const form k, const repeated *r, int j, vec a)
{
    return k.vectors * LANES == 1 ? a : v_select(r->holds[j], a, v_set(0));
}

/* Outputs of the rows of one vector to their places in a row of the record. */
INLINE void keep_outputs(const repeated *r, int j, vec y, real *outputs)
{
    real lanes[LANES];
    v_store(lanes, y);
    for (size_t b = (size_t)j * LANES, lane = 0; b < r->n_rows && lane < LANES; b++, lane++)
        outputs[b] = lanes[lane];
}

/* From the output's z to dL/dz; errors go to where the loss is computed, outputs to the record, if
 * that is asked for. */
INLINE void output_delta(const form k, const repeated *r, const vec z[], vec delta[], real errors[],
                         real *outputs)
{
    const fbp_output *goal = r->goal;
    for (int j = 0; j < k.vectors; j++) {
        const vec y = goal->fused ? z[j] : activated(&r->output_activation, k.sigmoids, z[j]);
        const vec t = v_load(r->t + j * LANES);
        const compared c = compare(goal->loss, (real)goal->parameter, y, t);
        delta[j] = r->factor == 1 ? c.slope : v_mul(c.slope, v_set(r->factor));
        if (!goal->fused)
            delta[j] = activated_backward(&r->output_activation, k.sigmoids, z[j], y, delta[j]);
        delta[j] = where_rows(k, r, j, delta[j]);
        v_store(errors + j * LANES, where_rows(k, r, j, c.error));
        if (k.records)
            keep_outputs(r, j, goal->fused ? activated(&r->output_activation, k.sigmoids, z[j]) : y,
                         outputs);
    }
}

/* The loss of the batch. */
INLINE double batch_loss(const form k, const repeated *r, const real errors[])
{
    double terms[ROW_LANES];
    terms_of(r->goal->loss, r->goal->parameter, k.rows, errors, terms);
    const double sum = few_doubles_sum(k.rows, terms);
    return r->goal->sums ? sum : sum / (double)r->n_rows;
}

/* The output's parameters and those below. Without a hidden layer, z becomes what the next step
 * begins with: the net input is summed while the weights are at hand. */
INLINE void output_step(const form k, const repeated *r, const vec delta[], vec z[])
{
    const fbp_op *op = r->output;
    const real *input = k.deep ? r->h : r->x;
    clear(k, z);
    for (size_t i = 0; i < op->n_in; i++, input += ROW_LANES) {
        vec below[ROW_VECTORS];
        real w = r->p[op->weights + i];
        for (int j = 0; j < k.vectors; j++) below[j] = v_fma(delta[j], v_set(w), v_set(0));
        if (op->trains_weights) w = stepped(k, r, op->weights + i, input, delta);
        if (!k.deep)
            weigh(k, input, w, z);
        else if (op->propagates)
            unit_step(k, r, i, below);
    }
    if (op->trains_biases) stepped(k, r, op->biases, NULL, delta);
}

INLINE size_t repeat_steps(const form k, const repeated *given, size_t steps, double stop_at_loss,
                           double *losses, real *outputs)
{
    const repeated own = *given, *r = &own; /* which no store to parameters can reach */
    const double n = (double)r->n_rows;
    vec z[ROW_VECTORS], delta[ROW_VECTORS];
    real errors[ROW_LANES] = {0};
    if (!k.deep) output_net(k, r, z);
    for (size_t s = 0; s < steps; s++) {
        if (k.deep) output_net(k, r, z);
        bias(k, r->output, r->p, 0, z);
        output_delta(k, r, z, delta, errors, outputs);
        if (k.records) outputs += r->n_rows;
        const double loss = batch_loss(k, r, errors);
        losses[s] = loss * n / n; /* the mean over an epoch of one batch */
        output_step(k, r, delta, z);
        if (losses[s] - losses[s] != 0 || losses[s] <= stop_at_loss) return s + 1;
    }
    return steps;
}

#define STEPS(...) repeat_steps((form){__VA_ARGS__}, r, steps, stop_at_loss, losses, outputs)
#define REPEAT(deep, sigmoids)                                                                     \
    half && !records  ? STEPS(1, LANES / 2, deep, sigmoids, false)                                 \
    : one && !records ? STEPS(1, LANES, deep, sigmoids, false)                                     \
                      : STEPS(ROW_VECTORS, ROW_LANES, deep, sigmoids, records)
/* Of records only a neuron's have forms of their own: each takes some 3 KB in every table. */
static size_t repeat_in_form(bool deep, bool sigmoids, const repeated *r, size_t steps,
                             double stop_at_loss, double *losses, real *outputs)
{
    const bool half = LANES > 1 && r->n_rows <= LANES / 2, records = outputs != NULL;
    const bool one = LANES == ROW_LANES || r->n_rows <= LANES;
    if (deep) return sigmoids ? REPEAT(true, true) : REPEAT(true, false);
    if (records && one)
        return sigmoids ? STEPS(1, LANES, false, true, true) : STEPS(1, LANES, false, false, true);
    return sigmoids ? REPEAT(false, true) : REPEAT(false, false);
}
#undef REPEAT
#undef STEPS

/* to(n, ROW_LANES) = from(rows, n). Lanes without a row repeat the first one, so that they hold
 * nothing but finite numbers as long as that does. */
static void to_lanes(size_t rows, size_t n, const real *from, real *to)
{
    for (size_t b = 0; b < ROW_LANES; b++)
        for (size_t i = 0; i < n; i++) to[i * ROW_LANES + b] = from[(b < rows ? b : 0) * n + i];
}

static size_t repeat(const fbp_plan *plan, size_t rows, const void *x_bi, const void *t_b,
                     double scale, double rate, size_t steps, double stop_at_loss, void *parameters,
                     double *losses, void *outputs)
{
    _Alignas(64) real x[ROW_LANES * ROW_LANES], h[2 * ROW_LANES * ROW_LANES], t[ROW_LANES];
    const bool deep = plan->n_ops == 2;
    const bool sigmoids = plan->ops[0].activation == FBP_ACTIVATION_sigmoid &&
                          plan->ops[deep].activation == FBP_ACTIVATION_sigmoid;
    repeated r = {
        .goal = plan->outputs,
        .hidden = plan->ops,
        .output = plan->ops + deep,
        .hidden_activation = vector_activation_of(plan->ops),
        .output_activation = vector_activation_of(plan->ops + deep),
        .p = parameters,
        .x = x,
        .t = t,
        .h = h,
        .h_net = h + ROW_LANES * ROW_LANES,
        .n_rows = rows,
        .rate = (real)rate,
        .factor = (real)scale,
    };
    for (int j = 0; j < ROW_VECTORS; j++) r.holds[j] = lanes_with_rows(0, rows, j);
    to_lanes(rows, plan->ops[0].n_in, x_bi, x);
    to_lanes(rows, 1, t_b, t);
    return repeat_in_form(deep, sigmoids, &r, steps, stop_at_loss, losses, outputs);
}
