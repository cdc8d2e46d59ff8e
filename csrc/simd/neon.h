/* The SIMD layer on NEON (AArch64): 4 lanes of float or 2 of double. Contracts: scalar.h. */
#ifndef FBP_SIMD_NEON_H
#define FBP_SIMD_NEON_H

#include <arm_neon.h>
#include <math.h>

#include "real.h"

#define LANES ((int)(16 / sizeof(real)))

/* --- names that depend on the type, so that the functions below don't --- */

#if FBP_REAL_BITS == 32
typedef float32x4_t vec;
typedef uint32x4_t mask; /* all bits set where true */
#define OP(name)      v##name##q_f32
#define BITS_OP(name) v##name##q_u32
#define AS_BITS(a)    vreinterpretq_u32_f32(a)
#define AS_REALS(a)   vreinterpretq_f32_u32(a)
#define SET(name)     v##name##q_n_f32
#define SET_BITS(x)   vdupq_n_u32(x)
#define SHL(a, n)     vshlq_n_u32(a, n)
#define SHR(a, n)     vshrq_n_u32(a, n)
#else
typedef float64x2_t vec;
typedef uint64x2_t mask;
#define OP(name)      v##name##q_f64
#define BITS_OP(name) v##name##q_u64
#define AS_BITS(a)    vreinterpretq_u64_f64(a)
#define AS_REALS(a)   vreinterpretq_f64_u64(a)
#define SET(name)     v##name##q_n_f64
#define SET_BITS(x)   vdupq_n_u64(x)
#define SHL(a, n)     vshlq_n_u64(a, n)
#define SHR(a, n)     vshrq_n_u64(a, n)
#endif
#define SIGN_BIT ((word)1 << (FBP_REAL_BITS - 1))

/* --- memory --- */

static inline vec v_set(real x) { return SET(dup)(x); }
static inline vec v_load(const real *x) { return OP(ld1)(x); }
static inline vec v_load_part(const real *x, size_t n)
{
    if (n >= (size_t)LANES) return v_load(x);
    real part[LANES] = {0};
    for (size_t i = 0; i < n; i++) part[i] = x[i];
    return v_load(part);
}
static inline void v_store(real *x, vec a) { OP(st1)(x, a); }
static inline void v_store_part(real *x, vec a, size_t n)
{
    real part[LANES];
    if (n >= (size_t)LANES) {
        v_store(x, a);
        return;
    }
    v_store(part, a);
    for (size_t i = 0; i < n; i++) x[i] = part[i];
}

/* Blocks of 2 x 2 first, then the off-diagonal blocks change places. */
static inline void v_transpose(vec *block)
{
    for (int i = 0; i < LANES; i += 2) {
        vec even = OP(trn1)(block[i], block[i + 1]), odd = OP(trn2)(block[i], block[i + 1]);
        block[i] = even;
        block[i + 1] = odd;
    }
    for (int i = 0; i < LANES / 2 && LANES == 4; i++) {
        float64x2_t above = (float64x2_t)block[i], below = (float64x2_t)block[i + 2];
        block[i] = (vec)vtrn1q_f64(above, below);
        block[i + 2] = (vec)vtrn2q_f64(above, below);
    }
}

/* --- arithmetic --- */

static inline vec v_add(vec a, vec b) { return OP(add)(a, b); }
static inline vec v_sub(vec a, vec b) { return OP(sub)(a, b); }
static inline vec v_mul(vec a, vec b) { return OP(mul)(a, b); }
static inline vec v_div(vec a, vec b) { return OP(div)(a, b); }
static inline vec v_fma(vec a, vec b, vec c) { return OP(fma)(c, a, b); }
static inline vec v_fnma(vec a, vec b, vec c) { return OP(fms)(c, a, b); }
static inline vec v_sqrt(vec a) { return OP(sqrt)(a); }
static inline vec v_round(vec a) { return OP(rndn)(a); }
static inline vec v_abs(vec a) { return OP(abs)(a); }
static inline vec v_neg(vec a) { return OP(neg)(a); }
static inline vec v_copysign(vec magnitude, vec sign)
{
    return OP(bsl)(SET_BITS(SIGN_BIT), sign, magnitude);
}

