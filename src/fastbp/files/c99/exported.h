/* Takes the place of what has the same name in the kernels' text, where these rely on modes of the
 * processor that a program can't set. */

/* Results below the smallest normal number count as zero, where activations come to such. */
INLINE real flushed(real x) { return v_abs(x) < REAL_MIN ? x * 0 : x; }

INLINE vec v_mul(vec a, vec b) { return flushed(a * b); }

INLINE vec v_div(vec a, vec b) { return flushed(a / b); }
