/* The kernel table: what an instruction set provides, with the contract of each entry.
 *
 * A kernel works on a register tile or a span; the loops around it are Cython's. Every entry gives
 * the same bits in every table: the scalar table is the definition. Buffers are float or double,
 * whichever the table is for; strides count elements. Kernels allocate nothing, cannot fail, read
 * at most FBP_PADDING bytes past parameters and scratch, nothing past the rows of a batch (which
 * may be the caller's own) and never write there. Unless an entry says otherwise,
 * buffers don't overlap.
 *
 * A layer that lacks units (structured dropout, thinning.pyx) has the products of those that are
 * left. Its chains skip the terms of the others, fma(0, w, sum) = sum, and end where those of the
 * whole layer do: after the last kept unit before each multiple of FBP_BLOCK, counted among all
 * units. So each element has the bits that zeros would give it, but for the sign of a 0.
 *
 * # IN and # OUT mark what is read and written.
 */
#ifndef FASTBP_KERNELS_H
#define FASTBP_KERNELS_H

#include "fastbp.h"

/* Where a chain of fused multiply-adds starts and what becomes of its result r. */
typedef enum fbp_chain {
    FBP_CHAIN_START,    /* from 0;  c = r */
    FBP_CHAIN_CONTINUE, /* from c;  c = r */
    FBP_CHAIN_ADD       /* from 0;  c = c + r */
} fbp_chain;

/* C (+)= A B for k <= FBP_BLOCK: A(m, k) = a[m * a_m + k * a_k], B(k, n) = b[k * b_k + n * b_n],
 * C(m, n) = c[m * c_m + n]. b_n is 1, or else b_k is. Each element is one chain of fused
 * multiply-adds over ascending k; then bias and activation are to be asked for if these are the
 * last terms. */
typedef struct fbp_product {
    fbp_chain chain;
    fbp_activation activation; /* identity or relu */
    size_t m, n, k;
    const void *a; /* IN */
    ptrdiff_t a_m, a_k;
    const void *b; /* IN */
    ptrdiff_t b_k, b_n;
    void *c; /* OUT */
    ptrdiff_t c_m;
    const void *bias; /* IN, (n,), or NULL */
    void *block;      /* scratch where A is kept close together for the strips of columns (if a_m
                       * is 1, from the second on, and then it asks for a_k >= row_lanes):
                       * (tile_rows * k + row_lanes) elements for each tile_rows rows; or NULL */
    void *panel;      /* scratch where a strip of B is kept close together for the tiles that read
                       * it: tile_columns * k elements; or NULL if b_n is 1 */
} fbp_product;

/* One step of an optimizer: the constants of its rule, and what comes before the rule. */
typedef struct fbp_step {
    double constants[8]; /* of the rule, as update.pyx fills them */
    bool prepares;       /* whether, before the rule, */
    double scale;        /* g <- scale g, */
    double limit;        /* then g <- the nearest to it in [-limit, limit], */
    double coupled;      /* then g <- g + coupled p, */
    double decoupled;    /* then p <- p - decoupled p */
} fbp_step;

/* Dense narrow layers, each fed by the one before, none but the last with softmax. */
typedef struct fbp_run {
    const fbp_op *ops;
    size_t n_ops;
    bool activates;         /* the last one's activation too; softmax is the caller's */
    const void *parameters; /* IN, the arena's */
    void *values;           /* scratch: for each ROW_LANES rows so many rows of the values of `ops`:
                             * inputs, then z (if saved) and a of each */
} fbp_run;

