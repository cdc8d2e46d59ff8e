/* Elementary functions of single numbers in double, for learning rates: the scalar forms of those
 * in kernels/math.inc.h, so that their bits are the same on every machine. */
#ifndef FBP_ELEMENTARY_H
#define FBP_ELEMENTARY_H

#define FBP_REAL_BITS 64
#include "simd/scalar.h"
#include "kernels/math.inc.h"

static inline double fbp_exp(double x) { return m_exp(x); }

static inline double fbp_log(double x) { return m_log(x); }

/* (1 + cos(pi x)) / 2 for x in [0, 1]: the square of cos(pi x / 2), which is accurate relative to
 * itself near 1 too. */
static inline double fbp_half_cosine(double x)
{
    const double y = x > 0.5 ? 1 - x : x;
    const double sine = y * POLYNOMIAL(SINE, y * y);
    return x > 0.5 ? sine * sine : 1 - sine * sine;
}

#endif
