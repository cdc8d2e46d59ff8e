/* Optimizer steps over a span. fastbp/optimizers.py has the formulas, update.pyx the constants. */

/* Each rule takes elements [i, i + n), n <= LANES, one step further: g are their gradients, p their
 * parameters, of which it returns the new ones; c are its constants, in vectors, s its states. */
typedef vec (*rule)(const vec *c, size_t n, vec g, vec p, real *const *s, size_t i);

/* What comes before the rule, in vectors. */
typedef struct preparation {
    vec scale, limit, coupled, decoupled;
} preparation;

INLINE void update_part(rule step, const preparation *before, const vec *c, size_t n, const real *g,
                        real *p, real *const *s, size_t i)
{
    vec g_i = v_load_part(g + i, n), p_i = v_load_part(p + i, n);
    if (before) {
        g_i = v_max(v_neg(before->limit), v_mul(before->scale, g_i));
        g_i = v_fma(before->coupled, p_i, v_min(before->limit, g_i));
        p_i = v_fnma(before->decoupled, p_i, p_i);
    }
    v_store_part(p + i, step(c, n, g_i, p_i, s, i), n);
}

INLINE void update_span(rule step, const preparation *before, const vec *c, size_t n, const real *g,
                        real *p, real *const *s)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) update_part(step, before, c, LANES, g, p, s, i);
    if (i < n) update_part(step, before, c, n - i, g, p, s, i);
}

INLINE void update(rule step, const fbp_step *how, size_t n_states, size_t n, const void *g,
                   void *p, void *const *states)
{
    enum { CONSTANTS = sizeof how->constants / sizeof(double) };
    const preparation before = {v_set((real)how->scale), v_set((real)how->limit),
                                v_set((real)how->coupled), v_set((real)how->decoupled)};
    vec c[CONSTANTS];
    real *s[3];
    for (int j = 0; j < CONSTANTS; j++) c[j] = v_set((real)how->constants[j]);
    for (size_t j = 0; j < n_states; j++) s[j] = states[j];
    if (how->prepares)
        update_span(step, &before, c, n, g, p, s);
    else
        update_span(step, NULL, c, n, g, p, s);
}

/* state <- decay state + addend */
INLINE vec remembered(vec decay, vec addend, real *state, size_t n)
{
    vec sum = v_fma(decay, v_load_part(state, n), addend);
    v_store_part(state, sum, n);
    return sum;
}

/* --- gradient descent: c: rate, momentum; s: velocity --- */

INLINE vec plain_step(const vec *c, size_t n, vec g, vec p, real *const *s, size_t i)
{
    (void)n, (void)s, (void)i;
    return v_fnma(c[0], g, p);
}

INLINE vec momentum_step(const vec *c, size_t n, vec g, vec p, real *const *s, size_t i)
{
    return v_add(p, remembered(c[1], v_mul(v_neg(c[0]), g), s[0] + i, n));
}

INLINE vec nesterov_step(const vec *c, size_t n, vec g, vec p, real *const *s, size_t i)
{
    vec step = v_mul(v_neg(c[0]), g);
    return v_add(p, v_fma(c[1], remembered(c[1], step, s[0] + i, n), step));
}

/* constants: rate, momentum, whether Nesterov's */
static void update_sgd(const fbp_step *how, size_t n, const void *g, void *p, void *const *states)
{
    if (how->constants[1] == 0)
        update(plain_step, how, 0, n, g, p, states);
    else if (how->constants[2] == 0)
        update(momentum_step, how, 1, n, g, p, states);
    else
        update(nesterov_step, how, 1, n, g, p, states);
}

/* --- moments of the gradient: c[2] to c[5]: beta_1, 1 - beta_1, beta_2, 1 - beta_2; s: m, v --- */

INLINE vec first_moment(const vec *c, size_t n, vec g, real *m)
{
    return remembered(c[2], v_mul(c[3], g), m, n);
}

INLINE vec second_moment(const vec *c, size_t n, vec g, real *v)
{
    return remembered(c[4], v_mul(v_mul(c[5], g), g), v, n);
}

/* c: lr / (1 - beta_1^t), 1 / (1 - beta_2^t), ..., epsilon */
INLINE vec adam_step(const vec *c, size_t n, vec g, vec p, real *const *s, size_t i)
{
    vec m = first_moment(c, n, g, s[0] + i), v = second_moment(c, n, g, s[1] + i);
    vec root = v_add(v_sqrt(v_mul(v, c[1])), c[6]);
    return v_sub(p, v_div(v_mul(c[0], m), root));
}

static void update_adam(const fbp_step *how, size_t n, const void *g, void *p, void *const *states)
{
    update(adam_step, how, 2, n, g, p, states);
}

/* The same rule: what differs is the decay before it. */
#define update_adamw update_adam

/* c: what m counts, 1 / (1 - beta_2^t), ..., epsilon, what g counts */
INLINE vec nadam_step(const vec *c, size_t n, vec g, vec p, real *const *s, size_t i)
{
    vec m = first_moment(c, n, g, s[0] + i), v = second_moment(c, n, g, s[1] + i);
    vec root = v_add(v_sqrt(v_mul(v, c[1])), c[6]);
    return v_sub(p, v_div(v_fma(c[0], m, v_mul(c[7], g)), root));
}

