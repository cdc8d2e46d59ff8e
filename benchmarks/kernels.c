/* Times the kernels of one table that work on spans or rows, and what bounds each, in one run.
 *
 * Compiled by kernels.py beside the table. Prints a line for each kernel: name, elements, ns an
 * element, its floor in ns an element, and which floor that is: the largest of
 *
 *   memory     a loop that loads and stores the same number of streams of the same length
 *   division   as many divisions and square roots, independent of each other
 *   products   as many multiplications, fused or not, independent of each other
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include FBP_SIMD
#include "kernels.h"

extern const fbp_kernels TABLE;

enum { MOST = 101770, CLASSES = 10, CHAINS = 12, ROUNDS = 100 };

/* Bytes from stream to stream: not near a multiple of 4096, at which loads wait for stores. */
enum { APART = (MOST * sizeof(real) / 4096 + 1) * 4096 + 1344 };

static real *memory;
static size_t n;             /* elements of the kernel under test */
static void *stream[4];      /* numbers in (-4, 4), in (0, 1), (0, 1) and again */
static int32_t labels[MOST]; /* class numbers */
static double row[MOST];
static const fbp_step sgd = {.constants = {1e-3}};
static const fbp_step momentum_of_sgd = {.constants = {1e-3, 0.9}};
static const fbp_step nesterov = {.constants = {1e-3, 0.9, 1}};
static const fbp_step adam = {.constants = {1e-3, 1, 0.9, 0.1, 0.999, 0.001, 1e-7, 1e-4}};
static const fbp_step adamw = {{1e-3, 1, 0.9, 0.1, 0.999, 0.001, 1e-8}, true, 1, 1e30, 0, 1e-5};
static const fbp_step rmsprop = {.constants = {1e-3, 1e-8, 0.99, 0.01}};
static const fbp_step centred = {.constants = {1e-3, 1e-8, 0.99, 0.01, 0, 1}};
static const fbp_step rprop = {.constants = {0.5, 1.2, 1e-6, 50}};
static const fbp_step quickprop = {.constants = {1e-3, 1.75, 1.75 / 2.75}};

/* --- time --- */

