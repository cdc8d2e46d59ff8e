from libc.stdint cimport int32_t, int64_t, uint64_t

from fastbp._core.layout cimport fbp_frame, fbp_plan, fbp_rows
from fastbp._core.share cimport Shared

cdef enum:
    # A fault beside those of rows: a Python function has raised, see Calls.error.
    FAULT_CALL = 1 << 30

cdef enum Stage:
    # What a block of rows goes through.
    FORWARD = 1
    TARGETS = 2                # and the outputs are handed out
    BACKWARD = 4

cdef struct Answers:
    # What one output is to be for rows in the caller's memory.
    fbp_rows y                 # targets, unless the loss takes labels
    const int32_t *labels
    bint leaves_out            # some labels are below 0: metrics leave their rows out
    const double *weights      # or NULL

cdef struct Data:
    # Rows in the caller's memory.
    size_t n
    const fbp_rows *x          # of each input
    const Answers *answers     # of each output
    bint unchecked             # look for NaN and infinity while gathering

cdef struct Pass:
    # One pass of a batch through the plan: which rows, what is wanted, where it goes.
    const fbp_plan *plan
    const char *parameters
    const Data *data
    const int64_t *order       # row of the data at each place of the epoch, or NULL
    size_t start               # place of the batch's row 0
    size_t rows
    size_t before              # rows of the batch that came before, if it runs part by part
    uint64_t seed
    uint64_t batch             # key of the dropout masks
    const double *scales       # of each output: what a row of weight 1 counts in the gradient
    int stages                 # those to go through
    size_t first_op            # of the operations, those from this one on
    size_t stop_op
    bint training              # dropout is on
    bint keeps                 # values and deltas of the whole batch stay in the team's frame
    bint wants_loss
    bint wants_accuracy
    bint wants_deltas
    bint wants_input_delta
    double *row_losses         # of each output, for each row of the batch, times its weight
    double *row_rights
    double *penalties          # of each chunk of the parameters; or NULL: they don't count here
    char *const *outputs       # of each output, or NULL; row r of the batch goes to row r there,
    bint outputs_by_row        # or to the row of the data that it came from
    int fault                  # 1 + i: input i is not finite; -1 - i: nor are targets of output i

cdef struct Scratch:
    # One thread's own memory.
    fbp_frame frame            # of plan.row_block rows
    char *targets
    char *scales               # of the rows of a block
    double *gradient_scales    # of each output: for a Pass that this thread makes
    char *panel
    char *gradient             # of some rows of a weight matrix, on its way to the update
    char *thinned              # the same of a layer that lacks units, before it is spread
    char *chains
    char *lanes
    char *values               # that runs of narrow layers keep
    char *partial              # what such a run adds to the delta of its inputs

cdef struct Slot:
    # Where the gradients of a run of rows are summed while they pass; first: its first row.
    char *sums
    bint in_arena
    size_t first
    size_t stop

cdef bint gather(const Pass *run, const fbp_rows *source, size_t n, size_t first, size_t rows,
                 char *to) noexcept nogil
cdef void gather_targets(Pass *run, size_t output, char *targets, size_t first,
                         size_t rows) noexcept nogil
cdef void fill_scales(const Pass *run, size_t output, char *scales, size_t first,
                      size_t rows) noexcept nogil
cdef size_t rows_measured(const Pass *run, size_t output) noexcept nogil
cdef double row_weight(const Pass *run, size_t output, size_t row) noexcept nogil
cdef void run_block(Pass *run, Scratch *scratch, const fbp_frame *frame, const Slot *slot,
                    const Shared *shared, size_t first, size_t rows) noexcept nogil
cdef void run_rows(Pass *run, Scratch *scratch, fbp_frame *frame, const Slot *slot,
                   size_t first, size_t stop) noexcept nogil
