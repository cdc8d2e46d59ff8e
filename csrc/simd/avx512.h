/* The SIMD layer on AVX-512: 16 lanes of float or 8 of double. F alone, which every CPU with any of
 * AVX-512 has. Contracts: scalar.h. */
#ifndef FBP_SIMD_AVX512_H
#define FBP_SIMD_AVX512_H

#include <immintrin.h>
#include <math.h>

#include "x86.h"

#define LANES ((int)(64 / sizeof(real)))

/* --- names that depend on the type, so that the functions below don't --- */

#if FBP_REAL_BITS == 32
typedef __m512 vec;
typedef __mmask16 mask;
#define OP(name)      _mm512_##name##_ps
#define BITS_OP(name) _mm512_##name##_epi32
#define COMPARE       _mm512_cmp_ps_mask
#define AS_BITS(a)    _mm512_castps_si512(a)
#define AS_REALS(a)   _mm512_castsi512_ps(a)
#define SET_BITS(x)   _mm512_set1_epi32((int)(x))
#define PART(a, i)    _mm512_extractf32x4_ps(a, i)
#define QUARTER(name) _mm_##name##_ps
#else
typedef __m512d vec;
typedef __mmask8 mask;
#define OP(name)      _mm512_##name##_pd
#define BITS_OP(name) _mm512_##name##_epi64
#define COMPARE       _mm512_cmp_pd_mask
#define AS_BITS(a)    _mm512_castpd_si512(a)
#define AS_REALS(a)   _mm512_castsi512_pd(a)
#define SET_BITS(x)   _mm512_set1_epi64((long long)(x))
#define PART(a, i)    _mm_castps_pd(_mm512_extractf32x4_ps(_mm512_castpd_ps(a), i))
#define QUARTER(name) _mm_##name##_pd
#endif
/* Two quarters of a, then two of b. */
#define QUARTERS(a, b, which) AS_REALS(_mm512_shuffle_i32x4(AS_BITS(a), AS_BITS(b), which))
#define SIGN_BIT              SET_BITS((word)1 << (FBP_REAL_BITS - 1))

/* --- memory --- */

static inline mask v_lanes(size_t n) { return (mask)((1u << n) - 1); }
static inline vec v_set(real x) { return OP(set1)(x); }
static inline vec v_load(const real *x) { return OP(loadu)(x); }
static inline vec v_load_part(const real *x, size_t n)
{
    return n >= (size_t)LANES ? v_load(x) : OP(maskz_loadu)(v_lanes(n), x);
}
static inline void v_store(real *x, vec a) { OP(storeu)(x, a); }
static inline void v_store_part(real *x, vec a, size_t n)
{
    if (n >= (size_t)LANES)
        v_store(x, a);
    else
        OP(mask_storeu)(x, v_lanes(n), a);
}

