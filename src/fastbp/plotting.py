"""Pictures: drawn on matplotlib axes that the caller provides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase


def curve(
    axes: Axes, history: Mapping[str, Sequence[float]], name: str, *, validation_freq: int = 1
) -> None:
    """Draw one number of a history against the epoch, validation dashed beside training.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    history : mapping of str to sequence of float
        As `fit` returns it.
    name : str
        What to draw: "loss" or a metric. "val_" before it names the dashed curve, if there is one.
    validation_freq : int, default 1
        Epochs from one value of the dashed curve to the next.
    """
    epochs = range(1, len(history[name]) + 1)
    axes.plot(epochs, history[name], label="training")
    if f"val_{name}" in history:
        validated = epochs[validation_freq - 1 :: validation_freq]
        axes.plot(validated, history[f"val_{name}"], "--", label="validation")
        axes.legend(frameon=False)
    axes.set(xlabel="epoch", ylabel=name)
    axes.locator_params(axis="x", integer=True)
    axes.spines[["top", "right"]].set_visible(False)


def descent(
    error_axes: Axes,
    prediction_axes: Axes,
    errors: npt.ArrayLike,
    predictions: npt.NDArray[Any],
    targets: npt.ArrayLike,
) -> None:
    """Draw how a training came down: errors, and predictions on the way to their targets.

    Parameters
    ----------
    error_axes, prediction_axes : matplotlib.axes.Axes
        Where to draw.
    errors : array_like, shape (steps,)
        The error at each step, drawn on a scale of powers of ten.
    predictions : ndarray, shape (steps, n)
        What was predicted at each step: a line for each of n outputs.
    targets : array_like, shape (n,)
        What they were to be: dashed.
    """
    error_axes.plot(errors)
    error_axes.set(xlabel="step", ylabel="error", yscale="log")
    for line, target in zip(prediction_axes.plot(predictions), np.asarray(targets), strict=True):
        dashed = prediction_axes.axhline(
            target, color=line.get_color(), linestyle="--", alpha=0.6, zorder=1
        )
    line.set_label("prediction")
    dashed.set_label("target")
    prediction_axes.legend(frameon=False)
    prediction_axes.set(xlabel="step", ylabel="prediction")
    for axes in (error_axes, prediction_axes):
        axes.locator_params(axis="x", nbins=5, integer=True)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.spines[["top", "right"]].set_visible(False)


def misread(
    figure: FigureBase,
    images: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
    *,
    most: int = 25,
) -> None:
    """Draw the images whose prediction is wrong, each under what it is and what it was taken for.

    Parameters
    ----------
    figure : matplotlib.figure.Figure or SubFigure
        Where to draw.
    images : ndarray, shape (n, height, width)
        All images; larger is darker.
    truth, predicted : ndarray, shape (n,)
        What each shows, and what it was taken for.
    most : int, default 25
        How many to draw at most; the title says of how many.
    """
    wrong = (truth != predicted).nonzero()[0]
    shown = wrong[:most]
    of = f", {most} of them here" if len(wrong) > most else ""
    figure.suptitle(f"{len(wrong)} of {len(truth)} misread{of}")
    columns = max(1, math.ceil(math.sqrt(len(shown))))
    rows = max(1, math.ceil(len(shown) / columns))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, index in zip(grid.flat, shown, strict=False):
        axes.imshow(images[index], cmap="gray_r", interpolation="nearest")
        axes.set_title(f"{truth[index]} as {predicted[index]}")
