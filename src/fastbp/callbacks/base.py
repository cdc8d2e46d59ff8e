"""The base of all callbacks, and what ends a fit from within one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastbp.engine import Measured, Progress, measured

if TYPE_CHECKING:
    from fastbp.history import History
    from fastbp.network import Network
    from fastbp.watch import Watch, WatchedLayer


class StopTraining(Exception):  # noqa: N818 - it is a request, not an error
    """Raise it in a method of a callback to end the fit there as if it had been asked for no more.

    The other callbacks are still called for the same place. After a batch, the rest of the epoch is
    left out, and the epoch is not on record.
    """


class Callback:
    """Base of what `fit` calls on its way; each method that a subclass overrides is called.

    A method that is not overridden costs nothing: with `on_epoch_end` training comes back to Python
    after each epoch, with `on_batch_end` after each batch, with neither of them not at all. Epochs
    of a fit, and batches of an epoch, are counted from 0. An object serves one fit at a time.

    Within a method the network stands between two batches. `predict`, `evaluate`, calls and copies
    of it are allowed there, and so are `set_parameters` and setting its optimizer to one of the
    same kind, with which training goes on. All else that changes it raises RuntimeError.

    An exception other than `StopTraining` ends the fit there, leaves the network usable and is
    passed on. A copy made or a file saved there stands at this place, within the epoch after a
    batch, and goes on from it. `on_train_end` is called however a fit ends, if `on_train_begin`
    returned.

    Attributes
    ----------
    network : Network
        What is being trained; set by `fit`, as are the others.
    epochs : int
        Epochs asked for.
    names : tuple of str
        What `on_epoch_end` finds in `logs`, named as in `History`: "loss" and each metric; with
        validation data the same behind "val_"; "learning_rate", that of the epoch's last update,
        where a schedule gives it.
    """

    network: Network
    epochs: int
    names: tuple[str, ...]

    def prepare(self, network: Network, epochs: int, names: tuple[str, ...]) -> None:
        """Learn about the fit, when its arguments are found right and before it changes a thing.

        What an override raises refuses the fit.
        """
        self.network, self.epochs, self.names = network, epochs, names

    def watches(self, layers: tuple[WatchedLayer, ...]) -> Watch | None:
        """Return which steps the engine is to record by itself, of all layers with parameters."""
        return None

    def numbers(self) -> tuple[str, ...]:
        """Return the names of single numbers: all but those of metrics of several values."""
        arrays = {name for name, _, metric in self.measured() if metric.is_array}
        return tuple(name for name in self.names if name.removeprefix("val_") not in arrays)

    def measured(self) -> tuple[Measured, ...]:
        """Return the metrics of all outputs, with their names."""
        several = len(self.network.loss_weights) > 1  # it has a plan then, before any fit
        prefixes = self.network.plan.prefixes if several else ("",)
        return measured(prefixes, self.network.metrics)

    def on_train_begin(self) -> None:
        """Act before the first epoch."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Act before an epoch."""

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Act after a batch.

        `logs` has the means, over the rows that the epoch has taken so far, of the loss and of
        accuracy, if that is a metric; other metrics are known at the end of the epoch alone.
        """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Act after an epoch; `logs` has its values, those of validation where there was one.

        A metric of several values, such as a confusion matrix, has an array.
        """

    def on_progress(self, progress: Progress) -> None:
        """Act after a batch or an epoch, some twenty times a second."""

    def on_train_end(self, history: History) -> None:
        """Act after training, however it ended; `history` is what `fit` returns."""


def is_asked(callback: Callback, method: str) -> bool:
    """Whether a callback overrides a method, in its class or on itself."""
    own = getattr(getattr(callback, method), "__func__", None)
    return own is not getattr(Callback, method)


class LambdaCallback(Callback):
    """Functions in place of methods.

    Parameters
    ----------
    on_train_begin, on_epoch_begin, on_batch_end, on_epoch_end, on_train_end : callable, optional
        Each is called with the arguments of the method of that name.

    Raises
    ------
    TypeError
        If one of them can't be called.
    """

    def __init__(
        self,
        *,
        on_train_begin: Callable[[], Any] | None = None,
        on_epoch_begin: Callable[[int], Any] | None = None,
        on_batch_end: Callable[[int, dict[str, float]], Any] | None = None,
        on_epoch_end: Callable[[int, dict[str, Any]], Any] | None = None,
        on_train_end: Callable[[History], Any] | None = None,
    ) -> None:
        given = {
            "on_train_begin": on_train_begin,
            "on_epoch_begin": on_epoch_begin,
            "on_batch_end": on_batch_end,
            "on_epoch_end": on_epoch_end,
            "on_train_end": on_train_end,
        }
        for name, function in given.items():
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"{name}: expected a function, got {function!r}")
            setattr(self, name, function)
