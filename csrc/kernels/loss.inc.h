/* Losses and the accuracy metric. fastbp/losses.py has the formulas.
 *
 * The elementwise losses differ in two small functions of the error e = y - t: the term of the loss
 * (float64) and the derivative (real). The cross-entropies read z. */

typedef double (*loss_term)(real e, double parameter);
typedef real (*loss_slope)(real e, real parameter);

INLINE double half_square(real e, double c) { return (void)c, 0.5 * ((double)e * (double)e); }
INLINE double square(real e, double c) { return (void)c, (double)e * (double)e; }
INLINE double magnitude(real e, double c) { return (void)c, e < 0 ? -(double)e : (double)e; }
INLINE double huber_term(real e, double delta)
{
    double size = magnitude(e, 0);
    return size <= delta ? 0.5 * size * size : delta * (size - 0.5 * delta);
}
INLINE double pinball(real e, double q) { return e < 0 ? -q * (double)e : (1 - q) * (double)e; }
INLINE real error_itself(real e, real c) { return (void)c, e; }
INLINE real twice_error(real e, real c) { return (void)c, 2 * e; }
/* e - e is 0, or NaN for a NaN, which must not be lost. */
INLINE real sign_of(real e, real c) { return (void)c, e > 0 ? 1 : e < 0 ? -1 : e - e; }
INLINE real clipped_error(real e, real delta)
{
    return e > delta ? delta : e < -delta ? -delta : e;
}
INLINE real pinball_slope(real e, real q) { return e > 0 ? 1 - q : e < 0 ? -q : e - e; }

/* sum term(e) over a row */
INLINE double error_sum(loss_term term, double parameter, const size_t n, const real *t,
                        const real *y)
{
    double few[8], lanes[8] = {0};
    size_t o = 0;
    if (n == 1) return 0.0 + term(y[0] - t[0], parameter);
    if (n < 8) {
        for (; o < n; o++) few[o] = 0.0 + term(y[o] - t[o], parameter);
        return few_doubles_sum(n, few);
    }
    for (; o + 8 <= n; o += 8)
        for (size_t l = 0; l < 8; l++) lanes[l] = lanes[l] + term(y[o + l] - t[o + l], parameter);
    for (size_t l = 0; o < n; o++, l++) lanes[l] = lanes[l] + term(y[o] - t[o], parameter);
    return double_lanes_sum(lanes);
}

/* L = divisor sum term(e), dL/dy = row_scale divisor slope(e) */
INLINE void error_rows(loss_term term, loss_slope slope, double parameter, double divisor,
                       size_t rows, const size_t n, const real *t, const real *row_scale,
                       const real *y, real *delta, double *row_loss)
{
    for (size_t b = 0; b < rows; b++)
        row_loss[b] = error_sum(term, parameter, n, t + b * n, y + b * n) * divisor;
    for (size_t b = 0; b < rows && delta; b++) {
        const real factor = row_scale[b] * (real)divisor;
        for (size_t at = b * n; at < (b + 1) * n; at++)
            delta[at] = slope(y[at] - t[at], (real)parameter) * factor;
    }
}

/* Rows of one element, which compilers make vectors of, and others. */
INLINE void error_loss(loss_term term, loss_slope slope, double parameter, double divisor,
                       size_t rows, size_t n, const real *t, const real *row_scale, const real *y,
                       real *delta, double *row_loss)
{
    if (n == 1)
        error_rows(term, slope, parameter, divisor, rows, 1, t, row_scale, y, delta, row_loss);
    else
        error_rows(term, slope, parameter, divisor, rows, n, t, row_scale, y, delta, row_loss);
}

/* Elements at a time for vector functions inside float64 sums. */
#define PIECE ROW_LANES

/* sum term(y, t, c) over a row */
INLINE double terms_sum(vector_function term, size_t n, const real *y, const real *t, real c)
{
    double lanes[8] = {0};
    real terms[PIECE];
    for (size_t at = 0; at < n; at += PIECE) {
        size_t piece = n - at < PIECE ? n - at : PIECE;
        map_constant(term, piece, y + at, t + at, c, terms);
        for (size_t o = 0; o < piece; o++) lanes[o % 8] = lanes[o % 8] + (double)terms[o];
    }
    return double_lanes_sum(lanes);
}

