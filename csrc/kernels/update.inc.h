/* Optimizer steps over a span. fastbp/optimizers.py has the formulas, update.pyx the constants. */

/* Each rule is a step on at most LANES elements; c are its constants, in vectors. */
typedef void (*rule)(const vec *c, size_t n, const real *g, real *p, real *s0, real *s1);

INLINE void update(rule step, const vec *c, size_t n, const real *g, real *p, real *s0, real *s1)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) step(c, LANES, g + i, p + i, s0 + i, s1 + i);
    if (i < n) step(c, n - i, g + i, p + i, s0 + i, s1 + i);
}

/* c: -rate, momentum */
INLINE void plain_step(const vec *c, size_t n, const real *g, real *p, real *v, real *unused)
{
    (void)v, (void)unused;
    v_store_part(p, v_fma(c[0], v_load_part(g, n), v_load_part(p, n)), n);
}

INLINE vec velocity_step(const vec *c, size_t n, vec step, real *v)
{
    vec v_i = v_fma(c[1], v_load_part(v, n), step);
    v_store_part(v, v_i, n);
    return v_i;
}

INLINE void momentum_step(const vec *c, size_t n, const real *g, real *p, real *v, real *unused)
{
    (void)unused;
    vec v_i = velocity_step(c, n, v_mul(c[0], v_load_part(g, n)), v);
    v_store_part(p, v_add(v_load_part(p, n), v_i), n);
}

INLINE void nesterov_step(const vec *c, size_t n, const real *g, real *p, real *v, real *unused)
{
    (void)unused;
    vec step = v_mul(c[0], v_load_part(g, n));
    vec v_i = velocity_step(c, n, step, v);
    v_store_part(p, v_add(v_load_part(p, n), v_fma(c[1], v_i, step)), n);
}

/* constants: rate, momentum, whether Nesterov's */
static void sgd(const double *constants, size_t n, const void *gradient, void *parameters,
                void *velocity, void *unused)
{
    const vec c[2] = {v_set(-(real)constants[0]), v_set((real)constants[1])};
    if (constants[1] == 0)
        update(plain_step, c, n, gradient, parameters, parameters, parameters);
    else if (constants[2] == 0)
        update(momentum_step, c, n, gradient, parameters, velocity, velocity);
    else
        update(nesterov_step, c, n, gradient, parameters, velocity, velocity);
    (void)unused;
}

INLINE void adam_step(const vec *c, size_t n, const real *g, real *p, real *m, real *v)
{
    vec g_i = v_load_part(g, n);
    vec m_i = v_fma(c[2], v_load_part(m, n), v_mul(c[3], g_i));
    vec v_i = v_fma(c[4], v_load_part(v, n), v_mul(v_mul(c[5], g_i), g_i));
    vec root = v_add(v_sqrt(v_mul(v_i, c[1])), c[6]);
    v_store_part(m, m_i, n);
    v_store_part(v, v_i, n);
    v_store_part(p, v_sub(v_load_part(p, n), v_div(v_mul(c[0], m_i), root)), n);
}

/* constants: lr / (1 - beta_1^t), 1 / (1 - beta_2^t), beta_1, 1 - beta_1, beta_2, 1 - beta_2,
 * epsilon */
static void adam(const double *constants, size_t n, const void *gradient, void *parameters,
                 void *first, void *second)
{
    vec c[7];
    for (int j = 0; j < 7; j++) c[j] = v_set((real)constants[j]);
    update(adam_step, c, n, gradient, parameters, first, second);
}
