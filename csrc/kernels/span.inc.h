/* Elementwise arithmetic over spans, and the loop that carries a vector function over one. */

/* out = f(a, b, c) element by element; operands that f does not use may be any readable span. */
typedef vec (*vector_function)(vec a, vec b, vec c);

INLINE void map(vector_function f, size_t n, const real *a, const real *b, const real *c, real *out)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(out + i, f(v_load(a + i), v_load(b + i), v_load(c + i)));
    if (i < n) {
        size_t rest = n - i;
        vec last = f(v_load_part(a + i, rest), v_load_part(b + i, rest), v_load_part(c + i, rest));
        v_store_part(out + i, last, rest);
    }
}

/* The same with one constant for c. */
INLINE void map_constant(vector_function f, size_t n, const real *a, const real *b, real c,
                         real *out)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) v_store(out + i, f(v_load(a + i), v_load(b + i), v_set(c)));
    if (i < n) {
        size_t rest = n - i;
        v_store_part(out + i, f(v_load_part(a + i, rest), v_load_part(b + i, rest), v_set(c)),
                     rest);
    }
}

INLINE vec sum_of(vec a, vec b, vec c) { return (void)c, v_add(a, b); }
INLINE vec product_of(vec a, vec b, vec c) { return (void)c, v_mul(a, b); }
INLINE vec scaled(vec a, vec b, vec c) { return (void)b, v_mul(a, c); }

static void add(size_t n, const void *b, void *a) { map(sum_of, n, a, b, b, a); }

static void scale(size_t n, double factor, const void *x, void *out)
{
    map_constant(scaled, n, x, x, (real)factor, out);
}

static void multiply(size_t n, const void *a, const void *b, void *out)
{
    map(product_of, n, a, b, b, out);
}

static void gather(size_t n, const uint32_t *index, const void *from, void *to)
{
    const real *source = from;
    real *target = to;
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) target[i] = source[index[i]];
}

static void scatter(size_t n, const uint32_t *index, const void *from, void *to)
{
    const real *source = from;
    real *target = to;
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) target[index[i]] = source[i];
}

static double dot(size_t n, const void *a, const void *b)
{
    const real *x = a, *y = b;
    double lanes[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t l = 0; l < 8; l++) lanes[l] = fma((double)x[i + l], (double)y[i + l], lanes[l]);
    for (size_t l = 0; i < n; i++, l++) lanes[l] = fma((double)x[i], (double)y[i], lanes[l]);
    return double_lanes_sum(lanes);
}

/* x - x is 0 for finite x and NaN otherwise; once NaN, a sum remains so. */
static bool all_finite(size_t n, const void *x)
{
    const real *element = x;
    vec sum[4];
    size_t i = 0;
    for (int j = 0; j < 4; j++) sum[j] = v_set(0);
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int j = 0; j < 4; j++) {
            vec x_i = v_load(element + i + j * LANES);
            sum[j] = v_add(sum[j], v_sub(x_i, x_i));
        }
    for (; i < n; i += LANES) {
        vec x_i = v_load_part(element + i, n - i);
        sum[0] = v_add(sum[0], v_sub(x_i, x_i));
    }
    return v_sum_lanes(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3]))) == 0;
}
