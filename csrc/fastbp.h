/* The buffer layout: what a network computes (plan, op), where its numbers stand (arena, frame).
 *
 * Legend for buffer names: b rows of a batch, i inputs of a layer, o outputs of a layer.
 * All matrices are row-major. Sizes and offsets count elements unless they say bytes.
 *
 * ARENA, one per network, 64-byte aligned, never moved, 64 bytes readable past each span:
 *
 *   | parameters                      | gradients            | state 0 | state 1 | ...
 *   | w_io of all ops | b_o of all ops| same offsets         | same offsets      |
 *
 * FRAME, values and deltas of `capacity` rows; tensor t is (capacity, sizes[t]), 64-byte aligned:
 *
 *   | values: tensor 0 | tensor 1 | ... | deltas: tensor 0 | tensor 1 | ... |
 *
 * delta of a tensor is dL/d(tensor); an op with an activation turns its output's delta into dL/dz
 * in place.
 */
#ifndef FASTBP_H
#define FASTBP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Names by which Python and C speak of the same thing; the enums follow from them. */
/* clang-format off */
#define FBP_OP_KINDS(X) \
    X(dense) X(activation) X(rescale) X(dropout) X(structured_dropout) X(add) X(concatenate) \
    X(custom)
#define FBP_ACTIVATIONS(X) \
    X(identity) X(sigmoid) X(tanh) X(relu) X(leaky_relu) \
    X(elu) X(gelu) X(silu) X(softplus) X(softmax) X(mish)
#define FBP_LOSSES(X) \
    X(half_squared_error) X(squared_error) X(mean_squared_error) \
    X(mean_absolute_error) X(huber) X(binary_crossentropy) \
    X(categorical_crossentropy) X(sparse_categorical_crossentropy) \
    X(kl_divergence) X(poisson) X(hinge) X(quantile)
#define FBP_OPTIMIZERS(X) \
    X(sgd) X(adam) X(adamw) X(nadam) X(rmsprop) X(adagrad) \
    X(rprop) X(quickprop)
#define FBP_CONSTRAINTS(X) X(max_norm) X(non_neg)
/* Element types that rows of data may come in: NumPy's name, C's type. */
#define FBP_SOURCES(X) \
    X(bool, uint8_t) X(int8, int8_t) X(uint8, uint8_t) X(int16, int16_t) \
    X(uint16, uint16_t) X(int32, int32_t) X(uint32, uint32_t) X(int64, int64_t) \
    X(uint64, uint64_t) X(float32, float) X(float64, double)
/* clang-format on */

#define FBP_AS_OP_KIND(name)      FBP_OP_##name,
#define FBP_AS_ACTIVATION(name)   FBP_ACTIVATION_##name,
#define FBP_AS_LOSS(name)         FBP_LOSS_##name,
#define FBP_AS_OPTIMIZER(name)    FBP_OPTIMIZER_##name,
#define FBP_AS_CONSTRAINT(name)   FBP_CONSTRAINT_##name,
#define FBP_AS_SOURCE(name, type) FBP_SOURCE_##name,
typedef enum fbp_op_kind { FBP_OP_KINDS(FBP_AS_OP_KIND) FBP_N_OP_KINDS } fbp_op_kind;
typedef enum fbp_activation { FBP_ACTIVATIONS(FBP_AS_ACTIVATION) FBP_N_ACTIVATIONS } fbp_activation;
typedef enum fbp_loss { FBP_LOSSES(FBP_AS_LOSS) FBP_N_LOSSES } fbp_loss;
typedef enum fbp_optimizer { FBP_OPTIMIZERS(FBP_AS_OPTIMIZER) FBP_N_OPTIMIZERS } fbp_optimizer;
typedef enum fbp_constraint_kind {
    FBP_CONSTRAINTS(FBP_AS_CONSTRAINT) FBP_N_CONSTRAINTS
} fbp_constraint_kind;
typedef enum fbp_source { FBP_SOURCES(FBP_AS_SOURCE) FBP_N_SOURCES } fbp_source;

/* How a target is compared with an output by the accuracy metric. */
typedef enum fbp_accuracy {
    FBP_ACCURACY_LABEL,
    FBP_ACCURACY_LARGEST,
    FBP_ACCURACY_YES
} fbp_accuracy;

/* A chain of fused multiply-adds has at most so many terms; sums of blocks are added in order. */
#define FBP_BLOCK 256
/* Losses and other float64 sums go over chunks of so many elements, combined in order. */
#define FBP_CHUNK 4096
/* A layer of at most so many weights has its gradient summed over slots of rows (see fbp_slots). */
#define FBP_SLOT_WEIGHTS 16384
#define FBP_SLOT_ROWS    64
#define FBP_MOST_SLOTS   32

#define FBP_NONE SIZE_MAX /* no such tensor or parameter */

struct fbp_kernels;

