"""Metrics, described. Engines count the mean over rows; `fastbp.measures` does the others.

In every formula t is the target, y the output, n the number of outputs. Sample and class weights
are left aside, and so are rows with a label that the loss ignores.

Where right and wrong are counted, `fastbp.losses.Loss.decision` says how: a row belongs to the
class of its largest output, the first of equals, and its target is a label, or the class of its
largest target; with one output, or binary cross-entropy, an output counts as yes above one half
(above 0 for logits and the hinge loss) and a target above one half.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from fastbp import validate
from fastbp.description import Description
from fastbp.losses import Loss

AVERAGES = ("binary", "macro", "micro", "weighted")


class Metric(Description):
    """Base of the metric descriptions.

    Attributes
    ----------
    name : str
        The name by which engines and users know the metric.
    key : str
        What results are called by: the name, with what tells it from others of the kind.
    formula : str
        What is computed.
    rises : bool
        Whether more of it is better.
    is_array : bool
        Whether it has several values: results then hold an array.
    of_rows : bool
        True for a mean over rows, which is counted while batches run. Others are computed from all
        outputs of an epoch at once: those of training data are each from before the update by its
        batch, and the outputs of the rows are kept for an epoch.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    rises: ClassVar[bool] = True
    of_rows: ClassVar[bool] = False

    @property
    def key(self) -> str:
        """What results are called by."""
        return self.name

    @property
    def is_array(self) -> bool:
        """Whether it has several values."""
        return False

    def require(self, loss: Loss, outputs: int) -> None:
        """Raise ValueError where the metric has no meaning for a loss and a number of outputs."""


class Accuracy(Metric):
    """Share of rows, or of yes-or-no outputs, that are right.

    References
    ----------
    Manning, Raghavan and Schuetze 2008, section 8.3.
    """

    name = "accuracy"
    formula = "1/rows sum [argmax y = label]"
    of_rows = True


class OneClassMetric(Metric):
    """Base of those that need rows of one class each."""

    def require(self, loss: Loss, outputs: int) -> None:
        if loss.decision(outputs) == "yes" and outputs > 1:
            raise ValueError(
                f"metrics: {self.name} expects rows of one class each, got the {outputs} yes-or-no "
                f"outputs of {loss.name}"
            )


class TopKAccuracy(OneClassMetric):
    """Share of rows whose class is among those of the k largest outputs, the first of equals.

    Results call it "top_5_accuracy" for k = 5.

    Parameters
    ----------
    k : int, default 5
        How many outputs count; from 1 to as many as there are.

    References
    ----------
    Krizhevsky, Sutskever and Hinton 2012, section 2: 1 less their top-5 error.
    """

    name = "top_k_accuracy"
    formula = "1/rows sum [label is among the k largest y]"
    k: int = 5

    def __post_init__(self) -> None:
        validate.integer("k", self.k, 1)

    @property
    def key(self) -> str:
        return f"top_{self.k}_accuracy"

    def require(self, loss: Loss, outputs: int) -> None:
        super().require(loss, outputs)
        if self.k > outputs:
            raise ValueError(
                f"metrics: {self.name} expects at least k={self.k} outputs, got {outputs}"
            )


class AveragedMetric(Metric):
    """Base of precision, recall and F1.

    Parameters
    ----------
    average : {"binary", "macro", "micro", "weighted"} or None, default "binary"
        Of which class, or how classes are averaged, as in scikit-learn: "binary" is that of yes, or
        of the second of two classes; "macro" is the mean over the classes that occur among targets
        or answers; "weighted" counts each as often as it is a target; "micro" is from the sums over
        the classes. None gives an array of one value for each class. A class without rows to
        divide by counts 0. With several yes-or-no outputs each is a class.

    Notes
    -----
    Results call it by its name, with the average behind it unless that is "binary", as in
    "f1_macro", and "by_class" for None.
    """

    average: Literal["binary", "macro", "micro", "weighted"] | None = "binary"

    def __post_init__(self) -> None:
        if self.average is not None:
            validate.choice("average", self.average, AVERAGES)

    @property
    def key(self) -> str:
        return (
            self.name if self.average == "binary" else f"{self.name}_{self.average or 'by_class'}"
        )

    @property
    def is_array(self) -> bool:
        return self.average is None

    def require(self, loss: Loss, outputs: int) -> None:
        if self.average != "binary" or outputs == 1:
            return
        if outputs > 2 or loss.decision(outputs) == "yes":
            raise ValueError(
                f"metrics: {self.name} with average='binary' expects one yes-or-no output or two "
                f"classes, got {outputs} outputs; choose average='macro', 'micro', 'weighted' or "
                f"None"
            )


