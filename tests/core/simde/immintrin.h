/* Stands before the compiler's own header: the AVX-512 intrinsics in terms of AVX2 and FMA, by
 * SIMDe, so that the source of the AVX-512 table runs on CPUs that lack it. Masked loads and stores
 * of whole vectors, which SIMDe 0.7 does not have, are added. */
#include_next <immintrin.h>

#ifndef FBP_TESTS_SIMDE
#define FBP_TESTS_SIMDE

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#define MASKED(suffix, vector, bits, element, lanes)                                               \
    static inline simde__m512##vector tests_maskz_loadu_##suffix(uint##bits##_t k, const void *x)  \
    {                                                                                              \
        element part[lanes] = {0};                                                                 \
        for (int i = 0; i < lanes; i++)                                                            \
            if (k >> i & 1) part[i] = ((const element *)x)[i];                                     \
        return simde_mm512_loadu_##suffix(part);                                                   \
    }                                                                                              \
    static inline void tests_mask_storeu_##suffix(void *x, uint##bits##_t k,                       \
                                                  simde__m512##vector a)                           \
    {                                                                                              \
        element part[lanes];                                                                       \
        simde_mm512_storeu_##suffix(part, a);                                                      \
        for (int i = 0; i < lanes; i++)                                                            \
            if (k >> i & 1) ((element *)x)[i] = part[i];                                           \
    }
MASKED(ps, , 16, float, 16)
MASKED(pd, d, 8, double, 8)
#define _mm512_maskz_loadu_ps tests_maskz_loadu_ps
#define _mm512_maskz_loadu_pd tests_maskz_loadu_pd
#define _mm512_mask_storeu_ps tests_mask_storeu_ps
#define _mm512_mask_storeu_pd tests_mask_storeu_pd

#endif
