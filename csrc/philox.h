/* Philox4x32-10, a counter-based random number generator (Salmon et al. 2011, "Parallel random
 * numbers: as easy as 1, 2, 3"). Counter: (block, index low, index high, stream); key: the seed. */
#ifndef FASTBP_PHILOX_H
#define FASTBP_PHILOX_H

#include <stdint.h>

#define FBP_STREAM_ORDER   0x40000000u
#define FBP_STREAM_DROPOUT 0x80000000u

#define FBP_PHILOX_ROUNDS   10
#define FBP_PHILOX_FACTOR_0 0xD2511F53u
#define FBP_PHILOX_FACTOR_1 0xCD9E8D57u
#define FBP_PHILOX_KEY_0    0x9E3779B9u /* what the key grows by from round to round */
#define FBP_PHILOX_KEY_1    0xBB67AE85u

static inline void fbp_philox(uint64_t seed, uint64_t index, uint32_t stream, uint32_t block,
                              uint32_t words[4])
{
    uint32_t c0 = block, c1 = (uint32_t)index, c2 = (uint32_t)(index >> 32), c3 = stream;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < FBP_PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)FBP_PHILOX_FACTOR_0 * c0, p1 = (uint64_t)FBP_PHILOX_FACTOR_1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += FBP_PHILOX_KEY_0;
        k1 += FBP_PHILOX_KEY_1;
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

#endif