static double now(void)
{
    struct timespec at;
    timespec_get(&at, TIME_UTC);
    return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

/* ns of a call: the least of 15 runs of 0.2 ms or more. */
static double time_of(void (*call)(void))
{
    double least = 1e30;
    size_t calls = 1;
    for (int run = 0; run < 15;) {
        const double start = now();
        for (size_t i = 0; i < calls; i++) call();
        const double time = now() - start;
        if (time < 2e5) {
            calls *= 2;
            continue;
        }
        if (time / (double)calls < least) least = time / (double)calls;
        run++;
    }
    return least;
}

/* --- floors --- */

static vec operand, result;

#define CHAINS_OF(name, expression)                                                                \
    static void name(void)                                                                         \
    {                                                                                              \
        vec a[CHAINS];                                                                             \
        for (int j = 0; j < CHAINS; j++) a[j] = v_add(operand, v_set((real)j));                    \
        for (int i = 0; i < ROUNDS; i++)                                                           \
            _Pragma("GCC unroll 12") for (int j = 0; j < CHAINS; j++) a[j] = expression;           \
        for (int j = 0; j < CHAINS; j++) result = v_add(result, a[j]);                             \
    }
CHAINS_OF(products, v_fma(a[j], operand, operand))
CHAINS_OF(divisions, v_div(operand, a[j]))
CHAINS_OF(roots, v_sqrt(a[j]))

#define STREAMS(name, reads, writes, written)                                                      \
    static void name(void)                                                                         \
    {                                                                                              \
        vec all = operand;                                                                         \
        for (size_t i = 0; i + LANES <= n; i += LANES) {                                           \
            vec sum = operand;                                                                     \
            _Pragma("GCC unroll 4") for (int r = 0; r < (reads); r++) sum =                        \
                v_max(sum, v_load((real *)stream[r] + i));                                         \
            _Pragma("GCC unroll 4") for (int w = (written); w < (written) + (writes); w++)         \
                v_store((real *)stream[w] + i, sum);                                               \
            if ((writes) == 0) all = v_max(all, sum);                                              \
        }                                                                                          \
        result = all;                                                                              \
    }
STREAMS(load, 1, 0, 0)
STREAMS(store, 0, 1, 3)
STREAMS(copy, 1, 1, 3)
STREAMS(combine, 2, 1, 3)
STREAMS(combine_in_place, 2, 1, 1)
STREAMS(momentum, 3, 2, 1)
STREAMS(moments, 4, 3, 1)

/* --- kernels: a = f(x), with products and divisions an element of each --- */

#define X    stream[0]
#define Y    stream[1]
#define T    stream[2]
#define Z    stream[3]
#define ROWS (n / CLASSES)

#define FORWARD(f)         TABLE.activate(FBP_ACTIVATION_##f, 0.3, n, X, Z)
#define BACKWARD(f)        TABLE.activate_backward(FBP_ACTIVATION_##f, 0.3, n, X, X, Y, Z)
#define UPDATE(rule, step) TABLE.update[FBP_OPTIMIZER_##rule](&step, n, X, Y, (void *[]){T, Z})
#define LOSS(f, t)         TABLE.loss(FBP_LOSS_##f, 0, true, ROWS, CLASSES, t, Y, X, Z, row)

/* name, memory floor, products, divisions, square roots, call */
/* clang-format off */
#define KERNELS(K) \
    K(add, combine_in_place, 0, 0, 0, TABLE.add(n, X, Y)) \
    K(scale, copy, 1, 0, 0, TABLE.scale(n, 0.5, X, Z)) \
    K(multiply, combine, 1, 0, 0, TABLE.multiply(n, X, Y, Z)) \
    K(relu, copy, 0, 0, 0, FORWARD(relu)) \
    K(sigmoid, copy, 9, 1, 0, FORWARD(sigmoid)) \
    K(tanh, copy, 12, 1, 0, FORWARD(tanh)) \
    K(gelu, copy, 26, 1, 0, FORWARD(gelu)) \
    K(softplus, copy, 19, 1, 0, FORWARD(softplus)) \
    K(mish, copy, 14, 1, 0, FORWARD(mish)) \
    K(relu_backward, combine, 0, 0, 0, BACKWARD(relu)) \
    K(sigmoid_backward, combine, 2, 0, 0, BACKWARD(sigmoid)) \
    K(tanh_backward, combine, 2, 0, 0, BACKWARD(tanh)) \
    K(gelu_backward, combine, 28, 1, 0, BACKWARD(gelu)) \
    K(mish_backward, combine, 18, 1, 0, BACKWARD(mish)) \
    K(softmax, copy, 11, 1, 0, TABLE.softmax(ROWS, CLASSES, X, Z)) \
    K(softmax_backward, combine, 2, 0, 0, TABLE.softmax_backward(ROWS, CLASSES, X, Y, Z)) \
    K(sparse_crossentropy, copy, 12, 1, 0, LOSS(sparse_categorical_crossentropy, labels)) \
    K(crossentropy, combine, 13, 1, 0, LOSS(categorical_crossentropy, T)) \
    K(binary_crossentropy, combine, 31, 2, 0, LOSS(binary_crossentropy, T)) \
    K(squared_error, combine, 2, 0, 0, LOSS(mean_squared_error, T)) \
    K(accuracy, load, 0, 0, 0, \
      TABLE.accuracy(FBP_ACCURACY_LABEL, 0.5, ROWS, CLASSES, labels, X, row)) \
    K(sgd, combine_in_place, 1, 0, 0, UPDATE(sgd, sgd)) \
    K(sgd_momentum, momentum, 2, 0, 0, UPDATE(sgd, momentum_of_sgd)) \
    K(sgd_nesterov, momentum, 3, 0, 0, UPDATE(sgd, nesterov)) \
    K(adam, moments, 7, 1, 1, UPDATE(adam, adam)) \
    K(adamw, moments, 10, 1, 1, UPDATE(adamw, adamw)) \
    K(nadam, moments, 8, 1, 1, UPDATE(nadam, adam)) \
    K(rmsprop, momentum, 4, 1, 1, UPDATE(rmsprop, rmsprop)) \
    K(rmsprop_centred, moments, 7, 1, 1, UPDATE(rmsprop, centred)) \
    K(adagrad, momentum, 3, 1, 1, UPDATE(adagrad, rmsprop)) \
    K(rprop, moments, 3, 0, 0, UPDATE(rprop, rprop)) \
    K(quickprop, moments, 6, 1, 0, UPDATE(quickprop, quickprop)) \
    K(square, load, 0, 0, 0, row[0] = TABLE.dot(n, X, X)) \
    K(dropout_mask, store, 0, 0, 0, \
      TABLE.dropout_mask(1, 2, 3, 1u << 30, 4.0 / 3, 0, n / 128, 128, Z)) \
    K(convert_float32, copy, 0, 0, 0, TABLE.convert[FBP_SOURCE_float32](n, X, Z)) \
    K(convert_float64, copy, 0, 0, 0, TABLE.convert[FBP_SOURCE_float64](n, row, Z)) \
    K(convert_uint8, store, 0, 0, 0, TABLE.convert[FBP_SOURCE_uint8](n, labels, Z)) \
    K(all_finite, load, 0, 0, 0, TABLE.all_finite(n, X))
/* clang-format on */

#define AS_CALL(name, memory, products, divisions, roots, call)                                    \
    static void run_##name(void) { call; }
KERNELS(AS_CALL)

typedef struct kernel {
    const char *name;
    void (*memory)(void);
    double products, divisions, roots;
    void (*call)(void);
} kernel;
#define AS_ROW(name, memory, products, divisions, roots, call)                                     \
    {#name, memory, products, divisions, roots, run_##name},
static const kernel kernels[] = {KERNELS(AS_ROW)};

static void fill(void)
{
    uint64_t state = 1;
    for (size_t i = 0; i < MOST; i++) {
        for (int s = 0; s < 4; s++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            const double u = ((double)(state >> 40) + 0.5) / 16777216;
            ((real *)stream[s])[i] = (real)(s ? u : 8 * u - 4);
        }
        labels[i] = (int32_t)(state >> 33) % CLASSES;
        row[i] = 1;
    }
}

static void measure(const kernel *k, size_t size)
{
    const double units = CHAINS * ROUNDS * LANES;
    n = size;
    fill();
    const double memory = time_of(k->memory) / (double)n;
    const double product = k->products ? k->products * time_of(products) / units : 0;
    double division = k->divisions ? k->divisions * time_of(divisions) / units : 0;
    if (k->roots) division += k->roots * time_of(roots) / units;
    fill();
    const double time = time_of(k->call) / (double)n;
    const double most = product > division ? product : division;
    printf("%s %zu %.5f %.5f %s\n", k->name, n, time, most > memory ? most : memory,
           memory >= most       ? "memory"
           : product > division ? "products"
                                : "division");
}

/* arguments: elements, then names of kernels, or none for all */
int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    const size_t size = (size_t)atol(argv[1]);
    operand = v_set((real)0.5);
    memory = aligned_alloc(64, 4 * APART);
    for (int s = 0; s < 4; s++) stream[s] = memory + s * (APART / sizeof(real));
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        bool wanted = argc == 2;
        for (int a = 2; a < argc; a++) wanted |= strcmp(argv[a], kernels[i].name) == 0;
        if (wanted) measure(&kernels[i], size);
    }
    return 0;
}
