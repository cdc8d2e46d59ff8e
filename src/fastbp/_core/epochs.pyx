"""Epochs of batches: what a team does between two visits to Python.

Thread 0 keeps the books: between the two barriers of a batch it alone writes the counters, which
the others read only behind the second one.
"""
from libc.math cimport isfinite
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from fastbp._core.batch cimport evaluate_chunk, run_share
from fastbp._core.gradients cimport accumulate, form_gradients, project_share, update_share
from fastbp._core.layout cimport fbp_clock, fbp_is_crowded, fbp_plan
from fastbp._core.order cimport row_order
from fastbp._core.repeat cimport repeat_epochs
from fastbp._core.rows cimport BACKWARD, FORWARD, TARGETS, Data, Pass
from fastbp._core.schedule cimport Schedule, rate_at
from fastbp._core.scores cimport (
    Score,
    add_scores,
    clear_scores,
    fill_gradient_scales,
    mean_loss,
    per_row,
    take_scores,
)
from fastbp._core.team cimport Worker, plan_of_batch, sync
from fastbp._core.update cimport Rule
from fastbp._core.watch cimport (
    is_due,
    look_at_gradients,
    look_at_units,
    look_at_updates,
    record_step,
    steps_before_due,
)

cdef uint64_t SNAPSHOT_BATCHES = 1024
cdef double CHECK_SECONDS = 1e-3


cdef size_t snapshot_bytes(const Training *t) noexcept nogil:
    cdef size_t n = t.team.plan.n_parameters * t.team.plan.itemsize
    return t.team.plan.n_losses * sizeof(Sums) + n * (1 + t.rule.n_states)


cdef void take_snapshot(Training *t) noexcept nogil:
    cdef size_t sums = t.team.plan.n_losses * sizeof(Sums), s
    cdef size_t n = t.team.plan.n_parameters * t.team.plan.itemsize
    cdef char *to = t.snapshot.memory + sums
    memcpy(t.snapshot.memory, t.sums, sums)
    memcpy(to, t.team.memory.parameters, n)
    for s in range(t.rule.n_states):
        memcpy(to + (s + 1) * n, t.team.memory.states[s], n)
    t.snapshot.counters = t.counters
    t.snapshot.epoch = t.epoch


cdef void restore_snapshot(Training *t) noexcept nogil:
    cdef size_t sums = t.team.plan.n_losses * sizeof(Sums), s
    cdef size_t n = t.team.plan.n_parameters * t.team.plan.itemsize
    cdef const char *source = t.snapshot.memory + sums
    memcpy(t.sums, t.snapshot.memory, sums)
    memcpy(t.team.memory.parameters, source, n)
    for s in range(t.rule.n_states):
        memcpy(t.team.memory.states[s], source + (s + 1) * n, n)
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
    if rows == 0 or rows > t.data.n or last.part.of_rows != t.data.n or t.is_ordered:
        t.counters.part = Part(0, 0)
        return
    order_rows(t)
    t.batches = (rows + t.update_rows - 1) // t.update_rows
    if t.rule.schedule.rate != NULL and last.steps > last.schedule_steps:
        # That of the last update, if it was the last of the epoch too.
        last.steps -= 1
        rows = (rows - 1) // t.update_rows * t.update_rows
        t.learning_rate = rate_now(&t.rule, &last, <double>rows / t.epoch_rows)


cdef void order_rows(Training *t) noexcept nogil:
    """Shuffle the rows that are here, of the newest epoch."""
    if t.shuffles:
        row_order(t.seed, t.counters.epochs - 1, t.start, t.data.n, t.words, t.sorted_words,
                  t.counts, t.order)


cdef Pass new_pass(const Training *t, const Data *data) noexcept nogil:
    cdef Pass run
    memset(&run, 0, sizeof(Pass))
    run.plan = t.team.plan
    run.parameters = t.team.memory.parameters
    run.data = data
    run.stages, run.stop_op = FORWARD | TARGETS | BACKWARD, run.plan.n_ops
    run.seed = t.seed
    run.wants_loss = True
    run.wants_accuracy = t.wants_accuracy
    run.row_losses = t.team.row_losses
    run.row_rights = t.team.row_rights
    run.penalties = t.team.penalties
    return run


