"""Pictures of what a `GradientMonitor` recorded, on matplotlib axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastbp.insight.monitor import FloatArray, GradientMonitor

PANEL = 5.2, 3.3
# Updates of some thousandth of the parameters are what Bottou advises (Bengio 2012, section 3.5).
USUAL_RATIO = 1e-3


def flow(monitor: GradientMonitor) -> Figure:
    """Draw the quantities over the steps, a panel for each that there is."""
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        message = "GradientMonitor.plot() needs matplotlib: pip install 'fastbp[plot]'"
        raise ImportError(message) from error
    figure, grid = plt.subplots(2, 2, figsize=(2 * PANEL[0], 2 * PANEL[1]), layout="constrained")
    return figure