/* A target above 0 is a yes. */
INLINE vec side_of(vec t) { return v_select(v_gt(t, v_set(0)), v_set(1), v_set(-1)); }
INLINE vec hinge_term(vec y, vec t, vec c)
{
    return (void)c, v_max(v_set(0), v_fnma(side_of(t), y, v_set(1)));
}
/* gap - gap is 0, or NaN for a NaN. */
INLINE vec hinge_slope(vec y, vec t, vec c)
{
    const vec side = side_of(t), gap = v_fnma(side, y, v_set(1));
    return (void)c, v_select(v_gt(gap, v_set(0)), v_neg(side), v_sub(gap, gap));
}

#define LEAST_RATE ((real)1e-7) /* added to a rate before its logarithm is taken */
INLINE vec rate_term(vec y, vec t, vec c)
{
    return (void)c, v_fnma(t, m_log(v_add(y, v_set(LEAST_RATE))), y);
}
INLINE vec rate_slope(vec y, vec t, vec c)
{
    return (void)c, v_sub(v_set(1), v_div(t, v_add(y, v_set(LEAST_RATE))));
}
INLINE vec log_rate_term(vec y, vec t, vec c) { return (void)c, v_fnma(t, y, m_exp(y)); }
INLINE vec log_rate_slope(vec y, vec t, vec c) { return (void)c, v_sub(m_exp(y), t); }

/* L = 1/n sum term(y, t), dL/dy = row_scale 1/n slope(y, t) */
INLINE void element_loss(vector_function term, vector_function slope, size_t rows, size_t n,
                         const real *t, const real *row_scale, const real *y, real *delta,
                         double *row_loss)
{
    for (size_t b = 0; b < rows; b++, t += n, y += n) {
        row_loss[b] = terms_sum(term, n, y, t, 0) / (double)n;
        if (!delta) continue;
        map_constant(slope, n, y, t, 0, delta);
        map_constant(scaled, n, delta, delta, row_scale[b] / (real)n, delta);
        delta += n;
    }
}

INLINE vec yes_no_term(vec z, vec t, vec c) { return v_fnma(t, z, softplus_of(z, z, c)); }
INLINE vec difference_of(vec a, vec b, vec c) { return v_mul(v_sub(a, b), c); }
/* With label smoothing s, t becomes t - s (t - 1/2): the term of that target, and s (t - 1/2) c
 * added to the difference. */
INLINE vec smoothed_term(vec z, vec t, vec s)
{
    return yes_no_term(z, v_fnma(s, v_sub(t, v_set((real)0.5)), t), s);
}
INLINE vec smoothed_difference(vec difference, vec t, vec s_c)
{
    return v_fma(s_c, v_sub(t, v_set((real)0.5)), difference);
}

/* L = 1/n sum (softplus(z) - t z), dL/dz = row_scale 1/n (sigmoid(z) - t) */
static void binary_crossentropy(real smoothing, bool fused, size_t rows, size_t n, const real *t,
                                const real *row_scale, real *y, real *delta, double *row_loss)
{
    for (size_t b = 0; b < rows; b++, t += n, y += n) {
        const double sum = smoothing == 0 ? terms_sum(yes_no_term, n, y, t, 0)
                                          : terms_sum(smoothed_term, n, y, t, smoothing);
        row_loss[b] = sum / (double)n;
        if (delta) {
            const real factor = row_scale[b] / (real)n;
            map_constant(sigmoid_of, n, y, y, 0, delta);
            if (fused) memcpy(y, delta, n * sizeof(real));
            map_constant(difference_of, n, delta, t, factor, delta);
            if (smoothing != 0)
                map_constant(smoothed_difference, n, delta, t, smoothing * factor, delta);
            delta += n;
        } else if (fused) {
            map_constant(sigmoid_of, n, y, y, 0, y);
        }
    }
}

/* Label smoothing: t becomes keep t + share, and a sum of targets keep sum + total. Without it,
 * keep is 1 and the others 0, which changes no bit. */
