/* Sums over ROW_LANES lanes: the order in which every instruction set adds the elements of a row.
 */

#define INLINE      static inline __attribute__((always_inline))
#define ROW_VECTORS ((int)(ROW_LANES / LANES))

#if FBP_REAL_BITS == 32
#define real_fma fmaf
#else
#define real_fma fma
#endif

/* v with the lanes from n on set to 0. */
INLINE vec first_lanes(vec v, size_t n)
{
    real part[LANES] = {0};
    v_store_part(part, v, n);
    return v_load(part);
}

/* lanes[l] += lanes[l + half] for half = ROW_LANES / 2, ..., 1; the sum is lanes[0]. */
INLINE real lanes_sum(real lanes[ROW_LANES])
{
    for (int half = ROW_LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lanes[l] = lanes[l] + lanes[l + half];
    return lanes[0];
}

INLINE real vectors_sum(const vec sum[ROW_VECTORS])
{
    real lanes[ROW_LANES];
    for (int j = 0; j < ROW_VECTORS; j++) v_store(lanes + j * LANES, sum[j]);
    return lanes_sum(lanes);
}

/* The same tree over eight float64 sums. */
INLINE double double_lanes_sum(double lanes[8])
{
    for (int half = 4; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lanes[l] = lanes[l] + lanes[l + half];
    return lanes[0];
}
