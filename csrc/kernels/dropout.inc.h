/* Dropout masks from counters: element u of row b takes word u % 4 of block b * ceil(n / 4) + u
 * / 4. */
#include "../philox.h"

static void dropout_mask(uint64_t seed, uint64_t index, uint32_t stream, uint64_t threshold,
                         double scale_kept, size_t first, size_t rows, size_t n, void *mask)
{
    const real kept = (real)scale_kept;
    const size_t blocks = (n + 3) / 4;
    real *to = mask;
    for (size_t b = first; b < first + rows; b++, to += n)
        for (size_t block = 0; block < blocks; block++) {
            uint32_t words[4];
            size_t rest = n - 4 * block;
            fbp_philox(seed, index, stream, (uint32_t)(b * blocks + block), words);
            for (size_t u = 0; u < (rest < 4 ? rest : 4); u++)
                to[4 * block + u] = words[u] >= threshold ? kept : 0;
        }
}
