"""The history of a fit: one number per epoch for the loss and each metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbp.engine import Array, Record
from fastbp.plan import Shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class History(dict[str, list[float]]):
    """What one call of `fit` recorded: a dict of names to one float per completed epoch.

    The names are "loss" and each metric's; with validation data also the same behind "val_".

    Attributes
    ----------
    epochs : int
        Epochs completed, and the length of each list.
    outputs : ndarray or None, shape (epochs, n, *output_shape)
        Outputs for the training rows at each epoch, where `record_outputs` asked for them.
    """

    epochs: int
    outputs: Array | None

    def __init__(self, record: Record, output_shape: Shape) -> None:
        super().__init__(record.curves)
        self.epochs = record.epochs
        self.outputs = record.outputs
        if record.outputs is not None:
            self.outputs = record.outputs.reshape(*record.outputs.shape[:2], *output_shape)

    def plot(self) -> list[Axes]:
        """Draw the loss and each metric against the epoch, validation dashed beside training.

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
        figure, grid = plt.subplots(
            1, len(names), squeeze=False, figsize=(4.8 * len(names), 3.6), layout="constrained"
        )
        for axes, name in zip(grid[0], names, strict=True):
            plotting.curve(axes, self, name)
        return list(figure.axes)
