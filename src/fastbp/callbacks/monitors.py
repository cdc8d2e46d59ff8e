"""Callbacks that watch one value of each epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp import validate
from fastbp.callbacks.base import Callback, StopTraining
from fastbp.engine import Array
from fastbp.metrics import METRICS
from fastbp.optimizers import Rprop

if TYPE_CHECKING:
    from fastbp.history import History
    from fastbp.network import Network


class Monitor(Callback):
    """Base of what watches one value: which it is, and when it is better than before.

    Epochs without the value, those between two validations, are left out.

    Parameters
    ----------
    monitor : str
        What is watched: "loss", a metric's key, or one of them behind "val_"; a single number.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" knows it of the loss and the metrics.
    min_delta : float
        By how much a value has to be better; at least 0.

    Attributes
    ----------
    best : float
        The best value of the fit.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range; and from `fit`, if it has no value of that name.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"monitor: expected a name, got {type(monitor).__name__} {monitor!r}")
        self.monitor = monitor
        self.mode = validate.choice("mode", mode, ("auto", "min", "max"))
        self.min_delta = validate.at_least("min_delta", min_delta, 0)
        self.best = math.nan
        self._rises = False

    def prepare(self, network: Network, epochs: int, names: tuple[str, ...]) -> None:
        super().prepare(network, epochs, names)
        if self.monitor not in self.numbers():
            raise ValueError(self._unknown())
        self._rises = self.mode == "max" or (self.mode == "auto" and self._should_rise())

    def on_train_begin(self) -> None:
        self.best = -math.inf if self._rises else math.inf

    def is_better(self, value: float, other: float) -> bool:
        """Whether `value` is better than `other` by more than `min_delta`."""
        if self._rises:
            return value > other + self.min_delta
        return value < other - self.min_delta

    def _should_rise(self) -> bool:
        known: dict[str, Any] = METRICS | {name: metric for name, _, metric in self.measured()}
        metric = known.get(self.monitor.removeprefix("val_"))
        return metric is not None and bool(metric.rises)

    def _unknown(self) -> str:
        expected = " or ".join(repr(name) for name in self.numbers())
        advice = ""
        if self.monitor in self.names:
            advice = ", which has several values"
        elif self.monitor.startswith("val_") and "val_loss" not in self.names:
            advice = "; pass validation data to fit"
        return f"monitor: expected {expected}, got {self.monitor!r}{advice}"


