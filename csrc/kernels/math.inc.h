/* Elementary functions on vectors: one source for float and double and for every instruction set.
 *
 * a) All are branch-free and made of the correctly rounded operations of the SIMD layer, in the
 *    order written here, so that their bits are the same everywhere. Nothing calls libm but fma.
 * b) Polynomials (polynomials.inc.h, printed by polynomials.py) are evaluated in groups of four,
 *    (c0 + c1 x) + x^2 (c2 + c3 x), joined by Horner's rule in x^4: three more operations at most
 *    than plain Horner and, in double, less than half its latency.
 * c) Exponentials: x = n log 2 + r, log 2 in two parts; e^x = 2^n (1 + w), w = r + r^2 Q(r). Adding
 *    POWER2_SHIFT rounds n and puts the exponent of 2^n into the low bits. Upward, r in [0, log 2]:
 *    then n = -EXPONENT_BIAS and EXPONENT_BIAS + 1 give 0 and infinity, and e^x needs no other
 *    care. Nearest, |r| <= log(2) / 2, where results near x = 0 must be accurate on both sides.
 *    Users add 1 + w and 2^n last, with one fma, and so save a rounding.
 * d) NaN in, NaN out; infinities have the right limits. Results below REAL_MIN may be 0, and
 *    subnormal arguments count as 0. Of -0, tanh and erf keep the sign; the others need not.
 * e) Largest error found, in units in the last place of normal results: for every float, and for
 *    eight million doubles spread evenly over all bit patterns (tests/core/math_scan.c). Operations
 *    of the SIMD layer, float and double, v_split as six:
 *
 *                    float  double   operations
 *        exp          1.75    1.75      17, 22
 *        expm1        1.74    2.04      17, 22
 *        log          0.85    0.75      27, 32, one division
 *        log1p        1.42    1.47      12, 18, one division      argument in [0, 1]
 *        sigmoid      1.95    1.57      22, 27, one division
 *        tanh         1.91    1.85      26, 31, one division
 *        erf          1.62    1.56      52, 75, one division
 *        normal_cdf   6.99    9.06      40, 57, one division      relative, also for x < 0
 *        tanh_softplus 3.26   2.59      21, 26, one division      relative, also for x < 0
 */
#ifndef FBP_KERNELS_MATH_INC_H
#define FBP_KERNELS_MATH_INC_H

#include "polynomials.inc.h"

#if FBP_REAL_BITS == 32
#define LOG_2_HIGH      0x1.62e43p-1f
#define LOG_2_LOW       -0x1.05c61p-29f
#define ALMOST_HALF     0x1.fffffep-2f /* keeps e^0 in the period n = 0, r = 0 */
#define EXP_LOWEST      -87.9f         /* 2^-127 < e^x < 2^-126: 0 */
#define EXP_HIGHEST     88.9f          /* 2^128 < e^x < 2^129: infinity */
#define SIGMOID_LOWEST  -87.4f         /* a subnormal result: 0 */
#define SIGMOID_HIGHEST 87.0f          /* 1, and e^-x is still a normal number */
#define TANH_HIGHEST    9.1f           /* 1 */
#define TAIL_HIGHEST    13.25f         /* 2^-127 < e^(-x^2 / 2) < 2^-126: 0 */
#define MISH_HIGHEST    11.0f          /* 1, and so is mish's slope as computed */
#else
#define LOG_2_HIGH      0x1.62e42fefa39efp-1
#define LOG_2_LOW       0x1.abc9e3b39803fp-56
#define ALMOST_HALF     0x1.fffffffffffffp-2
#define EXP_LOWEST      -708.9
#define EXP_HIGHEST     709.9
#define SIGMOID_LOWEST  -708.4
#define SIGMOID_HIGHEST 708.0
#define TANH_HIGHEST    19.1
#define TAIL_HIGHEST    37.65
#define MISH_HIGHEST    21.0
#endif
#define LOG_2_E          ((real)1.44269504088896340736)
#define EXPM1_LOWEST     (-(real)60) /* -1 in both precisions */
#define ERF_NEAR         ((real)1)   /* erfc < 1/6 beyond */
#define SQRT_2           ((real)1.41421356237309504880)
#define NORMAL_DENSITY_0 ((real)0.39894228040143267794) /* 1 / sqrt(2 pi) */

/* --- polynomials --- */

/* c0 + c1 x + c2 x^2 + c3 x^3, or as many of these as `count` says */
static inline vec polynomial_group(const real *c, int count, vec x, vec x2)
{
    const vec low = count > 1 ? v_fma(v_set(c[1]), x, v_set(c[0])) : v_set(c[0]);
    if (count < 3) return low;
    return v_fma(count > 3 ? v_fma(v_set(c[3]), x, v_set(c[2])) : v_set(c[2]), x2, low);
}

