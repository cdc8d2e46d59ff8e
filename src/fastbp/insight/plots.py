"""Pictures of range tests, descents and restarts, on matplotlib axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastbp.insight.picture import BACKWARD, BLANK, FORWARD, LINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastbp.insight.descent import Descent
    from fastbp.insight.layer_trace import Array
    from fastbp.insight.range_test import RangeTest
    from fastbp.insight.starts import Restarts

# Of the height that is worth looking at, how much is shown beyond it.
MARGIN = 0.08
# How many times its first step a path may climb within the picture.
FAR = 30
# How far ahead of a path the other side of the valley is looked for, in doublings of its length.
MOST_DOUBLINGS = 8


def range_test(axes: Axes, found: RangeTest) -> None:
    """Draw losses against rates, with the edge and the suggestion."""
    axes.plot(found.rates, found.losses, ".", color=LINE, markersize=4, label="each batch")
    axes.plot(found.rates, found.smoothed, color=FORWARD, label="median of five")
    if found.edge is not None and found.suggestion is not None:
        axes.axvline(found.edge, color=LINE, linestyle=":", label=f"edge {found.edge:.2g}")
        axes.axvline(
            found.suggestion,
            color=BACKWARD,
            linestyle="--",
            label=f"suggestion {found.suggestion:.2g}",
        )
    low, high = found.smoothed.min(), found.smoothed[0]
    height = (high - low) or abs(high) or 1.0
    axes.set(
        xlabel="learning rate",
        ylabel="loss",
        xscale="log" if _is_geometric(found.rates) else "linear",
        ylim=(low - MARGIN * height, high + 0.5 * height),
    )
    axes.legend(frameon=False, loc="best")
    _open(axes)


def _is_geometric(rates: Array) -> bool:
    """Whether rates rise by factors rather than by steps."""
    return len(rates) > 2 and bool(np.median(rates) < rates[[0, -1]].mean() / 1.1)


def descent(axes: Axes, path: Descent) -> None:
    """Draw a curve and the path of points on it, with a title that says what it did."""
    shown = _worth_seeing(path.values)
    x, values = path.x[shown], path.values[shown]
    curve = np.linspace(*_window(path, x), 400)
    axes.plot(curve, [path.value(float(place)) for place in curve], color=FORWARD, zorder=1)
    axes.plot(x, values, "-o", color=BACKWARD, linewidth=0.9, markersize=3.5, zorder=2)
    axes.plot(x[0], values[0], "o", color="white", markeredgecolor=BACKWARD, zorder=3)
    near = (9, -4)  # points to the right and up
    axes.annotate("start", (x[0], values[0]), near, textcoords="offset points", bbox=BLANK)
    axes.set(xlabel="x", ylabel="f(x)")
    axes.set_title(f"learning rate {path.learning_rate:g}: {path.regime}", fontsize="medium")
    _open(axes)


def _worth_seeing(values: Array) -> slice:
    """Return the points before a path has gone far above its first step."""
    low = values.min()
    far = np.flatnonzero(values - low > FAR * ((values[:2].max() - low) or np.inf))
    return slice(0, int(far[0]) if len(far) else len(values))


def _window(path: Descent, x: Array) -> tuple[float, float]:
    """Return the ends of the curve: those of the points, and of the valley that lies ahead."""
    ends = [float(x.min()), float(x.max())]
    width = (ends[1] - ends[0]) or abs(ends[0]) or 1.0
    here = float(path.x[-1])
    if path.regime in ("crawl", "convergence"):
        for doubling in range(MOST_DOUBLINGS):
            there = here - float(np.sign(path.slopes[-1])) * width * 2**doubling
            if not path.value(there) < path.value(here):
                break
            here = there
        ends.append(there)
    beyond = 0.15 * (max(ends) - min(ends) or width)
    return min(ends) - beyond, max(ends) + beyond


def restarts(axes: Axes, found: Restarts) -> None:
    """Draw losses in rising order, on a scale of powers of ten, the best one in red."""
    losses = np.sort(found.losses[np.isfinite(found.losses)])
    numbers = np.arange(1, len(losses) + 1)
    axes.plot(numbers, losses, ".", color=FORWARD)
    axes.plot(1, losses[0], "o", color=BACKWARD, label=f"seed {found.best.seed}: {losses[0]:.3g}")
    if losses[0] > 0:
        axes.set_yscale("log")
    axes.set(xlabel="starts, best first", ylabel="loss", xlim=(0, len(found.losses) + 1))
    axes.locator_params(axis="x", integer=True)
    axes.legend(frameon=False, loc="upper left")
    _open(axes)


def _open(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
