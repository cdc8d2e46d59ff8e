/* Philox4x32-10, a counter-based random number generator (Salmon et al. 2011, "Parallel random
 * numbers: as easy as 1, 2, 3"). Counter: (block, index low, index high, stream); key: the seed. */
#ifndef FASTBP_PHILOX_H
#define FASTBP_PHILOX_H

#include <stdint.h>

#define FBP_STREAM_ORDER   0x40000000u
#define FBP_STREAM_DROPOUT 0x80000000u

static inline void fbp_philox(uint64_t seed, uint64_t index, uint32_t stream, uint32_t block,
                              uint32_t words[4])
{
    uint32_t c0 = block, c1 = (uint32_t)index, c2 = (uint32_t)(index >> 32), c3 = stream;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

#endif
