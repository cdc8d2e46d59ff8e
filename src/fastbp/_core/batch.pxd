from libc.stdint cimport int64_t, uint64_t

from fastbp._core.layout cimport fbp_barrier, fbp_frame, fbp_output, fbp_plan
from fastbp._core.rows cimport Data, Pass, Scratch
from fastbp._core.thinning cimport Thinning
from fastbp._core.update cimport Memory, Rule

cdef struct Team:
    # What the threads of one region share while they run batches.
    const fbp_plan *plan
    Memory memory
    Scratch *scratches         # one a thread
    fbp_frame frame            # of the whole batch, for a Pass that keeps it
    char *slots                # slots 1, 2, ...
    size_t slot_bytes
    double *row_losses         # of each output, one a row
    double *row_rights
    Thinning thinning          # of the batch, with structured dropout
    Score *scores              # of each loss, over the rows that are being scored
    char *accumulated          # gradients of the parts of a batch, added up, or NULL
    double *squares            # of the gradients, summed over each chunk
    double *penalties          # of each chunk of the parameters, or NULL: there are none
    volatile int fault
    void *calls                # a `Calls`, for a plan with Python functions
    bint calls_end             # one of them has raised: no more of them, and no more rows
    fbp_barrier barrier

cdef struct Worker:
    # One thread's view.
    Team *team
    int rank
    int size
    uint64_t mode              # of floating point outside of the region

cdef struct Score:
    # Sums over rows at one output: of loss times weight, of weights, of right answers; rows that
    # metrics count; and what the parameters cost, where this is the only one.
    double loss
    double weight
    double right
    size_t measured
    double penalty

cdef size_t chunk_bytes(const fbp_plan *plan) noexcept nogil
cdef size_t thinned_bytes(const fbp_plan *plan) noexcept nogil
cdef const fbp_plan *plan_of_batch(const Team *team) noexcept nogil
cdef void sync(const Worker *worker) noexcept nogil
cdef void fill_gradient_scales(Pass *run, double *scales) noexcept nogil
cdef double per_row(double total, size_t measured) noexcept nogil
cdef double mean_loss(const fbp_output *output, Score score) noexcept nogil
cdef void clear_scores(Team *team) noexcept nogil
cdef void take_scores(Team *team, const Pass *run) noexcept nogil
cdef void add_scores(Team *team, const Pass *run) noexcept nogil
cdef void run_share(const Worker *worker, Pass *run) noexcept nogil
cdef void form_gradients(const Worker *worker, const Pass *run, const Rule *rule,
                         uint64_t number) noexcept nogil
cdef void project_share(const Worker *worker) noexcept nogil
cdef void accumulate(const Worker *worker, bint first) noexcept nogil
cdef void update_share(const Worker *worker, const char *gradients, const Rule *rule,
                       uint64_t number) noexcept nogil
cdef size_t evaluate_chunk(const Worker *worker, Pass *run, size_t start) noexcept nogil