typedef struct smoothing {
    real keep, share, total;
} smoothing;

/* L = sum t (log sum exp(z) - z) over the row; with a label t is 1 there and 0 elsewhere. */
static double distribution_loss(smoothing s, size_t n, const real *z, const real *t,
                                const int32_t *label, double log_sum)
{
    const double keep = (double)s.keep, share = (double)s.share;
    if (label && share == 0) return log_sum - (double)z[*label];
    double lanes[8] = {0};
    for (size_t o = 0; o < n; o++) {
        const double t_o = label ? o == (size_t)*label : (double)t[o];
        lanes[o % 8] = lanes[o % 8] + (keep * t_o + share) * (log_sum - (double)z[o]);
    }
    return double_lanes_sum(lanes);
}

INLINE vec plus_first(vec sum, vec a, vec b) { return (void)b, v_add(sum, a); }

/* e becomes delta = row_scale (p sum t - t), p = e / sum; y becomes p if `fused`. */
INLINE void distribution_delta(smoothing s, bool fused, size_t n, const real *t,
                               const int32_t *label, real sum, real row_scale, real *y, real *e)
{
    const vec keep = v_set(s.keep), share = v_set(s.share);
    const real t_sum = label ? 1 : v_sum_lanes(row_sum(plus_first, n, t, t));
    const vec total = v_set(real_fma(s.keep, t_sum, s.total));
    const real at_label = label ? (e[*label] / sum - s.keep - s.share) * row_scale : 0;
    for (size_t o = 0; o < n; o += LANES) {
        size_t rest = n - o;
        vec p = v_div(v_load_part(e + o, rest), v_set(sum)), excess = v_sub(p, share);
        if (!label) excess = v_fma(p, total, v_neg(v_fma(keep, v_load_part(t + o, rest), share)));
        if (fused) v_store_part(y + o, p, rest);
        v_store_part(e + o, v_mul(excess, v_set(row_scale)), rest);
    }
    if (label) e[*label] = at_label;
}

INLINE vec log_of(vec x, vec b, vec c) { return (void)b, (void)c, m_log(x); }

/* Categorical cross-entropy from z, with targets t or labels. delta holds exp(z - max) for a
 * moment. */
INLINE void categorical_crossentropy(double share, bool fused, size_t rows, size_t n, const real *t,
                                     const int32_t *labels, const real *row_scale, real *y,
                                     real *delta, double *row_loss)
{
    const smoothing s = {(real)(1 - share), (real)(share / (double)n), (real)share};
    real most[BLOCK_ROWS], sum[BLOCK_ROWS], log_sum[BLOCK_ROWS];
    for (size_t first = 0, block; first < rows; first += block) {
        block = rows - first < BLOCK_ROWS ? rows - first : BLOCK_ROWS;
        block_exp(block, n, y + first * n, most, sum, delta ? delta + first * n : NULL);
        map_constant(log_of, block, sum, sum, 0, log_sum);
        for (size_t i = 0; i < block; i++) {
            const size_t b = first + i;
            const int32_t class = labels && labels[b] > 0 ? labels[b] : 0;
            const int32_t *label = labels ? &class : NULL;
            const real *t_o = labels ? NULL : t + b * n;
            const double log_total = (double)most[i] + (double)log_sum[i];
            row_loss[b] = distribution_loss(s, n, y + b * n, t_o, label, log_total);
            if (delta)
                distribution_delta(s, fused, n, t_o, label, sum[i], row_scale[b], y + b * n,
                                   delta + b * n);
        }
        if (fused && !delta) softmax(block, n, y + first * n, y + first * n);
    }
}

/* sum t log t over a row, where 0 log 0 = 0 */
static double negative_entropy(size_t n, const real *t)
{
    double lanes[8] = {0};
    real logs[PIECE];
    for (size_t at = 0; at < n; at += PIECE) {
        size_t piece = n - at < PIECE ? n - at : PIECE;
        map_constant(log_of, piece, t + at, t + at, 0, logs);
        for (size_t o = 0; o < piece; o++)
            if (t[at + o] >= REAL_MIN)
                lanes[o % 8] = lanes[o % 8] + (double)t[at + o] * (double)logs[o];
    }
    return double_lanes_sum(lanes);
}

