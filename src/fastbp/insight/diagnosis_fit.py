"""Ailments of what was learned: too much, too little, one class alone, or not to the end."""

from __future__ import annotations

import numpy as np

from fastbp.insight.diagnosis_case import Case, FloatArray, Missing
from fastbp.insight.diagnosis_sign import Sign
from fastbp.insight.diagnosis_steps import is_unfinished

# A twentieth of the fall of the validation loss is lost, and it is a tenth above its best.
LOST, GENERALIZATION_LOSS = 0.05, 0.1
# Below what neighbours tell, as a share of the rows or of the variance.
SHORT_OF = 0.05
# A class is rare below a third of the largest; and errors are half as many as rows of such classes.
RARE, MISSED = 1 / 3, 0.5
# The fall of the loss in five epochs, and by how many standard errors the line falls.
STRIP, FALLING, SURE, LOST_IN_ALL = 5, 0.02, 1.64, 0.1


def overfitting(case: Case) -> Sign | None:
    """Look for a validation loss that rose again, while the training loss went on falling.

    By a tenth of its best value, and a twentieth of its fall from the first loss on record. The end
    is the median of a twentieth of the validations.

    References
    ----------
    Prechelt 1998, "Early stopping - but when?", section 2.1: the generalization loss, whose rules
    stop at 1 % to 5 %.
    """
    validation, losses = case.validation, case.losses
    lowest = int(validation.argmin())
    best, end = validation[lowest], float(np.median(validation[-max(1, len(validation) // 20) :]))
    fall = max(float(validation[0]), case.start) - best
    rise = end - best
    then = losses[min((lowest + 1) * case.history.validation_freq, len(losses)) - 1]
    limit = max(LOST * fall, GENERALIZATION_LOSS * abs(best))
    if not (rise > limit and losses[-1] < then):
        return None
    evidence = (
        f"the validation loss rose from {best:.3g} to {end:.3g}, while the training loss fell from "
        f"{then:.3g} to {losses[-1]:.3g}; limit {limit:.2g}"
    )
    epoch = (lowest + 1) * case.history.validation_freq
    return Sign(f"from epoch {epoch} on", evidence, rise / (LOST * fall))


def underfitting(case: Case) -> Sign | None:
    """Look for a network at rest that does less well than nearest neighbours tell is possible.

    By more than a twentieth of the rows, or of the variance; neighbours are those of each row, the
    row itself left out. Nothing else was found that would explain it.

    References
    ----------
    Cover and Hart 1967, "Nearest neighbor pattern classification"; Hastie, Tibshirani and Friedman
    2009, section 7.2; Goodfellow, Bengio and Courville 2016, section 5.2.
    """
    measure, reached, possible = case.explained
    if is_unfinished(case.course) or reached >= possible - SHORT_OF:
        return None
    evidence = (
        f"{measure} of the training rows is {reached:.3f}, and nearest neighbours show that "
        f"{possible:.3f} is possible; limit {SHORT_OF:g} below"
    )
    return Sign("", evidence, (possible - reached) / SHORT_OF)


def class_imbalance(case: Case) -> Sign | None:
    """Look for errors half as many as rows of classes below a third of the largest one.

    Where the history has a confusion matrix, for errors in half of these rows themselves.

    References
    ----------
    Japkowicz and Stephen 2002, "The class imbalance problem: a systematic study"; He and Garcia
    2009, "Learning from imbalanced data", section 3.
    """
    if case.history.get("confusion_matrix"):
        matrix = np.asarray(case.history["confusion_matrix"][-1])
        counts, right = matrix.sum(axis=1), np.diagonal(matrix)
        labels = np.arange(len(matrix))
    else:
        labels, right = case.labels, None
        counts = np.bincount(case.classes, minlength=len(labels))
    rare = (counts < RARE * counts.max()) & (counts > 0)
    rows = int(counts[rare].sum())
    wrong = (1 - case.accuracy) * counts.sum() if right is None else rows - right[rare].sum()
    if not rows or wrong < MISSED * rows:
        return None
    where = f"classes {', '.join(map(str, labels[rare]))}"
    told = "rows" if right is None else "of these rows"
    evidence = (
        f"{rows} rows of {counts.sum()} belong to rare classes, and {wrong:.0f} {told} are wrong, "
        f"at least {MISSED:g} of them"
    )
    return Sign(where, evidence, wrong / rows / MISSED)


def stopped_early(case: Case) -> Sign | None:
    """Look for a rule that ended training within five epochs of the best loss, amid progress.

    That is a callback, while the training loss was falling by 2 % in five epochs or more; or a loss
    that was reached, while the validation loss was, with a certainty of 95 %. The best loss is that
    of validation, where there is one; no tenth of its fall was lost.

    References
    ----------
    Prechelt 1998, "Early stopping - but when?", section 2.1: progress is measured, and successive
    strips of five epochs are waited for.
    """
    if case.ended not in ("callback", "stop_at_loss"):
        return None
    by_callback = case.ended == "callback"
    alone = by_callback and not case.history.get("val_loss")
    watched = case.losses if alone else case.validation
    falling = case.losses if by_callback else watched
    if len(falling) < 2:
        raise Missing("two epochs")
    lowest = int(watched.argmin())
    waited = (len(watched) - 1 - lowest) * case.history.validation_freq
    lost = watched[-1] - watched[lowest]
    fall, sure = _fall(falling)
    unsure = not by_callback and sure < SURE
    if waited >= STRIP or lost > LOST_IN_ALL * (case.start - watched[lowest]):
        return None
    if not fall >= FALLING or unsure:
        return None
    evidence = (
        f"training was stopped {waited} epochs after the best loss, fewer than {STRIP}, and the "
        f"{'training' if by_callback else 'validation'} loss was falling by {fall:.1%} in {STRIP} "
        f"epochs, above {FALLING:.0%}"
    )
    return Sign(f"epoch {case.history.epochs}", evidence, fall / FALLING)


def _fall(losses: FloatArray) -> tuple[float, float]:
    """Return the fall in five epochs, as a share of the loss, and how many standard errors it is.

    By a line through the last quarter, five epochs at least.
    """
    losses = losses[-max(STRIP, len(losses) // 4) :]
    epochs = np.arange(len(losses)) - (len(losses) - 1) / 2
    slope = float((epochs * losses).sum() / (epochs**2).sum())
    fall = -slope * STRIP / np.abs(losses.mean())
    if len(losses) == 2:
        return fall, np.inf
    spread = ((losses - losses.mean() - slope * epochs) ** 2).sum() / (len(losses) - 2)
    return fall, -slope / np.sqrt(max(spread / (epochs**2).sum(), 1e-300))
