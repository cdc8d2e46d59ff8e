"""The picture of what a `GradientMonitor` recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastbp.insight.monitor import FloatArray, GradientMonitor

PANEL = 5.0, 3.0
# Layers go from the dark end of the scale to the light one, from input to output.
COLOURS, LIGHTEST = "viridis", 0.88
# The share of the parameters that an update had best have, by Bottou (Bengio 2012, section 3.5).
ADVISED = 1e-3
# So many records and more are drawn pale, and with them the median of each of so many parts.
MANY, PARTS = 150, 40


def flow(monitor: GradientMonitor) -> list[Axes]:
    """Draw the quantities over the steps, a panel for each that there is."""
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        message = "GradientMonitor.plot() needs matplotlib: pip install 'fastbp[plot]'"
        raise ImportError(message) from error
    size = 2 * PANEL[0], 2 * PANEL[1]
    figure, grid = plt.subplots(2, 2, figsize=size, layout="constrained")
    gradients, ratios, outputs, shares = grid.flat
    colours = plt.get_cmap(COLOURS)(np.linspace(0, LIGHTEST, len(monitor.layers)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = monitor.update_norms / monitor.parameter_norms
    _norms(gradients, monitor, monitor.gradient_norms, colours, "norm of the gradient")
    _norms(ratios, monitor, ratio, colours, "update / parameters, dotted: a thousandth")
    _norms(outputs, monitor, monitor.activation_norms, colours, "root mean square of the outputs")
    low, high = ratios.get_ylim()
    if low < ADVISED < high:
        ratios.axhline(ADVISED, color="0.5", linewidth=0.9, linestyle=":", zorder=1)
    _shares(shares, monitor, colours)
    for axes in figure.axes:
        axes.title.set_fontsize("medium")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("step")
        axes.locator_params(axis="x", nbins=6, integer=True)
        axes.xaxis.set_major_formatter("{x:,.0f}")
    lines = [
        gradients.plot([], color=colour, label=name)[0]
        for colour, name in zip(colours, monitor.layers, strict=True)
    ]
    figure.legend(handles=lines, loc="outside right upper", frameon=False)
    return list(figure.axes)


def _norms(
    axes: Axes, monitor: GradientMonitor, values: FloatArray, colours: Any, title: str
) -> None:
    """Draw what is at least 0 on a scale of whole powers of ten; what is 0 is left out."""
    shown = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    _lines(axes, monitor.steps, shown, colours)
    axes.set(title=title, yscale="log")
    powers = np.log10(shown[np.isfinite(shown)])
    if len(powers):
        low = np.floor(powers.min())
        axes.set_ylim(0.8 * 10**low, 1.25 * 10 ** max(np.ceil(powers.max()), low + 1))
        axes.yaxis.set_minor_formatter("")


def _shares(axes: Axes, monitor: GradientMonitor, colours: Any) -> None:
    """Draw the shares of saturated outputs, solid, and of dead units, dashed."""
    if not np.isfinite([monitor.saturated, monitor.dead]).any():
        axes.remove()
        return
    _lines(axes, monitor.steps, monitor.saturated, colours)
    _lines(axes, monitor.steps, monitor.dead, colours, "--")
    title = "share of outputs saturated (solid), units dead (dashed)"
    axes.set(title=title, ylim=(-0.02, 1.02))


def _lines(axes: Axes, steps: Any, values: FloatArray, colours: Any, style: str = "-") -> None:
    """Draw a line for each layer, from values of shape (records, layers)."""
    if len(steps) == 1:
        style = "_" if style == "--" else "o"
    for colour, line in zip(colours, values.T, strict=True):
        if len(steps) < MANY:
            axes.plot(steps, line, style, color=colour, linewidth=1.3)
        else:
            axes.plot(steps, line, style, color=colour, linewidth=0.6, alpha=0.3)
            axes.plot(*_medians(steps, line), style, color=colour, linewidth=1.5)


def _medians(steps: Any, line: FloatArray) -> tuple[list[float], list[float]]:
    """Return the median of each part of a line, in the middle of its steps."""
    parts = zip(np.array_split(steps, PARTS), np.array_split(line, PARTS), strict=True)
    middles = [(float(np.mean(at)), float(np.median(values))) for at, values in parts]
    return [at for at, _ in middles], [value for _, value in middles]
