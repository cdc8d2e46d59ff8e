"""Whole fits of the smallest networks: epochs of one batch that never changes, many in one kernel.

A step of a neuron takes less time than a visit to the general path. What runs here, and how, is a
choice that changes no bit.
"""
from libc.math cimport INFINITY
from libc.string cimport memset

from fastbp._core.epochs cimport Training
from fastbp._core.layout cimport (
    FBP_ACTIVATION_softmax,
    FBP_LOSS_binary_crossentropy,
    FBP_LOSS_categorical_crossentropy,
    FBP_OP_dense,
    FBP_OPTIMIZER_sgd,
    fbp_kernels,
    fbp_op,
    fbp_output,
    fbp_plan,
)
from fastbp._core.rows cimport Pass, Scratch, gather


cdef bint is_small(const fbp_plan *plan) noexcept nogil:
    """Whether the kernel knows the network: one output, at most one hidden layer, all narrow."""
    cdef size_t i
    cdef const fbp_op *op
    cdef const fbp_output *goal = plan.outputs
    if plan.calls or plan.n_inputs != 1 or plan.n_outputs != 1 or goal.weight != 1.0:
        return False
    if plan.n_ops < 1 or plan.n_ops > 2 or plan.sizes[goal.tensor] != 1:
        return False
    for i in range(plan.n_ops):
        op = &plan.ops[i]
        if op.kind != FBP_OP_dense or not op.narrow or op.activation == FBP_ACTIVATION_softmax:
            return False
        if op.adds:
            return False  # one layer, called twice
    if goal.loss == FBP_LOSS_binary_crossentropy and goal.parameter != 0:
        return False  # smoothed labels
    if plan.n_penalties > 0 or plan.n_constraints > 0:
        return False
    return goal.loss < FBP_LOSS_categorical_crossentropy  # those before it it knows


cdef bint repeats(const Training *t) noexcept nogil:
    """Whether each epoch is the same batch, and a plain step of gradient descent."""
    cdef bint one_batch = t.data.n <= t.batch_size and t.data.n <= t.team.plan.kernels.row_lanes
    cdef bint in_order = not (t.shuffles or t.is_ordered) or t.data.n == 1
    cdef bint plain = (t.rule.kind == FBP_OPTIMIZER_sgd and t.rule.n_states == 0
                       and t.rule.schedule.rate == NULL and t.rule.weight_decay == 0
                       and t.rule.clip_value == INFINITY and t.rule.clip_norm == INFINITY)
    cdef bint measured = t.outputs != NULL and t.output_bytes[0] == 0  # by metrics
    cdef bint bare = (not t.validates and not t.wants_accuracy and not measured
                      and t.data.answers.weights == NULL and not t.data.unchecked
                      and not t.visits_batches and not t.feeds)
    return one_batch and in_order and plain and bare and is_small(t.team.plan)


cdef size_t repeat_epochs(Training *t, size_t epochs) noexcept nogil:
    """Run up to so many epochs; returns how many there were, see kernels.h."""
    cdef const fbp_plan *plan = t.team.plan
    cdef const fbp_kernels *kernels = t.one_row_kernels if t.data.n == 1 else plan.kernels
    cdef Scratch *scratch = &t.team.scratches[0]
    cdef char *x = scratch.frame.values
    cdef char *outputs = NULL
    cdef Pass run
    if t.outputs != NULL:
        outputs = t.outputs[0]
    memset(&run, 0, sizeof(Pass))
    run.plan, run.data, run.rows = plan, &t.data, t.data.n
    gather(&run, t.data.x, plan.sizes[0], 0, run.rows, x)
    gather(&run, &t.data.answers.y, 1, 0, run.rows, scratch.targets)
    epochs = kernels.repeat(plan, run.rows, x, scratch.targets,
                            1.0 if plan.outputs.sums else 1.0 / <double>run.rows,
                            t.rule.constants[0], epochs, t.stop_at_loss,
                            t.team.memory.parameters, t.curves.training + t.epoch, outputs)
    if outputs != NULL:
        t.outputs[0] += epochs * t.output_bytes[0]
    return epochs