/* Within quarters of vectors first, then the quarters change places. */
static inline void v_transpose(vec *block)
{
    vec part[LANES];
    const int step = LANES / 4;
#if FBP_REAL_BITS == 32
    for (int i = 0; i < LANES; i += 4)
        for (int j = 0; j < 2; j++) { /* rows i to i + 3 in pairs: columns 2 j, 2 j + 1 */
            vec a = j ? OP(unpackhi)(block[i], block[i + 1]) : OP(unpacklo)(block[i], block[i + 1]);
            vec b = j ? OP(unpackhi)(block[i + 2], block[i + 3])
                      : OP(unpacklo)(block[i + 2], block[i + 3]);
            part[i + 2 * j] = OP(shuffle)(a, b, 0x44);
            part[i + 2 * j + 1] = OP(shuffle)(a, b, 0xee);
        }
#else
    for (int i = 0; i < LANES; i += 2) {
        part[i] = OP(unpacklo)(block[i], block[i + 1]);
        part[i + 1] = OP(unpackhi)(block[i], block[i + 1]);
    }
#endif
    for (int i = 0; i < step; i++) {
        vec even_low = QUARTERS(part[i], part[i + step], 0x88);
        vec even_high = QUARTERS(part[i + 2 * step], part[i + 3 * step], 0x88);
        vec odd_low = QUARTERS(part[i], part[i + step], 0xdd);
        vec odd_high = QUARTERS(part[i + 2 * step], part[i + 3 * step], 0xdd);
        block[i] = QUARTERS(even_low, even_high, 0x88);
        block[i + step] = QUARTERS(odd_low, odd_high, 0x88);
        block[i + 2 * step] = QUARTERS(even_low, even_high, 0xdd);
        block[i + 3 * step] = QUARTERS(odd_low, odd_high, 0xdd);
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
    return OP(roundscale)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vec v_abs(vec a) { return AS_REALS(BITS_OP(andnot)(SIGN_BIT, AS_BITS(a))); }
static inline vec v_neg(vec a) { return AS_REALS(BITS_OP(xor)(SIGN_BIT, AS_BITS(a))); }
static inline vec v_copysign(vec magnitude, vec sign)
{
    return AS_REALS(BITS_OP(or)(AS_BITS(v_abs(magnitude)), BITS_OP (and)(SIGN_BIT, AS_BITS(sign))));
}

/* The instructions return their second operand for a NaN or two zeros, as the contract asks. */
static inline vec v_max(vec a, vec b) { return OP(max)(a, b); }
static inline vec v_min(vec a, vec b) { return OP(min)(a, b); }

#if FBP_REAL_BITS == 32
static inline real v_sum(vec a, size_t n)
{
    const __m512d halves = _mm512_castps_pd(a);
    __m256 eight = _mm512_castps512_ps256(a);
    if (n > 8) eight = _mm256_add_ps(eight, _mm256_castpd_ps(_mm512_extractf64x4_pd(halves, 1)));
    __m128 sum = _mm256_castps256_ps128(eight);
    if (n > 4) sum = _mm_add_ps(sum, _mm256_extractf128_ps(eight, 1));
    if (n > 2) sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
#else
static inline real v_sum(vec a, size_t n)
{
    __m256d four = _mm512_castpd512_pd256(a);
    if (n > 4) four = _mm256_add_pd(four, _mm512_extractf64x4_pd(a, 1));
    __m128d sum = _mm256_castpd256_pd128(four);
    if (n > 2) sum = _mm_add_pd(sum, _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(sum, _mm_unpackhi_pd(sum, sum)));
}
#endif

/* --- masks --- */

static inline mask v_gt(vec a, vec b) { return COMPARE(a, b, _CMP_GT_OQ); }
static inline mask v_ge(vec a, vec b) { return COMPARE(a, b, _CMP_GE_OQ); }
static inline mask v_lt(vec a, vec b) { return COMPARE(a, b, _CMP_LT_OQ); }
static inline mask v_eq(vec a, vec b) { return COMPARE(a, b, _CMP_EQ_OQ); }
static inline mask v_and(mask a, mask b) { return (mask)(a & b); }
static inline vec v_select(mask m, vec a, vec b) { return OP(mask_blend)(m, b, a); }

/* --- over lanes --- */

#define HALVES(name, a)                                                                            \
    QUARTER(name)(QUARTER(name)(PART(a, 0), PART(a, 2)), QUARTER(name)(PART(a, 1), PART(a, 3)))
static inline real v_sum_lanes(vec a) { return add_of_quarter(HALVES(add, a)); }
static inline real v_max_lanes(vec a) { return max_of_quarter(HALVES(max, a)); }

/* --- the format of numbers --- */

static inline vec v_power2(vec shifted)
{
    return AS_REALS(BITS_OP(slli)(AS_BITS(shifted), MANTISSA_BITS));
}

static inline vec v_split(vec x, vec *exponent)
{
    const __m512i one = SET_BITS((word)EXPONENT_BIAS << MANTISSA_BITS);
    const __m512i fraction = SET_BITS(((word)1 << MANTISSA_BITS) - 1);
    const __m512i sqrt_half = SET_BITS(SQRT_HALF_BITS);
    const __m512i bits = BITS_OP(add)(AS_BITS(x), BITS_OP(sub)(one, sqrt_half));
    const __m512i two = AS_BITS(v_set(TWO_TO_MANTISSA_BITS));
    const __m512i biased = BITS_OP(or)(BITS_OP(srli)(bits, MANTISSA_BITS), two);
    *exponent = v_sub(AS_REALS(biased), v_set(TWO_TO_MANTISSA_BITS + EXPONENT_BIAS));
    return AS_REALS(BITS_OP(add)(BITS_OP (and)(bits, fraction), sqrt_half));
}

/* --- words: 64-bit lanes of which the low halves count, for random numbers --- */

#define WORD_LANES 8

typedef __m512i words;
static inline words w_set(uint32_t x) { return _mm512_set1_epi64(x); }
static inline words w_load(const uint64_t *x) { return _mm512_loadu_si512(x); }
static inline words w_add(words a, words b) { return _mm512_add_epi64(a, b); }
static inline words w_xor(words a, words b) { return _mm512_xor_si512(a, b); }
static inline words w_multiply(words a, words b) { return _mm512_mul_epu32(a, b); }
static inline words w_high(words a) { return _mm512_srli_epi64(a, 32); }
static inline words w_pair(words a, words b)
{
    return _mm512_mask_blend_epi32(0xAAAA, a, _mm512_slli_epi64(b, 32));
}
static inline void w_store_both(uint64_t *x, words a, words b)
{
    const __m512i low = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0);
    const __m512i high = _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4);
    _mm512_storeu_si512(x, _mm512_permutex2var_epi64(a, low, b));
    _mm512_storeu_si512(x + WORD_LANES, _mm512_permutex2var_epi64(a, high, b));
}

#endif
