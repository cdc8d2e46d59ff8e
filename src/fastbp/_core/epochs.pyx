"""Epochs of batches: what a team does between two visits to Python.

Thread 0 keeps the books: between the two barriers of a batch it alone writes the counters, which
the others read only behind the second one.
"""
from libc.math cimport isfinite
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from fastbp._core.batch cimport (
    Score,
    Worker,
    accumulate,
    add_score,
    evaluate_chunk,
    form_gradients,
    gradient_scale,
    mean_loss,
    run_share,
    score_of,
    per_row,
    sync,
    update_share,
)
from fastbp._core.layout cimport fbp_clock
from fastbp._core.order cimport row_order
from fastbp._core.repeat cimport repeat_epochs
from fastbp._core.rows cimport Data, Pass
from fastbp._core.schedule cimport Schedule, rate_at
from fastbp._core.update cimport Rule

cdef uint64_t SNAPSHOT_BATCHES = 1024
cdef double CHECK_SECONDS = 1e-3


cdef size_t snapshot_bytes(const Training *t) noexcept nogil:
    return t.team.plan.n_parameters * t.team.plan.itemsize * (1 + t.rule.n_states)


cdef void take_snapshot(Training *t) noexcept nogil:
    cdef size_t n = t.team.plan.n_parameters * t.team.plan.itemsize, s
    memcpy(t.snapshot.memory, t.team.memory.parameters, n)
    for s in range(t.rule.n_states):
        memcpy(t.snapshot.memory + (s + 1) * n, t.team.memory.states[s], n)
    t.snapshot.counters = t.counters
    t.snapshot.epoch = t.epoch


cdef void restore_snapshot(Training *t) noexcept nogil:
    cdef size_t n = t.team.plan.n_parameters * t.team.plan.itemsize, s
    memcpy(t.team.memory.parameters, t.snapshot.memory, n)
    for s in range(t.rule.n_states):
        memcpy(t.team.memory.states[s], t.snapshot.memory + (s + 1) * n, n)
    t.counters = t.snapshot.counters
    t.epoch = t.snapshot.epoch


cdef double rate_now(const Rule *rule, const Counters *counters,
                     double epoch_share) noexcept nogil:
    """The learning rate of the next step, which is so far into the newest epoch."""
    cdef const Schedule *schedule = &rule.schedule
    cdef double epochs = <double>(counters.epochs - counters.schedule_epochs) - 1.0 + epoch_share
    if schedule.rate == NULL:
        return rule.constants[0]
    if schedule.per_epoch:
        return rate_at(schedule, max(0.0, epochs))
    return rate_at(schedule, <double>(counters.steps - counters.schedule_steps))


cdef bint parameters_finite(const Training *t) noexcept nogil:
    return t.team.plan.kernels.all_finite(t.team.plan.n_parameters, t.team.memory.parameters)


cdef void stop(Training *t) noexcept nogil:
    """End the training between two batches."""
    t.outcome = DONE if parameters_finite(t) else DIVERGED


cdef void resume_epoch(Training *t) noexcept nogil:
    """Before training: go on with an epoch that is not over, if it is one of these data."""
    cdef Counters last = t.counters
    cdef size_t rows = last.part.rows
    if rows == 0 or rows > t.data.n or last.part.of_rows != t.data.n:
        memset(&t.counters.part, 0, sizeof(Part))
        return
    order_rows(t, last.epochs - 1)
    if t.rule.schedule.rate != NULL and last.steps > last.schedule_steps:
        # That of the last update, if it was the last of the epoch too.
        last.steps -= 1
        rows = (rows - 1) // t.update_rows * t.update_rows
        t.rule.constants[0] = rate_now(&t.rule, &last, <double>rows / <double>t.data.n)


cdef void order_rows(Training *t, uint64_t epoch) noexcept nogil:
    if t.shuffles:
        row_order(t.seed, epoch, t.data.n, t.words, t.sorted_words, t.counts, t.order)


cdef Pass new_pass(const Training *t, const Data *data) noexcept nogil:
    cdef Pass run
    memset(&run, 0, sizeof(Pass))
    run.plan = t.team.plan
    run.parameters = t.team.memory.parameters
    run.data = data
    run.seed = t.seed
    run.wants_loss = True
    run.wants_accuracy = t.wants_accuracy
    run.row_losses = t.team.row_losses
    run.row_rights = t.team.row_rights
    return run