cdef Pass training_pass(const Training *t) noexcept nogil:
    """What the passes of all batches have in common."""
    cdef Pass run = new_pass(t, &t.data)
    run.order = t.order if t.shuffles or t.is_ordered else NULL
    run.training, run.wants_deltas = True, True
    run.keeps = t.team.plan.wide
    run.outputs, run.outputs_by_row = t.outputs, t.outputs != NULL
    return run


cdef void turn_to_batch(const Training *t, const Worker *worker, Pass *run) noexcept nogil:
    """Let the pass be that of the next batch, with all units of each layer."""
    run.plan = t.team.plan
    run.start = t.counters.part.rows - t.start
    run.rows = min(t.update_rows, t.data.n - run.start)
    run.batch = t.counters.batches
    fill_gradient_scales(run, t.team.scratches[worker.rank].gradient_scales)


cdef void begin_epoch(Training *t) noexcept nogil:
    t.counters.epochs += 1
    t.counters.part = Part(0, 0 if t.feeds or t.is_ordered else t.data.n)
    t.validated = t.validation_start = 0
    memset(t.sums, 0, t.team.plan.n_losses * sizeof(Sums))


cdef void begin_rows(Training *t, const Worker *worker) noexcept nogil:
    """Before the first batch of an epoch, or of a chunk of its rows."""
    if worker.rank == 0:
        if t.counters.part.rows == 0:
            begin_epoch(t)
        order_rows(t)
    sync(worker)


cdef bint is_drained(const Training *t) noexcept nogil:
    """Whether all rows that are here have been taken."""
    return t.counters.part.rows == t.start + t.data.n


cdef void ask_for_rows(Training *t, const Worker *worker) noexcept nogil:
    sync(worker)  # all have seen that the training runs
    if worker.rank == 0:
        t.outcome = DRAINED
    sync(worker)


cdef void look_at_clock(Training *t, uint64_t batches) noexcept nogil:
    """Ask for a pause when it is due; a look costs more than a step of a tiny network, so few.
    Where others want the team's cores, it is due at once.

    `batches` have passed since the last time, at most `until_check`.
    """
    cdef double now
    if fbp_is_crowded(&t.team.barrier):
        t.outcome = PAUSED
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


cdef bint add_batch(Training *t) noexcept nogil:
    """Add the scores of a batch to the sums of the epoch; False if one is not finite."""
    cdef size_t k
    cdef Score score
    cdef bint finite = True
    for k in range(t.team.plan.n_losses):
        score = t.team.scores[k]
        t.sums[k].loss += (mean_loss(&t.team.plan.outputs[k], score)
                           * <double>score.measured)
        t.sums[k].right += score.right
        t.sums[k].measured += score.measured
        finite &= isfinite(t.sums[k].loss) != 0
    return finite


cdef double loss_so_far(const Training *t) noexcept nogil:
    """The mean over the rows of the running epoch that have run, of all outputs together."""
    cdef double total = 0.0
    cdef size_t k
    for k in range(t.team.plan.n_losses):
        total += t.team.plan.outputs[k].weight * per_row(t.sums[k].loss, t.sums[k].measured)
    return total


cdef void watch_step(Training *t, size_t rows) noexcept nogil:
    """Count a step from so many rows, and put it on record if that is due."""
    cdef const fbp_plan *plan = t.team.plan
    cdef double loss = 0.0
    cdef size_t k
    if is_due(&t.watch):
        for k in range(plan.n_losses):
            loss += plan.outputs[k].weight * mean_loss(&plan.outputs[k], t.team.scores[k])
        record_step(&t.watch, plan_of_batch(&t.team), rows, loss)
        if t.watch.n == t.watch.room:
            t.outcome = PAUSED
    t.watch.steps += 1


cdef void keep_books(Training *t, size_t rows) noexcept nogil:
    """After an update from so many rows, whose scores the team has."""
    cdef bint finite = add_batch(t)
    t.counters.steps += 1
    t.counters.batches += 1
    t.batches += 1
    t.counters.part.rows += rows
    t.learning_rate = t.rule.constants[0]
    if not finite:
        t.outcome = DIVERGED
        return
    if t.watch.due:
        watch_step(t, rows)
    look_at_clock(t, 1)
    if t.visits_batches:
        t.outcome = BATCH_ENDED


