"""What an engine holds between calls, and what each call is made ready with."""
from cython cimport critical_section
from libc.math cimport INFINITY
from libc.string cimport memset

import sys

import numpy as np

from fastbp._core.batch cimport Team
from fastbp._core.epochs cimport Counters, Part, Training, rate_now
from fastbp._core.layout cimport fbp_aligned
from fastbp._core.native cimport address, native_data, native_rule
from fastbp._core.program cimport Program
from fastbp._core.rows cimport Data, Pass
from fastbp._core.schedule cimport native_schedule, schedule_numbers
from fastbp._core.update cimport Memory, Rule
from fastbp._core.workspace cimport (
    Claim,
    Workspace,
    claim_team,
    claim_training,
)

from fastbp.arena import aligned_zeros
from fastbp.engine import EpochPart, Position

# Sizes in bytes must fit a signed pointer difference.
cdef double MOST_BYTES = sys.maxsize


cdef object spans(size_t count, size_t n, object dtype):
    """Vectors of n zeros in one block, shape (count, n), each on a cache line and padded."""
    itemsize = np.dtype(dtype).itemsize
    stride = fbp_aligned(n * itemsize) // itemsize
    return aligned_zeros(count * stride, dtype).reshape(count, stride)[:, :n]


cdef class EngineState:
    """The arena, the optimizer, where training stands, and free workspaces."""

    cdef int start(self, Program program, object seed) except -1:
        """Take a plan, with parameters of zero."""
        plan = program.source
        self.dtype = np.dtype(plan.dtype)
        self.flat = len(plan.input_shape) == len(plan.output_shape) == 1
        self.plan, self.program, self.native = plan, program, &program.plan
        self.parameters, self.gradients = spans(2, plan.n_parameters, self.dtype)
        self.memory.parameters = address(self.parameters)
        self.memory.gradients = address(self.gradients)
        self.workspaces = []
        self.seed = seed
        return 0

    @property
    def position(self):
        cdef const Part *part = &self.counters.part
        return Position(self.counters.steps, self.counters.batches, self.counters.epochs,
                        self.counters.schedule_steps, self.counters.schedule_epochs,
                        EpochPart(part.rows, part.of_rows, part.measured, part.loss_sum,
                                  part.right_sum) if part.rows else EpochPart())

    @position.setter
    def position(self, position):
        rows, of_rows, measured, loss_sum, right_sum = position.part
        self.counters = Counters(position.steps, position.batches, position.epochs,
                                 position.schedule_steps, position.schedule_epochs,
                                 Part(rows, of_rows, measured, loss_sum, right_sum))

    @property
    def optimizer(self):
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer):
        cdef Rule rule = native_rule(optimizer)
        cdef Memory memory = self.memory
        cdef Counters counters = self.counters
        numbers = schedule_numbers(optimizer.learning_rate)
        rule.schedule = native_schedule(
            optimizer.learning_rate, <const double *>address(numbers), len(numbers))
        state = self.state
        if not optimizer.remembers_as(self._optimizer):
            state = spans(optimizer.n_states, self.plan.n_parameters, self.plan.dtype)
            state[:] = np.reshape(optimizer.initial_state, (-1, 1))
            counters.steps = 0
            for i in range(rule.n_states):
                memory.states[i] = address(state[i])
        if optimizer.starts_schedule(self._optimizer):
            counters.schedule_steps, counters.schedule_epochs = counters.steps, counters.epochs
        self._optimizer, self.rule, self.schedule_numbers = optimizer, rule, numbers
        self.state, self.memory, self.counters = state, memory, counters

    @property
    def learning_rate(self):
        return rate_now(&self.rule, &self.counters, 1.0)

    cdef Workspace take_workspace(self):
        with critical_section(self.workspaces):
            if self.workspaces:
                return self.workspaces.pop()
        return Workspace()

    cdef Pass new_pass(self, const Data *data) except *:
        cdef Pass run
        memset(&run, 0, sizeof(Pass))
        run.plan = self.native
        run.parameters = self.memory.parameters
        run.data, run.rows = data, data.n
        run.seed, run.batch = self.seed, self.counters.batches
        return run

    cdef int ask_for_loss(self, Pass *run, const Team *team, tuple metrics) except -1:
        run.wants_loss, run.wants_accuracy = True, any([m.of_rows for m in metrics])
        run.row_losses, run.row_rights = team.row_losses, team.row_rights
        return 0

    cdef void fill_team(self, Team *team) noexcept:
        memset(team, 0, sizeof(Team))
        team.plan, team.memory = self.native, self.memory

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

    cdef int check_size(self, double threads, double rows, double kept_rows) except -1:
        """Refuse a batch whose activations overflow the address space; doubles don't."""
        cdef double per_row = 2.0 * self.native.row_elements * self.native.itemsize
        if per_row * (kept_rows + threads * self.native.row_block) + 16 * rows > MOST_BYTES:
            raise ValueError(
                f"batch_size: expected activations within this machine's address space, got "
                f"{rows:.0f} rows of {per_row:.0f} bytes")
        return 0

    cdef int fill_training(self, Training *t, object job) except -1:
        self.fill_team(&t.team)
        t.rule, t.seed = self.rule, self.seed
        t.data = native_data(job.data, self.native)
        t.validates = job.validation is not None
        t.validation_freq = min(job.validation_freq, sys.maxsize)
        t.visits_batches = job.on_batch_end is not None
        t.visits_epochs = (job.on_epoch_begin is not None or job.on_epoch_end is not None
                           or not all([m.of_rows for m in job.metrics]))
        if t.validates:
            t.validation = native_data(job.validation, self.native)
        t.shuffles, t.wants_accuracy = job.shuffle, any([m.of_rows for m in job.metrics])
        t.epochs, t.batch_size = min(job.epochs, sys.maxsize), min(job.batch_size, t.data.n)
        t.update_rows = min(job.batch_size * job.accumulate, t.data.n)
        t.stop_at_loss = -INFINITY if job.stop_at_loss is None else job.stop_at_loss
        t.counters = self.counters
        t.check_every = t.until_check = 1
        return 0
