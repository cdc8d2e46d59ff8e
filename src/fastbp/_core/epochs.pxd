from libc.stdint cimport int64_t, uint64_t

from fastbp._core.batch cimport Score, Team, Worker
from fastbp._core.layout cimport fbp_kernels
from fastbp._core.rows cimport Data
from fastbp._core.update cimport Rule

cdef enum Outcome:
    RUNNING
    PAUSED
    BATCH_ENDED                # a pause that comes before all else
    DONE
    DIVERGED
    FAULTED

cdef struct Part:
    # What has been done of an epoch that is not over: fastbp.engine.EpochPart.
    uint64_t rows
    uint64_t of_rows
    uint64_t measured
    double loss_sum
    double right_sum

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
    # One value an epoch, for `room` epochs.
    size_t room
    double *loss
    double *right
    double *validation_loss
    double *validation_right
    double *learning_rate

cdef struct Training:
    Team team
    Rule rule
    Data data
    Data validation
    bint validates
    size_t validation_freq     # epochs from one validation to the next
    bint shuffles
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
    size_t validated           # rows of the validation data, after the running epoch's batches
    Score validation_score
    Curves curves
    char *recorded             # outputs of the first epoch, or NULL
    size_t recorded_bytes      # from those of one epoch to the next; 0: each over the last
    char *validation_outputs   # or NULL
    Snapshot snapshot
    uint64_t check_every       # batches between looks at the clock
    uint64_t until_check
    double checked_at
    double pause_at
    Outcome outcome

cdef double rate_now(const Rule *rule, const Counters *counters,
                     double epoch_share) noexcept nogil
cdef void take_snapshot(Training *t) noexcept nogil
cdef void restore_snapshot(Training *t) noexcept nogil
cdef void stop(Training *t) noexcept nogil
cdef void resume_epoch(Training *t) noexcept nogil
cdef size_t snapshot_bytes(const Training *t) noexcept nogil
cdef void train(Training *t, const Worker *worker) noexcept nogil