/* sum c[k] x^k over k < count; count is a constant wherever this is inlined */
static inline vec polynomial(const real *c, int count, vec x)
{
    const vec x2 = v_mul(x, x);
    const vec x4 = v_mul(x2, x2);
    int k = (count - 1) / 4 * 4;
    vec sum = polynomial_group(c + k, count - k, x, x2);
    while ((k -= 4) >= 0) sum = v_fma(sum, x4, polynomial_group(c + k, 4, x, x2));
    return sum;
}

#define POLYNOMIAL(table, x) polynomial(table, (int)(sizeof(table) / sizeof(*table)), x)

/* --- exponentials --- */

/* r = x - n log 2 for shifted = n + shift */
static inline vec exp_remainder(vec x, vec shifted, vec shift)
{
    const vec n = v_sub(shifted, shift);
    return v_fnma(n, v_set(LOG_2_LOW), v_fnma(n, v_set(LOG_2_HIGH), x));
}

/* Returns r in [0, log 2] and stores power = 2^n, for x in [EXP_LOWEST, EXP_HIGHEST]. */
static inline vec exp_upward(vec x, vec *power)
{
    const vec shift = v_set(POWER2_SHIFT);
    const vec shifted = v_add(v_fma(x, v_set(LOG_2_E), v_set(-ALMOST_HALF)), shift);
    *power = v_power2(shifted);
    return exp_remainder(x, shifted, shift);
}

/* Returns r, |r| <= log(2) / 2, and stores power = 2^(n + offset). */
static inline vec exp_nearest(vec x, int offset, vec *power)
{
    const vec shifted = v_fma(x, v_set(LOG_2_E), v_set(POWER2_SHIFT + offset));
    *power = v_power2(shifted);
    return exp_remainder(x, shifted, v_set(POWER2_SHIFT + offset));
}

/* w = e^r - 1 = r + r^2 Q(r) */
#define EXP_MINUS_1(table, r) v_fma(v_mul(r, r), POLYNOMIAL(table, r), r)

static inline vec m_exp(vec x)
{
    vec power;
    x = v_max(v_set(EXP_LOWEST), v_min(v_set(EXP_HIGHEST), x));
    const vec r = exp_upward(x, &power);
    return v_mul(power, v_add(v_set(1), EXP_MINUS_1(EXP_UPWARD, r)));
}

/* e^x - 1; works with 2^(n - 1), so that e^x up to REAL_MAX is reached */
static inline vec m_expm1(vec x)
{
    vec half_power;
    x = v_max(v_set(EXPM1_LOWEST), v_min(v_set(EXP_HIGHEST), x));
    const vec r = exp_nearest(x, -1, &half_power);
    const vec w = EXP_MINUS_1(EXP_NEAREST, r);
    const vec half = v_fma(half_power, w, v_sub(half_power, v_set((real)0.5)));
    return v_add(half, half);
}

/* 1 / (1 + e^-x). Ranges are cut at the end, off the critical path: tiny networks wait for it.
 * 1 + 2^n is a tie at n = MANTISSA_BITS + 1 and loses the 1; the numerator makes up for it. */
static inline __attribute__((always_inline)) vec m_sigmoid(vec x)
{
    vec power;
    const vec r = exp_nearest(v_neg(x), 0, &power);
    const vec w = EXP_MINUS_1(EXP_NEAREST, r);
    const mask tie = v_eq(power, v_set(2 * TWO_TO_MANTISSA_BITS));
    const vec numerator = v_select(tie, v_set(1 - 1 / (2 * TWO_TO_MANTISSA_BITS)), v_set(1));
    const vec inner = v_div(numerator, v_fma(power, w, v_add(power, v_set(1))));
    const vec upper = v_select(v_gt(x, v_set(SIGMOID_HIGHEST)), v_set(1), inner);
    return v_select(v_lt(x, v_set(SIGMOID_LOWEST)), v_set(0), upper);
}

/* With z = |x| and e^2z = 2^n (1 + w): 1 - 2 / (e^2z + 1) where n > 0. Where n = 0, e^2z - 1 = w =
 * 2z + q, and z + (q - z w) / (w + 2) is w / (w + 2) with a last rounding only. */
static inline vec m_tanh(vec x)
{
    vec power;
    const vec z = v_min(v_set(TANH_HIGHEST), v_abs(x));
    const vec r = exp_upward(v_add(z, z), &power);
    const vec q = v_mul(v_mul(r, r), POLYNOMIAL(EXP_UPWARD, r));
    const vec w = v_add(r, q);
    const mask near = v_eq(power, v_set(1));
    const vec numerator = v_select(near, v_fnma(z, w, q), v_set(-2));
    const vec denominator = v_fma(power, w, v_add(power, v_set(1)));
    const vec start = v_select(near, z, v_set(1));
    return v_copysign(v_add(start, v_div(numerator, denominator)), x);
}