cdef bint accumulate_parts(Training *t, const Worker *worker, const Pass *whole) noexcept nogil:
    """The gradients of a batch, part by part; False if its data are not finite."""
    cdef Pass part
    cdef size_t first
    for first from 0 <= first < whole.rows by t.batch_size:
        part = whole[0]
        part.start, part.before = whole.start + first, first
        part.rows = min(t.batch_size, whole.rows - first)
        part.penalties = whole.penalties if first == 0 else NULL
        part.keeps = whole.keeps or is_due(&t.watch)
        run_share(worker, &part)
        sync(worker)
        if t.team.fault:
            return False
        if is_due(&t.watch):
            look_at_units(worker, &t.watch, &part)
        form_gradients(worker, &part, NULL, 0)
        if worker.rank == 0:
            add_scores(&part, t.team.scores)
        sync(worker)
        if t.update_rows > t.batch_size:
            accumulate(worker, first == 0)
            sync(worker)
    return True


cdef bint train_parts(Training *t, const Worker *worker, Pass *run) noexcept nogil:
    """One update that has to see all gradients first: from more rows than run at once, or one to be
    recorded; False as in `train_batch`."""
    cdef bint adds = t.update_rows > t.batch_size, watched = is_due(&t.watch)
    cdef const char *gradients = t.team.accumulated if adds else t.team.memory.gradients
    if worker.rank == 0:
        clear_scores(worker.team.plan, worker.team.scores)
    if not accumulate_parts(t, worker, run):
        return False
    if watched:
        look_at_gradients(worker, &t.watch, gradients)
    update_share(worker, gradients, &t.rule, t.counters.steps + 1)
    project_share(worker)
    sync(worker)
    if watched:
        look_at_updates(worker, &t.watch)
        sync(worker)
    if worker.rank == 0:
        keep_books(t, run.rows)
    sync(worker)
    return True


cdef bint train_batch(Training *t, const Worker *worker, Pass *run) noexcept nogil:
    """One batch; False if it ended after its first half, its data not being finite.

    The fault is looked at between barriers alone: behind the last one, a faster thread may have
    found one in the next batch, in which this thread must take part.
    """
    cdef uint64_t step = t.counters.steps + 1
    run_share(worker, run)
    sync(worker)
    if t.team.fault:
        return False
    form_gradients(worker, run, &t.rule, step)
    project_share(worker)
    if worker.rank == 0:
        take_scores(run, worker.team.scores)
        keep_books(t, run.rows)
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


cdef void record(const Training *t, double *curves, size_t at, size_t output, double loss,
                 double right) noexcept nogil:
    """Put the values of a loss on record, and add its loss to that of all."""
    cdef size_t room = t.curves.room, own_losses = t.curves.own_losses
    curves[at] = (curves[at] if output > 0 else 0.0) + t.team.plan.outputs[output].weight * loss
    if output == t.team.plan.n_outputs:
        return  # what parameters cost has no curve
    if own_losses > 0:
        curves[(1 + output) * room + at] = loss
    if t.wants_accuracy:
        curves[(1 + own_losses + output) * room + at] = right


cdef void close_epoch(Training *t) noexcept nogil:
    """Record the epoch."""
    cdef const fbp_plan *plan = t.team.plan
    cdef size_t at = t.epoch, k
    cdef Score score
    cdef Sums sums
    for k in range(plan.n_losses):
        sums = t.sums[k]
        record(t, t.curves.training, at, k, per_row(sums.loss, sums.measured),
               per_row(sums.right, sums.measured))
        if t.outputs != NULL and k < plan.n_outputs:
            t.outputs[k] += t.output_bytes[k]
    if t.curves.learning_rate != NULL:
        t.curves.learning_rate[at] = t.learning_rate
    for k in range(plan.n_losses if validates_now(t) else 0):
        score = t.team.scores[k]
        record(t, t.curves.validation, at // t.validation_freq, k,
               mean_loss(&plan.outputs[k], score), per_row(score.right, score.measured))
    t.epoch += 1
    t.start = t.batches = 0
    t.counters.part = Part(0, 0)
    t.follows, t.validation_follows = t.feeds, t.feeds_validation
    if t.feeds:
        t.data.n = 0
    if t.feeds_validation:
        t.validation.n = 0
    decide(t, t.curves.training[at])