class Precision(AveragedMetric):
    """How many of the rows that are answered by a class belong to it.

    References
    ----------
    Manning, Raghavan and Schuetze 2008, section 8.3.
    """

    name = "precision"
    formula = "TP / (TP + FP)"


class Recall(AveragedMetric):
    """How many of the rows that belong to a class are answered by it.

    References
    ----------
    Manning, Raghavan and Schuetze 2008, section 8.3.
    """

    name = "recall"
    formula = "TP / (TP + FN)"


class F1(AveragedMetric):
    """The harmonic mean of precision and recall.

    References
    ----------
    van Rijsbergen 1979, chapter 7; Manning, Raghavan and Schuetze 2008, section 8.3.
    """

    name = "f1"
    formula = "2 TP / (2 TP + FP + FN)"


class AUC(Metric):
    """Area under the receiver operating characteristic, exact, ties counting one half.

    Of several classes, or yes-or-no outputs, the mean of each against the others. NaN where a class
    has no rows, or all of them.

    References
    ----------
    Hanley and McNeil 1982: it is the probability that of a row of the class and another one the
    first has the larger output.
    """

    name = "auc"
    formula = "(pairs ordered rightly + 1/2 pairs of equals) / pairs"


class ConfusionMatrix(OneClassMetric):
    """How many rows of each class (down) were answered by each class (across): an array of int.

    With one output the classes are no and yes.

    References
    ----------
    Kohavi and Provost 1998, glossary.
    """

    name = "confusion_matrix"
    formula = "C[i, j] = sum over rows [label = i, answer = j]"

    @property
    def is_array(self) -> bool:
        return True


class ValueMetric(Metric):
    """Base of those that compare values."""

    def require(self, loss: Loss, outputs: int) -> None:
        if loss.labels:
            raise ValueError(
                f"metrics: {self.name} expects a target for each output, got class numbers for "
                f"{loss.name}"
            )


class MeanSquaredError(ValueMetric):
    """The squared error, averaged over rows and outputs.

    References
    ----------
    Hastie, Tibshirani and Friedman 2009, section 2.4.
    """

    name = "mean_squared_error"
    formula = "1/(rows n) sum (y - t)^2"
    rises = False


class MeanAbsoluteError(ValueMetric):
    """The absolute error, averaged over rows and outputs.

    References
    ----------
    Hastie, Tibshirani and Friedman 2009, section 2.4.
    """

    name = "mean_absolute_error"
    formula = "1/(rows n) sum |y - t|"
    rises = False


class R2(ValueMetric):
    """Coefficient of determination, averaged over the outputs.

    Of a target that is the same in all rows it is 1 if every output equals it, else 0.

    References
    ----------
    Wright 1921 ("Correlation and causation"): the coefficient of determination.
    """

    name = "r2"
    formula = "1 - sum (y - t)^2 / sum (t - mean t)^2"


METRICS: dict[str, type[Metric]] = {
    kind.name: kind
    for kind in (
        Accuracy,
        TopKAccuracy,
        Precision,
        Recall,
        F1,
        AUC,
        ConfusionMatrix,
        MeanSquaredError,
        MeanAbsoluteError,
        R2,
    )
}
ALIASES = {"acc": "accuracy", "mse": "mean_squared_error", "mae": "mean_absolute_error"}


def resolve(metric: Any) -> Metric:
    """Return the description that a name or a description stands for."""
    if isinstance(metric, Metric):
        return metric
    name = ALIASES.get(metric, metric) if isinstance(metric, str) else metric
    return METRICS[validate.choice("metrics", name, METRICS)]()
