"""Losses, described: what each computes for one row. Engines do the arithmetic.

In every formula t is the target, y the output, z the net input of the last layer, n the number of
outputs of a row; sums and means run over the outputs. The loss of a batch is the mean over its
rows, weighted by the sample weights where there are any (sum of w L over sum of w), or with
``reduction="sum"`` the sum of w L. To that is added what parameters cost (`fastbp.regularizers`),
R; with ``reduction="joint_mean"`` it is divided too (sum of w L + R over sum of w), as in
scikit-learn's MLPs.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar, Literal

from fastbp import validate
from fastbp.description import Description

REDUCTIONS = ("mean", "sum", "joint_mean")
TARGETS = ("values", "amounts", "signs", "probabilities", "distributions", "labels")


class Loss(Description):
    """Base of the loss descriptions.

    Parameters
    ----------
    reduction : {"mean", "sum", "joint_mean"}, default "mean"
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
    targets : str
        What targets are: "values", any numbers; "amounts", at least 0; "signs", 1 for yes and -1 or
        0 for no; "probabilities", from 0 to 1; "distributions", such as add up to 1 in each row;
        "labels", one class number a row.
    threshold : float
        An output above it counts as yes.

    Raises
    ------
    ValueError
        If `reduction` is not one of the three.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    probability: ClassVar[str | None] = None
    targets: ClassVar[str] = "values"
    reduction: Literal["mean", "sum", "joint_mean"] = "mean"

    def __post_init__(self) -> None:
        validate.choice("reduction", self.reduction, REDUCTIONS)

    @property
    def parameter(self) -> float:
        """The loss's one constant, or 0.0 where it has none."""
        return 0.0

    @property
    def labels(self) -> bool:
        """Whether a row's target is one class number instead of a value per output."""
        return self.targets == "labels"

    @property
    def threshold(self) -> float:
        """The output above which a yes-or-no question is answered by yes."""
        return 0.5

    def decision(self, outputs: int) -> Literal["label", "yes", "largest"]:
        """Return how outputs are compared with targets where it counts which are right.

        The largest output names the class that a row belongs to, with a "label" for its target or
        one value per class, of which the "largest" counts; or each output alone says "yes" or no.
        """
        if self.labels:
            return "label"
        return "yes" if outputs == 1 else "largest"


class HalfSquaredError(Loss):
    """Half the squared error, summed over the outputs.

    References
    ----------
    Rumelhart, Hinton and Williams 1986 ("Learning representations by back-propagating errors"), eq.
    3.
    """

    name = "half_squared_error"
    formula = "L = 1/2 sum (y - t)^2"


class SquaredError(Loss):
    """The squared error, summed over the outputs.

    References
    ----------
    Legendre 1805, appendix on the method of least squares.
    """

    name = "squared_error"
    formula = "L = sum (y - t)^2"


class MeanSquaredError(Loss):
    """The squared error, averaged over the outputs.

    References
    ----------
    Hastie, Tibshirani and Friedman 2009, section 2.4.
    """

    name = "mean_squared_error"
    formula = "L = 1/n sum (y - t)^2"


class MeanAbsoluteError(Loss):
    """The absolute error, averaged over the outputs; its derivative at 0 is taken as 0.

    References
    ----------
    Hastie, Tibshirani and Friedman 2009, section 2.4.
    """

    name = "mean_absolute_error"
    formula = "L = 1/n sum |y - t|"


