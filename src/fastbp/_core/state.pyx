"""What an engine holds between calls, and what each call is made ready with."""
from cython cimport critical_section
from libc.math cimport INFINITY
from libc.string cimport memset

import sys

import numpy as np

from fastbp._core.calls cimport Calls
from fastbp._core.epochs cimport Counters, Part, Sums, Training, rate_now
from fastbp._core.layout cimport FBP_CHUNK, fbp_aligned
from fastbp._core.native cimport address, native_rule
from fastbp._core.program cimport Program
from fastbp._core.rows cimport BACKWARD, FORWARD, TARGETS, Data, Pass
from fastbp._core.schedule cimport native_schedule, schedule_numbers
from fastbp._core.team cimport Team
from fastbp._core.update cimport Memory, Rule
from fastbp._core.workspace cimport (
    Claim,
    Workspace,
    claim_team,
    claim_training,
)

from fastbp.arena import aligned_zeros
from fastbp.engine import EpochPart, Position, alone, each, measured

# Sizes in bytes must fit a signed pointer difference.
cdef double MOST_BYTES = sys.maxsize
cdef object NO_PART = EpochPart()
# What a row costs beside its products: to be gathered, activated and met with its target; and where
# rows are in the lanes from end to end.
cdef double FLOPS_PER_ROW = 2000.0
cdef double FLOPS_PER_ROW_IN_LANES = 600.0


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
        shapes = *plan.inputs, *[output.shape for output in plan.outputs]
        self.flat = len(shapes) == 2 and len(shapes[0]) == len(shapes[1]) == 1
        self.plan, self.program, self.native = plan, program, &program.plan
        self.parameters, self.gradients = spans(2, plan.n_parameters, self.dtype)
        self.memory.parameters = address(self.parameters)
        self.memory.gradients = address(self.gradients)
        self.sums_memory = np.zeros(self.native.n_losses * sizeof(Sums), np.uint8)
        self.sums = <Sums *>address(self.sums_memory)
        self.workspaces = []
        self.widths = tuple([plan.tensors[output.tensor] for output in plan.outputs])
        self.loss_names = [prefix + "loss" for prefix in plan.prefixes]
        self.known_metrics = (), ()
        self.seed = seed
        return 0

    @property
    def position(self):
        return Position(self.counters.steps, self.counters.batches, self.counters.epochs,
                        self.counters.schedule_steps, self.counters.schedule_epochs,
                        self.epoch_part())

    @position.setter
    def position(self, position):
        part = position.part
        cdef Counters counters = Counters(
            position.steps, position.batches, position.epochs, position.schedule_steps,
            position.schedule_epochs, Part(part.rows, part.of_rows))
        if part.rows:
            self.take_sums(part)
        self.counters = counters

    cdef object epoch_part(self):
        """What has been done of an epoch that is not over."""
        cdef const Part *part = &self.counters.part
        cdef size_t k, n = self.native.n_losses
        if part.rows == 0 or part.of_rows == 0:
            return NO_PART
        return EpochPart(
            part.rows, part.of_rows,
            alone(tuple([self.sums[k].measured for k in range(n)])),
            alone(tuple([self.sums[k].loss for k in range(n)])),
            alone(tuple([self.sums[k].right for k in range(n)])))

    cdef int take_sums(self, object part) except -1:
        cdef size_t k, n = self.native.n_losses
        of_losses = zip(each(part.loss_sum, n), each(part.right_sum, n), each(part.measured, n))
        for k, (loss, right, measured) in enumerate(list(of_losses)):
            self.sums[k] = Sums(loss, right, measured)
        return 0

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
        run.stages, run.stop_op = FORWARD | TARGETS | BACKWARD, self.native.n_ops
        run.seed, run.batch = self.seed, self.counters.batches
        return run

    cdef double flops_per_row(self, double passes) noexcept:
        """What a row costs that goes through the plan so many times."""
        cdef bint in_lanes = self.native.n_ops > 0 and self.native.ops[0].run == self.native.n_ops
        cdef double beside = FLOPS_PER_ROW_IN_LANES if in_lanes else FLOPS_PER_ROW
        return self.program.flops_forward * passes + beside

    cdef size_t rows_called(self, size_t n) noexcept:
        """How many of n rows Python functions are called with, if the plan has some."""
        return min(n, FBP_CHUNK) if self.native.calls else 0

    cdef Calls new_calls(self, Team *team):
        """What the plan's functions are called with, to be kept until the team has ended."""
        cdef Calls calls
        if not self.native.calls:
            return None
        calls = Calls(self.plan, self.parameters, self.gradients)
        team.calls = <void *>calls
        return calls

    cdef int ask_for_loss(self, Pass *run, const Team *team, tuple metrics) except -1:
        run.wants_loss = True
        run.wants_accuracy = any([m.metric.of_rows for m in self.metrics_of(metrics)])
        run.row_losses, run.row_rights = team.row_losses, team.row_rights
        run.penalties = team.penalties
        return 0

    cdef tuple metrics_of(self, tuple metrics):
        """The metrics of all outputs, with their names; they are mostly those of the last call."""
        known = self.known_metrics
        if known[0] is not metrics:
            known = self.known_metrics = metrics, measured(self.plan.prefixes, metrics)
        return known[1]

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
        self.check_size(
            threads, t.batch_size, t.batch_size if self.native.wide or t.watch.due else 0)
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
        of_rows = [m.metric.of_rows for m in self.metrics_of(job.metrics)]
        self.fill_team(&t.team)
        t.rule, t.seed = self.rule, self.seed
        t.validation_freq = min(job.validation_freq, sys.maxsize)
        t.visits_batches = job.on_batch_end is not None
        t.visits_epochs = (job.on_epoch_begin is not None or job.on_epoch_end is not None
                           or not all(of_rows))
        t.is_ordered = job.order is not None
        t.shuffles, t.wants_accuracy = job.shuffle and not t.is_ordered, any(of_rows)
        t.epochs = min(job.epochs, sys.maxsize)
        t.stop_at_loss = -INFINITY if job.stop_at_loss is None else job.stop_at_loss
        t.counters, t.sums = self.counters, self.sums
        t.check_every = t.until_check = 1
        return 0
