/* Runs every kernel of one table on fixed inputs and prints a digest of what each writes.
 *
 * Compiled with -DTABLE=fbp_kernels_<isa>_<bits> beside that table's object; two tables agree bit
 * for bit if they print the same lines. Inputs are normal numbers, so no flush mode is needed. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

extern const fbp_kernels TABLE;

#define ROOM 70000 /* elements of a buffer */
static double memory[10][ROOM + 16];
static uint64_t state, digest;

/* Pseudo-random words (splitmix64), the same on every machine. */
static uint64_t next_word(void)
{
    uint64_t z = state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Buffer i, filled with numbers in (low, high) that a float holds exactly. */
static void *filled(int i, size_t n, double low, double high)
{
    for (size_t j = 0; j < n; j++) {
        double x = low + (high - low) * ((double)(next_word() >> 44) + 0.5) / 1048576.0;
        float rounded = (float)x;
        if (TABLE.itemsize == 4)
            ((float *)memory[i])[j] = rounded;
        else
            memory[i][j] = rounded;
    }
    return memory[i];
}

/* FNV-1a over some bytes. */
static void take(const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) digest = (digest ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
}
static void take_reals(const void *x, size_t n) { take(x, n * TABLE.itemsize); }

static void begin(uint64_t seed)
{
    state = seed;
    digest = UINT64_C(14695981039346656037);
}
static void report(const char *name) { printf("%s %016" PRIx64 "\n", name, digest); }

/* The same product with each operand stored in every way: all give one C. */
static void *product_by_ways(fbp_product p, const void *c, size_t n_c)
{
    const size_t size = TABLE.itemsize;
    const ptrdiff_t apart = (ptrdiff_t)(p.m + TABLE.row_lanes);
    TABLE.transpose(p.m, p.k, p.a, p.a_m, memory[4], apart);
    TABLE.transpose(p.k, p.n, p.b, p.b_k, memory[5], (ptrdiff_t)p.k);
    for (int way = 0; way < 12; way++) {
        fbp_product other = p;
        memcpy(memory[3], c, n_c * size);
        other.c = memory[3];
        if (way & 1) other.a = memory[4], other.a_m = 1, other.a_k = apart;
        if (way & 2) other.block = memory[9];
        if (way >= 4) other.panel = memory[6];
        if (way >= 8) other.b = memory[5], other.b_k = 1, other.b_n = (ptrdiff_t)p.k;
        TABLE.matmul(&other);
        if (way == 0) memcpy(p.c, memory[3], n_c * size);
        if (memcmp(p.c, memory[3], n_c * size)) abort();
    }
    return p.c;
}

static void product(fbp_chain chain, fbp_activation activation, bool biased, size_t m, size_t n,
                    size_t k)
{
    const void *a = filled(0, m * k, -2, 2), *b = filled(1, k * n + 64, -2, 2);
    void *c = filled(2, m * n + 64, -2, 2);
    const void *bias = biased ? filled(7, n, -2, 2) : NULL;
    fbp_product p = {chain, activation,   m,    n,    k,   a, (ptrdiff_t)k, 1, b, (ptrdiff_t)n, 1,
                     c,     (ptrdiff_t)n, bias, NULL, NULL};
    memcpy(memory[8], c, (m * n + 64) * TABLE.itemsize);
    take_reals(product_by_ways(p, memory[8], m * n + 64), m * n + 64); /* what is behind stays */
}

/* Products of every small shape: all numbers of rows and columns that a tile may have, and more. */
static void products(void)
{
    static const size_t terms[] = {1, 2, 7, 64, 255, 256};
    begin(1);
    for (int chain = FBP_CHAIN_START; chain <= FBP_CHAIN_ADD; chain++)
        for (size_t m = 1; m <= 19; m += m < 9 ? 1 : 5)
            for (size_t n = 1; n <= 49; n += n < 19 ? 1 : 7)
                for (size_t t = 0; t < sizeof terms / sizeof *terms; t++)
                    product((fbp_chain)chain, FBP_ACTIVATION_identity, false, m, n, terms[t]);
    report("matmul");
    begin(11);
    for (int chain = FBP_CHAIN_START; chain <= FBP_CHAIN_ADD; chain++)
        for (size_t m = 1; m <= 33; m++)
            for (size_t n = 1; n <= 161; n += n < 34 ? 1 : 16)
                product((fbp_chain)chain, n % 2 ? FBP_ACTIVATION_relu : FBP_ACTIVATION_identity,
                        n % 3, m, n, 5);
    report("matmul_bias_relu");
}

static void transposes(void)
{
    begin(2);
    for (size_t m = 1; m <= 40; m += m < 18 ? 1 : 7)
        for (size_t n = 1; n <= 40; n += n < 18 ? 1 : 7) {
            const void *from = filled(0, m * (n + 3) + 16, -2, 2);
            void *to = filled(1, n * (m + 5) + 16, -2, 2);
            TABLE.transpose(m, n, from, (ptrdiff_t)n + 3, to, (ptrdiff_t)m + 5);
            take_reals(to, n * (m + 5) + 16);
        }
    report("transpose");
}

static bool reads_z(fbp_activation f)
{
    return f == FBP_ACTIVATION_gelu || f == FBP_ACTIVATION_silu || f == FBP_ACTIVATION_softplus ||
           f == FBP_ACTIVATION_mish;
}

static void narrow(void)
{
    begin(3);
    for (size_t n_in = 1; n_in < TABLE.row_lanes; n_in += 3)
        for (size_t n_out = 1; n_out < TABLE.row_lanes; n_out += 2) {
            size_t count = (n_in + 1) * n_out;
            const void *x = filled(0, 50 * n_in, -2, 2), *delta = filled(1, 50 * n_out, -2, 2);
            memset(memory[2], 0, sizeof memory[2]);
            TABLE.narrow_gradient(5, 50, n_in, n_out, x, delta, memory[2]);
            TABLE.narrow_sum(count, memory[2]);
            take_reals(memory[2], count);
        }
    report("narrow_gradient");
}

/* Three narrow layers forward and back, in two calls: rows up to a whole group, and further ones.
 */
static void run_with(fbp_activation f, bool saves, bool activates, size_t n, size_t rows)
{
    const size_t size = TABLE.itemsize, n_out[] = {n, TABLE.row_lanes - n, 3};
    fbp_op ops[3];
    size_t weights = 0, lanes = 0, n_in = (5 * n) % TABLE.row_lanes + 1;
    if (n_in == TABLE.row_lanes) n_in = 1;
    const size_t first_in = n_in;
    for (int k = 0; k < 3; k++) {
        ops[k] = (fbp_op){.activation = f,
                          .parameter = 0.3,
                          .saved = saves ? 1 : FBP_NONE,
                          .n_in = n_in,
                          .n_out = n_out[k],
                          .weights = weights,
                          .biases = k == 1 ? FBP_NONE : weights + n_in * n_out[k],
                          .lanes = lanes,
                          .trains_weights = true,
                          .propagates = true};
        lanes += (n_in + 1) * n_out[k] * TABLE.row_lanes;
        weights += (n_in + 1) * n_out[k];
        n_in = n_out[k];
    }
    const void *p = filled(0, weights, -1, 1);
    char *x = filled(1, rows * first_in, -2, 2), *y = filled(2, rows * 3 + 16, -2, 2);
    char *delta = filled(3, rows * 3, -2, 2), *dx = filled(4, rows * first_in + 16, -2, 2);
    const size_t whole = rows < TABLE.row_lanes ? rows : TABLE.row_lanes;
    const fbp_run run = {ops, 3, activates, p, memory[5]}, rest = {ops, 3, activates, p, memory[6]};
    memset(memory[7], 0, sizeof memory[7]);
    TABLE.narrow_forward(&run, whole, x, y);
    TABLE.narrow_backward(&run, whole, true, whole == rows, delta, dx, memory[7]);
    if (rows > whole) {
        x += whole * first_in * size, delta += whole * 3 * size;
        TABLE.narrow_forward(&rest, rows - whole, x, y + whole * 3 * size);
        TABLE.narrow_backward(&rest, rows - whole, false, true, delta, dx + whole * first_in * size,
                              memory[7]);
    }
    take_reals(y, rows * 3 + 16); /* what is behind stays */
    take_reals(dx, rows * first_in + 16);
    for (int k = 0; k < 3; k++)
        take_reals((char *)memory[7] + ops[k].lanes * size, (ops[k].n_in + 1) * ops[k].n_out);
}

static void runs(const char *name, int first, int end)
{
    static const size_t rows[] = {1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 40};
    begin(13);
    for (int f = first; f < end; f++)
        for (size_t n = 1; n < TABLE.row_lanes; n++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
                run_with((fbp_activation)f, reads_z((fbp_activation)f) || n % 2, n % 3, n, rows[r]);
    report(name);
}

/* Ten steps of a network of one output, without or with a hidden layer of three units. */
static void repeat_with(fbp_activation f, fbp_loss loss, bool deep, size_t rows, bool records)
{
    const size_t hidden = deep ? 3 : 0, weights = deep ? 8 : 2, last = deep ? 6 : 0;
    const fbp_op below = {.activation = f,
                          .parameter = 0.3,
                          .saved = 1,
                          .n_in = 2,
                          .n_out = 3,
                          .biases = weights,
                          .trains_weights = true,
                          .trains_biases = true};
    const fbp_op output = {.activation = f,
                           .parameter = 0.3,
                           .saved = 1,
                           .n_in = deep ? hidden : 2,
                           .n_out = 1,
                           .weights = last,
                           .biases = weights + hidden,
                           .trains_weights = true,
                           .trains_biases = true,
                           .propagates = true};
    fbp_op ops[2] = {deep ? below : output, output};
    if (!reads_z(f)) ops[0].saved = ops[1].saved = FBP_NONE;
    const fbp_output goal = {.loss = loss, .parameter = 0.2};
    const fbp_plan plan = {.kernels = &TABLE,
                           .itemsize = TABLE.itemsize,
                           .n_ops = deep ? 2 : 1,
                           .ops = ops,
                           .n_outputs = 1,
                           .outputs = &goal};
    const size_t n_parameters = weights + hidden + 1;
    void *x = filled(0, 2 * rows, -2, 2), *t = filled(1, rows, 0, 1);
    void *p = filled(2, n_parameters + 8, -1, 1);
    double losses[10];
    void *outputs = records ? filled(3, 10 * rows + 8, -1, 1) : NULL;
    TABLE.repeat(&plan, rows, x, t, 1.0 / (double)rows, 0.01, 10, -1, p, losses, outputs);
    if (records) take_reals(outputs, 10 * rows + 8);
    take_reals(p, n_parameters + 8);
    take(losses, sizeof losses);
}

static void repeats(const char *name, int first, int end, bool records)
{
    begin(11);
    for (int f = first; f < end; f++)
        for (int loss = 0; loss < FBP_LOSS_categorical_crossentropy; loss++)
            for (size_t rows = 1; rows <= TABLE.row_lanes; rows++)
                for (int deep = 0; deep < 2; deep++)
                    repeat_with((fbp_activation)f, (fbp_loss)loss, deep, rows, records);
    report(name);
}

static void spans(void)
{
    begin(4);
    for (size_t n = 1; n < 40; n++) {
        void *a = filled(0, n + 8, -3, 3), *b = filled(1, n + 8, -3, 3);
        TABLE.add(n, b, a);
        take_reals(a, n + 8);
        TABLE.scale(n, 0.3, a, b);
        TABLE.multiply(n, a, b, b);
        take_reals(b, n + 8);
        char *rows = filled(2, 3 * n + 8, -1, 1);
        for (size_t row = 0; row < 3; row++) TABLE.add(n, b, rows + row * n * TABLE.itemsize);
        take_reals(rows, 3 * n + 8);
        digest += TABLE.all_finite(n, b);
    }
    report("spans");
}

static void activations(int first, int end)
{
    for (int f = first; f < end; f++) {
        begin(5);
        for (size_t n = 1; n < 2000; n = n * 2 + 1) {
            const void *z = filled(0, n, -12, 12), *da = filled(1, n, -2, 2);
            TABLE.activate((fbp_activation)f, 0.3, n, z, memory[2]);
            take_reals(memory[2], n);
            TABLE.activate_backward((fbp_activation)f, 0.3, n, z, memory[2], da, memory[3]);
            take_reals(memory[3], n);
        }
        static const char *const names[] = {FBP_ACTIVATIONS(FBP_AS_NAME)};
        report(names[f]);
    }
}

static void softmaxes(void)
{
    begin(6);
    for (size_t n = 1; n < 70; n++) {
        TABLE.softmax(3, n, filled(0, 3 * n, -9, 9), memory[1]);
        take_reals(memory[1], 3 * n);
        TABLE.softmax_backward(3, n, memory[1], filled(2, 3 * n, -1, 1), memory[3]);
        take_reals(memory[3], 3 * n);
    }
    report("softmax");
}

/* Targets and outputs are between these numbers. */
static void loss_of(const char *name, fbp_loss kind, double parameter, double low_t, double high_t,
                    double low_y, double high_y)
{
    begin(7);
    for (size_t n = 1; n < 70; n += n < 20 ? 1 : 7)
        for (int fused = 0; fused < 2; fused++) {
            int32_t labels[3] = {0, (int32_t)(n / 2), (int32_t)(n - 1)};
            bool sparse = kind == FBP_LOSS_sparse_categorical_crossentropy;
            const void *t = filled(0, 3 * n, low_t, high_t), *scale = filled(1, 3, 0.1, 2);
            double row_loss[3], row_right[3];
            void *y = filled(2, 3 * n, low_y, high_y);
            TABLE.loss(kind, parameter, fused, 3, n, sparse ? (void *)labels : t, scale, y,
                       memory[3], row_loss);
            TABLE.accuracy(sparse ? FBP_ACCURACY_LABEL : FBP_ACCURACY_YES, 0.5, 3, n,
                           sparse ? (void *)labels : t, y, row_right);
            take_reals(y, 3 * n);
            take_reals(memory[3], 3 * n);
            take(row_loss, sizeof row_loss);
            take(row_right, sizeof row_right);
        }
    report(name);
}

static void losses(void)
{
    static const char *const names[] = {FBP_LOSSES(FBP_AS_NAME)};
    for (int kind = 0; kind < FBP_N_LOSSES; kind++) {
        const bool crosses = kind >= FBP_LOSS_binary_crossentropy &&
                             kind <= FBP_LOSS_sparse_categorical_crossentropy;
        loss_of(names[kind], (fbp_loss)kind, crosses ? 0 : 0.7, 0.01, 0.99, -9, 9);
    }
    loss_of("binary_smoothed", FBP_LOSS_binary_crossentropy, 0.3, 0.01, 0.99, -9, 9);
    loss_of("categorical_smoothed", FBP_LOSS_categorical_crossentropy, 0.3, 0.01, 0.99, -9, 9);
    loss_of("sparse_smoothed", FBP_LOSS_sparse_categorical_crossentropy, 0.3, 0.01, 0.99, -9, 9);
    loss_of("poisson_of_rates", FBP_LOSS_poisson, 0, 0, 9, 0, 9);
    loss_of("hinge_of_both_sides", FBP_LOSS_hinge, 0, -1, 1, -2, 2);
}

static void updates(void)
{
    static const fbp_step adam = {.constants = {0.002, 1.4, 0.9, 0.1, 0.999, 0.001, 1e-7}};
    static const fbp_step sgd[3] = {
        {.constants = {0.1}}, {.constants = {0.1, 0.9}}, {.constants = {0.1, 0.9, 1}}};
    begin(8);
    for (size_t n = 1; n < 70; n++)
        for (int rule = 0; rule < 4; rule++) {
            void *g = filled(0, n, -1, 1), *p = filled(1, n + 8, -1, 1);
            void *s0 = filled(2, n + 8, -1, 1), *s1 = filled(3, n + 8, 0.01, 1);
            fbp_optimizer kind = rule == 3 ? FBP_OPTIMIZER_adam : FBP_OPTIMIZER_sgd;
            TABLE.update[kind](rule == 3 ? &adam : &sgd[rule], n, g, p, (void *[]){s0, s1});
            take_reals(p, n + 8);
            take_reals(s0, n + 8);
            take_reals(s1, n + 8);
        }
    report("update");
}

/* A rule on its own line, of which the states start in (low, 1). */
typedef struct update_case {
    const char *name;
    fbp_optimizer rule;
    double low;
    fbp_step step;
} update_case;

static const update_case update_cases[] = {
    {"nadam",
     FBP_OPTIMIZER_nadam,
     0.01,
     {.constants = {0.002, 1.4, 0.9, 0.1, 0.99, 0.01, 1e-8, 0.001}}},
    {"rmsprop", FBP_OPTIMIZER_rmsprop, 0.01, {.constants = {0.01, 1e-8, 0.9, 0.1}}},
    {"rmsprop_momentum", FBP_OPTIMIZER_rmsprop, 0.01, {.constants = {0.01, 1e-8, 0.9, 0.1, 0.9}}},
    {"rmsprop_centred", FBP_OPTIMIZER_rmsprop, 0.01, {.constants = {0.01, 1e-8, 0.9, 0.1, 0, 1}}},
    {"rmsprop_both", FBP_OPTIMIZER_rmsprop, 0.01, {.constants = {0.01, 1e-8, 0.9, 0.1, 0.9, 1}}},
    {"adagrad", FBP_OPTIMIZER_adagrad, 0.01, {.constants = {0.01, 1e-10}}},
    {"rprop", FBP_OPTIMIZER_rprop, -1, {.constants = {0.5, 1.2, 0.1, 0.9}}},
    {"quickprop", FBP_OPTIMIZER_quickprop, -1, {.constants = {0.01, 1.75, 1.75 / 2.75}}},
    {"coupled", FBP_OPTIMIZER_sgd, 0.01, {{0.1, 0.9}, true, 0.7, 0.5, 0.3, 0}},
    {"decoupled",
     FBP_OPTIMIZER_adamw,
     0.01,
     {{0.002, 1.4, 0.9, 0.1, 0.999, 0.001, 1e-7}, true, 1, INFINITY, 0, 0.01}},
};

static void update_rules(void)
{
    for (size_t k = 0; k < sizeof update_cases / sizeof *update_cases; k++) {
        const update_case *c = &update_cases[k];
        begin(13);
        for (size_t n = 1; n < 70; n++) {
            void *g = filled(0, n, -1, 1), *p = filled(1, n + 8, -1, 1);
            void *states[3];
            for (int s = 0; s < 3; s++) states[s] = filled(2 + s, n + 8, c->low, 1);
            TABLE.update[c->rule](&c->step, n, g, p, states);
            take_reals(p, n + 8);
            for (int s = 0; s < 3; s++) take_reals(states[s], n + 8);
        }
        report(c->name);
    }
}

static void dots(void)
{
    begin(14);
    for (size_t n = 0; n < 140; n++) {
        const double sum = TABLE.dot(n, filled(0, n, -3, 3), filled(1, n, -3, 3));
        take(&sum, sizeof sum);
    }
    report("dot");
}

/* Places of about half of n elements, ascending; returns how many. */
static size_t some_places(size_t n, uint32_t *places)
{
    size_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        if (next_word() & 1) places[count++] = i;
    return count;
}

static void gathers(void)
{
    begin(18);
    uint32_t places[140];
    for (size_t n = 0; n < 140; n++) {
        const size_t count = some_places(n, places);
        void *whole = filled(0, n + 8, -3, 3), *part = filled(1, n + 8, -3, 3);
        TABLE.gather(count, places, whole, part);
        take_reals(part, n + 8);
        TABLE.scatter(count, places, filled(2, n, -3, 3), whole);
        take_reals(whole, n + 8);
    }
    report("gather_and_scatter");
}

/* Costs of parameters and their gradients; zeros of either sign among them. */
static void penalties(void)
{
    static const double factors[3][2] = {{0.3, 0}, {0, 0.7}, {0.3, 0.7}};
    begin(15);
    for (size_t n = 0; n < 140; n++)
        for (int k = 0; k < 3; k++) {
            void *g = filled(0, n + 8, -1, 1), *w = filled(1, n, -3, 3);
            memset((char *)w + n / 2 * TABLE.itemsize, 0, n > 0 ? TABLE.itemsize : 0);
            const double sum = TABLE.penalty(factors[k][0], factors[k][1], n, w);
            take(&sum, sizeof sum);
            TABLE.penalty_gradient(factors[k][0], factors[k][1], n, w, g);
            take_reals(g, n + 8);
        }
    report("penalty");
}

/* Columns of a wider matrix, some within the limit; then more rows than a chain has. */
static void columns(void)
{
    static const size_t heights[] = {1, 2, 7, 40, 4095, 4096, 4097, 9000};
    begin(16);
    for (size_t i = 0; i < sizeof heights / sizeof *heights; i++)
        for (size_t n = 1; n < 70; n++) {
            const size_t rows = heights[i], room = rows > 40 ? 7 : n + 3;
            if (n + 1 > room) break;
            void *w = filled(0, rows * room, -1, 1);
            TABLE.limit_columns(0.6 * sqrt((double)rows), rows, n, (ptrdiff_t)room, w);
            take_reals(w, rows * room);
        }
    report("limit_columns");
}

/* Units of a wider matrix, added to what was there; outputs at the limits and at 0 among them. */
static void watched_units(void)
{
    begin(20);
    for (size_t n = 1; n < 70; n++)
        for (size_t rows = 0; rows < 9; rows++) {
            double sums[3][70];
            for (int k = 0; k < 3; k++)
                for (size_t u = 0; u < 70; u++) sums[k][u] = (double)(3 * u + 1) / 7;
            char *y = filled(0, rows * (n + 3) + 2, -3, 3);
            if (rows > 3) TABLE.scale(2, 0, y, y); /* two zeros */
            TABLE.watch_units(rows, n, (ptrdiff_t)n + 3, -1.5, 0, y, sums[0], sums[1], sums[2]);
            take(sums, sizeof sums);
        }
    report("watch_units");
}

static void masks_and_conversions(void)
{
    begin(9);
    for (size_t n = 1; n < 40; n++) {
        TABLE.dropout_mask(12345678901u, n, 77, 1u << 30, 4.0 / 3, 2, 3, n, memory[0]);
        take_reals(memory[0], 3 * n);
    }
    report("dropout_mask");
    begin(10);
    for (int type = FBP_SOURCE_int8; type < FBP_SOURCE_float32; type++) {
        uint64_t words[20];
        for (int i = 0; i < 20; i++) words[i] = next_word();
        TABLE.convert[type](20, words, memory[0]);
        take_reals(memory[0], 20);
    }
    report("convert");
}

/* NaN, infinities and the largest number at each place. */
static void finite(void)
{
    const double largest = TABLE.itemsize == 4 ? FLT_MAX : DBL_MAX;
    const double odd[] = {NAN, -NAN, INFINITY, -INFINITY, largest, -largest};
    begin(11);
    for (size_t n = 1; n < 140; n++)
        for (size_t at = 0; at < n; at++)
            for (int k = 0; k < 6; k++) {
                void *a = filled(0, n, -3, 3);
                if (TABLE.itemsize == 4)
                    ((float *)a)[at] = (float)odd[k];
                else
                    ((double *)a)[at] = odd[k];
                if (TABLE.all_finite(n, a) != (k > 3)) digest++;
            }
    report("all_finite");
}

/* More rows than kernels of rows take at once. */
static void many_rows(void)
{
    int32_t labels[35];
    double row_loss[35], row_right[35];
    begin(12);
    for (size_t rows = 15; rows < 36; rows++)
        for (size_t n = 1; n < 24; n++) {
            void *z = filled(0, rows * n, -9, 9), *scale = filled(1, rows, 0.1, 2);
            for (size_t b = 0; b < rows; b++) labels[b] = (int32_t)(next_word() % n);
            TABLE.softmax(rows, n, z, memory[2]);
            take_reals(memory[2], rows * n);
            TABLE.softmax_backward(rows, n, memory[2], filled(3, rows * n, -1, 1), memory[4]);
            take_reals(memory[4], rows * n);
            TABLE.loss(FBP_LOSS_sparse_categorical_crossentropy, 0, true, rows, n, labels, scale, z,
                       memory[5], row_loss);
            TABLE.accuracy(FBP_ACCURACY_LABEL, 0.5, rows, n, labels, z, row_right);
            take_reals(z, rows * n);
            take_reals(memory[5], rows * n);
            take(row_loss, rows * sizeof(double));
            take(row_right, rows * sizeof(double));
        }
    report("many rows");
}

/* Those that came when the digests above, which are of several activations, had been recorded. */
static void later_activations(void)
{
    const int first = FBP_ACTIVATION_softmax + 1, end = FBP_N_ACTIVATIONS;
    activations(first, end);
    runs("narrow_run_later", first, end);
    repeats("repeat_later", first, end, false);
}

int main(void)
{
    products();
    transposes();
    narrow();
    runs("narrow_run", 0, FBP_ACTIVATION_softmax);
    repeats("repeat", 0, FBP_ACTIVATION_softmax, false);
    repeats("repeat_recorded", 0, FBP_ACTIVATION_softmax, true);
    spans();
    activations(0, FBP_ACTIVATION_softmax);
    softmaxes();
    losses();
    updates();
    masks_and_conversions();
    finite();
    many_rows();
    update_rules();
    dots();
    gathers();
    penalties();
    columns();
    watched_units();
    later_activations();
    return 0;
}
