from libc.stdint cimport int64_t, uint64_t

from fastbp._core.layout cimport fbp_kernels
from fastbp._core.rows cimport Data
from fastbp._core.team cimport Team, Worker
from fastbp._core.update cimport Rule
from fastbp._core.watch cimport Watch

cdef enum Outcome:
    RUNNING
    PAUSED
    BATCH_ENDED                # a pause that comes before all else
    DRAINED                    # a feed is to give the next rows
    DONE
    DIVERGED
    FAULTED

cdef struct Part:
    # What has been done of an epoch that is not over: with its sums fastbp.engine.EpochPart.
    uint64_t rows
    uint64_t of_rows           # 0: of a stream, where nobody goes on

cdef struct Counters:
    # Where training stands: fastbp.engine.Position.
    uint64_t steps
    uint64_t batches
    uint64_t epochs
    uint64_t schedule_steps
    uint64_t schedule_epochs
    Part part

cdef struct Snapshot:
    # The last state that was known to be finite.
    char *memory
    Counters counters
    size_t epoch

cdef struct Curves:
    # One value an epoch, for `room` epochs, one curve behind the other: the loss, the losses of the
    # outputs if there are several, their right answers if these are wanted.
    size_t room
    size_t own_losses          # of the outputs: how many there are, or 0
    double *training
    double *validation
    double *learning_rate      # or NULL

cdef struct Sums:
    # Of the running epoch, of one of the plan's losses.
    double loss                # weighted with rows
    double right
    size_t measured            # rows that metrics count

cdef struct Training:
    Team team
    Rule rule
    Data data                  # all of it, or the chunk of a feed that is being taken
    Data validation
    bint follows               # another chunk may follow behind `data` in the running epoch
    bint validation_follows
    bint feeds                 # what these are at the begin of an epoch
    bint feeds_validation
    double epoch_rows          # of an epoch, or 0 if nobody knows
    double epoch_batches       # known where rows are not, or 0
    bint validates
    size_t validation_freq     # epochs from one validation to the next
    bint shuffles
    bint is_ordered            # `order` is the caller's
    bint wants_accuracy
    size_t epochs
    size_t batch_size          # rows that run at once
    size_t update_rows         # rows for each update, in one batch or in several parts
    double stop_at_loss        # -infinity: never
    bint visits_batches        # Python is to look in after each batch
    bint visits_epochs         # or after each epoch
    bint repeats               # epochs are alike, and many run in one kernel (repeat.pyx)
    const fbp_kernels *one_row_kernels
    uint64_t seed
    Counters counters
    int64_t *order             # rows in the order of the running epoch; then scratch to sort them
    uint64_t *words
    uint64_t *sorted_words
    size_t *counts
    size_t epoch               # completed in this fit
    size_t start               # rows of the running one before the first row of `data`
    size_t batches             # batches taken of it
    double learning_rate       # of the last update
    Sums *sums                 # of each loss, the engine's
    size_t validated           # rows of the validation data, after the running epoch's batches
    size_t validation_start    # and before the first row of `validation`
    Curves curves
    Watch watch                # of single steps
    char **outputs             # where each output goes in the running epoch, or NULL
    const size_t *output_bytes  # from those of one epoch to the next; 0: each over the last
    char **validation_outputs  # or NULL
    Snapshot snapshot
    uint64_t check_every       # batches between looks at the clock
    uint64_t until_check
    double checked_at
    double pause_at
    Outcome outcome

cdef bint is_drained(const Training *t) noexcept nogil
cdef double rate_now(const Rule *rule, const Counters *counters,
                     double epoch_share) noexcept nogil
cdef void take_snapshot(Training *t) noexcept nogil
cdef void restore_snapshot(Training *t) noexcept nogil
cdef void stop(Training *t) noexcept nogil
cdef double loss_so_far(const Training *t) noexcept nogil
cdef void resume_epoch(Training *t) noexcept nogil
cdef size_t snapshot_bytes(const Training *t) noexcept nogil
cdef void train(Training *t, const Worker *worker) noexcept nogil
