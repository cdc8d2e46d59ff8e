/* Dropout masks from counters: element u of row b takes word u % 4 of block b * ceil(n / 4) + u
 * / 4. */
#include "../philox.h"

#define PHILOX_VECTORS 2 /* at a time: each waits for its products */
#define PHILOX_BLOCKS  (PHILOX_VECTORS * WORD_LANES)

/* A round of Philox4x32 on a vector of counters (philox.h). */
INLINE void philox_round(words k0, words k1, words c[4])
{
    const words p0 = w_multiply(w_set(FBP_PHILOX_FACTOR_0), c[0]);
    const words p1 = w_multiply(w_set(FBP_PHILOX_FACTOR_1), c[2]);
    c[0] = w_xor(w_xor(w_high(p1), c[1]), k0);
    c[2] = w_xor(w_xor(w_high(p0), c[3]), k1);
    c[1] = p1;
    c[3] = p0;
}

/* fbp_philox for PHILOX_BLOCKS blocks from `block` on. */
INLINE void philox_blocks(uint64_t seed, uint64_t index, uint32_t stream, size_t block,
                          uint32_t random[4 * PHILOX_BLOCKS])
{
    uint64_t pairs[2 * PHILOX_BLOCKS];
    static const uint64_t places[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    words c[PHILOX_VECTORS][4];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int v = 0; v < PHILOX_VECTORS; v++) {
        c[v][0] = w_add(w_set((uint32_t)block), w_load(places + v * WORD_LANES));
        c[v][1] = w_set((uint32_t)index);
        c[v][2] = w_set((uint32_t)(index >> 32));
        c[v][3] = w_set(stream);
    }
    for (int round = 0; round < FBP_PHILOX_ROUNDS; round++) {
#pragma GCC unroll 4
        for (int v = 0; v < PHILOX_VECTORS; v++) philox_round(w_set(k0), w_set(k1), c[v]);
        k0 += FBP_PHILOX_KEY_0;
        k1 += FBP_PHILOX_KEY_1;
    }
    for (int v = 0; v < PHILOX_VECTORS; v++)
        w_store_both(pairs + 2 * v * WORD_LANES, w_pair(c[v][0], c[v][1]),
                     w_pair(c[v][2], c[v][3]));
    memcpy(random, pairs, sizeof pairs);
}

static void dropout_mask(uint64_t seed, uint64_t index, uint32_t stream, uint64_t threshold,
                         double scale_kept, size_t first, size_t rows, size_t n, void *mask)
{
    const real scale = (real)scale_kept;
    const uint32_t least = (uint32_t)threshold;
    const size_t row_blocks = (n + 3) / 4, end = (first + rows) * row_blocks;
    real *to = mask;
    word kept;
    memcpy(&kept, &scale, sizeof kept);
    size_t rest = n; /* of the row */
    for (size_t block = first * row_blocks; block < end; block += PHILOX_BLOCKS) {
        uint32_t random[4 * PHILOX_BLOCKS];
        word factors[4 * PHILOX_BLOCKS]; /* as bits, so that no branch depends on chance */
        philox_blocks(seed, index, stream, block, random);
        for (int i = 0; i < 4 * PHILOX_BLOCKS; i++) factors[i] = random[i] < least ? 0 : kept;
        for (size_t l = 0; l < PHILOX_BLOCKS && block + l < end; l++) {
            const size_t units = rest < 4 ? rest : 4;
            if (units == 4)
                memcpy(to, factors + 4 * l, 4 * sizeof(real));
            else
                memcpy(to, factors + 4 * l, units * sizeof(real));
            to += units;
            rest = rest > 4 ? rest - 4 : n;
        }
    }
}