typedef struct fbp_kernels {
    const char *isa;
    size_t itemsize;  /* bytes of an element */
    size_t row_lanes; /* 64 / itemsize, for every instruction set */
    size_t tile_rows; /* the register tile of matmul */
    size_t tile_columns;

    void (*matmul)(const fbp_product *product);

    /* to(n, m) = from(m, n): to[n * to_n + m] = from[m * from_m + n]; reads these alone. */
    void (*transpose)(size_t m, size_t n, const void *from /* IN */, ptrdiff_t from_m,
                      void *to /* OUT */, ptrdiff_t to_n);

    /* Narrow layers (inputs and outputs < row_lanes): row b of a slot goes to lane b % row_lanes;
     * each lane keeps (n_in + 1, n_out) chains over its ascending rows, x with a 1 behind it times
     * delta. `first` is the place in the slot of row 0 here.
     * lanes: (n_in + 1, n_out, row_lanes), zeroed by the caller at each FBP_BLOCK rows. */
    void (*narrow_gradient)(size_t first, size_t rows, size_t n_in, size_t n_out,
                            const void *x_bi /* IN */, const void *delta_bo /* IN */,
                            void *lanes /* IN OUT */);

    /* lanes: (count, row_lanes). The lanes of each element are summed in a halving tree (lane l +=
     * lane l + 8, + 4, + 2, + 1; from + 4 in float64); the sums stand at `lanes` then. */
    void (*narrow_sum)(size_t count, void *lanes /* IN OUT */);

    /* Some rows through narrow layers; `values` keeps what `narrow_backward` needs. */
    void (*narrow_forward)(const fbp_run *run, size_t rows, const void *x_bi /* IN */,
                           void *y_bo /* OUT */);

    /* Back through the layers that narrow_forward ran before, from the delta of the last one's
     * outputs, or of its z if it doesn't activate, down to one that doesn't propagate; dx_bi is the
     * delta of the first one's inputs, if that does. Gradients of layers that train go to their
     * place in `lanes`, as by narrow_gradient; row 0 is a lane 0. Chains start at 0 if `starts`; if
     * `ends`, they are summed as by narrow_sum, else rows are a multiple of row_lanes. */
    void (*narrow_backward)(const fbp_run *run, size_t rows, bool starts, bool ends,
                            const void *delta_bo /* IN */, void *dx_bi /* OUT */,
                            void *lanes /* IN OUT */);

    /* `steps` epochs of one batch, the same each time, with plain gradient descent, in a plan of
     * one or two dense narrow layers with one output and a loss of single elements: forward, loss,
     * gradients and update as the other entries do them. 0 < rows <= row_lanes, in one slot.
     * `scale` is what a row counts in the gradient; `parameters` are the arena's.
     * losses[s] is the loss of epoch s; outputs, if not NULL, has a row of `rows` outputs for each
     * epoch, from before its update. Returns the epochs run: fewer if the loss of one is not
     * finite, or at most `stop_at_loss`; that one is then the last. */
    size_t (*repeat)(const fbp_plan *plan, size_t rows, const void *x_bi /* IN */,
                     const void *t_b /* IN */, double scale, double rate, size_t steps,
                     double stop_at_loss, void *parameters /* IN OUT */, double *losses /* OUT */,
                     void *outputs /* OUT */);

    /* a += b over a span. */
    void (*add)(size_t n, const void *b /* IN */, void *a /* IN OUT */);

    /* out = factor * x over a span; out may be x. */
    void (*scale)(size_t n, double factor, const void *x /* IN */, void *out /* OUT */);

    /* out = a * b over a span; out may be a. */
    void (*multiply)(size_t n, const void *a /* IN */, const void *b /* IN */, void *out /* OUT */);

    /* to[i] = from[index[i]]; index has n places. */
    void (*gather)(size_t n, const uint32_t *index /* IN */, const void *from /* IN */,
                   void *to /* OUT */);

    /* to[index[i]] = from[i], all places different; the rest of `to` stays. */
    void (*scatter)(size_t n, const uint32_t *index /* IN */, const void *from /* IN */,
                    void *to /* OUT */);

    /* The sum of a b over a span in float64, fused multiply-adds: element i to lane i % 8, and a
     * halving tree. a may be b. */
    double (*dot)(size_t n, const void *a /* IN */, const void *b /* IN */);

    /* What n units do over some rows of y(b, u) = y[b * y_b + u], added to what is there: in
     * squares[u] a chain of fused multiply-adds over ascending rows, in float64; in outside[u] rows
     * with an output below `low` or above `high`; in active[u] rows with one above 0. */
    void (*watch_units)(size_t rows, size_t n, ptrdiff_t y_b, double low, double high,
                        const void *y_bu /* IN */, double *squares /* IN OUT */,
                        double *outside /* IN OUT */, double *active /* IN OUT */);

    /* a = f(z) over a span, f not softmax; a may be z. */
    void (*activate)(fbp_activation f, double parameter, size_t n, const void *z /* IN */,
                     void *a /* OUT */);

    /* dz = da f'(z) over a span, f not softmax; from a alone, or from z where f needs it (then z
     * is not NULL). dz may be da. */
    void (*activate_backward)(fbp_activation f, double parameter, size_t n, const void *z /* IN */,
                              const void *a /* IN */, const void *da /* IN */, void *dz /* OUT */);

    /* p = softmax(z) by row: sums over row_lanes lanes (element o to lane o % row_lanes) and the
     * halving tree of narrow_sum. p may be z. */
    void (*softmax)(size_t rows, size_t n, const void *z /* IN */, void *p /* OUT */);

    /* dz_i = p_i (dp_i - sum_j dp_j p_j), the sum as in softmax. dz may be dp. */
    void (*softmax_backward)(size_t rows, size_t n, const void *p /* IN */, const void *dp /* IN */,
                             void *dz /* OUT */);

    /* Loss of each row, and its delta times row_scale. `targets` is (rows, n) like y, or int32
     * labels (rows,); a label below 0 is that of a row whose weight is 0. `parameter` is the
     * description's: Huber's delta, the quantile, the label smoothing of a cross-entropy, or
     * whether a Poisson loss reads logarithms of rates. With `fused`, y holds z on entry and the
     * softmax or sigmoid of it on return; a loss of probabilities without `fused` reads z and
     * leaves it. delta NULL: none wanted. Elements of a row are summed in float64, element o to
     * lane o % 8, and a halving tree. */
    void (*loss)(fbp_loss loss, double parameter, bool fused, size_t rows, size_t n,
                 const void *targets /* IN */, const void *row_scale /* IN */,
                 void *y_bo /* IN OUT */, void *delta_bo /* OUT */, double *row_loss /* OUT */);

    /* Share of each row that is right, as the accuracy metric counts it. */
    void (*accuracy)(fbp_accuracy kind, double threshold, size_t rows, size_t n,
                     const void *targets /* IN */, const void *y_bo /* IN */,
                     double *row_right /* OUT */);

    /* One optimizer step over a span; as many states as the rule has. */
    void (*update[FBP_N_OPTIMIZERS])(const fbp_step *step, size_t n, const void *g /* IN */,
                                     void *p /* IN OUT */, void *const *states /* IN OUT */);

    /* l1 sum |w| + l2 sum w^2 over a span, a sum whose factor is 0 left out: in float64, squares by
     * fused multiply-adds, element i to lane i % 16, and a halving tree. */
    double (*penalty)(double l1, double l2, size_t n, const void *w /* IN */);

    /* The gradient of that: g <- l1 sign(w) + g if l1 isn't 0, then g <- 2 l2 w + g if l2 isn't. */
    void (*penalty_gradient)(double l1, double l2, size_t n, const void *w /* IN */,
                             void *g /* IN OUT */);

    /* Multiply columns of a matrix, w(r, c) = w[r * w_r + c], whose norm exceeds `limit` with limit
     * / norm, rounded. Squares are summed in float64, in chains of fused multiply-adds over
     * FBP_CHUNK ascending rows, which are added in order. */
    void (*limit_columns)(double limit, size_t rows, size_t columns, ptrdiff_t w_r,
                          void *w /* IN OUT */);

    /* mask_bn = scale where the element is kept, else 0: kept if its random word >= threshold,
     * which is below 2^32. Rows [first, first + rows) of batch `index`; row 0 is the mask of a
     * structured dropout. */
    void (*dropout_mask)(uint64_t seed, uint64_t index, uint32_t stream, uint64_t threshold,
                         double scale, size_t first, size_t rows, size_t n, void *mask /* OUT */);

    /* n elements of another type to this one, rounded. */
    void (*convert[FBP_N_SOURCES])(size_t n, const void *from /* IN */, void *to /* OUT */);

    /* Whether no element is infinite or NaN. */
    bool (*all_finite)(size_t n, const void *x /* IN */);
} fbp_kernels;

/* The table that dispatch chose, for elements of 4 or 8 bytes (dispatch.c). */
const fbp_kernels *fbp_kernels_for(size_t itemsize);

/* The table that runs a chain of single rows soonest: `kernels`, or one of fewer lanes. */
const fbp_kernels *fbp_kernels_for_one_row(const fbp_kernels *kernels);

/* Choose a table by name; NULL takes FASTBP_ISA, or the best this CPU has. Returns false, leaving
 * the choice as it was, if the name is unknown or the CPU lacks it. */
bool fbp_choose_isa(const char *name);

/* Names of all tables built in, best last, and whether the CPU has each. */
size_t fbp_n_isas(void);
const char *fbp_isa_name(size_t index);
bool fbp_isa_available(size_t index);

/* Compiler and switches of this build. */
const char *fbp_build_compiler(void);
const char *fbp_build_switches(void);

#endif
