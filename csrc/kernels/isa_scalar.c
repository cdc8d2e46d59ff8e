/* The scalar table, the definition of every kernel's bits: plain C with fma and fmaf.
 * Built a second time as scalar_fma, with the compiler free to use FMA and AVX2 instructions. */
#define FBP_SIMD     "../simd/scalar.h"
#define TILE_ROWS    4
#define TILE_VECTORS 8
#include "table.inc.h"
