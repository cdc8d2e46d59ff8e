"""The compiled engine: `fastbp.engine.EngineProtocol` over the loops of its sister modules.

The only place that opens a parallel region. Nothing in here depends on the element type: the plan's
kernel table does.
"""
from cpython.exc cimport PyErr_CheckSignals
from cython.parallel cimport parallel
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

import os

import numpy as np

from fastbp._core.batch cimport evaluate_chunk, run_share
from fastbp._core.calls cimport Calls
from fastbp._core.direct cimport DirectCalls
from fastbp._core.epochs cimport (
    BATCH_ENDED,
    DIVERGED,
    DONE,
    DRAINED,
    FAULTED,
    PAUSED,
    RUNNING,
    Part,
    Training,
    rate_now,
    restore_snapshot,
    resume_epoch,
    snapshot_bytes,
    take_snapshot,
    train,
)
from fastbp._core.feeding cimport Feeding
from fastbp._core.gradients cimport form_gradients, project_share, update_share
from fastbp._core.layout cimport (
    FBP_CHUNK,
    fbp_barrier,
    fbp_build_compiler,
    fbp_build_switches,
    fbp_choose_isa,
    fbp_clock,
    fbp_flush_begin,
    fbp_flush_end,
    fbp_give_way,
    fbp_gives_way,
    fbp_has_openmp,
    fbp_install_fork_handler,
    fbp_is_crowded,
    fbp_isa_available,
    fbp_isa_name,
    fbp_kernels_for,
    fbp_kernels_for_one_row,
    fbp_n_isas,
    fbp_rows,
    fbp_slots,
    fbp_source_bytes,
    fbp_team_rank,
    fbp_team_size,
    fbp_useful_threads,
    tensor,
)
from fastbp._core.native cimport (
    Ports,
    address,
    find_rows,
    native_data,
    native_inputs,
    native_rows,
)
from fastbp._core.program cimport build
from fastbp._core.recording cimport Recorder
from fastbp._core.repeat cimport repeats
from fastbp._core.rows cimport BACKWARD, FAULT_CALL, Data, Pass
from fastbp._core.scan cimport Scan, scan_share
from fastbp._core.scores cimport clear_scores, fill_gradient_scales, mean_loss, per_row, take_scores
from fastbp._core.team cimport Team, Worker, sync
from fastbp._core.workspace cimport Workspace

from fastbp.engine import Rows, alone, chunks, each, indexed
from fastbp.measures import answers, measure

# A further thread must have so many operations to be worth opening a region for one call; and so
# many a batch to be worth the barriers of a fit, whose region stays open.
cdef double FLOPS_PER_THREAD = 400e3
cdef double FLOPS_PER_THREAD_OF_FIT = 120e3
# Forward, weight gradient and input gradient take about the same.
cdef double PASSES_OF_TRAINING = 3.0
# A further thread must have so many bytes to look at.
cdef size_t BYTES_PER_THREAD = 1 << 20
cdef double SECONDS_BETWEEN_VISITS = 0.05
cdef double FLOPS_OF_FIRST_VISIT = 200e6
cdef size_t BYTES_OF_FIRST_VISIT = 1 << 24
# More than any machine has use for: asking for a million threads must not exhaust the system.
cdef int MOST_THREADS = 1024


# Instruction sets and build.

def available_isas():
    """Names of the kernel tables this CPU can run, best last."""
    return [fbp_isa_name(i).decode() for i in range(fbp_n_isas()) if fbp_isa_available(i)]


def choose_isa(str name=None):
    """Choose the kernel table that networks built from now on use.

    Parameters
    ----------
    name : str, optional
        One of `available_isas()`; by default what FASTBP_ISA names, else the best.

    Raises
    ------
    ValueError
        If there is no such table or this CPU can't run it.
    """
    cdef bytes encoded = name.encode() if name is not None else None
    cdef bint chosen = fbp_choose_isa(NULL if encoded is None else <const char *>encoded)
    if not chosen:
        argument, came = ("name", name) if name else ("FASTBP_ISA", os.environ.get("FASTBP_ISA"))
        raise ValueError(
            f"{argument}: expected an instruction set of this machine, "
            f"{' or '.join(available_isas())}, got {came!r}")


