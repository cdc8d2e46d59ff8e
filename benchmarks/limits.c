/* What a core can do at most: fused multiply-adds from registers, and reads of memory.
 *
 * Compiled when asked for, with REAL (float or double), WIDTH (bytes of a vector) and the flags of
 * the instruction set. No call fails. */
#include <stddef.h>

/* Enough independent chains to fill two units of a latency of four or five cycles. */
enum { CHAINS = 12 };

typedef REAL vector __attribute__((vector_size(WIDTH)));

/* CHAINS fused multiply-adds of a vector, `times` times; returns something made of all of them. */
REAL multiply_add(size_t times, REAL factor, REAL term)
{
    vector chains[CHAINS];
    const vector a = factor - (vector){0}, b = term - (vector){0};
    for (int c = 0; c < CHAINS; c++) chains[c] = b * (REAL)c; /* chains alike would be made one */
    for (size_t n = 0; n < times; n++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) chains[c] = chains[c] * a + b;
    }
    for (int c = 1; c < CHAINS; c++) chains[0] += chains[c];
    return chains[0][0];
}

/* Adds `count` vectors, a multiple of CHAINS, `times` times; returns something made of the sum. */
REAL read_all(const vector *x, size_t count, size_t times)
{
    vector sums[CHAINS] = {{0}};
    for (size_t n = 0; n < times; n++) {
        for (size_t i = 0; i < count; i += CHAINS) {
#pragma GCC unroll 12
            for (int c = 0; c < CHAINS; c++) sums[c] += x[i + c];
        }
        __asm__ volatile("" ::: "memory"); /* read again, not once */
    }
    for (int c = 1; c < CHAINS; c++) sums[0] += sums[c];
    return sums[0][0];
}