cdef Pass batch_pass(const Training *t) noexcept nogil:
    cdef Pass run = new_pass(t, &t.data)
    run.order = t.order if t.shuffles else NULL
    run.start = t.counters.part.rows
    run.rows = min(t.update_rows, t.data.n - t.counters.part.rows)
    run.batch = t.counters.batches
    run.training, run.wants_deltas = True, True
    run.keeps = t.team.plan.wide
    run.scale = gradient_scale(&run)
    if t.recorded != NULL:
        run.outputs = t.recorded + t.epoch * t.recorded_bytes
        run.outputs_by_row = True
    return run


cdef void begin_epoch(Training *t, const Worker *worker) noexcept nogil:
    if worker.rank == 0:
        order_rows(t, t.counters.epochs)
        t.counters.epochs += 1
        memset(&t.counters.part, 0, sizeof(Part))
        t.counters.part.of_rows = t.data.n
        t.validated = 0
        memset(&t.validation_score, 0, sizeof(Score))
    sync(worker)


cdef void look_at_clock(Training *t, uint64_t batches) noexcept nogil:
    """Ask for a pause when it is due; a look costs more than a step of a tiny network, so few.

    `batches` have passed since the last time, at most `until_check`.
    """
    cdef double now
    t.until_check -= batches
    if t.until_check > 0:
        return
    now = fbp_clock()
    if now >= t.pause_at:
        t.outcome = PAUSED
    if now - t.checked_at < CHECK_SECONDS:
        t.check_every *= 2
    elif t.check_every > 1:
        t.check_every //= 2
    t.checked_at = now
    t.until_check = t.check_every


cdef void keep_books(Training *t, size_t rows, Score score) noexcept nogil:
    """After an update from so many rows."""
    cdef Part *part = &t.counters.part
    part.loss_sum += mean_loss(t.team.plan, score) * <double>score.measured
    part.right_sum += score.right
    part.measured += score.measured
    part.rows += rows
    t.counters.steps += 1
    t.counters.batches += 1
    if not isfinite(part.loss_sum):
        t.outcome = DIVERGED
        return
    look_at_clock(t, 1)
    if t.visits_batches:
        t.outcome = BATCH_ENDED


cdef bint accumulate_parts(Training *t, const Worker *worker, const Pass *whole,
                           Score *score) noexcept nogil:
    """The gradients of a batch, part by part; False if its data are not finite.

    Each thread keeps a score; that of thread 0 counts.
    """
    cdef Pass part
    cdef size_t first
    for first from 0 <= first < whole.rows by t.batch_size:
        part = whole[0]
        part.start, part.before = whole.start + first, first
        part.rows = min(t.batch_size, whole.rows - first)
        run_share(worker, &part)
        sync(worker)
        if t.team.fault:
            return False
        form_gradients(worker, &part, NULL, 0)
        if worker.rank == 0:
            add_score(score, score_of(&part))
        sync(worker)
        accumulate(worker, first == 0)
        sync(worker)
    return True


cdef bint train_parts(Training *t, const Worker *worker) noexcept nogil:
    """One update from more rows than run at once; False as in `train_batch`."""
    cdef Pass run = batch_pass(t)
    cdef Score score
    memset(&score, 0, sizeof(Score))
    if not accumulate_parts(t, worker, &run, &score):
        return False
    update_share(worker, t.team.accumulated, &t.rule, t.counters.steps + 1)
    sync(worker)
    if worker.rank == 0:
        keep_books(t, run.rows, score)
    sync(worker)
    return True


cdef bint train_batch(Training *t, const Worker *worker) noexcept nogil:
    """One batch; False if it ended after its first half, its data not being finite.

    The fault is looked at between barriers alone: behind the last one, a faster thread may have
    found one in the next batch, in which this thread must take part.
    """
    cdef Pass run = batch_pass(t)
    cdef uint64_t step = t.counters.steps + 1
    run_share(worker, &run)
    sync(worker)
    if t.team.fault:
        return False
    form_gradients(worker, &run, &t.rule, step)
    if worker.rank == 0:
        keep_books(t, run.rows, score_of(&run))
    sync(worker)
    return True


