"""What a diagnosis has to go by: a history, what a monitor recorded, and the data."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from fastbp import History
from fastbp.insight.monitor import GradientMonitor

FloatArray = npt.NDArray[np.float64]

# The distances of so many rows from all others are looked at; more would take long.
MOST_ROWS = 2000
NEIGHBOURS = 1, 3, 5, 9
# A course has this many epochs at least.
FEWEST_EPOCHS = 6


class Missing(Exception):  # noqa: N818 - it is an answer, not an error
    """What an ailment can't be looked for without; the message names it."""


class Case:
    """A training, as far as it is known.

    What a property needs and is not there raises `Missing`.

    Parameters
    ----------
    history : History
        What `fit` returned.
    monitor : GradientMonitor or None
        What watched that fit, and no other.
    data : tuple of array_like (x, y), or None
        What it learned from.
    """

    def __init__(self, history: History, monitor: GradientMonitor | None, data: Any) -> None:
        self.history = history
        self.ended = history.ended
        self._monitor = monitor
        self._data = data

    @functools.cached_property
    def losses(self) -> FloatArray:
        """The loss of each epoch."""
        if not self.history.epochs:
            raise Missing("an epoch that was completed")
        return np.array(self.history["loss"], np.float64)

    @functools.cached_property
    def start(self) -> float:
        """The loss at the start: of the first epoch or, if it is higher, of the first record."""
        first = float(self.losses[0])
        try:
            return max(first, float(self.monitor.losses[0]))
        except Missing:
            return first

    @functools.cached_property
    def course(self) -> FloatArray:
        """The loss of each epoch, of enough of them to speak of a course."""
        if len(self.losses) < FEWEST_EPOCHS:
            raise Missing(f"at least {FEWEST_EPOCHS} epochs")
        return self.losses

    @functools.cached_property
    def validation(self) -> FloatArray:
        """The loss of each validation."""
        if not self.history.get("val_loss"):
            raise Missing("validation data in fit")
        return np.array(self.history["val_loss"], np.float64)

    @functools.cached_property
    def monitor(self) -> GradientMonitor:
        """What was recorded of single steps, one at least."""
        if self._monitor is None:
            raise Missing("a GradientMonitor among the callbacks of fit, as monitor")
        try:
            self._monitor.require_records()
        except ValueError as error:
            raise Missing(str(error)) from error
        return self._monitor

    @functools.cached_property
    def norms(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Norms of all parameters, gradients and updates together, shape (records,) each."""
        monitor = self.monitor
        parts = monitor.parameter_norms, monitor.gradient_norms, monitor.update_norms
        with np.errstate(over="ignore"):
            parameters, gradients, updates = (np.sqrt((part**2).sum(axis=1)) for part in parts)
        return parameters, gradients, updates

    @functools.cached_property
    def reach(self) -> FloatArray:
        """Of each recorded step its length, as a share of the one to a loss of 0 along the slope.

        It is |update| |gradient| / loss: 1 for the step of Polyak (1987), section 5.3, for a loss
        whose minimum is 0. Of losses below 0, where there is no such step, it is 0.
        """
        _, gradients, updates = self.norms
        losses = self.monitor.losses
        with np.errstate(all="ignore"):
            reach = np.where(losses >= 0, updates * gradients / losses, 0)
        return np.nan_to_num(reach, nan=0.0, posinf=np.inf)

    @functools.cached_property
    def slope(self) -> FloatArray:
        """Of each record by what share the loss changes where parameters change by a small share.

        It is |gradient| |parameters| / loss: 1 where a step of 1 % of the parameters' length, along
        the gradient, changes the loss by 1 %.
        """
        parameters, gradients, _ = self.norms
        with np.errstate(all="ignore"):
            slope = gradients * parameters / np.abs(self.monitor.losses)
        return np.nan_to_num(slope, nan=0.0, posinf=np.inf)

    @functools.cached_property
    def data(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Inputs, shape (n, inputs), and targets, shape (n,) or (n, outputs)."""
        if self._data is None:
            raise Missing("what it learned from, as data=(x, y)")
        x, y = self._data
        return x.reshape(len(x), -1), y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y

    @functools.cached_property
    def labels(self) -> npt.NDArray[Any]:
        """The classes that the data have, ascending: targets or, of one-hot rows, columns."""
        _, y = self.data
        if y.ndim == 1:
            return np.unique(y)
        if y.ndim == 2 and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all():
            return np.arange(y.shape[1])
        raise Missing("targets of one class for each row")

    @functools.cached_property
    def classes(self) -> npt.NDArray[np.int64]:
        """The class of each row of the data, as its place among `labels`, shape (n,)."""
        labels, (_, y) = self.labels, self.data
        return y.argmax(axis=1) if y.ndim == 2 else np.searchsorted(labels, y)

    @functools.cached_property
    def accuracy(self) -> float:
        """The share of training rows that were right in the last epoch."""
        if not self.history.get("accuracy"):
            raise Missing("'accuracy' among the metrics of the network")
        return float(self.history["accuracy"][-1])

    @functools.cached_property
    def explained(self) -> tuple[str, float, float]:
        """How well the network does with the rows it learned from, and how well neighbours do.

        The name of the measure, "accuracy" or "R2", its value, and the same of a guess from the
        nearest neighbours of each row, the row itself left out: with so many rows that neighbours
        are near, one alone makes at most twice the error that can't be avoided (Cover and Hart
        1967).
        """
        if self.history.get("accuracy"):
            return "accuracy", self.accuracy, self._by_neighbours(self.classes, True)
        if not self.history.get("r2"):
            raise Missing("'accuracy' or 'r2' among the metrics of the network")
        value = float(self.history["r2"][-1])
        return "R2", value, self._by_neighbours(np.asarray(self.data[1], np.float64), False)

    def _by_neighbours(self, y: npt.NDArray[Any], votes: bool) -> float:
        """Return the best that the nearest 1, 3, 5 or 9 neighbours do."""
        x, _ = self.data
        rows = np.linspace(0, len(x) - 1, min(len(x), MOST_ROWS)).astype(int)
        if len(rows) <= max(NEIGHBOURS):
            raise Missing(f"more than {max(NEIGHBOURS)} rows of data")
        x, y = x[rows].astype(np.float64), y[rows]
        x = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
        squares = (x**2).sum(axis=1)
        distances = squares[:, None] + squares - 2 * x @ x.T
        np.fill_diagonal(distances, np.inf)
        nearest = np.argpartition(distances, max(NEIGHBOURS), axis=1)[:, : max(NEIGHBOURS)]
        order = np.take_along_axis(distances, nearest, axis=1).argsort(axis=1)
        around = y[np.take_along_axis(nearest, order, axis=1)]
        judge = _share_right if votes else _share_explained
        return max(judge(around[:, :k], y) for k in NEIGHBOURS)


def _share_right(around: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
    """Return the share of rows whose class has the most votes."""
    votes = np.stack([(around == k).sum(axis=1) for k in range(y.max() + 1)], axis=1)
    return float((votes.argmax(axis=1) == y).mean())


def _share_explained(around: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
    """Return R2 of the means."""
    spread = float(y.var(axis=0).mean())
    return 1 - float(((around.mean(axis=1) - y) ** 2).mean()) / spread if spread else 1.0
