/* Gradients of layers narrower than a vector: rows go to lanes, each lane a chain of its own. */

static void narrow_gradient(size_t first, size_t rows, size_t n_in, size_t n_out, const void *x_bi,
                            const void *delta_bo, void *lanes)
{
    const real *x = x_bi, *delta = delta_bo;
    for (size_t b = 0; b < rows; b++, x += n_in, delta += n_out) {
        real *sum = (real *)lanes + (first + b) % ROW_LANES * (n_in + 1) * n_out;
        for (size_t i = 0; i <= n_in; i++) {
            real x_i = i < n_in ? x[i] : 1;
            for (size_t o = 0; o < n_out; o++, sum++) *sum = real_fma(x_i, delta[o], *sum);
        }
    }
}

static void narrow_sum(size_t count, size_t stride, void *lanes)
{
    for (size_t half = ROW_LANES / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++) {
            real *a = (real *)lanes + l * stride;
            const real *b = a + half * stride;
            for (size_t i = 0; i < count; i++) a[i] = a[i] + b[i];
        }
}
