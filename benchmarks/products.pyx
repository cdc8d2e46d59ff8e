"""Times, in C, of the three products of a dense layer and of fused multiply-adds alone.

benchmarks/matmul.py compiles this. It calls what training calls, the functions of
fastbp._core.matmul, through the plan of a network of one layer: whatever loop, copy or choice a
product has is timed, and nothing of Python.
"""
from cpython.mem cimport PyMem_Free, PyMem_Malloc

from fastbp._core.layout cimport (
    FBP_ACTIVATION_identity,
    FBP_ALIGNMENT,
    FBP_CHAIN_START,
    fbp_clock,
    fbp_op,
    fbp_plan,
)
from fastbp._core.matmul cimport dense_forward, input_gradient, panel_bytes, weights_gradient
from fastbp._core.state cimport EngineState

cdef extern from *:
    """
    typedef float vec __attribute__((vector_size(VECTOR_BYTES)));

    /* CHAINS independent chains keep every unit busy; compiled with -ffp-contract=fast. */
    static float chains(long steps, float x)
    {
        vec zero = {0}, factor = zero + x, term = zero + (1 - x), sum[CHAINS];
        for (int i = 0; i < CHAINS; i++) sum[i] = term * (float)i;
        for (; steps > 0; steps--)
    #pragma GCC unroll 32
            for (int i = 0; i < CHAINS; i++) sum[i] = sum[i] * factor + term;
        for (int i = 1; i < CHAINS; i++) sum[0] += sum[i];
        return sum[0][0];
    }
    """
    float chains(long steps, float x) nogil
    const long CHAINS, VECTOR_BYTES


def fma_peak():
    """Operations a second of float32 fused multiply-adds in registers; float64 has half of it."""
    cdef long steps = 100_000
    cdef double best = 1e9, start
    cdef volatile float _kept
    for _ in range(50):
        start = fbp_clock()
        _kept = chains(steps, 0.999)
        best = min(best, fbp_clock() - start)
    return 2.0 * CHAINS * (VECTOR_BYTES // 4) * steps / best


cdef void run(const fbp_plan *plan, str product, const char *w, char *x, char *z, size_t rows,
              char *panel):
    """x (rows, inputs), w (inputs, outputs), z (rows, outputs): one from the other two."""
    cdef const fbp_op *op = &plan.ops[0]
    if product == "forward":
        dense_forward(plan, op, w, x, z, FBP_ACTIVATION_identity, rows, NULL, panel)
    elif product == "input":
        input_gradient(plan, op, w, z, x, False, rows, NULL, panel)
    else:
        weights_gradient(plan, op, x, z, rows, 0, op.n_in, FBP_CHAIN_START, <char *>w, panel)


def seconds(EngineState engine, str product, char[:, ::1] x, char[:, ::1] w, char[:, ::1] z,
            long repeats):
    """Seconds that one product takes, the mean of some repeats; operands are given as bytes."""
    cdef char *memory = <char *>PyMem_Malloc(panel_bytes(engine.native) + FBP_ALIGNMENT)
    cdef char *panel = memory + (-<size_t>memory) % FBP_ALIGNMENT
    cdef double start = fbp_clock()
    if memory == NULL:
        raise MemoryError()
    for _ in range(repeats):
        run(engine.native, product, &w[0, 0], &x[0, 0], &z[0, 0], <size_t>x.shape[0], panel)
    start = fbp_clock() - start
    PyMem_Free(memory)
    return start / repeats