cdef bint validate(Training *t, const Worker *worker) noexcept nogil:
    """Evaluate the validation data; False if a pause came before the end, to go on after it.

    Where its rows come in chunks, such a pause comes before each.
    """
    cdef Pass run = new_pass(t, &t.validation)
    cdef size_t start = t.validated - t.validation_start
    run.outputs, run.outputs_by_row = t.validation_outputs, t.validation_outputs != NULL
    if t.validated > 0:
        run.penalties = NULL  # the first chunk has counted them
    elif worker.rank == 0:
        clear_scores(worker.team.plan, worker.team.scores)
    while start < t.validation.n:
        if t.outcome == PAUSED:
            return False
        start = evaluate_chunk(worker, &run, start)
        if worker.rank == 0:
            t.validated = t.validation_start + start
            if start < t.validation.n and fbp_clock() >= t.pause_at:
                t.outcome = PAUSED
        sync(worker)
    if t.validation_follows:
        ask_for_rows(t, worker)
    return not t.validation_follows


cdef void end_epoch(Training *t, const Worker *worker) noexcept nogil:
    cdef bint validates = validates_now(t)
    sync(worker)  # all have seen the outcome of the last batch before it may change
    if validates:
        if not validate(t, worker):
            return
        sync(worker)  # all have left the validation before what it looks at is for the next one
    if worker.rank == 0 and t.team.fault:
        t.outcome = FAULTED
    elif worker.rank == 0:
        close_epoch(t)
    sync(worker)


cdef void train_repeating(Training *t) noexcept nogil:
    """Epochs that are all alike, up to where the books have to be looked at."""
    cdef uint64_t since_snapshot = t.counters.batches - t.snapshot.counters.batches
    cdef size_t epochs = min(t.until_check, SNAPSHOT_BATCHES - since_snapshot)
    cdef size_t at = t.epoch
    cdef double loss
    epochs = min(epochs, min(t.epochs - t.epoch, t.curves.room - at))
    epochs = min(epochs, steps_before_due(&t.watch))
    if t.visits_epochs:
        epochs = 1
    epochs = repeat_epochs(t, epochs)
    loss = t.curves.training[at + epochs - 1]
    t.counters.epochs += epochs
    t.counters.steps += epochs
    t.counters.batches += epochs
    if not isfinite(loss):
        t.outcome = DIVERGED
        return
    t.epoch += epochs
    t.watch.steps += epochs
    look_at_clock(t, epochs)
    decide(t, loss)


cdef double epoch_share(const Training *t) noexcept nogil:
    """How far the running epoch is; one of unknown length is at its begin until it ends."""
    if t.epoch_rows > 0:
        return <double>t.counters.part.rows / t.epoch_rows
    return <double>t.batches / t.epoch_batches if t.epoch_batches > 0 else 0.0


cdef void set_rate(Training *t, const Worker *worker) noexcept nogil:
    """Before a batch; the other threads read it behind the first barrier of that."""
    if worker.rank == 0 and t.rule.schedule.rate != NULL and not is_drained(t):
        t.rule.constants[0] = rate_now(&t.rule, &t.counters, epoch_share(t))


cdef void end_in_fault(Training *t) noexcept nogil:
    """An epoch counts from its first update on."""
    t.outcome = FAULTED
    if t.counters.part.rows == 0:
        t.counters.epochs -= 1


cdef void train(Training *t, const Worker *worker) noexcept nogil:
    """Train until a pause is due or the work is done. Every thread of the team calls this."""
    cdef Pass run = training_pass(t)
    cdef bint parts
    while t.outcome == RUNNING:
        if t.repeats and t.counters.part.rows == 0 and not is_due(&t.watch):
            train_repeating(t)
            continue
        if is_drained(t) and t.follows:
            ask_for_rows(t, worker)
            break
        if t.counters.part.rows == t.start:
            begin_rows(t, worker)
        set_rate(t, worker)
        if not is_drained(t):
            turn_to_batch(t, worker, &run)
            parts = t.update_rows > t.batch_size or is_due(&t.watch)
            if not (train_parts(t, worker, &run) if parts else train_batch(t, worker, &run)):
                break
        if is_drained(t) and not t.follows and t.outcome in (RUNNING, PAUSED):
            end_epoch(t, worker)
    if worker.rank == 0 and t.team.fault:
        end_in_fault(t)