class EarlyStopping(Monitor):
    """Stops when a value gets no better, and puts back the parameters of the best epoch.

    Parameters
    ----------
    monitor : str, default "val_loss"
        What is watched: "loss", a metric's key, or one of them behind "val_"; a single number.
    patience : int, default 0
        Epochs without a better value after which training stops; 0 and 1 stop at the first.
    min_delta : float, default 0.0
        By how much a value has to be better; at least 0.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better; "auto" knows it of the loss and the metrics.
    baseline : float, optional
        Only a best value that is better than this too begins the patience anew. A value that gets
        better and better doesn't stop training, whether it reaches this or not.
    restore_best : bool, default True
        Whether the network has the parameters of the best epoch when training ends, be it by this
        callback or otherwise. What the optimizer remembers stays that of the end.
    start_from_epoch : int, default 0
        The first epoch that counts.

    Attributes
    ----------
    best : float
        The best value.
    best_epoch : int or None
        The epoch that had it.
    stopped_epoch : int or None
        The epoch after which training was stopped, if it was.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range; and from `fit`, if it has no value of that name.

    Notes
    -----
    Counts epochs as Keras does, but for a first value that is not a number: it stops training
    when the patience is over.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 0,
        min_delta: float = 0.0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best: bool = True,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = validate.integer("patience", patience, 0)
        self.baseline = None if baseline is None else validate.real("baseline", baseline)
        self.restore_best = validate.flag("restore_best", restore_best)
        self.start_from_epoch = validate.integer("start_from_epoch", start_from_epoch, 0)
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._wait = 0
        self._parameters: Array | None = None  # of the best epoch

    def on_train_begin(self) -> None:
        super().on_train_begin()
        self.best_epoch = self.stopped_epoch = self._parameters = None
        self._wait = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        value = logs.get(self.monitor)
        if value is None or epoch < self.start_from_epoch:
            return
        self._wait += 1
        if self.is_better(value, self.best) and self._keeps_parameters():
            self.best, self.best_epoch = value, epoch
            if self.baseline is None or self.is_better(value, self.baseline):
                self._wait = 0
        elif self._wait >= self.patience:
            self.stopped_epoch = epoch
            raise StopTraining

    def on_train_end(self, history: History) -> None:
        if self._parameters is not None:
            self.network.set_parameters(self._parameters)
            self._parameters = None

    def _keeps_parameters(self) -> bool:
        """Copy the parameters, if that is asked for; not such as have left the finite numbers."""
        if self.restore_best:
            parameters = self.network.parameters
            if not np.isfinite(parameters).all():
                return False
            self._parameters = parameters.copy()
        return True


class ReduceOnPlateau(Monitor):
    """Lowers the learning rate when a value gets no better.

    Parameters
    ----------
    monitor : str, default "val_loss"
        What is watched: "loss", a metric's key, or one of them behind "val_"; a single number.
    factor : float, default 0.1
        What the learning rate is multiplied by; in (0, 1).
    patience : int, default 10
        Epochs without a better value after which it is; 0 and 1 do so at the first.
    min_delta : float, default 1e-4
        By how much a value has to be better; at least 0.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better; "auto" knows it of the loss and the metrics.
    cooldown : int, default 0
        Epochs after a reduction before the next is counted; 0 and 1 count at once.
    min_lr : float, default 0.0
        The lowest learning rate; at least 0.

    Attributes
    ----------
    best : float
        The best value.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range; and from `fit`, if it has no value of that name, or if a
        schedule sets the learning rate, or the optimizer is Rprop, which reads it once.

    Notes
    -----
    Counts as Keras does. PyTorch's scheduler does the same with `patience` and `cooldown` one less,
    `min_delta` as its `threshold` and ``threshold_mode="abs"``.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        mode: str = "auto",
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = validate.real("factor", factor)
        if not 0 < self.factor < 1:
            raise ValueError(f"factor: expected a number in (0, 1), got {factor!r}")
        self.patience = validate.integer("patience", patience, 0)
        self.cooldown = validate.integer("cooldown", cooldown, 0)
        self.min_lr = validate.at_least("min_lr", min_lr, 0)
        self._wait = self._cooling = 0

    def prepare(self, network: Network, epochs: int, names: tuple[str, ...]) -> None:
        super().prepare(network, epochs, names)
        if isinstance(network.optimizer, Rprop):
            raise ValueError(
                "callbacks: expected ReduceOnPlateau with an optimizer that goes on to read its "
                "learning_rate, got Rprop, whose steps begin with it and then adapt; leave "
                "ReduceOnPlateau out"
            )
        rate: Any = network.optimizer.learning_rate
        if not isinstance(rate, float):
            raise ValueError(
                f"callbacks: expected ReduceOnPlateau with a number as learning_rate, got {rate}; "
                f"set a number, or leave ReduceOnPlateau out"
            )

    def on_train_begin(self) -> None:
        super().on_train_begin()
        self._wait = self._cooling = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        value = logs.get(self.monitor)
        if value is None:
            return
        self._cooling = max(0, self._cooling - 1)
        if self.is_better(value, self.best):
            self.best, self._wait = value, 0
        elif not self._cooling:
            self._wait += 1
            if self._wait >= self.patience:
                self._reduce()

    def _reduce(self) -> None:
        rate = self.network.learning_rate
        if rate > self.min_lr:
            self.network.learning_rate = max(rate * self.factor, self.min_lr)
            self._cooling, self._wait = self.cooldown, 0
