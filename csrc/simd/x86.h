/* What AVX2 and AVX-512 share: the last halvings of a sum or maximum over lanes, in 128 bits. */
#ifndef FBP_SIMD_X86_H
#define FBP_SIMD_X86_H

#include <immintrin.h>

#include "real.h"

#if FBP_REAL_BITS == 32
typedef __m128 quarter; /* of a vector of AVX-512 */
#define FBP_HALVE(name)                                                                            \
    static inline real name##_of_quarter(quarter a)                                                \
    {                                                                                              \
        a = _mm_##name##_ps(a, _mm_movehl_ps(a, a));                                               \
        return _mm_cvtss_f32(_mm_##name##_ss(a, _mm_movehdup_ps(a)));                              \
    }
#else
typedef __m128d quarter;
#define FBP_HALVE(name)                                                                            \
    static inline real name##_of_quarter(quarter a)                                                \
    {                                                                                              \
        return _mm_cvtsd_f64(_mm_##name##_sd(a, _mm_unpackhi_pd(a, a)));                           \
    }
#endif
FBP_HALVE(add)
FBP_HALVE(max)
#undef FBP_HALVE

#endif
