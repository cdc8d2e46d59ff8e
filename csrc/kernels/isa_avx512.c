/* The table for AVX-512. 16 of the 32 registers hold the tile: enough to hide the latency of two
 * units, and 8 divides the batches that people use. */
#define FBP_SIMD     "../simd/avx512.h"
#define TILE_ROWS    8
#define TILE_VECTORS 2
#include "table.inc.h"
