"""Operations and losses that are Python functions, called on a batch in the team's frame.

`fastbp.calls` has what is called. It gets copies: a workspace doesn't stay where it is, but a
function may keep what it was given. Parameters, which never move, it sees where they stand.
"""
from libc.string cimport memcpy

import numpy as np

from fastbp._core.layout cimport FBP_PADDING, fbp_edge, fbp_frame, fbp_output, tensor
from fastbp._core.native cimport address
from fastbp._core.rows cimport FAULT_CALL, fill_scales, gather_targets, row_weight

from fastbp import calls

cdef object empty = np.empty


cdef char *rows_at(const Pass *run, const fbp_frame *frame, const char *base, size_t t) noexcept:
    return tensor(run.plan, frame, <char *>base, t, 0)


cdef dict parts(object plan, object flat):
    """Each custom operation's parts of a flat vector, by its place."""
    return {
        i: [flat[p.start:p.stop].reshape(p.shape) for p in op.own]
        for i, op in enumerate(plan.ops) if op.calls is not None
    }


cdef class Calls:
    """What the functions of a plan are called with, during one call of the engine."""

    def __init__(self, plan, parameters, gradients):
        self.plan, self.dtype, self.error = plan, np.dtype(plan.dtype), None
        self.parameters, self.gradients = parts(plan, parameters), parts(plan, gradients)

    cdef object rows_of(self, const Pass *run, const char *rows, size_t t):
        """A copy of a tensor's rows, shape (rows, elements)."""
        copy = empty((run.rows, run.plan.sizes[t]), self.dtype)
        memcpy(address(copy), rows, copy.nbytes)
        return copy

    cdef tuple inputs_of(self, const Team *team, const Pass *run, size_t i):
        """Copies of the rows of each tensor that an operation reads."""
        cdef const fbp_frame *frame = &team.frame
        return tuple([
            self.rows_of(run, rows_at(run, frame, frame.values, edge.tensor), edge.tensor)
            for edge in self.plan.ops[i].inputs])

    cdef int forward(self, const Team *team, const Pass *run, size_t i) except -1:
        cdef const fbp_frame *frame = &team.frame
        cdef size_t y = run.plan.ops[i].output
        values = self.inputs_of(team, run, i)
        answer = self.plan.ops[i].calls.forward(values, self.parameters[i])
        memcpy(rows_at(run, frame, frame.values, y), address(answer), answer.nbytes)
        return 0

    cdef int backward(self, const Team *team, const Pass *run, size_t i) except -1:
        cdef const fbp_frame *frame = &team.frame
        cdef size_t y = run.plan.ops[i].output
        cdef fbp_edge edge
        op = self.plan.ops[i]
        answers, sums = op.calls.backward(
            self.inputs_of(team, run, i),
            self.rows_of(run, rows_at(run, frame, frame.values, y), y),
            self.rows_of(run, rows_at(run, frame, frame.deltas, y), y),
            self.parameters[i])
        for k, answer in enumerate(answers):
            edge = run.plan.ops[i].inputs[<size_t>k]
            self.leave(run, &edge, rows_at(run, frame, frame.deltas, edge.tensor), answer)
        for parameter, gradient, total in zip(op.own, self.gradients[i], sums):
            if parameter.trainable:
                gradient[...] = gradient + total if op.adds else total
        return 0

    cdef int leave(self, const Pass *run, const fbp_edge *edge, char *dx,
                   object answer) except -1:
        """Write the delta of what the operation reads, or add to it."""
        if not (edge.propagates or run.wants_input_delta):
            return 0
        if edge.adds:
            run.plan.kernels.add(answer.size, address(answer), dx)
        else:
            memcpy(dx, address(answer), answer.nbytes)
        return 0

    cdef object targets_of(self, Pass *run, size_t output):
        """The targets of the batch, in memory that kernels may read past."""
        cdef size_t n = run.plan.sizes[run.plan.outputs[output].tensor]
        labels = run.plan.outputs[output].labels
        dtype, shape = (np.dtype(np.int32), run.rows) if labels else (self.dtype, (run.rows, n))
        size = run.rows if labels else run.rows * n
        targets = empty(size + FBP_PADDING // dtype.itemsize, dtype)[:size].reshape(shape)
        gather_targets(run, output, address(targets), 0, run.rows)
        return targets

    cdef int meet_targets(self, const Team *team, Pass *run, size_t output) except -1:
        """Loss and accuracy of each row at an output, and its delta."""
        cdef const fbp_frame *frame = &team.frame
        cdef const fbp_output *goal = &run.plan.outputs[output]
        cdef char *y = rows_at(run, frame, frame.values, goal.tensor)
        cdef size_t first = output * run.rows, row
        cdef const double *losses
        values, targets = self.rows_of(run, y, goal.tensor), self.targets_of(run, output)
        if run.fault:
            return 0
        loss = self.plan.outputs[output].loss
        answer = calls.row_losses(loss, values, targets)
        losses = <const double *>address(answer)
        for row in range(run.rows):
            run.row_losses[first + row] = losses[row] * row_weight(run, output, row)
        if run.wants_accuracy:
            run.plan.kernels.accuracy(
                goal.accuracy, goal.threshold, run.rows, run.plan.sizes[goal.tensor],
                address(targets), y, run.row_rights + first)
        if run.wants_deltas:
            scales = empty(run.rows, self.dtype)
            fill_scales(run, output, address(scales), 0, run.rows)
            delta = calls.loss_gradient(loss, values, targets) * scales[:, None]
            memcpy(rows_at(run, frame, frame.deltas, goal.tensor), address(delta), delta.nbytes)
        return 0


cdef int call_python(const Team *team, Pass *run, Call what, size_t i) noexcept with gil:
    """Leave thread 0 of a team for a while; what is raised stays with the calls."""
    cdef Calls own = <Calls>team.calls
    try:
        if what == CALL_FORWARD:
            own.forward(team, run, i)
        elif what == CALL_LOSS:
            own.meet_targets(team, run, i)
        else:
            own.backward(team, run, i)
    except BaseException as error:
        own.error = error
        return FAULT_CALL
    return run.fault