#if FBP_REAL_BITS == 32
static inline real v_sum(vec a, size_t n)
{
    float32x2_t sum = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return (void)n, vget_lane_f32(sum, 0) + vget_lane_f32(sum, 1);
}
#else
static inline real v_sum(vec a, size_t n)
{
    return (void)n, vgetq_lane_f64(a, 0) + vgetq_lane_f64(a, 1);
}
#endif

/* --- masks --- */

static inline mask v_gt(vec a, vec b) { return OP(cgt)(a, b); }
static inline mask v_ge(vec a, vec b) { return OP(cge)(a, b); }
static inline mask v_lt(vec a, vec b) { return OP(clt)(a, b); }
static inline mask v_eq(vec a, vec b) { return OP(ceq)(a, b); }
static inline mask v_and(mask a, mask b) { return BITS_OP (and)(a, b); }
static inline mask v_lanes(size_t n)
{
    static const word numbers[] = {0, 1, 2, 3};
    return BITS_OP(clt)(BITS_OP(ld1)(numbers), SET_BITS((word)n));
}
static inline vec v_select(mask m, vec a, vec b) { return OP(bsl)(m, a, b); }

/* Not vmax and vmin, which give NaN for either operand and -0 < +0. */
static inline vec v_max(vec a, vec b) { return v_select(v_gt(a, b), a, b); }
static inline vec v_min(vec a, vec b) { return v_select(v_lt(a, b), a, b); }

/* --- over lanes --- */

#if FBP_REAL_BITS == 32
#define HALVED(name, a) name(a, vextq_f32(a, a, 2))
#else
#define HALVED(name, a) (a)
#endif
static inline real v_sum_lanes(vec a)
{
    a = HALVED(v_add, a);
    return v_add(a, OP(ext)(a, a, 1))[0];
}
static inline real v_max_lanes(vec a)
{
    a = HALVED(v_max, a);
    return v_max(a, OP(ext)(a, a, 1))[0];
}

/* --- the format of numbers --- */

static inline vec v_power2(vec shifted) { return AS_REALS(SHL(AS_BITS(shifted), MANTISSA_BITS)); }

static inline vec v_split(vec x, vec *exponent)
{
    const mask one = SET_BITS((word)EXPONENT_BIAS << MANTISSA_BITS);
    const mask fraction = SET_BITS(((word)1 << MANTISSA_BITS) - 1);
    const mask sqrt_half = SET_BITS(SQRT_HALF_BITS);
    const mask bits = BITS_OP(add)(AS_BITS(x), BITS_OP(sub)(one, sqrt_half));
    const mask two = AS_BITS(v_set(TWO_TO_MANTISSA_BITS));
    const mask biased = BITS_OP(orr)(SHR(bits, MANTISSA_BITS), two);
    *exponent = v_sub(AS_REALS(biased), v_set(TWO_TO_MANTISSA_BITS + EXPONENT_BIAS));
    return AS_REALS(BITS_OP(add)(BITS_OP (and)(bits, fraction), sqrt_half));
}

/* --- words: 64-bit lanes of which the low halves count, for random numbers --- */

#define WORD_LANES 2

typedef uint64x2_t words;
static inline words w_set(uint32_t x) { return vdupq_n_u64(x); }
static inline words w_load(const uint64_t *x) { return vld1q_u64(x); }
static inline words w_add(words a, words b) { return vaddq_u64(a, b); }
static inline words w_xor(words a, words b) { return veorq_u64(a, b); }
static inline words w_multiply(words a, words b) { return vmull_u32(vmovn_u64(a), vmovn_u64(b)); }
static inline words w_high(words a) { return vshrq_n_u64(a, 32); }
static inline words w_pair(words a, words b) { return vsliq_n_u64(a, b, 32); }
static inline void w_store_both(uint64_t *x, words a, words b)
{
    vst2q_u64(x, (uint64x2x2_t){{a, b}});
}

#endif