/* Units of a layer that a batch of training has: structured dropout has left the others out. */
typedef struct fbp_units {
    size_t size;            /* of the whole layer */
    size_t n;               /* kept */
    const uint32_t *kept;   /* (n,): their places in the whole layer, ascending */
    const uint32_t *before; /* (size + 1,): how many are kept before each place */
} fbp_units;
/* A tensor that an op reads. Ops go back in reverse, each leaving deltas edge by edge. */
typedef struct fbp_edge {
    size_t tensor;
    bool propagates; /* training needs its delta */
    bool adds;       /* to a delta that others have written before; else overwrites */
} fbp_edge;

typedef struct fbp_op {
    fbp_op_kind kind;
    fbp_activation activation;
    double parameter; /* the activation's constant */
    double value;     /* the op's constant: factor of a rescale, rate of a dropout, but what a
                       * thinned plan's structured dropout multiplies with */
    size_t n_inputs;
    const fbp_edge *inputs;
    size_t pieces; /* of a row of a concatenation */
    size_t input;  /* tensors; the first that it reads */
    size_t output;
    size_t saved; /* or FBP_NONE */
    size_t n_in;  /* elements of a row of input and output */
    size_t n_out;
    size_t weights; /* offsets in the arena's spans, or FBP_NONE */
    size_t biases;
    size_t earlier;      /* the op before it that has the same parameters, or FBP_NONE */
    size_t slot_weights; /* offsets in a slot's span of gradients */
    size_t slot_biases;
    size_t chains; /* offset of its weights, and then its biases, where chains grow */
    size_t lanes;  /* offset in the lanes, for a narrow layer */
    size_t run;    /* narrow layers of which this is one, each fed by the one before (fbp_run) */
    size_t run_values; /* elements of a row that runs before this one keep */
    size_t n_own;      /* elements of a custom op's parameters, from `weights` on */
    bool trains_weights;
    bool trains_biases;
    bool propagates; /* training needs the delta of an input */
    bool adds;       /* its gradients, to those of a later op that has the same parameters */
    bool fused;      /* a loss reads z in its output and completes the activation */
    bool narrow;     /* n_in and n_out < row_lanes: gradients by row lanes (kernels.h) */
    uint32_t stream; /* of its random numbers */
    /* In a thinned plan (thinning.pyx) alone: */
    const fbp_units *units_in; /* what is left of input and output; NULL: all */
    const fbp_units *units_out;
    const void *parameters; /* compact, at the offsets of the arena; NULL: the arena's */
    const void *mask;       /* (n_out,) of a structured dropout, for the whole layer */
} fbp_op;

/* Trainable parameters [start, stop) that cost l1 |w| + l2 w^2 each in the loss. */
typedef struct fbp_penalty {
    size_t start;
    size_t stop;
    double l1;
    double l2;
} fbp_penalty;

/* What each update brings the parameters from `start` on back to, a (rows, columns) matrix. */
typedef struct fbp_constraint {
    fbp_constraint_kind kind;
    size_t start;
    size_t rows;
    size_t columns;
    bool of_rows; /* a maximum norm is that of each row, else of each column */
    double limit;
} fbp_constraint;
/* A tensor that the network returns, and how it is to be. */
typedef struct fbp_output {
    size_t tensor;
    fbp_loss loss;
    double parameter; /* the loss's constant */
    double weight;    /* what it counts in the sum of all losses */
    bool sums;        /* reduction "sum" instead of "mean" */
    bool shares;      /* reduction "joint_mean": divides what parameters cost too */
    bool labels;      /* targets are int32 class numbers */
    bool fused;       /* the loss reads z and completes the activation of the op before */
    bool calls;       /* the loss is a Python function */
    double threshold; /* an output above it counts as yes */
    fbp_accuracy accuracy;
} fbp_output;

typedef struct fbp_plan {
    const struct fbp_kernels *kernels;
    size_t itemsize; /* bytes of an element */
    fbp_source type;
    size_t n_ops;
    fbp_op *ops;
    size_t n_tensors;
    size_t *sizes;       /* elements of a row of each tensor */
    size_t *offsets;     /* of tensor t in a frame, in elements per row: sizes before it, summed */
    size_t row_elements; /* sum of sizes */
    size_t *groups;      /* tensors of which a batch keeps the same units, or FBP_NONE: all units */
    size_t n_groups;
    size_t mask_elements; /* of all structured dropouts */
    size_t n_parameters;
    size_t slot_elements;  /* of a slot's span: all small layers */
    size_t chain_elements; /* of all chains, in a plan of small layers */
    size_t lane_elements;  /* of the lanes of all narrow layers */
    size_t run_elements;   /* that all runs keep of a row */
    size_t n_spans;        /* trainable parts of the parameters: start, stop, start, stop, ... */
    size_t *spans;
    size_t n_penalties;
    fbp_penalty *penalties;
    size_t n_constraints;
    fbp_constraint *constraints;
    size_t n_inputs; /* tensors 0, 1, ... */
    size_t n_outputs;
    const fbp_output *outputs;
    size_t n_losses;  /* of the outputs, and behind those of several, as that of a further one, what
                       * the parameters cost, if they do */
    size_t row_block; /* rows that run through all ops together; divides FBP_BLOCK */
    bool wide;        /* some layer exceeds FBP_SLOT_WEIGHTS: gradients by tiles of weights */
    bool calls;       /* some op or a loss is a Python function, of whole batches; then wide too */
} fbp_plan;

