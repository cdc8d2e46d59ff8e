"""What the rows of a batch come to: losses, weights and right answers, summed.

In float64: eight lanes within chunks of 4,096, which are added by halves, and chunks in order.
"""
from libc.string cimport memset

from fastbp._core.layout cimport FBP_CHUNK, fbp_output, fbp_plan
from fastbp._core.rows cimport Pass, row_weight, rows_measured


cdef double fold(double *lanes) noexcept nogil:
    """The sum of eight lanes, by halves."""
    cdef size_t lane, half = 4
    while half > 0:
        for lane in range(half):
            lanes[lane] += lanes[lane + half]
        half //= 2
    return lanes[0]


cdef double sum_of(const double *values, size_t n) noexcept nogil:
    cdef double lanes[8]
    cdef double total = 0.0
    cdef size_t at, i
    for at from 0 <= at < n by FBP_CHUNK:
        memset(lanes, 0, sizeof(lanes))
        for i in range(at, min(at + FBP_CHUNK, n)):
            lanes[i % 8] += values[i]
        total += fold(lanes)
    return total


cdef double weight_of(const Pass *run, size_t output) noexcept nogil:
    """Sum of the sample weights of the batch at an output."""
    cdef double lanes[8]
    cdef double total = 0.0
    cdef size_t at, row
    if run.data.answers[output].weights == NULL:
        return <double>run.rows
    for at from 0 <= at < run.rows by FBP_CHUNK:
        memset(lanes, 0, sizeof(lanes))
        for row in range(at, min(at + FBP_CHUNK, run.rows)):
            lanes[row % 8] += row_weight(run, output, row)
        total += fold(lanes)
    return total


cdef double gradient_scale(const Pass *run, size_t output) noexcept nogil:
    """What a row of weight 1 counts in the gradient of its batch."""
    cdef const fbp_output *goal = &run.plan.outputs[output]
    cdef double weight
    if goal.sums:
        return goal.weight
    weight = weight_of(run, output)
    return goal.weight / weight if weight > 0 else 0.0


cdef double penalty_of(const Pass *run) noexcept nogil:
    cdef double total = 0.0
    cdef size_t i
    for i in range((run.plan.n_parameters + FBP_CHUNK - 1) // FBP_CHUNK):
        total += run.penalties[i]
    return total


cdef double penalty_scale(const Pass *run) noexcept nogil:
    """What parameters' cost counts in the gradient of its batch."""
    cdef const fbp_output *goal = &run.plan.outputs[0]
    return run.scales[0] / goal.weight if goal.shares else 1.0


cdef void fill_gradient_scales(Pass *run, double *scales) noexcept nogil:
    """Put what rows count at each output where the pass finds it."""
    cdef size_t output
    for output in range(run.plan.n_outputs):
        scales[output] = gradient_scale(run, output)
    run.scales = scales


cdef Score score_of(const Pass *run, size_t output) noexcept nogil:
    """Sums over the rows of a batch that has run, for one of the plan's losses."""
    cdef Score score
    if output == run.plan.n_outputs:  # beside several of them
        return Score(penalty_of(run) if run.penalties != NULL else 0.0, 0.0, 0.0, run.rows, 0.0)
    score.loss = sum_of(run.row_losses + output * run.rows, run.rows)
    score.weight = weight_of(run, output)
    score.right = 0.0
    if run.wants_accuracy:
        score.right = sum_of(run.row_rights + output * run.rows, run.rows)
    score.measured = rows_measured(run, output)
    score.penalty = 0.0
    if run.penalties != NULL and run.plan.n_losses == 1:
        score.penalty = penalty_of(run) / run.plan.outputs[output].weight
    return score


cdef void clear_scores(const fbp_plan *plan, Score *scores) noexcept nogil:
    memset(scores, 0, plan.n_losses * sizeof(Score))


cdef void take_scores(const Pass *run, Score *scores) noexcept nogil:
    """Let the scores be those of a batch."""
    cdef size_t output
    for output in range(run.plan.n_losses):
        scores[output] = score_of(run, output)


cdef void add_scores(const Pass *run, Score *scores) noexcept nogil:
    """Add the sums over a part of some rows to those of the parts before."""
    cdef size_t output
    cdef Score score
    for output in range(run.plan.n_losses):
        score = score_of(run, output)
        scores[output].loss += score.loss
        scores[output].weight += score.weight
        scores[output].right += score.right
        scores[output].measured += score.measured
        scores[output].penalty += score.penalty


cdef double mean_loss(const fbp_output *output, Score score) noexcept nogil:
    """The loss that such sums stand for, by its reduction, with what parameters cost."""
    if output.sums:
        return score.loss + score.penalty
    if output.shares:
        return (score.loss + score.penalty) / score.weight if score.weight > 0 else 0.0
    return (score.loss / score.weight if score.weight > 0 else 0.0) + score.penalty


cdef double per_row(double total, size_t measured) noexcept nogil:
    """The mean of what was summed over rows, of which so many count."""
    return total / <double>measured if measured else 0.0
