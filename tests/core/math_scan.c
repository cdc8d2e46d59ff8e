/* Measures the functions of math.inc.h. Build with
 *     cc -DFBP_REAL_BITS=32 '-DFBP_SIMD="scalar.h"' -Icsrc/simd -Icsrc/kernels math_scan.c -lm
 *
 * Each line of standard input, "function first last step", asks for the arguments whose bits are
 * first, first + step, ... <= last (hexadecimal). The answer is one line: number of arguments,
 * largest error in units in the last place, bits of the argument where it occurs, and a digest of
 * all results. With a function's name as the only argument, numbers come in and results go out as
 * they lie in memory.
 *
 * The oracle is libm in double for float, in long double for double. Subnormal arguments are
 * taken as 0, and where the exact result is subnormal any result of that size counts as right. */
#include FBP_SIMD
#include "math.inc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <tgmath.h>

#if FBP_REAL_BITS == 32
typedef double wide;
#else
typedef long double wide;
#endif

enum { BLOCK = 4096 };

static wide wide_sigmoid(wide x) { return 1 / (1 + exp(-x)); }

/* With y = x / sqrt 2 rounded, erfc(-x / sqrt 2) = erfc(-y) e^(y^2 - x^2 / 2), nearly. */
static wide wide_normal_cdf(wide x)
{
    const wide y = x * (wide)0.70710678118654752440084436L;
    const wide square = y * y;
    const wide excess = fma(x, x / 2, -square) - fma(y, y, -square);
    return erfc(-y) * (1 - (x < 0 && x > -100 ? excess : 0)) / 2;
}

static wide wide_exp(wide x) { return exp(x); }
static wide wide_expm1(wide x) { return expm1(x); }
static wide wide_log(wide x) { return log(x); }
static wide wide_log1p(wide x) { return log1p(x); }
static wide wide_tanh(wide x) { return tanh(x); }
static wide wide_erf(wide x) { return erf(x); }
static wide wide_tanh_softplus(wide x) { return tanh(log1p(exp(x))); }

#define FUNCTION(name)                                                                             \
    static void map_##name(const real *x, real *y)                                                 \
    {                                                                                              \
        for (int i = 0; i < BLOCK; i += LANES) v_store(y + i, m_##name(v_load(x + i)));            \
    }
#define FUNCTIONS(F)                                                                               \
    F(exp) F(expm1) F(log) F(log1p) F(sigmoid) F(tanh) F(erf) F(normal_cdf) F(tanh_softplus)
FUNCTIONS(FUNCTION)

typedef struct {
    const char *name;
    void (*map)(const real *, real *);
    wide (*oracle)(wide);
} function;

#define ENTRY(name) {#name, map_##name, wide_##name},
static const function functions[] = {FUNCTIONS(ENTRY){0}};

static const function *find(const char *name)
{
    for (const function *f = functions; f->name; f++)
        if (!strcmp(f->name, name)) return f;
    fprintf(stderr, "no function %s\n", name);
    exit(2);
}

static double error_in_ulp(real y, wide exact)
{
    const real nearest = (real)exact;
    if (isnan(nearest)) return isnan(y) ? 0 : INFINITY;
    if (!isnormal(nearest))
        return y == nearest || (fabs(nearest) < REAL_MIN && fabs(y) <= REAL_MIN) ? 0 : INFINITY;
    const word exponent = bits_of(nearest) & bits_of(INFINITY);
    const wide spacing = real_of(exponent) / (wide)TWO_TO_MANTISSA_BITS;
    return (double)(fabs(y - exact) / spacing);
}

static real flushed(real x) { return fabs(x) < REAL_MIN ? copysign((real)0, x) : x; }

typedef struct {
    uint64_t count, digest;
    double largest;
    word place;
} measure;

static void measure_block(measure *m, const function *f, const real *x, const real *y, int n)
{
    for (int i = 0; i < n; i++) {
        const double error = error_in_ulp(y[i], f->oracle(x[i]));
        if (!(error <= m->largest)) {
            m->largest = error;
            m->place = bits_of(x[i]);
        }
        m->digest = (m->digest ^ (isnan(y[i]) ? 0 : bits_of(y[i]))) * 0x100000001b3u;
    }
    m->count += (uint64_t)n;
}

static measure scan(const function *f, uint64_t first, uint64_t last, uint64_t step)
{
    static real x[BLOCK], y[BLOCK];
    measure m = {0};
    uint64_t left = (last - first) / step + 1;
    for (uint64_t bits = first; left;) {
        const int n = left < BLOCK ? (int)left : BLOCK;
        for (int i = 0; i < n; i++, bits += step) x[i] = flushed(real_of((word)bits));
        f->map(x, y);
        measure_block(&m, f, x, y, n);
        left -= (uint64_t)n;
    }
    return m;
}

static void map_stream(const function *f)
{
    static real x[BLOCK], y[BLOCK];
    for (size_t n; (n = fread(x, sizeof(real), BLOCK, stdin)) > 0;) {
        f->map(x, y);
        fwrite(y, sizeof(real), n, stdout);
    }
}

int main(int argc, char **argv)
{
    char name[32];
    uint64_t first, last, step;
    if (argc > 1)
        map_stream(find(argv[1]));
    else
        while (scanf("%31s %" SCNx64 " %" SCNx64 " %" SCNx64, name, &first, &last, &step) == 4) {
            const measure m = scan(find(name), first, last, step);
            printf("%" PRIu64 " %.4f %" PRIx64 " %016" PRIx64 "\n", m.count, m.largest,
                   (uint64_t)m.place, m.digest);
        }
    return 0;
}
