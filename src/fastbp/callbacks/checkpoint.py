"""A callback that saves the network on its way."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from fastbp import validate
from fastbp.callbacks.base import Callback
from fastbp.callbacks.monitors import Monitor
from fastbp.engine import loss_names, measured

if TYPE_CHECKING:
    from fastbp.network import Network


class ModelCheckpoint(Monitor):
    """Saves the network after epochs or batches: always, or when a value is the best so far.

    `Network.load` makes a network from such a file, which goes on to the same bits as the one that
    was saved, within the epoch if that was not over: of ``epochs`` it then has
    ``epochs - net.position.epochs`` to go, and one more if ``net.position.part.rows`` is not 0.

    Parameters
    ----------
    filepath : str or path
        The file. Fields in braces are replaced by values, as in
        ``"net-{epoch:02d}-{val_loss:.3f}.safetensors"``: `epoch`, counted from 1 and over all fits
        since training began; after batches `batch`, counted from 1 in each epoch; and the values
        of the epoch, or of the batches so far.
    monitor : str, default "val_loss"
        What is watched if `save_best_only`: "loss", a metric's key, or one of them behind "val_";
        a single number. After batches only losses and accuracies are known.
    save_best_only : bool, default False
        Whether to save only when that value is better than before. The best is kept from fit to
        fit.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less or more is better; "auto" knows it of the loss and the metrics.
    save_freq : "epoch" or int, default "epoch"
        Save after each epoch, or after so many batches, counted over a fit.
    initial_value_threshold : float, optional
        What the first value has to be better than, as when going on from an earlier program.

    Attributes
    ----------
    best : float
        The best value so far.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range; and from `fit`, if it lacks a value that `monitor` or
        `filepath` names.
    OSError
        From `fit`, which then ends, if a file can't be written.

    Notes
    -----
    As Keras's. What callbacks remember is not in the file.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        *,
        save_best_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, 0.0)
        if not isinstance(filepath, str | os.PathLike):
            raise TypeError(f"filepath: expected a path, got {type(filepath).__name__}")
        self.filepath = os.fspath(filepath)
        self.save_best_only = validate.flag("save_best_only", save_best_only)
        if initial_value_threshold is not None:
            self.best = validate.real("initial_value_threshold", initial_value_threshold)
        self.save_freq = save_freq
        self._batches = 0
        self._values: dict[str, Any] = {}  # what stands for those that an epoch does not have
        # Training comes back to Python only for the method that is there.
        if save_freq == "epoch":
            self.on_epoch_end = self._after_epoch  # type: ignore[method-assign]
        else:
            self.save_freq = validate.integer("save_freq", save_freq, 1)
            self.on_batch_end = self._after_batch  # type: ignore[method-assign]

    def prepare(self, network: Network, epochs: int, names: tuple[str, ...]) -> None:
        Callback.prepare(self, network, epochs, names)
        self._values = dict.fromkeys(names, math.nan)
        if self.save_freq != "epoch":
            prefixes = network.plan.prefixes if len(network.loss_weights) > 1 else ("",)
            counted = [m.name for m in measured(prefixes, network.metrics) if m.metric.of_rows]
            self._values = {"batch": 1} | dict.fromkeys((*loss_names(prefixes), *counted), math.nan)
        if self.save_best_only:
            super().prepare(network, epochs, tuple(n for n in self._values if n != "batch"))
            self.names = names
        self._path({})

    def on_train_begin(self) -> None:
        self._batches = 0
        if math.isnan(self.best):
            super().on_train_begin()

    def _after_epoch(self, epoch: int, logs: dict[str, Any]) -> None:
        self._save(logs)

    def _after_batch(self, batch: int, logs: dict[str, float]) -> None:
        self._batches += 1
        if self._batches % int(self.save_freq) == 0:
            self._save(logs | {"batch": batch + 1})

    def _save(self, values: dict[str, Any]) -> None:
        if self.save_best_only:
            value = values.get(self.monitor)
            if value is None or not self.is_better(value, self.best):
                return
        self.network.save(self._path(values))
        if self.save_best_only:
            self.best = values[self.monitor]

    def _path(self, values: dict[str, Any]) -> str:
        """Return the file's name with values for its fields."""
        fields = {"epoch": self.network.position.epochs, **self._values, **values}
        try:
            return self.filepath.format(**fields)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            known = ", ".join(fields)
            raise ValueError(
                f"filepath: expected fields of {known}, got {self.filepath!r}: {error!r}"
            ) from None
