/* Optimizer steps over a span. fastbp/optimizers.py has the formulas, update.pyx the constants. */

static void sgd(const double *constants, size_t n, const void *gradient, void *parameters,
                void *velocity, void *unused)
{
    const real rate = (real)constants[0], momentum = (real)constants[1];
    const bool nesterov = constants[2] != 0;
    const real *g = gradient;
    real *p = parameters, *v = velocity;
    (void)unused;
    if (momentum == 0)
        for (size_t i = 0; i < n; i++) p[i] = real_fma(-rate, g[i], p[i]);
    else
        for (size_t i = 0; i < n; i++) {
            v[i] = real_fma(momentum, v[i], -rate * g[i]);
            p[i] = p[i] + (nesterov ? real_fma(momentum, v[i], -rate * g[i]) : v[i]);
        }
}

INLINE void adam_at(const vec c[7], const real *g, real *p, real *m, real *v, size_t n)
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
    const real *g = gradient;
    real *p = parameters, *m = first, *v = second;
    vec c[7];
    size_t i = 0;
    for (int j = 0; j < 7; j++) c[j] = v_set((real)constants[j]);
    for (; i + LANES <= n; i += LANES) adam_at(c, g + i, p + i, m + i, v + i, LANES);
    if (i < n) adam_at(c, g + i, p + i, m + i, v + i, n - i);
}
