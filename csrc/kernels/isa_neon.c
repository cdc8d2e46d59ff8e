/* The table for NEON. */
#define FBP_SIMD     "../simd/neon.h"
#define TILE_ROWS    4
#define TILE_VECTORS 4
#include "table.inc.h"
