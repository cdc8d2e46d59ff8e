"""Metrics of single rows. `fastbp.metrics` has the formulas."""

from __future__ import annotations

from fastbp.engine import Array
from fastbp.losses import Loss


def accuracy(y: Array, t: Array, loss: Loss) -> Array:
    """Return the share of each row that is right: 0 or 1 where a row has one class."""
    decision = loss.decision(y.shape[1])
    if decision == "label":
        return y.argmax(axis=1) == t
    if decision == "yes":
        return ((y > loss.threshold) == (t > 0.5)).mean(axis=1)
    return y.argmax(axis=1) == t.argmax(axis=1)


# A new metric is a line here: (outputs, targets, loss) -> one number for each row.
METRICS = {"accuracy": accuracy}
