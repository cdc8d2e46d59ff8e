# The C side as Cython sees it: csrc/*.h hold the contracts.
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef extern from "fastbp.h" nogil:
    ctypedef enum fbp_op_kind:
        FBP_OP_dense
        FBP_OP_activation
        FBP_OP_rescale
        FBP_OP_dropout
        FBP_OP_structured_dropout
        FBP_OP_add
        FBP_OP_concatenate
        FBP_OP_custom
    ctypedef enum fbp_activation:
        FBP_ACTIVATION_identity
        FBP_ACTIVATION_relu
        FBP_ACTIVATION_softmax
    ctypedef enum fbp_loss:
        FBP_LOSS_binary_crossentropy
        FBP_LOSS_categorical_crossentropy
    ctypedef enum fbp_optimizer:
        FBP_OPTIMIZER_sgd
        FBP_OPTIMIZER_adam
        FBP_OPTIMIZER_adamw
        FBP_OPTIMIZER_nadam
        FBP_OPTIMIZER_rmsprop
        FBP_OPTIMIZER_rprop
        FBP_OPTIMIZER_quickprop
    ctypedef enum fbp_constraint_kind:
        FBP_CONSTRAINT_max_norm
        FBP_CONSTRAINT_non_neg
    ctypedef enum fbp_source:
        FBP_SOURCE_bool
        FBP_SOURCE_int8
        FBP_SOURCE_uint8
        FBP_SOURCE_int16
        FBP_SOURCE_uint16
        FBP_SOURCE_int32
        FBP_SOURCE_uint32
        FBP_SOURCE_int64
        FBP_SOURCE_uint64
        FBP_SOURCE_float32
        FBP_SOURCE_float64
    ctypedef enum fbp_accuracy:
        FBP_ACCURACY_LABEL
        FBP_ACCURACY_LARGEST
        FBP_ACCURACY_YES

    size_t FBP_BLOCK, FBP_CHUNK, FBP_SLOT_WEIGHTS, FBP_SLOT_ROWS, FBP_NONE
    size_t FBP_ALIGNMENT, FBP_PADDING

    ctypedef struct fbp_units:
        size_t size
        size_t n
        const uint32_t *kept
        const uint32_t *before
    ctypedef struct fbp_edge:
        size_t tensor
        bint propagates
        bint adds

    ctypedef struct fbp_op:
        fbp_op_kind kind
        fbp_activation activation
        double parameter
        double value
        size_t n_inputs
        const fbp_edge *inputs
        size_t pieces
        size_t input
        size_t output
        size_t saved
        size_t n_in
        size_t n_out
        size_t weights
        size_t biases
        size_t earlier
        size_t slot_weights
        size_t slot_biases
        size_t chains
        size_t lanes
        size_t run
        size_t run_values
        size_t n_own
        bint trains_weights
        bint trains_biases
        bint propagates
        bint adds
        bint fused
        bint narrow
        uint32_t stream
        const fbp_units *units_in
        const fbp_units *units_out
        const char *parameters
        const char *mask

    ctypedef struct fbp_penalty:
        size_t start
        size_t stop
        double l1
        double l2

    ctypedef struct fbp_constraint:
        fbp_constraint_kind kind
        size_t start
        size_t rows
        size_t columns
        bint of_rows
        double limit

    ctypedef struct fbp_output:
        size_t tensor
        fbp_loss loss
        double parameter
        double weight
        bint sums
        bint shares
        bint labels
        bint fused
        bint calls
        double threshold
        fbp_accuracy accuracy

    ctypedef struct fbp_plan:
        const fbp_kernels *kernels
        size_t itemsize
        fbp_source type
        size_t n_ops
        fbp_op *ops
        size_t n_tensors
        size_t *sizes
        size_t *offsets
        size_t row_elements
        size_t *groups
        size_t n_groups
        size_t mask_elements
        size_t n_parameters
        size_t slot_elements
        size_t chain_elements
        size_t lane_elements
        size_t run_elements
        size_t n_spans
        size_t *spans
        size_t n_penalties
        fbp_penalty *penalties
        size_t n_constraints
        fbp_constraint *constraints
        size_t n_inputs
        size_t n_outputs
        const fbp_output *outputs
        size_t n_losses
        size_t row_block
        bint wide
        bint calls

    ctypedef struct fbp_rows:
        const char *data
        ptrdiff_t stride
        fbp_source type

    ctypedef struct fbp_frame:
        char *values
        char *deltas
        char *inputs
        char *outputs
        size_t first
        size_t capacity

    size_t fbp_source_bytes(fbp_source type)
    size_t fbp_aligned(size_t size)
    size_t fbp_tensor_offset(const fbp_plan *plan, size_t capacity, size_t tensor)
    size_t fbp_frame_bytes(const fbp_plan *plan, size_t capacity)
    size_t fbp_slots(size_t rows, size_t weights)
    size_t fbp_slot_rows(size_t rows, size_t slots)
    int fbp_find_op_kind(const char *name)
    int fbp_find_activation(const char *name)
    int fbp_find_loss(const char *name)
    int fbp_find_optimizer(const char *name)
    int fbp_find_constraint(const char *name)
    int fbp_find_source(const char *name)

