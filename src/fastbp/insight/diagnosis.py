"""What went wrong in a training, by name, with the numbers that show it and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastbp import History
from fastbp.insight import diagnosis_fit, diagnosis_layers, diagnosis_steps
from fastbp.insight.diagnosis_case import Case, Missing
from fastbp.insight.diagnosis_sign import Sign
from fastbp.insight.document import Block, Heading, Shown, Table, sentence
from fastbp.insight.monitor import GradientMonitor


class Ailment(NamedTuple):
    """One row of the table of what can go wrong."""

    name: str
    find: Callable[[Case], Sign | None]
    advice: str


AILMENTS = (
    Ailment(
        "vanishing gradients",
        diagnosis_layers.vanishing_gradients,
        'Take activation="relu" (or "leaky_relu", "elu") with weights_initializer="he_normal", or '
        "fewer layers.",
    ),
    Ailment(
        "exploding gradients",
        diagnosis_layers.exploding_gradients,
        'Begin with smaller weights, weights_initializer="he_normal" for relu or "glorot_uniform" '
        "for tanh, and clip: optimizer=fastbp.SGD(..., clip_norm=1).",
    ),
    Ailment(
        "dead ReLUs",
        diagnosis_layers.dead_relus,
        'Take activation="leaky_relu", biases that begin at 0, weights_initializer="he_normal", '
        "and a rate ten times lower if that is not enough.",
    ),
    Ailment(
        "saturated sigmoids",
        diagnosis_layers.saturated_sigmoids,
        "Scale the inputs to a mean near 0 and a spread near 1, as by a fastbp.Rescale layer, and "
        'begin with smaller weights: weights_initializer="glorot_uniform".',
    ),
    Ailment(
        "rate too high",
        diagnosis_steps.rate_too_high,
        "Begin anew at a rate ten times lower, and again as long as the loss gets better; "
        "fastbp.insight.find_learning_rate tells where to begin.",
    ),
    Ailment(
        "rate too low",
        diagnosis_steps.rate_too_low,
        "Raise the rate ten times, and again as long as the loss gets better, or train for more "
        "epochs; fastbp.insight.find_learning_rate tells where to begin.",
    ),
    Ailment(
        "oscillation",
        diagnosis_steps.oscillation,
        "Lower the rate ten times, or let it fall (fastbp.schedules, ReduceOnPlateau); with a "
        "momentum above 0.9, lower that; take larger batches.",
    ),
    Ailment(
        "flat minimum",
        diagnosis_steps.flat_minimum,
        'Begin elsewhere: random weights, weights_initializer="glorot_uniform", biases of 0, and '
        "fastbp.insight.restarts; take Adam or momentum, and a cross-entropy in place of a squared "
        "error behind a sigmoid.",
    ),
    Ailment(
        "sample order",
        diagnosis_steps.sample_order,
        "Let each epoch take the rows in an order of its own: fit(shuffle=True), or shuffle the "
        "rows of a stream.",
    ),
    Ailment(
        "overfitting",
        diagnosis_fit.overfitting,
        "Stop where the validation loss is lowest, fastbp.callbacks.EarlyStopping(patience=20); "
        "regularize (weights_regularizer, Dropout), take fewer units, or more data.",
    ),
    Ailment(
        "class imbalance",
        diagnosis_fit.class_imbalance,
        "Let rare rows count more, fit(class_weight=...) by rows / (classes * rows of the class), "
        "and judge by recall of each class, not by accuracy.",
    ),
    Ailment(
        "stopped early",
        diagnosis_fit.stopped_early,
        "Watch the validation loss, with a patience of 30 epochs or so and min_delta=0: "
        "fastbp.callbacks.EarlyStopping(patience=30); or lower stop_at_loss.",
    ),
    # What is left when nothing above explains a loss that stays high.
    Ailment(
        "underfitting",
        diagnosis_fit.underfitting,
        "Take more units or another layer, and less regularization.",
    ),
)


@dataclass(frozen=True)
class Finding:
    """An ailment that was found.

    Attributes
    ----------
    name : str
        What it is called.
    where : str
        Layers, epochs or classes; empty where it is the training as a whole.
    evidence : str
        The numbers that show it, and the limit that they passed.
    advice : str
        What to do.
    severity : float
        How many times beyond the limit the numbers are: at least 1, infinity for a divergence.
    """

    name: str
    where: str
    evidence: str
    advice: str
    severity: float


@dataclass(frozen=True)
class Diagnosis(Shown):
    """What `diagnose` found; `print` shows it. True if that is anything; to iterate over.

    Attributes
    ----------
    findings : tuple of Finding
        The ailments found.
    healthy : tuple of str
        The ailments looked for and not found.
    not_judged : dict of str to str
        The ailments that could not be looked for, and what was missing.
    """

    findings: tuple[Finding, ...]
    healthy: tuple[str, ...]
    not_judged: Mapping[str, str]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __contains__(self, name: object) -> bool:
        return any(finding.name == name for finding in self.findings)

    def __repr__(self) -> str:
        return f"<diagnosis: {', '.join(each.name for each in self) or 'nothing found'}>"

    def __str__(self) -> str:
        return super().__repr__()

    def _blocks(self) -> Iterator[Block]:
        yield Heading(2, f"Diagnosis: {', '.join(each.name for each in self) or 'nothing found'}")
        for finding in self:
            where = f" ({finding.where})" if finding.where else ""
            yield Heading(3, f"{finding.name}{where}")
            yield sentence(f"{_capital(finding.evidence)}.")
            yield sentence(finding.advice)
        if self.healthy:
            yield sentence(f"Looked for and not found: {', '.join(self.healthy)}.")
        if self.not_judged:
            yield sentence("Not looked for:")
            yield Table(("ailment", "needs"), tuple(self.not_judged.items()))


def diagnose(
    history: History, monitor: GradientMonitor | None = None, data: Any = None
) -> Diagnosis:
    """Name what went wrong in a training, with evidence and advice.

    Each ailment is looked for with what it needs, and the others are listed with what is missing.
    From the history alone: rates too high and too low, oscillation. With validation in it:
    overfitting, and a rule that stopped too early. With a monitor: vanishing and exploding
    gradients, dead ReLUs, saturated sigmoids, a flat minimum. With data and the metric "accuracy"
    or "r2": underfitting, and class imbalance. With monitor and data: the order of samples.

    Parameters
    ----------
    history : History
        What `fit` returned.
    monitor : GradientMonitor, optional
        What was among the callbacks of that fit, and of no other. With ``every=1`` it sees the
        first steps, where much is decided.
    data : tuple (x, y), optional
        The rows that it learned from, in the order in which `fit` was given them. Of a network
        with several inputs or outputs one of each.

    Returns
    -------
    Diagnosis
        Findings, what was looked for and not found, and what could not be looked for.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the history has neither an epoch nor a divergence.

    Notes
    -----
    A finding says that numbers passed a limit, not that nothing else is wrong; remedies are worth a
    try, one at a time. Of networks with several outputs the sum of their losses is judged.

    Examples
    --------
    >>> monitor = fastbp.insight.GradientMonitor(every=1)
    >>> history = net.fit(x, y, epochs=50, validation_split=0.2, callbacks=[monitor])
    >>> print(fastbp.insight.diagnose(history, monitor, (x, y)))
    """
    case = Case(*_arguments(history, monitor, data))
    findings: list[Finding] = []
    healthy: list[str] = []
    missing: dict[str, str] = {}
    with np.errstate(all="ignore"):
        for name, find, advice in AILMENTS:
            try:
                sign = find(case)
            except Missing as what:
                missing[name] = str(what)
                continue
            if sign is None or (find is diagnosis_fit.underfitting and findings):
                healthy.append(name)
            else:
                findings.append(Finding(name, sign.where, sign.evidence, advice, sign.severity))
    return Diagnosis(tuple(findings), tuple(healthy), missing)


def _arguments(history: Any, monitor: Any, data: Any) -> tuple[History, Any, Any]:
    """Return the arguments of `diagnose`, found right."""
    if not isinstance(history, History):
        raise TypeError(
            f"history: expected a History, as fit returns, got {type(history).__name__}"
        )
    if not history.epochs and history.ended != "divergence":
        raise ValueError("history: expected at least one epoch, got none")
    if monitor is not None and not isinstance(monitor, GradientMonitor):
        raise TypeError(f"monitor: expected a GradientMonitor, got {type(monitor).__name__}")
    if data is None:
        return history, monitor, None
    if not isinstance(data, tuple) or len(data) != 2:
        raise TypeError(f"data: expected a tuple (x, y), got {type(data).__name__}")
    x, y = map(_array, data)
    if not x.ndim or x.shape[:1] != y.shape[:1] or not len(x):
        raise ValueError(f"data: expected rows in x and y alike, got shapes {x.shape}, {y.shape}")
    return history, monitor, (x, y)


def _array(part: Any) -> npt.NDArray[Any]:
    """Return inputs or targets as an array, if they are one."""
    try:
        array = np.asarray(part)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"data: expected one array of real numbers for x and one for y, got "
            f"{type(part).__name__} of another kind or of several arrays"
        )
    return array


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