cdef void decide(Training *t, double loss) noexcept nogil:
    """Whether training goes on after an epoch of this loss."""
    if t.epoch == t.curves.room or t.visits_epochs:
        t.outcome = PAUSED
    if t.epoch == t.epochs or loss <= t.stop_at_loss:
        t.outcome = DONE
    if t.outcome == DONE or t.counters.batches - t.snapshot.counters.batches >= SNAPSHOT_BATCHES:
        if not parameters_finite(t):
            t.outcome = DIVERGED
        elif t.outcome != DONE:
            take_snapshot(t)


cdef bint validates_now(const Training *t) noexcept nogil:
    """Whether the running epoch is one to validate after."""
    return t.validates and (t.epoch + 1) % t.validation_freq == 0


cdef void close_epoch(Training *t) noexcept nogil:
    """Record the epoch."""
    cdef const Part *part = &t.counters.part
    cdef double loss = per_row(part.loss_sum, part.measured)
    cdef size_t at = t.epoch
    t.curves.loss[at] = loss
    t.curves.right[at] = per_row(part.right_sum, part.measured)
    t.curves.learning_rate[at] = t.rule.constants[0]
    if validates_now(t):
        at //= t.validation_freq
        t.curves.validation_loss[at] = mean_loss(t.team.plan, t.validation_score)
        t.curves.validation_right[at] = per_row(t.validation_score.right,
                                                t.validation_score.measured)
    t.epoch += 1
    memset(&t.counters.part, 0, sizeof(Part))
    decide(t, loss)


cdef bint validate(Training *t, const Worker *worker) noexcept nogil:
    """Evaluate the validation data; False if a pause came before the end, to go on after it."""
    cdef Pass run = new_pass(t, &t.validation)
    cdef size_t start = t.validated
    run.outputs, run.outputs_by_row = t.validation_outputs, t.validation_outputs != NULL
    while start < t.validation.n:
        if t.outcome == PAUSED:
            return False
        start = evaluate_chunk(worker, &run, start, &t.validation_score)
        if worker.rank == 0:
            t.validated = start
            if start < t.validation.n and fbp_clock() >= t.pause_at:
                t.outcome = PAUSED
        sync(worker)
    return True


cdef void end_epoch(Training *t, const Worker *worker) noexcept nogil:
    cdef bint validates = validates_now(t)
    sync(worker)  # all have seen the outcome of the last batch before it may change
    if validates and not validate(t, worker):
        return
    if worker.rank == 0:
        close_epoch(t)
        if t.team.fault:
            t.outcome = FAULTED
    sync(worker)


cdef void train_repeating(Training *t) noexcept nogil:
    """Epochs that are all alike, up to where the books have to be looked at."""
    cdef uint64_t since_snapshot = t.counters.batches - t.snapshot.counters.batches
    cdef size_t epochs = min(t.until_check, SNAPSHOT_BATCHES - since_snapshot)
    cdef size_t at = t.epoch
    cdef double loss
    epochs = min(epochs, min(t.epochs - t.epoch, t.curves.room - at))
    if t.visits_epochs:
        epochs = 1
    epochs = repeat_epochs(t, epochs, t.curves.loss + at)
    loss = t.curves.loss[at + epochs - 1]
    t.counters.epochs += epochs
    t.counters.steps += epochs
    t.counters.batches += epochs
    if not isfinite(loss):
        t.outcome = DIVERGED
        return
    t.epoch += epochs
    look_at_clock(t, epochs)
    decide(t, loss)


cdef void set_rate(Training *t, const Worker *worker) noexcept nogil:
    """Before a batch; the other threads read it behind the first barrier of that."""
    cdef double rows = <double>t.counters.part.rows, n = <double>t.data.n
    if worker.rank == 0 and t.rule.schedule.rate != NULL and rows < n:
        t.rule.constants[0] = rate_now(&t.rule, &t.counters, rows / n)


cdef void train(Training *t, const Worker *worker) noexcept nogil:
    """Train until a pause is due or the work is done. Every thread of the team calls this."""
    cdef const uint64_t *rows = &t.counters.part.rows
    while t.outcome == RUNNING and t.repeats and rows[0] == 0:
        train_repeating(t)
    while t.outcome == RUNNING:
        if rows[0] == 0:
            begin_epoch(t, worker)
        set_rate(t, worker)
        if rows[0] < t.data.n and not (train_parts(t, worker) if t.update_rows > t.batch_size
                                       else train_batch(t, worker)):
            break
        if rows[0] == t.data.n and t.outcome in (RUNNING, PAUSED):
            end_epoch(t, worker)
    if worker.rank == 0 and t.team.fault:
        t.outcome = FAULTED