class Huber(Loss):
    """Squared near the target, absolute far from it, averaged over the outputs.

    Parameters
    ----------
    reduction : {"mean", "sum", "joint_mean"}, default "mean"
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


class Quantile(Loss):
    """The pinball loss: least where a share `quantile` of the targets lies below the output.

    Averaged over the outputs; its derivative at 0 is taken as 0. Half the absolute error for the
    median, `quantile` 0.5.

    Parameters
    ----------
    reduction : {"mean", "sum", "joint_mean"}, default "mean"
        How the rows of a batch are combined.
    quantile : float, default 0.5
        The quantile to estimate; above 0 and below 1.

    Raises
    ------
    ValueError
        If `quantile` is not between 0 and 1.

    References
    ----------
    Koenker and Bassett 1978, section 3.
    """

    name = "quantile"
    formula = "L = 1/n sum max(q (t - y), (q - 1) (t - y)), q = quantile"
    quantile: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.fraction("quantile", validate.positive("quantile", self.quantile))

    @property
    def parameter(self) -> float:
        return float(self.quantile)


class Hinge(Loss):
    """How far yes-or-no outputs are from a margin of 1 on the right side of 0, averaged over them.

    Targets are 1 for yes, and for no either -1 or 0, which counts as -1. The derivative at the
    margin is taken as 0. Outputs are decision values, above 0 for yes, so a network as a rule ends
    without an activation.

    References
    ----------
    Cortes and Vapnik 1995, section 3.
    """

    name = "hinge"
    formula = "L = 1/n sum max(0, 1 - s y), s = 1 if t > 0 else -1"
    targets = "signs"

    @property
    def threshold(self) -> float:
        return 0.0

    def decision(self, outputs: int) -> Literal["label", "yes", "largest"]:
        return "yes"


class Poisson(Loss):
    """Deviance of counts from a Poisson distribution, but for terms of t alone; t is at least 0.

    Averaged over the outputs.

    Parameters
    ----------
    reduction : {"mean", "sum", "joint_mean"}, default "mean"
        How the rows of a batch are combined.
    log_input : bool, default False
        False if outputs are rates, as softplus gives them: the network then has to end in an
        activation that is never negative. True if they are logarithms of rates, which suits a
        network that ends without an activation; `predict` then gives logarithms too.

    References
    ----------
    McCullagh and Nelder 1989, section 6.2; the logarithm is its canonical link.
    """

    name = "poisson"
    formula = "L = 1/n sum (y - t log(y + 1e-7)); with log_input L = 1/n sum (exp(y) - t y)"
    targets = "amounts"
    log_input: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.flag("log_input", self.log_input)

    @property
    def parameter(self) -> float:
        return float(self.log_input)


class ProbabilityLoss(Loss):
    """Base of the losses that compare probabilities.

    Parameters
    ----------
    reduction : {"mean", "sum", "joint_mean"}, default "mean"
        How the rows of a batch are combined.
    from_logits : bool, default False
        False if the network ends in the activation that `probability` names (loss and activation
        are then computed as one, stably); True if it ends in the net input z itself.
    """

    from_logits: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.flag("from_logits", self.from_logits)

    @property
    def threshold(self) -> float:
        return 0.0 if self.from_logits else 0.5


class KLDivergence(ProbabilityLoss):
    """Kullback-Leibler divergence of the outputs from targets that are distributions.

    The cross-entropy less what it is at least, the entropy of the targets: 0 where y is t, with the
    same gradients. 0 log 0 counts as 0.

    References
    ----------
    Kullback and Leibler 1951, eq. 2.4.
    """

    name = "kl_divergence"
    formula = "L = sum t log(t / y), y = softmax(z)"
    probability = "softmax"
    targets = "distributions"


class CrossEntropy(ProbabilityLoss):
    """Base of the three cross-entropies.

    Parameters
    ----------
    reduction : {"mean", "sum", "joint_mean"}, default "mean"
        How the rows of a batch are combined.
    from_logits : bool, default False
        False if the network ends in the activation that `probability` names (loss and activation
        are then computed as one, stably); True if it ends in the net input z itself.
    label_smoothing : float, default 0.0
        The share s of each target that goes to all answers alike: (1 - s) t + s / k stands for t,
        with k classes, or k = 2 for yes or no. In [0, 1). Metrics see the targets as they are.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens and Wojna 2016, section 7: label smoothing.
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.fraction("label_smoothing", self.label_smoothing)

    @property
    def parameter(self) -> float:
        return float(self.label_smoothing)


class BinaryCrossentropy(CrossEntropy):
    """Cross-entropy of independent yes-or-no outputs, averaged over them; targets in [0, 1].

    References
    ----------
    Bishop 2006, eqs. 4.90 and 5.21.
    """

    name = "binary_crossentropy"
    formula = "L = -1/n sum (t log y + (1 - t) log(1 - y)), y = sigmoid(z)"
    probability = "sigmoid"
    targets = "probabilities"

    def decision(self, outputs: int) -> Literal["label", "yes", "largest"]:
        return "yes"