def build_info():
    """Return how the core was built and what it runs on: a dict of str to str, int, bool, list."""
    return {
        "isa": fbp_kernels_for(4).isa.decode(),
        "available_isas": available_isas(),
        "openmp": bool(fbp_has_openmp()),
        "threads": fbp_useful_threads(),
        "compiler": fbp_build_compiler().decode(),
        "switches": fbp_build_switches().decode(),
    }


def gives_way():
    """Return whether networks leave the cores but one to others: a team has found them taken."""
    return bool(fbp_gives_way())


# Parallel regions. The body of each is one call; a team of one needs no region.

cdef void run_member(Team *team, Pass run, int rank, int size) noexcept nogil:
    cdef uint64_t mode = fbp_flush_begin()
    cdef Worker worker = Worker(team, rank, size, mode)
    run_share(&worker, &run)
    if run.wants_deltas:
        sync(&worker)
        if not team.calls_end:
            form_gradients(&worker, &run, NULL, 0)
    fbp_flush_end(mode)


cdef struct Evaluation:
    size_t start               # of the rows that are still to come
    double pause_at
    bint pauses
    bint goes_on               # other rows were before


cdef void evaluate_member(Team *team, Pass run, Evaluation *e, int rank, int size) noexcept nogil:
    """Evaluate until a pause is due or all rows are done."""
    cdef uint64_t mode = fbp_flush_begin()
    cdef Worker worker = Worker(team, rank, size, mode)
    cdef size_t start = e.start
    while start < run.data.n:
        start = evaluate_chunk(&worker, &run, start)
        if rank == 0:
            e.start, e.pauses = start, fbp_clock() >= e.pause_at
        sync(&worker)
        if e.pauses:
            break
    fbp_flush_end(mode)


cdef void train_member(Training *t, int rank, int size) noexcept nogil:
    cdef uint64_t mode = fbp_flush_begin()
    cdef Worker worker = Worker(&t.team, rank, size, mode)
    train(t, &worker)
    fbp_flush_end(mode)


cdef void run_team(Team *team, Pass *run, int n_threads) noexcept nogil:
    if n_threads == 1:
        run_member(team, run[0], 0, 1)
    else:
        with parallel(num_threads=n_threads):
            run_member(team, run[0], fbp_team_rank(), fbp_team_size())


cdef void scan_team(Scan *scan, int n_threads) noexcept nogil:
    if n_threads == 1:
        scan_share(scan, 0, 1)
    else:
        with parallel(num_threads=n_threads):
            scan_share(scan, fbp_team_rank(), fbp_team_size())


cdef void evaluate_team(Team *team, Pass *run, Evaluation *e, int n_threads) noexcept nogil:
    if n_threads == 1:
        evaluate_member(team, run[0], e, 0, 1)
    else:
        with parallel(num_threads=n_threads):
            evaluate_member(team, run[0], e, fbp_team_rank(), fbp_team_size())


cdef void train_team(Training *t, int n_threads) noexcept nogil:
    if n_threads == 1:
        train_member(t, 0, 1)
    else:
        with parallel(num_threads=n_threads):
            train_member(t, fbp_team_rank(), fbp_team_size())


cdef int check_fault(int fault, object plan, Calls calls) except -1:
    """Raise what a function has raised, or an error for rows of an input or targets of an output
    that are not finite."""
    if fault == FAULT_CALL:
        raise calls.error
    if fault:
        argument, count = ("x", len(plan.inputs)) if fault > 0 else ("y", len(plan.outputs))
        raise ValueError(
            f"{indexed(argument, count)[abs(fault) - 1]}: expected finite numbers in the range of "
            f"{plan.dtype}, "
            f"got NaN, infinity or a larger number in the rows of a batch")
    return 0


