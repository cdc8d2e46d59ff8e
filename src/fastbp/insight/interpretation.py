"""What a derivative says about the loss, held against what the loss does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fastbp import validate
from fastbp.insight import restraint
from fastbp.insight.chain import Chain
from fastbp.insight.document import Block, Heading, Shown, Table, sentence
from fastbp.insight.expression import Derivative, Number
from fastbp.insight.layer_trace import by_layer, quietly
from fastbp.insight.place import Place

if TYPE_CHECKING:
    from fastbp.insight.trace import Trace

# The change that was asked for, and smaller ones beside it.
SCALES = 1.0, 0.1, 0.01


class Interpretation(Shown):
    """What sign and size of one derivative mean, with a check; `print` shows it in words.

    Attributes
    ----------
    parameter : str
        What it is about, as in "dense_1.weights[0, 1]".
    gradient : float
        The derivative of the batch's loss, penalties included.
    change : float
        The change of the weight or bias that was asked for.
    predicted : float
        The change of the loss that the gradient predicts: gradient times change.
    actual : float
        The change of the loss, computed anew with the changed weight or bias.
    checks : tuple of (float, float, float)
        Change, predicted and actual, for that change, a tenth and a hundredth of it.
    """

    def __init__(self, trace: Trace, place: Place, change: float) -> None:
        layer = trace.layers[place.layer]
        self._trace, self._place, self._digits = trace, place, trace.digits
        self.parameter = place.name
        self.gradient = place.gradient(layer)
        self.change = validate.real("change", change)
        if not self.change:
            raise ValueError("change: expected a number other than 0, got 0")
        self.checks = tuple(self._check(scale * self.change) for scale in SCALES)
        _, self.predicted, self.actual = self.checks[0]

    @quietly
    def _check(self, change: float) -> tuple[float, float, float]:
        """Return a change, what the gradient makes the loss change by, and what it changes by."""
        layer = self._trace.layers[self._place.layer]
        changed = layer.parameters[self._place.role].copy()
        changed[self._place.index] += change
        loss = self._trace.loss_at({f"{layer.layer}.{self._place.role}": changed})
        return change, self.gradient * change, loss - self._trace.loss

    def _blocks(self) -> Iterator[Block]:
        place = self._place
        loss = restraint.letter(self._trace.layers)
        slope = Derivative(loss, place.letter)
        value, _ = place.values(self._trace.layers[place.layer])
        yield Heading(3, f"{self.parameter}, {place.meaning}")
        yield sentence(
            place.letter, " = ", Number(value), " and ", slope, " = ", Number(self.gradient), "."
        )
        yield sentence(f"Sign: {self._sign()}")
        yield sentence(f"Size: {self._size()}")
        rows = tuple((*check, _ratio(*check[1:])) for check in self.checks)
        changes = (f"predicted change of {loss.name}", f"true change of {loss.name}")
        yield Table((f"change of {place.letter.name}", *changes, "true / predicted"), rows)
        yield sentence(self._judgement())

    def _sign(self) -> str:
        what = "weight" if self._place.role == "weights" else "bias"
        if not self.gradient:
            return f"none. A small change of the {what} leaves the loss as it is{self._why()}."
        positive = self.gradient > 0
        way, back = ("raises", "lower") if positive else ("lowers", "higher")
        return (
            f"{'positive' if positive else 'negative'}. A larger {what} {way} the loss, so that a "
            f"{back} one is what descent goes for."
        )

    def _why(self) -> str:
        """Return which factors of the chain of a single sample are 0."""
        if len(self._trace.losses) > 1:
            return ""
        factors = Chain(self._trace, self._place, 0).factors
        zero = [f"{each.name} ({each.note})" for each in factors if not each.value]
        return f", for {' and '.join(zero)} is 0" if zero else ""

    def _size(self) -> str:
        layers = by_layer(self._trace.layers)
        gradients = [layer.gradient(role) for layer in layers for role in layer.parameters]
        sizes = np.abs(np.concatenate([each.ravel() for each in gradients]))
        larger = int((sizes > abs(self.gradient)).sum())
        figure = f"{abs(self.gradient):.3g}"
        return (
            f"{figure} of loss for each unit of change, as long as changes are small. Of the "
            f"{sizes.size} derivatives of this network {_count(larger)} larger."
        )

    @quietly
    def _judgement(self) -> str:
        """Return how far the prediction holds."""
        if not self.gradient:
            return (
                "The loss did not change."
                if not self.actual
                else "What the loss does change by is of a higher order than the gradient sees."
            )
        off, off_small = (
            abs(actual / predicted - 1)
            for _, predicted, actual in (self.checks[0], self.checks[-1])
        )
        return (
            f"The prediction is a straight line. At the change asked for the loss is "
            f"{_percent(off)} of the predicted change away from it, at a hundredth of that "
            f"{_percent(off_small)}."
        )


def _ratio(predicted: float, actual: float) -> float | None:
    return actual / predicted if predicted else None


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _count(larger: int) -> str:
    return {0: "none is", 1: "one is"}.get(larger, f"{larger} are")