class CategoricalCrossentropy(CrossEntropy):
    """Cross-entropy of one distribution over the outputs; targets in [0, 1], one-hot as a rule.

    References
    ----------
    Bishop 2006, eqs. 4.108 and 5.24.
    """

    name = "categorical_crossentropy"
    formula = "L = -sum t log y, y = softmax(z)"
    probability = "softmax"
    targets = "probabilities"


class SparseCategoricalCrossentropy(CrossEntropy):
    """Cross-entropy of one distribution over the outputs; the target is the class's number.

    Parameters
    ----------
    reduction : {"mean", "sum", "joint_mean"}, default "mean"
        How the rows of a batch are combined.
    from_logits : bool, default False
        True if the network ends in the net input z itself, False if it ends in softmax.
    label_smoothing : float, default 0.0
        The share of each target that goes to all classes alike, in [0, 1).
    ignore_label : int, optional
        Rows with this label count neither in the loss and its gradient nor in what a mean is
        divided by nor in metrics. It may be a class number or any other. The loss of a batch of
        such rows alone is 0.

    References
    ----------
    Bishop 2006, eqs. 4.108 and 5.24, with targets of which one is 1 and the others 0.
    """

    name = "sparse_categorical_crossentropy"
    formula = "L = -log y_t, y = softmax(z)"
    probability = "softmax"
    targets = "labels"
    ignore_label: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ignore_label is not None:
            validate.integer("ignore_label", self.ignore_label, -(2**63), 2**63 - 1)


class Custom(Loss):
    """A loss of your own and its derivative, each called once a batch.

    Parameters
    ----------
    function : callable
        Takes outputs y and targets t, read-only, and returns the loss L of each row, an array of
        shape (rows,). y has the shape (rows, outputs), the elements of a row in one line, and the
        network's dtype; so has t, unless it is labels: int32, shape (rows,).
    derivative : callable
        Takes the same and returns dL/dy, shape (rows, outputs): of each row's own loss. Weights of
        rows and the mean over them are not its business. `fastbp.custom.check` compares the two.
    reduction : {"mean", "sum", "joint_mean"}, default "mean"
        How the rows of a batch are combined.
    targets : str, default "values"
        What targets are, as for `Loss`; others are refused.
    threshold : float, default 0.5
        The output above which metrics take a single output for yes; 0 for one that is a logit.

    Raises
    ------
    TypeError, ValueError
        If a function is missing, or an argument is not as described.

    Examples
    --------
    >>> quartic = fastbp.losses.Custom(
    ...     lambda y, t: ((y - t) ** 4).sum(axis=1), lambda y, t: 4 * (y - t) ** 3
    ... )
    """

    name = "custom"
    formula = "L = function(y, t); dL/dy = derivative(y, t)"
    function: Any = None
    derivative: Any = None
    reduction: Literal["mean", "sum", "joint_mean"] = field(default="mean", kw_only=True)
    targets: str = field(default="values", kw_only=True)  # type: ignore[misc]
    threshold: float = field(default=0.5, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        takes = "a function that takes y and t and returns"
        validate.function("function", self.function, f"{takes} the loss of each row")
        validate.function("derivative", self.derivative, f"{takes} dL/dy")
        validate.choice("targets", self.targets, TARGETS)
        validate.real("threshold", self.threshold)


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
        KLDivergence,
        Poisson,
        Hinge,
        Quantile,
    )
}
ALIASES = {"mse": "mean_squared_error", "mae": "mean_absolute_error"}


def resolve(loss: Any) -> Loss | None:
    """Return the description that a name, a description or None (no loss) stands for."""
    if loss is None or isinstance(loss, Loss):
        return loss
    validate.no_function("loss", loss, "losses.Custom(function, derivative)")
    name = ALIASES.get(loss, loss) if isinstance(loss, str) else loss
    return LOSSES[validate.choice("loss", name, LOSSES)]()
