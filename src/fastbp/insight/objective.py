"""What a batch is compared with, and how: targets, the loss of each sample, and its gradient."""

from __future__ import annotations

import numpy as np

from fastbp.insight.layer_trace import Array, quietly
from fastbp.losses import CrossEntropy, Loss
from fastbp.reference.losses import loss_gradient, one_hot, row_losses, smoothed

# Losses that add up those of single outputs; others take the mean.
SUMMED = ("half_squared_error", "squared_error")


class Objective:
    """A loss with the targets of a batch.

    In its methods y is what the loss reads: the outputs of the network; or the net input of its
    last activation, where loss and activation are differentiated together.

    Parameters
    ----------
    loss : Loss
        The loss.
    given : ndarray
        Targets, shape (n, outputs), or class numbers, shape (n,), -1 for one that is ignored.
    outputs : int
        How many outputs a row has.

    Attributes
    ----------
    loss : Loss
        The loss.
    targets : ndarray, shape (n, outputs)
        A number for each output; of a class number, 1 for the class.
    counted : ndarray, shape (n, outputs)
        The same as the loss takes them: smoothed, if it does so.
    """

    def __init__(self, loss: Loss, given: Array, outputs: int) -> None:
        self.loss = loss
        self._given = given if loss.labels else given.astype(np.float64)
        self.targets = self._by_output(outputs)
        self.counted = self.targets
        if isinstance(loss, CrossEntropy) and loss.label_smoothing:
            answers = 2 if loss.probability == "sigmoid" else outputs
            self.counted = smoothed(self.targets, loss.label_smoothing, answers)

    def _by_output(self, outputs: int) -> Array:
        if not self.loss.labels:
            return self._given
        targets = one_hot(self._given, np.empty((len(self._given), outputs)))
        targets[self._given < 0] = 0
        return targets

    @quietly
    def losses(self, y: Array) -> Array:
        """Return the loss of each sample, shape (n,); a label that is ignored has none."""
        losses = row_losses(self.loss, y, self._given)
        return np.where(self._given < 0, 0, losses) if self.loss.labels else losses

    @quietly
    def gradient(self, y: Array) -> Array:
        """Return dL/dy of each sample's own loss, shape (n, outputs)."""
        gradient = loss_gradient(self.loss, y, self._given, np.ones(len(y)))
        return np.where(self._given[:, None] < 0, 0, gradient) if self.loss.labels else gradient

    @quietly
    def parts(self, y: Array) -> Array | None:
        """Return each output's part of its sample's loss, shape (n, outputs).

        None for a loss that compares a row as a whole, as those of softmax do.
        """
        if self.loss.probability == "softmax":
            return None
        columns = (np.split(each, y.shape[1], axis=1) for each in (y, self._given))
        pairs = zip(*columns, strict=True)
        parts = np.stack([row_losses(self.loss, *pair) for pair in pairs], axis=1)
        return parts if self.loss.name in SUMMED else parts / y.shape[1]
