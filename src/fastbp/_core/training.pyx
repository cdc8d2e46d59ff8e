"""The compiled engine: `fastbp.engine.EngineProtocol` over the loops of its sister modules.

The only place that opens a parallel region. Nothing in here depends on the element type: the plan's
kernel table does.
"""
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals
from cython.parallel cimport parallel
from libc.math cimport INFINITY
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

import os
import sys

import numpy as np

from fastbp._core.batch cimport (
    Score,
    Team,
    Worker,
    evaluate_share,
    form_gradients,
    gradient_scale,
    mean_loss,
    run_share,
    score_of,
    sync,
)
from fastbp._core.epochs cimport (
    DIVERGED,
    PAUSED,
    RUNNING,
    Counters,
    Training,
    restore_snapshot,
    take_snapshot,
    train,
)
from fastbp._core.layout cimport (
    FBP_CHUNK,
    fbp_aligned,
    fbp_build_compiler,
    fbp_build_switches,
    fbp_choose_isa,
    fbp_clock,
    fbp_find_source,
    fbp_flush_begin,
    fbp_flush_end,
    fbp_has_openmp,
    fbp_install_fork_handler,
    fbp_isa_available,
    fbp_isa_name,
    fbp_kernels_for,
    fbp_n_isas,
    fbp_plan,
    fbp_slots,
    fbp_source,
    fbp_team_rank,
    fbp_team_size,
    fbp_useful_threads,
    tensor,
)
from fastbp._core.native cimport address, native_data, native_inputs, native_rule
from fastbp._core.program cimport Program, build
from fastbp._core.recording cimport Recorder
from fastbp._core.rows cimport FAULT_X, Data, Pass, Scratch, run_rows
from fastbp._core.update cimport MOST_CONSTANTS, Rule, step_constants, update_span
from fastbp._core.workspace cimport Claim, Workspace, claim_scratch, claim_team, claim_training

from fastbp.arena import aligned_zeros
from fastbp.engine import Position

# A further thread must have so many operations a batch to be worth its barriers.
cdef double FLOPS_PER_THREAD = 400e3
# Forward, weight gradient and input gradient take about the same.
cdef double PASSES_OF_TRAINING = 3.0
cdef double SECONDS_BETWEEN_VISITS = 0.05
# Sizes in bytes must fit a signed pointer difference.
MOST_BYTES = sys.maxsize


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


# Parallel regions. The body of each is one call; a team of one needs no region.

cdef void run_member(Team *team, Pass run, int rank, int size) noexcept nogil:
    cdef uint64_t mode = fbp_flush_begin()
    cdef Worker worker = Worker(team, rank, size)
    run_share(&worker, &run)
    if run.wants_deltas:
        sync(&worker)
        form_gradients(&worker, &run, NULL, 0)
    fbp_flush_end(mode)


cdef void evaluate_member(Team *team, Pass run, Score *score, int rank, int size) noexcept nogil:
    cdef uint64_t mode = fbp_flush_begin()
    cdef Worker worker = Worker(team, rank, size)
    cdef Score total = evaluate_share(&worker, run)
    if rank == 0:
        score[0] = total
    fbp_flush_end(mode)


cdef void train_member(Training *t, int rank, int size) noexcept nogil:
    cdef uint64_t mode = fbp_flush_begin()
    cdef Worker worker = Worker(&t.team, rank, size)
    train(t, &worker)
    fbp_flush_end(mode)


cdef void run_team(Team *team, Pass *run, int n_threads) noexcept nogil:
    if n_threads == 1:
        run_member(team, run[0], 0, 1)
    else:
        with parallel(num_threads=n_threads):
            run_member(team, run[0], fbp_team_rank(), fbp_team_size())


cdef void evaluate_team(Team *team, Pass *run, Score *score, int n_threads) noexcept nogil:
    if n_threads == 1:
        evaluate_member(team, run[0], score, 0, 1)
    else:
        with parallel(num_threads=n_threads):
            evaluate_member(team, run[0], score, fbp_team_rank(), fbp_team_size())


cdef void train_team(Training *t, int n_threads) noexcept nogil:
    if n_threads == 1:
        train_member(t, 0, 1)
    else:
        with parallel(num_threads=n_threads):
            train_member(t, fbp_team_rank(), fbp_team_size())


cdef object spans(size_t count, size_t n, object dtype):
    """Vectors of n zeros in one block, shape (count, n), each on a cache line and padded."""
    itemsize = np.dtype(dtype).itemsize
    stride = fbp_aligned(n * itemsize) // itemsize
    return aligned_zeros(count * stride, dtype).reshape(count, stride)[:, :n]


cdef int check_fault(int fault, object dtype) except -1:
    if fault:
        raise ValueError(
            f"{'x' if fault == FAULT_X else 'y'}: expected finite numbers in the range of {dtype}, "
            f"got NaN, infinity or a larger number in the rows of a batch")
    return 0


