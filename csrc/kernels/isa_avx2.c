/* The table for AVX2 and FMA. 12 of the 16 registers hold the tile, 2 a row of B, 1 or 2 of A. */
#define FBP_SIMD     "../simd/avx2.h"
#define TILE_ROWS    6
#define TILE_VECTORS 2
#include "table.inc.h"
