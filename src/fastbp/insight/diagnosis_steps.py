"""Ailments of the descent: steps that are too long, too short, or lead nowhere."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastbp.insight.diagnosis_case import Case, FloatArray, Missing
from fastbp.insight.diagnosis_sign import Sign

# A step twice as long as the one to a loss of 0, and one of half the length of all parameters.
OVERSHOOT, LEAP = 2.0, 0.5
# By what share of itself the loss rose: from a first batch to the mean of its epoch; in all.
SHOT_UP, ENDED_HIGHER = 1.0, 0.1
# What the second half of a fit added to the first: a course that goes on like that has a sixteenth
# of its way before it.
UNFINISHED, LEFT = 0.25, 0.25
STEADY = 0.9
# A rise counts if it takes back a twentieth of the whole fall, and a tenth of the loss.
LOST, RISE = 0.05, 0.1
FEWEST_RISES, SHARE_OF_RISES = 3, 0.03
# A step of 1 % of the parameters changes the loss by less than a tenth of that.
FLAT = 0.1
HIGH = 0.8
# Share of the losses' variance (of ranks) that is the place within the epoch, and the correlation
# of neighbouring rows' targets.
FIXED, SORTED = 0.1, 0.5
PLACES = 10


def rate_too_high(case: Case) -> Sign | None:
    """Look for a loss that diverges or rises, and for steps that reach beyond a loss of 0.

    That is one of: training diverged; the loss ends a tenth higher than it began; the mean loss of
    the first epoch is twice that of its first record or more; half the steps or more are twice as
    long as would take the loss to 0 along its slope, from where on a step leads away from the
    minimum of a convex loss; or one of the first tenth of them is, and as long as half of all
    parameters.

    References
    ----------
    LeCun, Bottou, Orr and Mueller 1998, "Efficient BackProp", section 5: descent on a quadratic
    diverges above 2 / L. Polyak 1987, "Introduction to optimization", section 5.3. Smith 2017,
    arXiv 1506.01186, section 3.3.
    """
    if case.ended == "divergence":
        return Sign("", "loss or parameters left the finite numbers", math.inf)
    losses = case.losses
    start, end = _level(losses, 0), _level(losses, len(losses))
    if (rise := _rise(start, end)) > ENDED_HIGHER:
        evidence = f"the loss rose from {start:.3g} to {end:.3g}, by more than a tenth"
        return Sign("", evidence, rise / ENDED_HIGHER)
    first = float(case.monitor.losses[0])
    if (rise := _rise(first, float(losses[0]))) > SHOT_UP:
        evidence = (
            f"the first epoch's loss is {losses[0]:.3g}, that of the first record {first:.3g}"
        )
        return Sign("epoch 1", f"{evidence}: more than twice that", rise / SHOT_UP)
    reach = float(np.median(case.reach))
    if reach > OVERSHOOT:
        evidence = f"steps are {reach:.2g} times as long as would take the loss to 0 by its slope"
        return Sign("", f"{evidence}; limit {OVERSHOOT:g}", reach / OVERSHOOT)
    return _leap(case)


def _rise(start: float, end: float) -> float:
    """Return by what share of itself a loss rose, of whichever sign it is."""
    return (end - start) / max(abs(start), 1e-300)


def _leap(case: Case) -> Sign | None:
    """Look for an early step that overshoots and leaves little of what parameters were."""
    parameters, _, updates = case.norms
    early = max(1, len(updates) // 10)
    leaps = np.where(case.reach > OVERSHOOT, updates / np.maximum(parameters, 1e-300), 0)[:early]
    worst = int(leaps.argmax())
    if leaps[worst] < LEAP:
        return None
    step = case.monitor.steps[worst]
    evidence = (
        f"step {step} is {leaps[worst]:.2g} times as long as all parameters, above {LEAP:g}, and "
        f"{case.reach[worst]:.2g} times as long as would take the loss to 0 along its slope"
    )
    return Sign(f"step {step}", evidence, float(leaps[worst]) / LEAP)


def rate_too_low(case: Case) -> Sign | None:
    """Look for a loss that falls all the time, in the second half by a quarter of the first's fall.

    If each half goes on like that, a sixteenth of the way or more lies ahead: 1/4 squared, as the
    rest of a geometric series. In nine of ten epochs of the second half it fell, and a quarter
    of the loss of the first epoch is left or more.

    References
    ----------
    Smith 2017, arXiv 1506.01186, section 3.3; Bengio 2012, "Practical recommendations for
    gradient-based training of deep architectures", section 3.1.
    """
    losses = case.course
    if case.ended in ("callback", "stop_at_loss") or not is_unfinished(losses):
        return None
    quotient, steady = _progress(losses)
    left = _level(losses, len(losses)) / losses[0]
    evidence = (
        f"the loss fell in {steady:.0%} of the second half's epochs, in all by {quotient:.2f} of "
        f"its fall in the first half, above {UNFINISHED:g}, and {left:.0%} of the first epoch's "
        f"loss is left, above {LEFT:.0%}"
    )
    return Sign("", evidence, quotient / UNFINISHED)


def oscillation(case: Case) -> Sign | None:
    """Look for a loss that takes back a twentieth of its whole fall, again and again.

    Rises count that are a tenth of the loss too; at least three, and in 3 % of the epochs.

    References
    ----------
    Qian 1999, "On the momentum term in gradient descent learning algorithms"; Smith 2018, arXiv
    1803.09820.
    """
    losses = case.course
    rises = np.diff(losses)
    fall = max(case.start, losses.max()) - losses.min()
    counted = (rises > LOST * fall) & (rises > RISE * np.abs(losses[:-1]))
    most = max(FEWEST_RISES, SHARE_OF_RISES * len(losses))
    count = int(counted.sum())
    if count < most:
        return None
    evidence = (
        f"{count} times in {len(losses)} epochs the loss rose by more than a twentieth of its "
        f"whole fall, up to {rises.max():.3g}; limit {math.ceil(most)} times"
    )
    where = f"epochs {_spans(np.flatnonzero(counted) + 2)}"
    return Sign(where, evidence, count / most)


def flat_minimum(case: Case) -> Sign | None:
    """Look for a loss as high as at the start, nearly, which parameters hardly change.

    It is 80 % of the first epoch's or more, and a step of 1 % of the parameters' length, along the
    gradient, changes it by less than 0.1 %, in half the records of the last quarter. Of a single
    layer it is not said, for its loss has no flat places but the minimum.

    References
    ----------
    Fahlman 1988, "An empirical study of learning speed in back-propagation networks": flat
    spots. Fukumizu and Amari 2000, "Local minima and plateaus in hierarchical structures of
    multilayer perceptrons". Dauphin et al. 2014, arXiv 1406.2572: saddle points.
    """
    losses = case.losses
    slope = case.slope[len(case.slope) * 3 // 4 :]
    start, end = losses[0], _level(losses, len(losses))
    middle = float(np.median(slope))
    if middle > FLAT or end < HIGH * start or len(case.monitor.layers) < 2:
        return None
    evidence = (
        f"a change of the parameters by 1 % changes the loss by {middle:.2g} %, below {FLAT:g}, "
        f"and the loss is {end:.3g} after {start:.3g} at the start"
    )
    return Sign("", evidence, FLAT / max(middle, 1e-300))


def sample_order(case: Case) -> Sign | None:
    """Look for targets that are alike in neighbouring rows, and losses that follow the epoch.

    The correlation of a target of neighbouring rows is above 0.5, and the place within the
    epoch, in tenths, is more than a tenth of the variance of the ranks of the losses of batches
    (Kruskal and Wallis 1952): where rows are shuffled, it is next to nothing.

    References
    ----------
    McCloskey and Cohen 1989, "Catastrophic interference in connectionist networks"; LeCun, Bottou,
    Orr and Mueller 1998, "Efficient BackProp", section 4.2; Bottou 2012, "Stochastic gradient
    descent tricks".
    """
    monitor = case.monitor
    together = _neighbours_alike(np.asarray(case.data[1], np.float64))
    places = _places(monitor.steps, case.history.epochs)
    late = len(places) // 2
    share = _share_of_place(monitor.losses[late:], places[late:])
    if together < SORTED or share < FIXED:
        return None
    evidence = (
        f"targets of neighbouring rows have a correlation of {together:.2f}, above {SORTED:g}, and "
        f"the place within the epoch is {share:.2f} of the variance of the batches' losses, above "
        f"{FIXED:g}"
    )
    return Sign("", evidence, share / FIXED)


def _level(losses: FloatArray, end: int) -> float:
    """Return the median loss of the twentieth of the epochs up to `end`, or from the start."""
    window = max(1, len(losses) // 20)
    first = max(0, min(end - window, len(losses) - window))
    return float(np.median(losses[first : first + window]))


def _progress(losses: FloatArray) -> tuple[float, float]:
    """Return the fall in the second half over that in the first, and how steady it was.

    That is the share of the second half's epochs that lowered the loss.
    """
    half = len(losses) // 2
    start, middle, end = _level(losses, 0), _level(losses, half), _level(losses, len(losses))
    steady = float((np.diff(losses[half:]) < 0).mean())
    return (middle - end) / (start - middle) if start > middle else 0.0, steady


def is_unfinished(losses: FloatArray) -> bool:
    """Whether the loss goes on falling, and has far to go."""
    quotient, steady = _progress(losses)
    left = _level(losses, len(losses)) / losses[0]
    return bool(quotient >= UNFINISHED and steady >= STEADY and left >= LEFT)


def _spans(epochs: npt.NDArray[np.int64]) -> str:
    return f"{epochs[0]} to {epochs[-1]}"


def _neighbours_alike(y: FloatArray) -> float:
    """Return the correlation of a row's target with the next one's, the highest of all columns."""
    y = y.reshape(len(y), -1)
    y = y - y.mean(axis=0)
    return float(((y[1:] * y[:-1]).sum(axis=0) / np.maximum((y**2).sum(axis=0), 1e-300)).max())


def _places(steps: npt.NDArray[np.int64], epochs: int) -> npt.NDArray[np.int64]:
    """Return the tenth of the epoch in which each step was made."""
    per_epoch = -(-int(steps[-1]) // max(epochs, 1))
    places = (steps - 1) % per_epoch * PLACES // per_epoch
    if len(np.unique(places)) < 3 or len(places) < 10 * PLACES:
        raise Missing(f"a monitor with {10 * PLACES} records, at several places of an epoch")
    return places


def _share_of_place(losses: FloatArray, places: npt.NDArray[np.int64]) -> float:
    """Return the share of the variance of ranks that is that of the means of places."""
    ranks = losses.argsort().argsort().astype(np.float64)
    ranks -= ranks.mean()
    groups = [ranks[places == place] for place in np.unique(places)]
    return float(sum(len(group) * group.mean() ** 2 for group in groups) / (ranks**2).sum())