cdef dict results(tuple metrics, double loss, double right):
    return {"loss": loss, **{metric.name: right for metric in metrics}}


cdef class Engine:
    """Runs one plan in compiled code. See `fastbp.engine.EngineProtocol`."""

    cdef Program program
    cdef fbp_plan *native
    cdef Rule rule
    cdef char *parameters_at
    cdef fbp_source own_type   # of the plan's dtype
    cdef bint flat             # rows of input and output are vectors
    cdef object dtype
    cdef list workspaces       # free ones; a call takes one, or makes one
    cdef Workspace kept        # of the last forward pass, which it holds
    cdef Team kept_team
    cdef Pass kept_pass
    cdef int kept_threads
    cdef object _optimizer
    cdef readonly object plan
    cdef readonly object parameters
    cdef readonly object gradients
    cdef readonly object state
    cdef public object seed
    cdef public object position

    def __init__(self, plan, optimizer, seed):
        self.dtype = dtype = np.dtype(plan.dtype)
        self.own_type = <fbp_source>fbp_find_source(plan.dtype.encode())
        self.flat = len(plan.input_shape) == len(plan.output_shape) == 1
        self.plan = plan
        self.program = build(plan, fbp_kernels_for(dtype.itemsize))
        self.native = &self.program.plan
        self.parameters, self.gradients = spans(2, plan.n_parameters, dtype)
        self.parameters_at = address(self.parameters)
        self.workspaces = []
        self.seed = seed
        self.position = Position()
        self.optimizer = optimizer

    @property
    def optimizer(self):
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer):
        cdef Rule rule = native_rule(optimizer)
        if (type(self._optimizer) is not type(optimizer)
                or self._optimizer.n_states != optimizer.n_states):
            self.state = spans(optimizer.n_states, self.plan.n_parameters, self.plan.dtype)
            self.position = Position(0, self.position.batches, self.position.epochs)
        self._optimizer, self.rule = optimizer, rule

    def predict(self, x, out, n_threads):
        cdef Workspace workspace = self.take_workspace()
        cdef Team team
        cdef Data data = native_inputs(x)
        cdef Pass run = self.new_pass(&data)
        cdef int threads = self.team_size(n_threads, data.n, 1)
        run.outputs = address(out)
        self.place_team(&team, workspace, threads, 0, False, 0)
        with nogil:
            run_team(&team, &run, threads)
        self.workspaces.append(workspace)

    def call(self, x):
        """Return the outputs of one row or a block of rows, or None if `x` needs another way.

        What passes is an array of the plan's dtype, C-contiguous, aligned and finite, of shape
        (inputs,) or (n, inputs): the least that can be between a caller and the kernels.
        """
        cdef Py_buffer view
        cdef Data data
        cdef size_t rows
        cdef bint one_row
        if type(x) is not np.ndarray:
            return None
        try:
            PyObject_GetBuffer(x, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        except (BufferError, ValueError):
            return None
        try:
            if not self.takes(&view):
                return None
            one_row = view.ndim == 1
            rows = 1 if one_row else view.shape[0]
            memset(&data, 0, sizeof(Data))
            data.n, data.x.data, data.x.type = rows, <const char *>view.buf, self.own_type
            data.x.stride = self.native.sizes[0] * self.native.itemsize
            width = self.native.sizes[self.native.output]
            if one_row:
                out = np.empty(width, self.dtype)
            else:
                out = np.empty((rows, width), self.dtype)
            self.run_block(&data, address(out))
            return out
        finally:
            PyBuffer_Release(&view)

    def evaluate(self, data, metrics, n_threads):
        cdef Workspace workspace = self.take_workspace()
        cdef Team team
        cdef Data native = native_data(data, self.native)
        cdef Pass run = self.new_pass(&native)
        cdef Score score
        cdef int threads = self.team_size(n_threads, min(native.n, FBP_CHUNK), 1)
        self.place_team(&team, workspace, threads, FBP_CHUNK, False, 0)
        self.ask_for_loss(&run, &team, metrics)
        with nogil:
            evaluate_team(&team, &run, &score, threads)
        self.workspaces.append(workspace)
        check_fault(team.fault, self.plan.dtype)
        return results(metrics, mean_loss(self.native, score), score.right / <double>native.n)

    def forward(self, x, training, n_threads):
        cdef Data data = native_inputs(x)
        cdef Workspace workspace = self.take_workspace()
        cdef Pass run = self.new_pass(&data)
        cdef Team team
        cdef int threads = self.team_size(n_threads, data.n, PASSES_OF_TRAINING)
        out = np.empty((len(x), self.plan.tensors[self.plan.output]), self.plan.dtype)
        run.outputs = address(out)
        run.training, run.keeps = training, True
        self.place_team(&team, workspace, threads, data.n, True, data.n)
        with nogil:
            run_team(&team, &run, threads)
        if self.kept is not None:
            self.workspaces.append(self.kept)
        self.kept, self.kept_team, self.kept_pass = workspace, team, run
        self.kept_threads = threads
        return out

    def backward(self, grad_output, accumulate, n_threads):
        cdef Team *team = &self.kept_team
        cdef Pass run = self.kept_pass
        cdef Data nothing
        cdef int threads = self.kept_threads
        if self.kept is None:
            raise RuntimeError("backward: expected a forward pass before it, got none")
        memset(&nothing, 0, sizeof(Data))
        run.data, run.outputs = &nothing, NULL
        run.skips_forward = run.wants_deltas = run.wants_input_delta = True
        old = self.gradients.copy() if accumulate else None
        grad_input = np.empty((len(grad_output), self.plan.tensors[0]), self.plan.dtype)
        memcpy(tensor(self.native, &team.frame, team.frame.deltas, self.native.output, 0),
               address(grad_output), grad_output.nbytes)
        with nogil:
            run_team(team, &run, threads)
        memcpy(address(grad_input), tensor(self.native, &team.frame, team.frame.deltas, 0, 0),
               grad_input.nbytes)
        if accumulate:
            self.gradients += old
        return grad_input

    def loss_and_gradients(self, data, metrics, accumulate, n_threads):
        cdef Workspace workspace = self.take_workspace()
        cdef Team team
        cdef Data native = native_data(data, self.native)
        cdef Pass run = self.new_pass(&native)
        cdef Score score
        cdef int threads = self.team_size(n_threads, native.n, PASSES_OF_TRAINING)
        old = self.gradients.copy() if accumulate else None
        run.training = run.wants_deltas = True
        run.keeps = self.native.wide
        self.place_team(&team, workspace, threads, native.n, True, native.n if run.keeps else 0)
        self.ask_for_loss(&run, &team, metrics)
        run.scale = gradient_scale(&run)
        with nogil:
            run_team(&team, &run, threads)
        score = score_of(&run)
        self.workspaces.append(workspace)
        check_fault(team.fault, self.plan.dtype)
        if accumulate:
            self.gradients += old
        return results(metrics, mean_loss(self.native, score), score.right / <double>native.n)

    def step(self):
        cdef Team team
        cdef double constants[MOST_CONSTANTS]
        cdef uint64_t mode
        self.fill_team(&team)
        position = self.position
        step_constants(&self.rule, position.steps + 1, constants)
        with nogil:
            mode = fbp_flush_begin()
            update_span(self.native, &self.rule, constants, &team.memory, 0,
                        self.native.n_parameters)
            fbp_flush_end(mode)
        self.position = Position(position.steps + 1, position.batches + 1, position.epochs)

    def fit(self, job, record):
        cdef Workspace workspace = self.take_workspace()
        cdef Training t
        cdef Recorder recorder
        cdef int threads
        memset(&t, 0, sizeof(Training))
        self.fill_training(&t, job)
        threads = self.team_size(job.n_threads, t.batch_size, PASSES_OF_TRAINING)
        recorder = Recorder(job, record)
        recorder.start(&t, self.plan.dtype, self.native.sizes[self.native.output])
        self.place_training(&t, workspace, threads)
        take_snapshot(&t)
        try:
            while t.outcome == RUNNING:
                t.pause_at = fbp_clock() + SECONDS_BETWEEN_VISITS
                with nogil:
                    train_team(&t, threads)
                recorder.drain(&t)
                if t.outcome == PAUSED:
                    t.outcome = RUNNING
                    PyErr_CheckSignals()
                    if job.on_progress is not None:
                        job.on_progress(recorder.progress(&t))
            if t.outcome == DIVERGED:
                restore_snapshot(&t)
        finally:
            recorder.finish(&t)
            self.position = Position(t.counters.steps, t.counters.batches, t.counters.epochs)
            self.workspaces.append(workspace)
        check_fault(t.team.fault, self.plan.dtype)

    # What the methods above share.

    cdef bint takes(self, const Py_buffer *view) noexcept:
        """Whether `call` may read this buffer as rows of the plan's input."""
        cdef size_t itemsize = self.native.itemsize, inputs = self.native.sizes[0]
        cdef char *kind = view.format
        if (not self.flat or <size_t>view.itemsize != itemsize or kind == NULL or kind[1] != 0
                or kind[0] != (c'f' if itemsize == 4 else c'd')
                or <size_t>view.buf % itemsize != 0):
            return False
        if view.ndim == 1:
            if <size_t>view.shape[0] != inputs:
                return False
        elif (view.ndim != 2 or <size_t>view.shape[1] != inputs or view.shape[0] == 0
                or <size_t>view.shape[0] > self.native.row_block):
            return False
        return self.native.kernels.all_finite(<size_t>view.len // itemsize, view.buf)

    cdef int run_block(self, const Data *data, char *out) except -1:
        """Predict up to a block of rows on this thread."""
        cdef Workspace workspace = self.take_workspace()
        cdef Claim walk = Claim(NULL, 0)
        cdef Scratch scratch
        cdef Pass run = self.new_pass(data)
        cdef uint64_t mode
        run.outputs = out
        claim_scratch(&walk, self.native, &scratch, False)
        walk = Claim(workspace.reserve(walk.used), 0)
        claim_scratch(&walk, self.native, &scratch, False)
        with nogil:
            mode = fbp_flush_begin()
            run_rows(&run, &scratch, &scratch.frame, NULL, 0, data.n)
            fbp_flush_end(mode)
        self.workspaces.append(workspace)
        return 0

    cdef Workspace take_workspace(self):
        try:
            return self.workspaces.pop()
        except IndexError:
            return Workspace()

    cdef int team_size(self, object n_threads, size_t rows, double passes) except -1:
        """Threads for a batch: as asked for, or as many as have enough to do; none without rows."""
        cdef size_t slots = fbp_slots(rows, 0) if passes > 1 and not self.native.wide else rows
        if n_threads is not None:
            return min(<size_t>n_threads, max(slots, 1))
        cdef double worth = self.program.flops_forward * passes * <double>rows / FLOPS_PER_THREAD
        if worth < 2.0:
            return 1
        return <int>min(<double>fbp_useful_threads(), min(worth, <double>slots))

    cdef Pass new_pass(self, const Data *data) except *:
        cdef Pass run
        memset(&run, 0, sizeof(Pass))
        run.plan = self.native
        run.parameters = self.parameters_at
        run.data, run.rows = data, data.n
        run.seed, run.batch = self.seed, self.position.batches
        return run

    cdef int ask_for_loss(self, Pass *run, const Team *team, tuple metrics) except -1:
        run.wants_loss, run.wants_accuracy = True, len(metrics) > 0
        run.row_losses, run.row_rights = team.row_losses, team.row_rights
        return 0

    cdef int fill_team(self, Team *team) except -1:
        cdef size_t s
        memset(team, 0, sizeof(Team))
        team.plan = self.native
        team.memory.parameters = self.parameters_at
        team.memory.gradients = address(self.gradients)
        for s in range(self.rule.n_states):
            team.memory.states[s] = address(self.state[s])
        return 0

    cdef int place_team(self, Team *team, Workspace workspace, size_t threads, size_t rows,
                        bint gradients, size_t kept_rows) except -1:
        cdef Claim walk = Claim(NULL, 0)
        self.check_size(threads, rows, kept_rows)
        self.fill_team(team)
        claim_team(&walk, team, threads, rows, gradients, kept_rows)
        walk = Claim(workspace.reserve(walk.used), 0)
        claim_team(&walk, team, threads, rows, gradients, kept_rows)
        return 0

    cdef int place_training(self, Training *t, Workspace workspace, size_t threads) except -1:
        cdef Claim walk = Claim(NULL, 0)
        self.check_size(threads, t.batch_size, t.batch_size if self.native.wide else 0)
        claim_training(&walk, t, threads)
        walk = Claim(workspace.reserve(walk.used), 0)
        claim_training(&walk, t, threads)
        return 0

    cdef int check_size(self, object threads, object rows, object kept_rows) except -1:
        """Refuse a batch whose activations overflow the address space; Python's ints don't."""
        per_row = 2 * self.native.row_elements * self.native.itemsize
        if per_row * (kept_rows + threads * self.native.row_block) + 16 * rows > MOST_BYTES:
            raise ValueError(
                f"batch_size: expected activations within this machine's address space, got {rows} "
                f"rows of {per_row} bytes")
        return 0

    cdef int fill_training(self, Training *t, object job) except -1:
        self.fill_team(&t.team)
        position = self.position
        t.rule, t.seed = self.rule, self.seed
        t.data = native_data(job.data, self.native)
        t.validates = job.validation is not None
        if t.validates:
            t.validation = native_data(job.validation, self.native)
        t.shuffles, t.wants_accuracy = job.shuffle, len(job.metrics) > 0
        t.epochs, t.batch_size = job.epochs, min(job.batch_size, t.data.n)
        t.stop_at_loss = -INFINITY if job.stop_at_loss is None else job.stop_at_loss
        t.counters = Counters(position.steps, position.batches, position.epochs)
        t.check_every = t.until_check = 1
        return 0


choose_isa()
if not fbp_install_fork_handler():
    raise MemoryError("no memory for a fork handler")