cdef extern from "kernels.h" nogil:
    ctypedef enum fbp_chain:
        FBP_CHAIN_START
        FBP_CHAIN_CONTINUE
        FBP_CHAIN_ADD

    ctypedef struct fbp_product:
        fbp_chain chain
        fbp_activation activation
        size_t m
        size_t n
        size_t k
        const void *a
        ptrdiff_t a_m
        ptrdiff_t a_k
        const void *b
        ptrdiff_t b_k
        ptrdiff_t b_n
        void *c
        ptrdiff_t c_m
        const void *bias
        void *block
        void *panel

    ctypedef struct fbp_step:
        double constants[8]
        bint prepares
        double scale
        double limit
        double coupled
        double decoupled

    ctypedef struct fbp_run:
        const fbp_op *ops
        size_t n_ops
        bint activates
        const void *parameters
        void *values

    ctypedef struct fbp_kernels:
        const char *isa
        size_t itemsize
        size_t row_lanes
        size_t tile_rows
        size_t tile_columns
        void (*matmul)(const fbp_product *product) noexcept nogil
        void (*transpose)(size_t m, size_t n, const void *from_, ptrdiff_t from_m, void *to,
                          ptrdiff_t to_n) noexcept nogil
        void (*narrow_gradient)(size_t first, size_t rows, size_t n_in, size_t n_out,
                                const void *x_bi, const void *delta_bo, void *lanes) noexcept nogil
        void (*narrow_sum)(size_t count, void *lanes) noexcept nogil
        void (*narrow_forward)(const fbp_run *run, size_t rows, const void *x_bi,
                               void *y_bo) noexcept nogil
        void (*narrow_backward)(const fbp_run *run, size_t rows, bint starts, bint ends,
                                const void *delta_bo, void *dx_bi, void *lanes) noexcept nogil
        size_t (*repeat)(const fbp_plan *plan, size_t rows, const void *x_bi, const void *t_b,
                         double scale, double rate, size_t steps, double stop_at_loss,
                         void *parameters, double *losses, void *outputs) noexcept nogil
        void (*add)(size_t n, const void *b, void *a) noexcept nogil
        void (*scale)(size_t n, double factor, const void *x, void *out) noexcept nogil
        void (*multiply)(size_t n, const void *a, const void *b, void *out) noexcept nogil
        void (*gather)(size_t n, const uint32_t *index, const void *from_,
                       void *to) noexcept nogil
        void (*scatter)(size_t n, const uint32_t *index, const void *from_,
                        void *to) noexcept nogil
        double (*dot)(size_t n, const void *a, const void *b) noexcept nogil
        void (*watch_units)(size_t rows, size_t n, ptrdiff_t y_b, double low, double high,
                            const void *y_bu, double *squares, double *outside,
                            double *active) noexcept nogil
        void (*activate)(fbp_activation f, double parameter, size_t n,
                         const void *z, void *a) noexcept nogil
        void (*activate_backward)(fbp_activation f, double parameter, size_t n, const void *z,
                                  const void *a, const void *da, void *dz) noexcept nogil
        void (*softmax)(size_t rows, size_t n, const void *z, void *p) noexcept nogil
        void (*softmax_backward)(size_t rows, size_t n, const void *p, const void *dp,
                                 void *dz) noexcept nogil
        void (*loss)(fbp_loss loss, double parameter, bint fused, size_t rows, size_t n,
                     const void *targets, const void *row_scale, void *y_bo, void *delta_bo,
                     double *row_loss) noexcept nogil
        void (*accuracy)(fbp_accuracy kind, double threshold, size_t rows, size_t n,
                         const void *targets, const void *y_bo, double *row_right) noexcept nogil
        void (**update)(const fbp_step *step, size_t n, const void *g, void *p,
                        void **states) noexcept nogil
        double (*penalty)(double l1, double l2, size_t n, const void *w) noexcept nogil
        void (*penalty_gradient)(double l1, double l2, size_t n, const void *w,
                                 void *g) noexcept nogil
        void (*limit_columns)(double limit, size_t rows, size_t columns, ptrdiff_t w_r,
                              void *w) noexcept nogil
        void (*dropout_mask)(uint64_t seed, uint64_t index, uint32_t stream, uint64_t threshold,
                             double scale, size_t first, size_t rows, size_t n,
                             void *mask) noexcept nogil
        void (**convert)(size_t n, const void *from_, void *to) noexcept nogil
        bint (*all_finite)(size_t n, const void *x) noexcept nogil

    const fbp_kernels *fbp_kernels_for(size_t itemsize)
    const fbp_kernels *fbp_kernels_for_one_row(const fbp_kernels *kernels)
    bint fbp_choose_isa(const char *name)
    size_t fbp_n_isas()
    const char *fbp_isa_name(size_t index)
    bint fbp_isa_available(size_t index)
    const char *fbp_build_compiler()
    const char *fbp_build_switches()

