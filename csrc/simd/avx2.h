/* The SIMD layer on AVX2 and FMA: 8 lanes of float or 4 of double. Contracts: scalar.h. */
#ifndef FBP_SIMD_AVX2_H
#define FBP_SIMD_AVX2_H

#include <immintrin.h>
#include <math.h>

#include "x86.h"

#define LANES ((int)(32 / sizeof(real)))

/* --- names that depend on the type, so that the functions below don't --- */

#if FBP_REAL_BITS == 32
typedef __m256 vec;
#define OP(name)       _mm256_##name##_ps
#define BITS_OP(name)  _mm256_##name##_epi32
#define AS_BITS(a)     _mm256_castps_si256(a)
#define AS_REALS(a)    _mm256_castsi256_ps(a)
#define SET_BITS(x)    _mm256_set1_epi32((int)(x))
#define LANE_NUMBERS() _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)
#define LOW(a)         _mm256_castps256_ps128(a)
#define HIGH(a)        _mm256_extractf128_ps(a, 1)
#define QUARTER(name)  _mm_##name##_ps
#else
typedef __m256d vec;
#define OP(name)       _mm256_##name##_pd
#define BITS_OP(name)  _mm256_##name##_epi64
#define AS_BITS(a)     _mm256_castpd_si256(a)
#define AS_REALS(a)    _mm256_castsi256_pd(a)
#define SET_BITS(x)    _mm256_set1_epi64x((long long)(x))
#define LANE_NUMBERS() _mm256_setr_epi64x(0, 1, 2, 3)
#define LOW(a)         _mm256_castpd256_pd128(a)
#define HIGH(a)        _mm256_extractf128_pd(a, 1)
#define QUARTER(name)  _mm_##name##_pd
#endif
typedef vec mask; /* all bits set where true */

/* --- memory --- */

static inline __m256i first(size_t n) { return BITS_OP(cmpgt)(SET_BITS(n), LANE_NUMBERS()); }
static inline vec v_set(real x) { return OP(set1)(x); }
static inline vec v_load(const real *x) { return OP(loadu)(x); }
static inline vec v_load_part(const real *x, size_t n)
{
    return n >= (size_t)LANES ? v_load(x) : OP(maskload)(x, first(n));
}
static inline void v_store(real *x, vec a) { OP(storeu)(x, a); }

/* In pieces of 4, 2 and 1 lanes, since a masked store takes 13 cycles on AMD's processors. */
static inline void v_store_part(real *x, vec a, size_t n)
{
    if (n >= (size_t)LANES) {
        v_store(x, a);
        return;
    }
    quarter rest = LOW(a);
#if FBP_REAL_BITS == 32
    if (n & 4) {
        _mm_storeu_ps(x, rest);
        rest = HIGH(a);
        x += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)x, rest);
        rest = _mm_movehl_ps(rest, rest);
        x += 2;
    }
    if (n & 1) _mm_store_ss(x, rest);
#else
    if (n & 2) {
        _mm_storeu_pd(x, rest);
        rest = HIGH(a);
        x += 2;
    }
    if (n & 1) _mm_store_sd(x, rest);
#endif
}

/* Within halves of vectors first, then the off-diagonal halves change places. */
static inline void v_transpose(vec *block)
{
    vec half[LANES];
#if FBP_REAL_BITS == 32
    for (int i = 0; i < LANES; i += 4)
        for (int j = 0; j < 2; j++) { /* rows i to i + 3 in pairs: columns 2 j, 2 j + 1 */
            vec a = j ? OP(unpackhi)(block[i], block[i + 1]) : OP(unpacklo)(block[i], block[i + 1]);
            vec b = j ? OP(unpackhi)(block[i + 2], block[i + 3])
                      : OP(unpacklo)(block[i + 2], block[i + 3]);
            half[i + 2 * j] = OP(shuffle)(a, b, 0x44);
            half[i + 2 * j + 1] = OP(shuffle)(a, b, 0xee);
        }
#else
    for (int i = 0; i < LANES; i += 2) {
        half[i] = OP(unpacklo)(block[i], block[i + 1]);
        half[i + 1] = OP(unpackhi)(block[i], block[i + 1]);
    }
#endif
    for (int i = 0; i < LANES / 2; i++) {
        block[i] = OP(permute2f128)(half[i], half[i + LANES / 2], 0x20);
        block[i + LANES / 2] = OP(permute2f128)(half[i], half[i + LANES / 2], 0x31);
    }
}

/* --- arithmetic --- */