cdef class Engine(DirectCalls):
    """Runs one plan in compiled code. See `fastbp.engine.EngineProtocol`."""

    def __init__(self, plan, optimizer, seed):
        self.start(build(plan, fbp_kernels_for(np.dtype(plan.dtype).itemsize)), seed)
        self.optimizer = optimizer

    def takes(self, value, shape, n_threads):
        cdef fbp_rows source
        cdef size_t n
        return find_rows(value, shape, &source, &n) and self.scan(&source, n, shape[0], n_threads)

    def all_finite(self, rows, n_threads):
        cdef fbp_rows source = native_rows(rows)
        return self.scan(&source, rows.shape[0], rows.shape[1], n_threads)

    cdef bint scan(self, const fbp_rows *source, size_t n, size_t width,
                   object n_threads) except -1:
        """Whether n rows are finite in the plan's type."""
        cdef size_t row_bytes = max(width * fbp_source_bytes(source.type), 1)
        cdef size_t at_once = max(BYTES_OF_FIRST_VISIT // row_bytes, 1)
        cdef Scan scan = Scan(self.native, source, width, 0, 0, False)
        cdef int threads = self.scan_size(n_threads, n * row_bytes)
        cdef double began
        while scan.start < n and not scan.fault:
            scan.stop, began = min(scan.start + at_once, n), fbp_clock()
            with nogil:
                scan_team(&scan, threads)
            PyErr_CheckSignals()
            scan.start = scan.stop
            if fbp_clock() - began < SECONDS_BETWEEN_VISITS / 2:
                at_once *= 2
        return not scan.fault

    def predict(self, x, out, n_threads):
        cdef Workspace workspace = self.take_workspace()
        cdef Team team
        cdef Ports ports = native_inputs(x, self.native)
        cdef Data *data = &ports.data
        cdef Pass run = self.new_pass(data)
        cdef int threads = self.team_size(n_threads, data.n, 1)
        cdef size_t rows = self.rows_of_first_visit(threads), k
        cdef double began
        ports.point(each(out, self.native.n_outputs))
        data.unchecked, run.outputs = True, ports.outputs
        self.place_team(&team, workspace, threads, 0, False, self.rows_called(data.n))
        calls = self.new_calls(&team)
        while run.start < data.n and not team.fault:
            run.rows, began = min(rows, data.n - run.start), fbp_clock()
            with nogil:
                run_team(&team, &run, threads)
            PyErr_CheckSignals()
            run.start += run.rows
            for k in range(self.native.n_outputs):
                ports.outputs[k] += run.rows * self.output_bytes(k)
            if not self.native.calls and fbp_clock() - began < SECONDS_BETWEEN_VISITS / 2:
                rows *= 2
        self.workspaces.append(workspace)
        if team.fault == FAULT_CALL:
            raise calls.error
        return not team.fault

    def evaluate(self, data, metrics, n_threads):
        cdef Workspace workspace = self.take_workspace()
        cdef Team team
        cdef Evaluation e
        cdef Ports ports
        cdef Pass run
        is_whole = isinstance(data, Rows)
        cdef size_t n = data.n if is_whole else FBP_CHUNK
        cdef int threads = self.team_size(n_threads, min(n, FBP_CHUNK), 1)
        self.place_team(&team, workspace, threads, FBP_CHUNK, False, self.rows_called(n))
        calls = self.new_calls(&team)
        clear_scores(team.plan, team.scores)
        memset(&e, 0, sizeof(Evaluation))
        parts = []
        for rows in chunks(data):
            ports = native_data(rows, self.native)
            run = self.new_pass(&ports.data)
            self.ask_for_loss(&run, &team, metrics)
            if e.goes_on:
                run.penalties = NULL  # the first chunk has counted them
            outputs = self.keep_outputs(&run, ports, metrics)
            self.evaluate_rows(&team, &run, &e, threads)
            check_fault(team.fault, self.plan, calls)
            if outputs is not None:
                parts.append((outputs, self.targets_of(rows, is_whole)))
        values = self.results(metrics, &team, parts)
        self.workspaces.append(workspace)
        return values

    cdef int evaluate_rows(self, Team *team, Pass *run, Evaluation *e, int threads) except -1:
        """Add what all rows of a pass come to."""
        e.start, e.goes_on = 0, True
        while e.start < run.data.n:
            e.pause_at = fbp_clock() + SECONDS_BETWEEN_VISITS
            with nogil:
                evaluate_team(team, run, e, threads)
            PyErr_CheckSignals()
        return 0

    cdef tuple targets_of(self, object rows, bint stay):
        """The targets of each output; of a chunk, which the next one overwrites, copies."""
        targets = each(rows.y, self.native.n_outputs)
        return targets if stay else tuple([y.copy() for y in targets])

    def forward(self, x, training, n_threads):
        cdef Ports ports = native_inputs(x, self.native)
        cdef Workspace workspace = self.take_workspace()
        cdef size_t n = ports.data.n
        cdef Pass run = self.new_pass(&ports.data)
        cdef Team team
        cdef int threads = self.team_size(n_threads, n, PASSES_OF_TRAINING)
        out = self.new_outputs_of(n)
        ports.point(out)
        run.outputs = ports.outputs
        run.training, run.keeps = training, True
        self.place_team(&team, workspace, threads, n, True, n)
        calls = self.new_calls(&team)
        with nogil:
            run_team(&team, &run, threads)
        check_fault(team.fault, self.plan, calls)
        if self.kept is not None:
            self.workspaces.append(self.kept)
        self.kept, self.kept_team, self.kept_pass = workspace, team, run
        self.kept_threads = threads
        return alone(out)

    def backward(self, grad_output, accumulate, n_threads):
        cdef Team *team = &self.kept_team
        cdef Pass run = self.kept_pass
        cdef Data nothing
        cdef int threads = self.kept_threads
        cdef size_t t
        if self.kept is None:
            raise RuntimeError("backward: expected a forward pass before it, got none")
        memset(&nothing, 0, sizeof(Data))
        run.data, run.outputs, run.stages = &nothing, NULL, BACKWARD
        run.wants_deltas = run.wants_input_delta = True
        team.calls_end = False
        calls = self.new_calls(team)
        old = self.gradients.copy() if accumulate or self.native.calls else None
        deltas = each(grad_output, self.native.n_outputs)
        n = deltas[0].shape[0]
        found = self.new_arrays(n, self.plan.tensors[:self.native.n_inputs])
        for output, delta in zip(self.plan.outputs, deltas):
            memcpy(tensor(self.native, &team.frame, team.frame.deltas, output.tensor, 0),
                   address(delta), delta.nbytes)
        with nogil:
            run_team(team, &run, threads)
        if team.calls_end:
            team.fault = 0  # the forward pass is there for another try
            self.gradients[...] = old
            raise calls.error
        for t, gradient in enumerate(found):
            memcpy(address(gradient), tensor(self.native, &team.frame, team.frame.deltas, t, 0),
                   gradient.nbytes)
        if accumulate:
            self.gradients += old
        return alone(found)

    def loss_and_gradients(self, data, metrics, accumulate, n_threads):
        cdef Workspace workspace = self.take_workspace()
        cdef Team team
        cdef Ports ports = native_data(data, self.native)
        cdef Pass run = self.new_pass(&ports.data)
        cdef size_t n = ports.data.n
        cdef int threads = self.team_size(n_threads, n, PASSES_OF_TRAINING)
        old = None
        if accumulate or self.native.calls or ports.data.unchecked:
            old = self.gradients.copy()
        run.training = run.wants_deltas = True
        run.keeps = self.native.wide
        self.place_team(&team, workspace, threads, n, True, n if run.keeps else 0)
        calls = self.new_calls(&team)
        self.ask_for_loss(&run, &team, metrics)
        outputs = self.keep_outputs(&run, ports, metrics)
        fill_gradient_scales(&run, team.scratches[0].gradient_scales)
        with nogil:
            run_team(&team, &run, threads)
        if team.fault:
            self.gradients[...] = old
        check_fault(team.fault, self.plan, calls)
        take_scores(&run, team.scores)
        parts = [(outputs, self.targets_of(data, True))]
        values = self.results(metrics, &team, parts)
        self.workspaces.append(workspace)
        if accumulate:
            self.gradients += old
        return values

    def step(self):
        cdef Workspace workspace = self.take_workspace()
        cdef Team team
        cdef Worker worker = Worker(&team, 0, 1, 0)
        cdef uint64_t mode
        self.place_team(&team, workspace, 1, 0, False, 0)
        self.rule.constants[0] = rate_now(&self.rule, &self.counters, 1.0)
        with nogil:
            mode = fbp_flush_begin()
            update_share(&worker, team.memory.gradients, &self.rule, self.counters.steps + 1)
            project_share(&worker)
            fbp_flush_end(mode)
        self.workspaces.append(workspace)
        self.counters.steps += 1
        self.counters.batches += 1

    def fit(self, job, record):
        cdef Workspace workspace = self.take_workspace()
        cdef Training t
        cdef Recorder recorder = Recorder(
            job, record, self.plan, self.widths, self.metrics_of(job.metrics))
        cdef Feeding feeding = Feeding(job, recorder)
        cdef int threads
        _kept = self.schedule_numbers  # t points to them, whatever becomes of the optimizer
        memset(&t, 0, sizeof(Training))
        self.fill_training(&t, job)
        feeding.start(&t, self.native)
        threads = self.team_of_fit(&t, job)
        recorder.start(&t)
        self.place_training(&t, workspace, threads)
        if t.is_ordered:
            t.order = <int64_t *>address(job.order)
        calls = self.new_calls(&t.team)
        t.repeats = threads == 1 and repeats(&t)
        resume_epoch(&t)
        if t.counters.part.rows and t.outputs != NULL:
            self.predict(job.data.x, alone(tuple([y[0] for y in recorder.outputs])), job.n_threads)
        t.one_row_kernels = fbp_kernels_for_one_row(self.native.kernels)
        take_snapshot(&t)
        t.pause_at = fbp_clock() + SECONDS_BETWEEN_VISITS
        try:
            self.visit(recorder, &t)
            while t.outcome == RUNNING:
                self.train_slice(&t, 1 if job.n_threads is None and fbp_gives_way() else threads)
                drained = t.outcome == DRAINED
                if t.outcome not in (DIVERGED, FAULTED):
                    self.visit(recorder, &t)
                if drained and t.outcome == RUNNING and feeding.give(&t):
                    threads = self.team_of_fit(&t, job)
                    workspace = self.larger_workspace(&t, threads)
            if t.outcome == DIVERGED:
                restore_snapshot(&t)
            elif t.outcome == DONE:  # of an epoch that was stopped the rest is left out
                t.counters.part = Part(0, 0)
        finally:
            self.counters = t.counters
            recorder.finish(&t)
            self.workspaces.append(workspace)
        check_fault(t.team.fault, self.plan, calls)

    cdef void train_slice(self, Training *t, int threads):
        """Train until somebody is to look in, or the team finds its cores crowded."""
        memset(&t.team.barrier, 0, sizeof(fbp_barrier))
        with nogil:
            train_team(t, threads)
        if fbp_is_crowded(&t.team.barrier):
            fbp_give_way()

    cdef int visit(self, Recorder recorder, Training *t) except -1:
        """Let Python look at a training where it stands, which may change the optimizer."""
        cdef bint due = (t.outcome in (PAUSED, BATCH_ENDED, DRAINED)
                         and fbp_clock() >= t.pause_at)
        self.rule, self.counters = t.rule, t.counters
        PyErr_CheckSignals()
        try:
            recorder.visit(t, due)
        finally:  # a callback that fails may have set a learning rate before
            t.rule, t.counters = self.rule, self.counters
        t.repeats = t.repeats and repeats(t)
        if due:
            t.pause_at = fbp_clock() + SECONDS_BETWEEN_VISITS
        return 0

    cdef int team_of_fit(self, const Training *t, object job) except -1:
        return self.most_threads(
            job.n_threads, t.batch_size, PASSES_OF_TRAINING, FLOPS_PER_THREAD_OF_FIT)

    cdef Workspace larger_workspace(self, Training *t, size_t threads):
        """Memory for larger batches or chunks, with the snapshot of before."""
        cdef Workspace workspace = Workspace()
        cdef const char *snapshot = t.snapshot.memory
        self.place_training(t, workspace, threads)
        memcpy(t.snapshot.memory, snapshot, snapshot_bytes(t))
        return workspace

    # What the methods above share.

    cdef size_t output_bytes(self, size_t output) noexcept:
        """Bytes of a row of an output."""
        return self.native.sizes[self.native.outputs[output].tensor] * self.native.itemsize

    cdef tuple new_outputs_of(self, size_t n):
        """Arrays for the outputs of n rows."""
        return self.new_arrays(n, self.widths)

    cdef tuple new_arrays(self, size_t n, tuple widths):
        """Arrays of n rows. Not a comprehension: Cython's crash where memory lacks for a list."""
        cdef tuple found = ()
        for width in widths:
            found += (np.empty((n, width), self.dtype),)
        return found

    cdef tuple keep_outputs(self, Pass *run, Ports ports, tuple metrics):
        """Return where the outputs of all rows will stand, if a metric is computed from them."""
        if all([m.metric.of_rows for m in self.metrics_of(metrics)]):
            return None
        outputs = self.new_outputs_of(run.data.n)
        ports.point(outputs)
        run.outputs, run.outputs_by_row = ports.outputs, True
        return outputs

    cdef dict results(self, tuple metrics, const Team *team, list parts):
        """Losses and metrics of rows that have been scored; outputs and targets come in parts."""
        cdef size_t k
        cdef double loss, total = 0.0
        values = {"loss": total}
        for k in range(self.native.n_losses):
            loss = mean_loss(&self.native.outputs[k], team.scores[k])
            total += self.native.outputs[k].weight * loss
            if k < self.native.n_outputs:
                values[self.loss_names[k]] = loss
        values["loss"] = total
        for name, k, metric in self.metrics_of(metrics):
            if metric.of_rows:
                values[name] = per_row(team.scores[k].right, team.scores[k].measured)
            else:
                values[name] = measure(metric, self.plan.outputs[k].loss, *answers(parts, k))
        return values

    cdef size_t rows_of_first_visit(self, size_t threads) noexcept:
        """Rows of a prediction that are done in some milliseconds, at least a block a thread; or
        those that functions are called with."""
        cdef double work = self.program.flops_forward + 10.0 * <double>self.native.row_elements
        if self.native.calls:
            return FBP_CHUNK
        return max(threads * self.native.row_block, <size_t>(FLOPS_OF_FIRST_VISIT / work))

    cdef int team_size(self, object n_threads, size_t rows, double passes) except -1:
        """Threads for a single call with a batch; one while others want the cores."""
        cdef int threads = self.most_threads(n_threads, rows, passes, FLOPS_PER_THREAD)
        return 1 if threads > 1 and n_threads is None and fbp_gives_way() else threads

    cdef int most_threads(self, object n_threads, size_t rows, double passes,
                          double flops_per_thread) except -1:
        """Threads for a batch: as asked for, or as many as have enough to do; none without rows."""
        cdef size_t slots = fbp_slots(rows, 0) if passes > 1 and not self.native.wide else rows
        if n_threads is not None:
            return min(<size_t>min(n_threads, MOST_THREADS), max(slots, 1))
        cdef double worth = self.flops_per_row(passes) * <double>rows / flops_per_thread
        if worth < 2.0:
            return 1
        return <int>min(<double>fbp_useful_threads(), min(worth, <double>slots))

    cdef int scan_size(self, object n_threads, size_t size) except -1:
        """Threads for a look at `size` bytes: as many as have enough to do."""
        cdef int most
        if size < 2 * BYTES_PER_THREAD:
            return 1
        most = fbp_useful_threads() if n_threads is None else min(n_threads, MOST_THREADS)
        return <int>max(1, min(<size_t>most, size // BYTES_PER_THREAD))


choose_isa()
if not fbp_install_fork_handler():
    raise MemoryError("no memory for a fork handler")
