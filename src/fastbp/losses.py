"""Losses, described: what each computes for one row. Engines do the arithmetic.

In every formula t is the target, y the output, z the net input of the last layer, n the number of
outputs of a row; sums and means run over the outputs. The loss of a batch is the mean over its
rows, weighted by the sample weights where there are any (sum of w L over sum of w), or with
``reduction="sum"`` the sum of w L.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from fastbp import validate
from fastbp.description import Description

REDUCTIONS = ("mean", "sum")


class Loss(Description):
    """Base of the loss descriptions.

    Parameters
    ----------
    reduction : {"mean", "sum"}, default "mean"
        How the rows of a batch are combined.

    Attributes
    ----------
    name : str
        The name by which engines and users know the loss.
    formula : str
        The loss L of one row.
    probability : str or None
        The activation that gives the probabilities this loss compares with the targets; None for
        losses of any output.
    labels : bool
        True if a row's target is one class number instead of a value per output.

    Raises
    ------
    ValueError
        If `reduction` is not one of the two.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    probability: ClassVar[str | None] = None
    labels: ClassVar[bool] = False
    reduction: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        validate.choice("reduction", self.reduction, REDUCTIONS)

    @property
    def parameter(self) -> float:
        """The loss's one constant, or 0.0 where it has none."""
        return 0.0


class HalfSquaredError(Loss):
    """Half the squared error, summed over the outputs."""

    name = "half_squared_error"
    formula = "L = 1/2 sum (y - t)^2"


class SquaredError(Loss):
    """The squared error, summed over the outputs."""

    name = "squared_error"
    formula = "L = sum (y - t)^2"


class MeanSquaredError(Loss):
    """The squared error, averaged over the outputs."""

    name = "mean_squared_error"
    formula = "L = 1/n sum (y - t)^2"


class MeanAbsoluteError(Loss):
    """The absolute error, averaged over the outputs; its derivative at 0 is taken as 0."""

    name = "mean_absolute_error"
    formula = "L = 1/n sum |y - t|"


class Huber(Loss):
    """Squared near the target, absolute far from it, averaged over the outputs.

    Parameters
    ----------
    reduction : {"mean", "sum"}, default "mean"
        How the rows of a batch are combined.
    delta : float, default 1.0
        The error at which the parabola meets the line; above 0.

    Raises
    ------
    ValueError
        If `delta` is not a finite number above 0.

    References
    ----------
    Huber 1964, section 1.
    """

    name = "huber"
    formula = "L = 1/n sum (e^2 / 2 if |e| <= delta else delta (|e| - delta / 2)), e = y - t"
    delta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.positive("delta", self.delta)

    @property
    def parameter(self) -> float:
        return float(self.delta)


class CrossEntropy(Loss):
    """Base of the three cross-entropies.

    Parameters
    ----------
    reduction : {"mean", "sum"}, default "mean"
        How the rows of a batch are combined.
    from_logits : bool, default False
        False if the network ends in the activation that `probability` names (loss and activation
        are then computed as one, stably); True if it ends in the net input z itself.
    """

    from_logits: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.flag("from_logits", self.from_logits)


class BinaryCrossentropy(CrossEntropy):
    """Cross-entropy of independent yes-or-no outputs, averaged over them; targets in [0, 1]."""

    name = "binary_crossentropy"
    formula = "L = -1/n sum (t log y + (1 - t) log(1 - y)), y = sigmoid(z)"
    probability = "sigmoid"


class CategoricalCrossentropy(CrossEntropy):
    """Cross-entropy of one distribution over the outputs; targets in [0, 1], one-hot as a rule."""

    name = "categorical_crossentropy"
    formula = "L = -sum t log y, y = softmax(z)"
    probability = "softmax"


class SparseCategoricalCrossentropy(CrossEntropy):
    """Cross-entropy of one distribution over the outputs; the target is the class's number."""

    name = "sparse_categorical_crossentropy"
    formula = "L = -log y_t, y = softmax(z)"
    probability = "softmax"
    labels = True


LOSSES: dict[str, type[Loss]] = {
    kind.name: kind
    for kind in (
        HalfSquaredError,
        SquaredError,
        MeanSquaredError,
        MeanAbsoluteError,
        Huber,
        BinaryCrossentropy,
        CategoricalCrossentropy,
        SparseCategoricalCrossentropy,
    )
}
ALIASES = {"mse": "mean_squared_error", "mae": "mean_absolute_error"}


def resolve(loss: Any) -> Loss | None:
    """Return the description that a name, a description or None (no loss) stands for."""
    if loss is None or isinstance(loss, Loss):
        return loss
    name = ALIASES.get(loss, loss) if isinstance(loss, str) else loss
    return LOSSES[validate.choice("loss", name, LOSSES)]()