/* Rows of data in the caller's memory, read-only; a row's elements are contiguous. */
typedef struct fbp_rows {
    const char *data;
    ptrdiff_t stride; /* bytes from row to row */
    fbp_source type;
} fbp_rows;

/* Values and deltas of rows [first, first + capacity) of a batch. The first input and the first
 * output may stand in the caller's own arrays instead: nothing is readable behind those. */
typedef struct fbp_frame {
    char *values;
    char *deltas;
    char *inputs;  /* row 0 of the batch in the caller's array, which is only read, or NULL */
    char *outputs; /* the same of the first output, or NULL */
    size_t first;
    size_t capacity;
} fbp_frame;

#define FBP_AS_SOURCE_BYTES(name, type) sizeof(type),
static inline size_t fbp_source_bytes(fbp_source type)
{
    static const size_t bytes[] = {FBP_SOURCES(FBP_AS_SOURCE_BYTES)};
    return bytes[type];
}

#define FBP_ALIGNMENT 64
#define FBP_PADDING   64 /* bytes that kernels may read past a tensor */

static inline size_t fbp_aligned(size_t bytes)
{
    return (bytes + FBP_PADDING + FBP_ALIGNMENT - 1) / FBP_ALIGNMENT * FBP_ALIGNMENT;
}

/* Bytes from a frame's base to tensor t: each tensor before it is padded and aligned. */
static inline size_t fbp_tensor_offset(const fbp_plan *plan, size_t capacity, size_t tensor)
{
    size_t bytes_before = plan->offsets[tensor] * capacity * plan->itemsize;
    return bytes_before / FBP_ALIGNMENT * FBP_ALIGNMENT + tensor * 2 * FBP_ALIGNMENT;
}

/* Bytes of the values (or deltas) of a frame. */
static inline size_t fbp_frame_bytes(const fbp_plan *plan, size_t capacity)
{
    return fbp_aligned(plan->row_elements * capacity * plan->itemsize) +
           plan->n_tensors * 2 * FBP_ALIGNMENT;
}

/* Slots of a batch: the rows are cut into S contiguous runs of ceil(rows / S) rows; S depends on
 * rows and layer only. Weight and bias gradients of each slot are summed by themselves, then
 * the slots are added in a binary tree: slot s += slot s + 2^j. Within a slot, chains of FBP_BLOCK
 * rows are added in order; where ops share parameters, each FBP_BLOCK rows have a chain for each
 * op, the last op first. */
static inline size_t fbp_slots(size_t rows, size_t weights)
{
    size_t slots = (rows + FBP_SLOT_ROWS - 1) / FBP_SLOT_ROWS;
    if (weights > FBP_SLOT_WEIGHTS || slots <= 1) return 1;
    if (slots > FBP_MOST_SLOTS) slots = FBP_MOST_SLOTS;
    size_t slot_rows = (rows + slots - 1) / slots;
    return (rows + slot_rows - 1) / slot_rows;
}

static inline size_t fbp_slot_rows(size_t rows, size_t slots) { return (rows + slots - 1) / slots; }

/* Position of `name` in a list of names, or -1. */
static inline int fbp_find(const char *name, const char *const *names, int n_names)
{
    for (int i = 0; i < n_names; i++)
        if (strcmp(name, names[i]) == 0) return i;
    return -1;
}

#define FBP_AS_NAME(name)              #name,
#define FBP_AS_SOURCE_NAME(name, type) #name,
#define FBP_FINDER(what, LIST, AS, COUNT)                                                          \
    static inline int fbp_find_##what(const char *name)                                            \
    {                                                                                              \
        static const char *const names[] = {LIST(AS)};                                             \
        return fbp_find(name, names, COUNT);                                                       \
    }
FBP_FINDER(op_kind, FBP_OP_KINDS, FBP_AS_NAME, FBP_N_OP_KINDS)
FBP_FINDER(activation, FBP_ACTIVATIONS, FBP_AS_NAME, FBP_N_ACTIVATIONS)
FBP_FINDER(loss, FBP_LOSSES, FBP_AS_NAME, FBP_N_LOSSES)
FBP_FINDER(optimizer, FBP_OPTIMIZERS, FBP_AS_NAME, FBP_N_OPTIMIZERS)
FBP_FINDER(constraint, FBP_CONSTRAINTS, FBP_AS_NAME, FBP_N_CONSTRAINTS)
FBP_FINDER(source, FBP_SOURCES, FBP_AS_SOURCE_NAME, FBP_N_SOURCES)

#endif
