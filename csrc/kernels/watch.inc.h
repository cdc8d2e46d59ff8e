/* What the units of a layer do over some rows. */

enum { UNITS_AT_ONCE = 16 };

/* Units in the lanes; `n` is a constant where there are many, so that sums stay in registers. */
INLINE void watch_some_units(const size_t n, size_t rows, ptrdiff_t y_b, double low, double high,
                             const real *y, double *squares, double *outside, double *active)
{
    double sums[UNITS_AT_ONCE], far[UNITS_AT_ONCE], on[UNITS_AT_ONCE];
    for (size_t u = 0; u < n; u++) {
        sums[u] = squares[u];
        far[u] = outside[u];
        on[u] = active[u];
    }
    for (size_t b = 0; b < rows; b++, y += y_b)
        for (size_t u = 0; u < n; u++) {
            const double a = y[u];
            sums[u] = fma(a, a, sums[u]);
            far[u] += (double)(a < low) + (double)(a > high);
            on[u] += (double)(a > 0);
        }
    for (size_t u = 0; u < n; u++) {
        squares[u] = sums[u];
        outside[u] = far[u];
        active[u] = on[u];
    }
}

static void watch_units(size_t rows, size_t n, ptrdiff_t y_b, double low, double high,
                        const void *y_bu, double *squares, double *outside, double *active)
{
    const real *y = y_bu;
    size_t u = 0;
    for (; u + UNITS_AT_ONCE <= n; u += UNITS_AT_ONCE)
        watch_some_units(UNITS_AT_ONCE, rows, y_b, low, high, y + u, squares + u, outside + u,
                         active + u);
    if (u < n)
        watch_some_units(n - u, rows, y_b, low, high, y + u, squares + u, outside + u, active + u);
}