/* Stores e^x and returns h = e^x + e^2x / 2, for x cut to MISH_HIGHEST: no square overflows. */
static inline vec exp_and_half_square(vec x, vec *exp)
{
    *exp = m_exp(v_min(v_set(MISH_HIGHEST), x));
    return v_fma(v_mul(v_set((real)0.5), *exp), *exp, *exp);
}

/* tanh(log(1 + e^x)) = ((1 + e^x)^2 - 1) / ((1 + e^x)^2 + 1) = h / (1 + h) */
static inline vec m_tanh_softplus(vec x)
{
    vec e;
    const vec h = exp_and_half_square(x, &e);
    return v_div(h, v_add(h, v_set(1)));
}

/* --- logarithms --- */

/* With s = f / (2 + f), log(1 + f) = 2 atanh(s) = f - (h - s (h + R)), h = f^2 / 2, R = s^2 K(s^2):
 * stores h and returns h + R. */
static inline vec log_correction(const real *table, int count, vec f, vec s, vec *half_square)
{
    const vec z = v_mul(s, s);
    *half_square = v_mul(v_mul(v_set((real)0.5), f), f);
    return v_fma(z, polynomial(table, count, z), *half_square);
}

#define LOG_CORRECTION(table, f, s, half_square)                                                   \
    log_correction(table, (int)(sizeof(table) / sizeof(*table)), f, s, half_square)

/* -infinity for 0 and subnormal x of either sign, NaN for other x < 0 */
static inline vec m_log(vec x)
{
    vec e, h;
    const vec m = v_split(x, &e);
    const vec f = v_sub(m, v_set(1));
    const vec s = v_div(f, v_add(m, v_set(1)));
    const vec correction = LOG_CORRECTION(LOG, f, s, &h);
    const vec low = v_sub(h, v_fma(s, correction, v_mul(e, v_set(LOG_2_LOW))));
    const vec inner = v_fma(e, v_set(LOG_2_HIGH), v_sub(f, low));
    const vec outer = v_select(v_gt(x, v_set(-REAL_MIN)), v_set(-INFINITY), v_set(NAN));
    const vec lower = v_select(v_lt(x, v_set(REAL_MIN)), outer, inner);
    return v_select(v_ge(v_set(REAL_MAX), x), lower, x);
}

/* log(1 + x) for x in [0, 1], as softplus and the binary cross-entropy need it */
static inline vec m_log1p(vec x)
{
    vec h;
    const vec s = v_div(x, v_add(x, v_set(2)));
    const vec correction = LOG_CORRECTION(LOG1P, x, s, &h);
    return v_sub(x, v_fnma(s, correction, h));
}

/* --- the normal distribution --- */

/* Phi(-z) for z >= 0, accurate relative to itself; stores e^(-z^2 / 2).
 * z^2 is taken in two parts, and Phi(-z) e^(z^2 / 2) = P(v) / (z + c), v = (z - c) / (z + c). */
static inline vec normal_tail(vec z, vec *gaussian)
{
    vec power;
    z = v_min(v_set(TAIL_HIGHEST), z);
    const vec square = v_mul(z, z);
    const vec excess = v_fnma(z, z, square);
    const vec r =
        v_fma(v_set((real)0.5), excess, exp_upward(v_mul(v_set((real)-0.5), square), &power));
    *gaussian = v_mul(power, v_add(v_set(1), EXP_MINUS_1(EXP_UPWARD, r)));
    const vec t = v_div(v_set(1), v_add(z, v_set(TAIL_CENTER)));
    const vec v = v_fnma(v_set(2 * TAIL_CENTER), t, v_set(1));
    return v_mul(*gaussian, v_mul(t, POLYNOMIAL(TAIL, v)));
}

/* Phi(x), accurate relative to itself for negative x too; stores the density phi(x). */
static inline vec m_normal(vec x, vec *density)
{
    vec gaussian;
    const vec tail = normal_tail(v_abs(x), &gaussian);
    *density = v_mul(v_set(NORMAL_DENSITY_0), gaussian);
    return v_select(v_lt(x, v_set(0)), tail, v_sub(v_set(1), tail));
}

static inline vec m_normal_cdf(vec x)
{
    vec density;
    return m_normal(x, &density);
}

/* z + z P(z^2) near 0, else 1 - 2 Phi(-sqrt(2) z), z = |x| */
static inline vec m_erf(vec x)
{
    vec gaussian;
    const vec z = v_abs(x);
    const vec near = v_fma(z, POLYNOMIAL(ERF, v_mul(z, z)), z);
    const vec far = v_fnma(v_set(2), normal_tail(v_mul(v_set(SQRT_2), z), &gaussian), v_set(1));
    return v_copysign(v_select(v_lt(z, v_set(ERF_NEAR)), near, far), x);
}

#endif
