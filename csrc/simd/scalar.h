/* The SIMD layer in plain C, one lane: the definition that every other instruction set equals bit
 * for bit. Needs a C library or hardware with a correctly rounded fma. */
#ifndef FBP_SIMD_SCALAR_H
#define FBP_SIMD_SCALAR_H

#include <math.h>
#include <string.h>

#include "real.h"

#define LANES 1

typedef real vec;
typedef int mask; /* 1 where true, else 0 */

/* --- memory; v_*_part touches the first n lanes only, if n < LANES, and loads 0 in the others ---
 */

static inline vec v_set(real x) { return x; }
static inline vec v_load(const real *x) { return *x; }
static inline vec v_load_part(const real *x, size_t n) { return n ? *x : 0; }
static inline void v_store(real *x, vec a) { *x = a; }
static inline void v_store_part(real *x, vec a, size_t n)
{
    if (n) *x = a;
}

/* The square block of LANES vectors mirrored: lane j of vector i to lane i of vector j. */
static inline void v_transpose(vec *block) { (void)block; }

/* --- arithmetic, each correctly rounded, ties to even --- */

static inline vec v_add(vec a, vec b) { return a + b; }
static inline vec v_sub(vec a, vec b) { return a - b; }
static inline vec v_mul(vec a, vec b) { return a * b; }
static inline vec v_div(vec a, vec b) { return a / b; }

#if FBP_REAL_BITS == 32
static inline vec v_fma(vec a, vec b, vec c) { return fmaf(a, b, c); }   /* c + a b, rounded once */
static inline vec v_fnma(vec a, vec b, vec c) { return fmaf(-a, b, c); } /* c - a b, rounded once */
static inline vec v_sqrt(vec a) { return sqrtf(a); }
static inline vec v_round(vec a) { return rintf(a); } /* to an integral value */
static inline vec v_abs(vec a) { return fabsf(a); }
static inline vec v_copysign(vec magnitude, vec sign) { return copysignf(magnitude, sign); }
#else
static inline vec v_fma(vec a, vec b, vec c) { return fma(a, b, c); }
static inline vec v_fnma(vec a, vec b, vec c) { return fma(-a, b, c); }
static inline vec v_sqrt(vec a) { return sqrt(a); }
static inline vec v_round(vec a) { return rint(a); }
static inline vec v_abs(vec a) { return fabs(a); }
static inline vec v_copysign(vec magnitude, vec sign) { return copysign(magnitude, sign); }
#endif

static inline vec v_neg(vec a) { return -a; }

/* If either operand is NaN, or both are zeros, the result is b: so v_max(low, x) keeps a NaN x. */
static inline vec v_max(vec a, vec b) { return a > b ? a : b; }
static inline vec v_min(vec a, vec b) { return a < b ? a : b; }

/* Lanes added by halves: lane l += lane l + LANES / 2, ..., + 1. Lanes from n on are +0, and none
 * is -0 if they are half of all or more: then they may be left out. */
static inline real v_sum(vec a, size_t n) { return (void)n, a; }

/* --- masks: comparisons with NaN are false --- */

static inline mask v_gt(vec a, vec b) { return a > b; }
static inline mask v_ge(vec a, vec b) { return a >= b; }
static inline mask v_lt(vec a, vec b) { return a < b; }
static inline mask v_eq(vec a, vec b) { return a == b; }
static inline mask v_and(mask a, mask b) { return a & b; }
static inline mask v_lanes(size_t n) { return n > 0; } /* the first n lanes, n <= LANES */
static inline vec v_select(mask m, vec a, vec b) { return m ? a : b; } /* a where m, else b */

/* --- over lanes, by halves: lane l takes lane l + LANES / 2, then l + LANES / 4, ..., l + 1 --- */

static inline real v_sum_lanes(vec a) { return a; }
static inline real v_max_lanes(vec a) { return a; }

/* --- the format of numbers --- */

static inline word bits_of(real x)
{
    word bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline real real_of(word bits)
{
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 2^n for shifted = n + POWER2_SHIFT, n integral: 0 for n = -EXPONENT_BIAS, infinity for
 * n = EXPONENT_BIAS + 1, and beyond these two any number or NaN. */
static inline vec v_power2(vec shifted) { return real_of(bits_of(shifted) << MANTISSA_BITS); }

/* x = m 2^e for normal x > 0: returns m in [sqrt(1/2), sqrt(2)) and stores the integral e; for any
 * other x both are some number. */
static inline vec v_split(vec x, vec *exponent)
{
    const word one = (word)EXPONENT_BIAS << MANTISSA_BITS;
    const word fraction = ((word)1 << MANTISSA_BITS) - 1;
    const word bits = bits_of(x) + (one - SQRT_HALF_BITS);
    const word biased = bits >> MANTISSA_BITS | bits_of(TWO_TO_MANTISSA_BITS);
    *exponent = real_of(biased) - (TWO_TO_MANTISSA_BITS + EXPONENT_BIAS);
    return real_of((bits & fraction) + SQRT_HALF_BITS);
}

/* --- words: 64-bit lanes of which the low halves count, for random numbers --- */

#define WORD_LANES 1

typedef uint64_t words;
static inline words w_set(uint32_t x) { return x; }
static inline words w_load(const uint64_t *x) { return *x; }
static inline words w_add(words a, words b) { return a + b; }
static inline words w_xor(words a, words b) { return a ^ b; }
static inline words w_multiply(words a, words b) { return (a & UINT32_MAX) * (b & UINT32_MAX); }
static inline words w_high(words a) { return a >> 32; }
static inline words w_pair(words a, words b) /* as they stand in memory, a before b */
{
    const uint32_t pair[2] = {(uint32_t)a, (uint32_t)b};
    memcpy(&a, pair, sizeof pair);
    return a;
}
static inline void w_store_both(uint64_t *x, words a, words b) /* lanes of a and b by turns */
{
    x[0] = a;
    x[1] = b;
}

#endif
