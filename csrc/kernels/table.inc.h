/* One kernel table: included by isa_*.c, which names the instruction set and its simd header.
 * Compiled once for float and once for double, with -DFBP_REAL_BITS=32 or 64. */
#include "../kernels.h"

#include FBP_SIMD

#include "math.inc.h"
#include "lanes.inc.h"
#include "matmul.inc.h"
#include "group.inc.h"
#include "span.inc.h"
#include "watch.inc.h"
#include "activation.inc.h"
#include "softmax.inc.h"
#include "loss.inc.h"
#include "rows_in_lanes.inc.h"
#include "narrow.inc.h"
#include "narrow_run.inc.h"
#include "repeat.inc.h"
#include "update.inc.h"
#include "penalty.inc.h"
#include "dropout.inc.h"
#include "convert.inc.h"

#define FBP_PASTE(isa, bits)       fbp_kernels_##isa##_##bits
#define FBP_TABLE(isa, bits)       FBP_PASTE(isa, bits)
#define FBP_QUOTE(text)            #text
#define FBP_TEXT(text)             FBP_QUOTE(text)
#define FBP_AS_UPDATE(name)        [FBP_OPTIMIZER_##name] = update_##name,
#define FBP_AS_CONVERT(name, type) convert_##name,

const fbp_kernels FBP_TABLE(FBP_ISA, FBP_REAL_BITS) = {
    .isa = FBP_TEXT(FBP_ISA),
    .itemsize = sizeof(real),
    .row_lanes = ROW_LANES,
    .tile_rows = TILE_ROWS,
    .tile_columns = TILE_COLUMNS,
    .matmul = matmul,
    .transpose = transpose,
    .narrow_gradient = narrow_gradient,
    .narrow_sum = narrow_sum,
    .narrow_forward = narrow_forward,
    .narrow_backward = narrow_backward,
    .repeat = repeat,
    .add = add,
    .scale = scale,
    .multiply = multiply,
    .gather = gather,
    .scatter = scatter,
    .dot = dot,
    .watch_units = watch_units,
    .activate = activate,
    .activate_backward = activate_backward,
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .loss = loss,
    .accuracy = accuracy,
    .update = {FBP_OPTIMIZERS(FBP_AS_UPDATE)},
    .penalty = penalty,
    .penalty_gradient = penalty_gradient,
    .limit_columns = limit_columns,
    .dropout_mask = dropout_mask,
    .convert = {FBP_SOURCES(FBP_AS_CONVERT)},
    .all_finite = all_finite,
};