static void update_nadam(const fbp_step *how, size_t n, const void *g, void *p, void *const *states)
{
    update(nadam_step, how, 2, n, g, p, states);
}

/* --- the gradient over its root mean square: c: rate, epsilon, rho, 1 - rho, momentum; s: mean
 * square, mean if centred, velocity if there is momentum --- */

INLINE vec rmsprop_part(const vec *c, size_t n, vec g, real *const *s, size_t i, bool centred)
{
    vec square = remembered(c[2], v_mul(v_mul(c[3], g), g), s[0] + i, n);
    if (centred) {
        vec mean = remembered(c[2], v_mul(c[3], g), s[1] + i, n);
        square = v_max(v_set(0), v_fnma(mean, mean, square)); /* no variance, but for rounding */
    }
    return v_div(g, v_add(v_sqrt(square), c[1]));
}

#define RMSPROP_STEP(name, centred, momentum)                                                      \
    INLINE vec name(const vec *c, size_t n, vec g, vec p, real *const *s, size_t i)                \
    {                                                                                              \
        vec step = rmsprop_part(c, n, g, s, i, centred);                                           \
        if (momentum) step = remembered(c[4], step, s[1 + (centred)] + i, n);                      \
        return v_fnma(c[0], step, p);                                                              \
    }
RMSPROP_STEP(rmsprop_step, 0, 0)
RMSPROP_STEP(rmsprop_momentum_step, 0, 1)
RMSPROP_STEP(centred_step, 1, 0)
RMSPROP_STEP(centred_momentum_step, 1, 1)

/* constants: as c, then whether centred */
static void update_rmsprop(const fbp_step *how, size_t n, const void *g, void *p,
                           void *const *states)
{
    const bool moves = how->constants[4] != 0, centred = how->constants[5] != 0;
    if (centred && moves)
        update(centred_momentum_step, how, 3, n, g, p, states);
    else if (centred)
        update(centred_step, how, 2, n, g, p, states);
    else if (moves)
        update(rmsprop_momentum_step, how, 2, n, g, p, states);
    else
        update(rmsprop_step, how, 1, n, g, p, states);
}

/* c: rate, epsilon; s: sum of squares */
INLINE vec adagrad_step(const vec *c, size_t n, vec g, vec p, real *const *s, size_t i)
{
    vec square = remembered(v_set(1), v_mul(g, g), s[0] + i, n);
    return v_fnma(c[0], v_div(g, v_add(v_sqrt(square), c[1])), p);
}

static void update_adagrad(const fbp_step *how, size_t n, const void *g, void *p,
                           void *const *states)
{
    update(adagrad_step, how, 1, n, g, p, states);
}

/* --- rules for the gradient of all rows, which look at its sign --- */

/* 1, 0, -1, or NaN. */
INLINE vec sign_of_vec(vec x)
{
    vec sign = v_select(v_lt(x, v_set(0)), v_set(-1), v_sub(x, x));
    return v_select(v_gt(x, v_set(0)), v_set(1), sign);
}

/* c: eta_minus, eta_plus, shortest and longest step; s: gradient before, length of the step */
INLINE vec rprop_step(const vec *c, size_t n, vec g, vec p, real *const *s, size_t i)
{
    const vec zero = v_set(0);
    vec turn = v_mul(sign_of_vec(g), sign_of_vec(v_load_part(s[0] + i, n)));
    vec factor = v_select(v_gt(turn, zero), c[1], v_select(v_lt(turn, zero), c[0], v_set(1)));
    vec length = v_mul(v_load_part(s[1] + i, n), factor);
    length = v_min(c[3], v_max(c[2], length));
    g = v_select(v_lt(turn, zero), zero, g);
    v_store_part(s[0] + i, g, n);
    v_store_part(s[1] + i, length, n);
    return v_fnma(sign_of_vec(g), length, p);
}

static void update_rprop(const fbp_step *how, size_t n, const void *g, void *p, void *const *states)
{
    update(rprop_step, how, 2, n, g, p, states);
}

/* c: rate, mu, mu / (1 + mu); s: gradient and step before. Now and then are the gradients in the
 * direction of that step: downhill if negative. */
INLINE vec quickprop_step(const vec *c, size_t n, vec g, vec p, real *const *s, size_t i)
{
    const vec zero = v_set(0);
    vec before = v_load_part(s[0] + i, n), step = v_load_part(s[1] + i, n);
    vec now = v_mul(v_copysign(v_set(1), step), g);
    vec then = v_mul(v_copysign(v_set(1), step), before);
    vec jump = v_div(v_mul(step, g), v_sub(before, g)); /* to the bottom of the parabola */
    jump = v_select(v_lt(now, v_mul(c[2], then)), v_mul(c[1], step), jump);
    mask moved = v_gt(v_abs(step), v_set((real)0.001));
    vec slope = v_select(v_and(moved, v_ge(now, zero)), zero, g);
    step = v_fnma(c[0], slope, v_select(moved, jump, zero));
    v_store_part(s[0] + i, g, n);
    v_store_part(s[1] + i, step, n);
    return v_add(p, step);
}

static void update_quickprop(const fbp_step *how, size_t n, const void *g, void *p,
                             void *const *states)
{
    update(quickprop_step, how, 2, n, g, p, states);
}