/* The cross-entropy less the entropy of the targets. */
static void kl_divergence(bool fused, size_t rows, size_t n, const real *t, const real *row_scale,
                          real *y, real *delta, double *row_loss)
{
    categorical_crossentropy(0, fused, rows, n, t, NULL, row_scale, y, delta, row_loss);
    for (size_t b = 0; b < rows; b++) row_loss[b] = row_loss[b] + negative_entropy(n, t + b * n);
}

static void poisson(bool of_logarithms, size_t rows, size_t n, const real *t, const real *row_scale,
                    const real *y, real *delta, double *row_loss)
{
    if (of_logarithms)
        element_loss(log_rate_term, log_rate_slope, rows, n, t, row_scale, y, delta, row_loss);
    else
        element_loss(rate_term, rate_slope, rows, n, t, row_scale, y, delta, row_loss);
}

static void loss(fbp_loss kind, double parameter, bool fused, size_t rows, size_t n,
                 const void *targets, const void *row_scale, void *y_bo, void *delta_bo,
                 double *row_loss)
{
    const real *t = targets, *w = row_scale;
    real *y = y_bo, *delta = delta_bo;
    const double mean = 1.0 / (double)n;
    switch (kind) {
    case FBP_LOSS_half_squared_error:
        error_loss(half_square, error_itself, parameter, 1, rows, n, t, w, y, delta, row_loss);
        break;
    case FBP_LOSS_squared_error:
        error_loss(square, twice_error, parameter, 1, rows, n, t, w, y, delta, row_loss);
        break;
    case FBP_LOSS_mean_squared_error:
        error_loss(square, twice_error, parameter, mean, rows, n, t, w, y, delta, row_loss);
        break;
    case FBP_LOSS_mean_absolute_error:
        error_loss(magnitude, sign_of, parameter, mean, rows, n, t, w, y, delta, row_loss);
        break;
    case FBP_LOSS_huber:
        error_loss(huber_term, clipped_error, parameter, mean, rows, n, t, w, y, delta, row_loss);
        break;
    case FBP_LOSS_binary_crossentropy:
        binary_crossentropy((real)parameter, fused, rows, n, t, w, y, delta, row_loss);
        break;
    case FBP_LOSS_categorical_crossentropy:
        categorical_crossentropy(parameter, fused, rows, n, t, NULL, w, y, delta, row_loss);
        break;
    case FBP_LOSS_kl_divergence: kl_divergence(fused, rows, n, t, w, y, delta, row_loss); break;
    case FBP_LOSS_poisson: poisson(parameter != 0, rows, n, t, w, y, delta, row_loss); break;
    case FBP_LOSS_hinge:
        element_loss(hinge_term, hinge_slope, rows, n, t, w, y, delta, row_loss);
        break;
    case FBP_LOSS_quantile:
        error_loss(pinball, pinball_slope, parameter, mean, rows, n, t, w, y, delta, row_loss);
        break;
    default:
        categorical_crossentropy(parameter, fused, rows, n, NULL, targets, w, y, delta, row_loss);
    }
}

/* Place of the largest element, the first of equals. */
static size_t largest(size_t n, const real *y)
{
    size_t at = 0;
    for (size_t o = 1; o < n; o++)
        if (y[o] > y[at]) at = o;
    return at;
}

static void accuracy(fbp_accuracy kind, double threshold, size_t rows, size_t n,
                     const void *targets, const void *y_bo, double *row_right)
{
    const real *t = targets, *y = y_bo;
    const real half = (real)0.5, border = (real)threshold;
    for (size_t b = 0; b < rows; b++, y += n, t += n) {
        if (kind == FBP_ACCURACY_LABEL) {
            row_right[b] = largest(n, y) == (size_t)((const int32_t *)targets)[b];
        } else if (kind == FBP_ACCURACY_LARGEST) {
            row_right[b] = largest(n, y) == largest(n, t);
        } else {
            size_t right = 0;
            for (size_t o = 0; o < n; o++) right += (y[o] > border) == (t[o] > half);
            row_right[b] = (double)right / (double)n;
        }
    }
}
