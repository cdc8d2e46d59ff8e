/* Sums over ROW_LANES lanes: the order in which every instruction set adds the elements of a row.
 */

#define INLINE      static inline __attribute__((always_inline))
#define ROW_VECTORS ((int)(ROW_LANES / LANES))

#if FBP_REAL_BITS == 32
#define real_fma fmaf
#else
#define real_fma fma
#endif

/* The first halvings, lanes[l] += lanes[l + half] for half = ROW_LANES / 2, ..., LANES. v_sum_lanes
 * does the others, and best for many rows after each other: it has little work and much latency. */
INLINE vec sum_of_vectors(vec sum[ROW_VECTORS])
{
    for (int half = ROW_VECTORS / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) sum[j] = v_add(sum[j], sum[j + half]);
    return sum[0];
}

/* sum = f(sum, a, b) over a row, element o in lane o % ROW_LANES; f leaves sum where a = b = 0. */
INLINE vec row_sum(vec (*f)(vec sum, vec a, vec b), size_t n, const real *a, const real *b)
{
    vec sum[ROW_VECTORS];
    for (int j = 0; j < ROW_VECTORS; j++) sum[j] = v_set(0);
    for (size_t o = 0; o < n; o += ROW_LANES)
        for (int j = 0; j < ROW_VECTORS && o + (size_t)j * LANES < n; j++) {
            size_t at = o + (size_t)j * LANES;
            sum[j] = f(sum[j], v_load_part(a + at, n - at), v_load_part(b + at, n - at));
        }
    return sum_of_vectors(sum);
}

/* The sum of n <= ROW_LANES numbers, none of them -0, over eight lanes, by halves. Overwrites x. */
INLINE double few_doubles_sum(const size_t n, double x[])
{
    for (size_t i = 8; i < n; i++) x[i - 8] = x[i - 8] + x[i];
    for (size_t half = 4; half > 0; half /= 2)
        for (size_t l = 0; l < half && l + half < n; l++) x[l] = x[l] + x[l + half];
    return x[0];
}

/* The same tree over eight float64 sums. */
INLINE double double_lanes_sum(double lanes[8])
{
    for (int half = 4; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lanes[l] = lanes[l] + lanes[l + half];
    return lanes[0];
}