cdef extern from "philox.h" nogil:
    uint32_t FBP_STREAM_ORDER, FBP_STREAM_DROPOUT
    void fbp_philox(uint64_t seed, uint64_t index, uint32_t stream, uint32_t block,
                    uint32_t *words)

cdef extern from "barrier.h" nogil:
    ctypedef struct fbp_barrier:
        pass
    void fbp_wait(fbp_barrier *barrier, int team_size)
    bint fbp_is_crowded(fbp_barrier *barrier)
    double fbp_clock()

cdef extern from "threads.h" nogil:
    int fbp_team_size()
    int fbp_team_rank()
    int fbp_most_threads()
    int fbp_useful_threads()
    void fbp_give_way()
    bint fbp_gives_way()
    bint fbp_has_openmp()
    bint fbp_install_fork_handler()

cdef extern from "flush.h" nogil:
    uint64_t fbp_flush_begin()
    void fbp_flush_end(uint64_t mode)


cdef inline const char *parameters_of(const fbp_op *op, const char *parameters) noexcept nogil:
    """What the offsets of an op's parameters count from, given the arena's."""
    return op.parameters if op.parameters != NULL else parameters


cdef inline char *tensor(const fbp_plan *plan, const fbp_frame *frame, char *base, size_t t,
                         size_t row) noexcept nogil:
    """Row `row` of the batch in tensor t of the values or deltas of a frame."""
    return (base + fbp_tensor_offset(plan, frame.capacity, t)
            + (row - frame.first) * plan.sizes[t] * plan.itemsize)


cdef inline char *value(const fbp_plan *plan, const fbp_frame *frame, size_t t,
                        size_t row) noexcept nogil:
    """Row `row` of the batch in the values of tensor t, wherever they stand."""
    if t == 0 and frame.inputs != NULL:
        return frame.inputs + row * plan.sizes[t] * plan.itemsize
    if frame.outputs != NULL and t == plan.outputs.tensor:
        return frame.outputs + row * plan.sizes[t] * plan.itemsize
    return tensor(plan, frame, frame.values, t, row)
