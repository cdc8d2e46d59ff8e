"""The history of a fit: one number per epoch for the loss and each metric."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.engine import Arrays, Record, alone, each

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class History(dict[str, list[Any]]):
    """What one call of `fit` recorded: a dict of names to one float per completed epoch.

    The names are "loss" and each metric's; of several outputs each one's loss and metrics stand
    behind its name, as in "dense_1_loss", and "loss" is the weighted sum of all. With validation
    data also the same behind "val_", with one float per validation. A metric of several values,
    such as a confusion matrix, has arrays.
    Where a schedule gives the learning rate, "learning_rate" is that of the epoch's last update.

    Attributes
    ----------
    epochs : int
        Epochs completed, and the length of each list but those of validation.
    validation_freq : int
        Epochs from one validation to the next: the list of a validation has its first value from
        epoch `validation_freq`, counted from 1.
    outputs : ndarray or None, shape (epochs, n, *output_shape), or tuple of them
        Outputs for the training rows at each epoch, where `record_outputs` asked for them.
    ended : {"epochs", "stop_at_loss", "callback", "divergence"}
        What ended the fit: all epochs were done, the loss asked for was reached, a callback stopped
        it, or loss or parameters stopped being finite.
    """

    epochs: int
    validation_freq: int
    ended: str = "epochs"  # also of one that was pickled before there was this
    outputs: Arrays | None
    _unread: Mapping[str, Sequence[Any]] = {}

    def __init__(
        self, record: Record, output_shape: Any, validation_freq: int = 1, ended: str = "epochs"
    ) -> None:
        # A million Python floats take longer than a tiny network takes to train for them, so lists
        # are made when the first of them is asked for.
        super().__init__({name: [] for name in record.curves})
        self._unread = record.curves
        self.epochs = record.epochs
        self.validation_freq = validation_freq
        self.ended = ended
        self.outputs = record.outputs
        if record.outputs is not None:
            count = len(record.outputs) if isinstance(record.outputs, tuple) else 1
            given = zip(each(record.outputs, count), each(output_shape, count), strict=True)
            self.outputs = alone(tuple(y.reshape(*y.shape[:2], *shape) for y, shape in given))

    def _read(self) -> None:
        """Make the lists, unless that has been done."""
        dict.update(self, {name: list(curve) for name, curve in self._unread.items()})
        self._unread = {}  # only now: an interrupt may have come before the lists were there

    def plot(self) -> list[Axes]:
        """Draw the loss and each metric against the epoch, validation dashed beside training.

        Metrics of several values are left out.

        Returns
        -------
        list of matplotlib.axes.Axes
            One for the loss and one for each metric, side by side in a new figure.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        try:
            from matplotlib import pyplot as plt
        except ImportError as error:
            message = "history.plot() needs matplotlib: pip install 'fastbp[plot]'"
            raise ImportError(message) from error
        from fastbp import plotting

        names = [name for name in self if not name.startswith("val_")]
        names = [name for name in names if not np.ndim(self[name][:1]) > 1]
        figure, grid = plt.subplots(
            1, len(names), squeeze=False, figsize=(4.8 * len(names), 3.6), layout="constrained"
        )
        for axes, name in zip(grid[0], names, strict=True):
            plotting.curve(axes, self, name, validation_freq=self.validation_freq)
        return list(figure.axes)


def _reading(name: str) -> Callable[..., Any]:
    """Return a method of dict that finds the lists made."""
    method: Callable[..., Any] = getattr(dict, name)

    @functools.wraps(method)
    def after_reading(*args: Any, **keywords: Any) -> Any:
        for argument in args:
            if isinstance(argument, History):
                argument._read()
        return method(*args, **keywords)

    return after_reading


# All of dict but what speaks of names alone. That `__iter__` is among them makes dict(history) ask
# it for items, where it would copy those of a plain dict.
_READING = """
    __getitem__ __setitem__ __delitem__ __iter__ __reversed__ __eq__ __ne__ __or__ __ror__ __ior__
    __repr__ clear copy get items pop popitem setdefault update values
"""
for _name in _READING.split():
    setattr(History, _name, _reading(_name))