static inline vec v_add(vec a, vec b) { return OP(add)(a, b); }
static inline vec v_sub(vec a, vec b) { return OP(sub)(a, b); }
static inline vec v_mul(vec a, vec b) { return OP(mul)(a, b); }
static inline vec v_div(vec a, vec b) { return OP(div)(a, b); }
static inline vec v_fma(vec a, vec b, vec c) { return OP(fmadd)(a, b, c); }
static inline vec v_fnma(vec a, vec b, vec c) { return OP(fnmadd)(a, b, c); }
static inline vec v_sqrt(vec a) { return OP(sqrt)(a); }
static inline vec v_round(vec a)
{
    return OP(round)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vec v_abs(vec a) { return OP(andnot)(v_set((real)-0.0), a); }
static inline vec v_neg(vec a) { return OP(xor)(v_set((real)-0.0), a); }
static inline vec v_copysign(vec magnitude, vec sign)
{
    return OP(or)(v_abs(magnitude), OP (and)(v_set((real)-0.0), sign));
}

/* The instructions return their second operand for a NaN or two zeros, as the contract asks. */
static inline vec v_max(vec a, vec b) { return OP(max)(a, b); }
static inline vec v_min(vec a, vec b) { return OP(min)(a, b); }

#if FBP_REAL_BITS == 32
static inline real v_sum(vec a, size_t n)
{
    __m128 sum = _mm256_castps256_ps128(a);
    if (n > 4) sum = _mm_add_ps(sum, _mm256_extractf128_ps(a, 1));
    if (n > 2) sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
#else
static inline real v_sum(vec a, size_t n)
{
    __m128d sum = _mm256_castpd256_pd128(a);
    if (n > 2) sum = _mm_add_pd(sum, _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(sum, _mm_unpackhi_pd(sum, sum)));
}
#endif

/* --- masks --- */

static inline mask v_gt(vec a, vec b) { return OP(cmp)(a, b, _CMP_GT_OQ); }
static inline mask v_ge(vec a, vec b) { return OP(cmp)(a, b, _CMP_GE_OQ); }
static inline mask v_lt(vec a, vec b) { return OP(cmp)(a, b, _CMP_LT_OQ); }
static inline mask v_eq(vec a, vec b) { return OP(cmp)(a, b, _CMP_EQ_OQ); }
static inline mask v_and(mask a, mask b) { return OP (and)(a, b); }
static inline mask v_lanes(size_t n) { return AS_REALS(first(n)); }
static inline vec v_select(mask m, vec a, vec b) { return OP(blendv)(b, a, m); }

/* --- over lanes --- */

static inline real v_sum_lanes(vec a) { return add_of_quarter(QUARTER(add)(LOW(a), HIGH(a))); }
static inline real v_max_lanes(vec a) { return max_of_quarter(QUARTER(max)(LOW(a), HIGH(a))); }

/* --- the format of numbers --- */

static inline vec v_power2(vec shifted)
{
    return AS_REALS(BITS_OP(slli)(AS_BITS(shifted), MANTISSA_BITS));
}

static inline vec v_split(vec x, vec *exponent)
{
    const __m256i one = SET_BITS((word)EXPONENT_BIAS << MANTISSA_BITS);
    const __m256i fraction = SET_BITS(((word)1 << MANTISSA_BITS) - 1);
    const __m256i sqrt_half = SET_BITS(SQRT_HALF_BITS);
    const __m256i bits = BITS_OP(add)(AS_BITS(x), BITS_OP(sub)(one, sqrt_half));
    const __m256i two = AS_BITS(v_set(TWO_TO_MANTISSA_BITS));
    const __m256i biased = _mm256_or_si256(BITS_OP(srli)(bits, MANTISSA_BITS), two);
    *exponent = v_sub(AS_REALS(biased), v_set(TWO_TO_MANTISSA_BITS + EXPONENT_BIAS));
    return AS_REALS(BITS_OP(add)(_mm256_and_si256(bits, fraction), sqrt_half));
}

/* --- words: 64-bit lanes of which the low halves count, for random numbers --- */

#define WORD_LANES 4

typedef __m256i words;
static inline words w_set(uint32_t x) { return _mm256_set1_epi64x(x); }
static inline words w_load(const uint64_t *x) { return _mm256_loadu_si256((const __m256i *)x); }
static inline words w_add(words a, words b) { return _mm256_add_epi64(a, b); }
static inline words w_xor(words a, words b) { return _mm256_xor_si256(a, b); }
static inline words w_multiply(words a, words b) { return _mm256_mul_epu32(a, b); }
static inline words w_high(words a) { return _mm256_srli_epi64(a, 32); }
static inline words w_pair(words a, words b)
{
    return _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xAA);
}
static inline void w_store_both(uint64_t *x, words a, words b)
{
    const __m256i even = _mm256_unpacklo_epi64(a, b), odd = _mm256_unpackhi_epi64(a, b);
    _mm256_storeu_si256((__m256i *)x, _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256((__m256i *)x + 1, _mm256_permute2x128_si256(even, odd, 0x31));
}

#endif
