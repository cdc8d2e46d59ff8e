"""The picture of what a `GradientMonitor` recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastbp.insight.monitor import FloatArray, GradientMonitor

PANEL = 5.0, 3.2
# Layers go from the dark end of the scale to the light one, from input to output.
COLOURS, LIGHTEST = "viridis", 0.88
# The share of the parameters that Bottou advises an update to have (Bengio 2012, section 3.5).
ADVISED = 1e-3
# Above so many records a line is the running median, over so many parts of all, before the records.
FEW, PARTS = 150, 40


def flow(monitor: GradientMonitor) -> list[Axes]:
    """Draw the quantities over the steps, a panel for each that there is."""
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        message = "GradientMonitor.plot() needs matplotlib: pip install 'fastbp[plot]'"
        raise ImportError(message) from error
    has_shares = bool(np.isfinite([monitor.saturated, monitor.dead]).any())
    size = 2 * PANEL[0], 2 * PANEL[1]
    figure, grid = plt.subplots(2, 2, sharex=True, figsize=size, layout="constrained")
    gradients, ratios, outputs, shares = grid.flat
    colours = plt.get_cmap(COLOURS)(np.linspace(0, LIGHTEST, len(monitor.layers)))
    _norms(gradients, monitor, monitor.gradient_norms, colours, "norm of the gradient")
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = monitor.update_norms / monitor.parameter_norms
    _norms(ratios, monitor, ratio, colours, "update / parameters")
    ratios.axhline(ADVISED, color="0.6", linewidth=0.9, linestyle=":", zorder=1)
    _norms(outputs, monitor, monitor.activation_norms, colours, "root mean square of the outputs")
    if has_shares:
        _shares(shares, monitor, colours)
    else:
        shares.remove()
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("step" if axes in grid[1] or not has_shares else "")
    figure.legend(gradients.lines, monitor.layers, loc="outside right upper", frameon=False)
    return list(figure.axes)
