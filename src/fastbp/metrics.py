"""Metrics, described. Engines do the counting."""

from __future__ import annotations

from typing import Any, ClassVar

from fastbp import validate
from fastbp.description import Description


class Metric(Description):
    """Base of the metric descriptions: a mean over rows, sample weights left aside."""

    name: ClassVar[str]
    formula: ClassVar[str]


class Accuracy(Metric):
    """Share of rows, or of yes-or-no outputs, that are right.

    With one output, or binary cross-entropy, an output counts as yes above one half (above 0 for
    logits and the hinge loss) and so does a target above one half. Otherwise a row is right if its
    largest output, the first of equals, stands where the label says, or where the target is
    largest.
    """

    name = "accuracy"
    formula = "1/rows sum [argmax y = label]"


METRICS: dict[str, type[Metric]] = {kind.name: kind for kind in (Accuracy,)}
ALIASES = {"acc": "accuracy"}


def resolve(metric: Any) -> Metric:
    """Return the description that a name or a description stands for."""
    if isinstance(metric, Metric):
        return metric
    name = ALIASES.get(metric, metric) if isinstance(metric, str) else metric
    return METRICS[validate.choice("metrics", name, METRICS)]()
