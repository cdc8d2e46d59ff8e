/* The number type of one translation unit, float or double by FBP_REAL_BITS, and its format.
 * Shared by all instruction sets: scalar.h, avx2.h and so on include it, and add vec and mask. */
#ifndef FBP_SIMD_REAL_H
#define FBP_SIMD_REAL_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>

#if FBP_REAL_BITS == 32
typedef float real;
typedef uint32_t word;         /* the bits of a real */
#define REAL_MIN       FLT_MIN /* smallest normal number */
#define REAL_MAX       FLT_MAX
#define MANTISSA_BITS  23
#define EXPONENT_BIAS  127
#define SQRT_HALF_BITS 0x3f3504f3u
#elif FBP_REAL_BITS == 64
typedef double real;
typedef uint64_t word;
#define REAL_MIN       DBL_MIN
#define REAL_MAX       DBL_MAX
#define MANTISSA_BITS  52
#define EXPONENT_BIAS  1023
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcdu
#else
#error "FBP_REAL_BITS: expected 32 or 64"
#endif

#define ROW_LANES ((int)(64 / sizeof(real))) /* lanes of a row's sums, everywhere */

#define TWO_TO_MANTISSA_BITS ((real)((word)1 << MANTISSA_BITS))
/* A real n + POWER2_SHIFT, |n| < 2^(MANTISSA_BITS - 2), is rounded to an integral n and has
 * n + EXPONENT_BIAS in its low bits: the biased exponent of 2^n. */
#define POWER2_SHIFT ((real)(((word)3 << (MANTISSA_BITS - 1)) + EXPONENT_BIAS))

#endif
