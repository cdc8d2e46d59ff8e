"""A small network as a graph: numbers on their way forward in one colour, back in another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastbp.insight.propagation import LayerTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastbp.insight.trace import Trace

# Behind words, so that lines don't cross them.
BLANK = {"facecolor": "white", "edgecolor": "none", "pad": 0.3}
# Blue and vermilion are told apart by the colour-blind too.
FORWARD, BACKWARD, LINE = "#0b5fa5", "#c8501e", "#9a9a9a"
# Beyond these numbers cover each other.
MOST_UNITS, MOST_EDGES, MOST_COLUMNS = 4, 12, 7
RADIUS, WIDTH, HEIGHT = 0.34, 3.1, 1.9
WIDER = 0.7  # for each unit beyond two, so that lines are less steep
TO_LOSS = 2.6
INCHES = 1.2  # of a unit of the axes
DIGITS = 3
NEAR = 0.27  # where along a line its numbers stand


class Column(NamedTuple):
    """Units below each other.

    Attributes
    ----------
    name : str
        What stands above them.
    x : float
        Where they stand.
    values : list of float
        What is in them.
    """

    name: str
    x: float
    values: list[float]

    def height(self, unit: int) -> float:
        """Return how high a unit stands; the column is centred at 0."""
        return HEIGHT * ((len(self.values) - 1) / 2 - unit)


def refusal(trace: Trace) -> str:
    """Return why the network can't be drawn, or nothing."""
    layers = _drawn(trace)
    if not trace.graph.is_chain:
        return "expected layers that follow one another, got a graph of them"
    if not layers:
        return "expected a layer that computes something, got none"
    units = max(max(layer.inputs.shape[1], layer.output.shape[1]) for layer in layers)
    edges = max((layer.weights.size for layer in layers if layer.weights is not None), default=0)
    if units <= MOST_UNITS and edges <= MOST_EDGES and len(layers) < MOST_COLUMNS:
        return ""
    return (
        f"expected at most {MOST_UNITS} units and {MOST_EDGES} weights in each of fewer than "
        f"{MOST_COLUMNS} layers, got {units} units, {edges} weights and {len(layers)} layers"
    )


def _drawn(trace: Trace) -> list[LayerTrace]:
    return [layer for layer in trace.layers if layer.kind != "flatten"]


def size(trace: Trace) -> tuple[float, float]:
    """Return width and height that suit the network, in inches."""
    (left, right), (bottom, top) = limits(_columns(trace, 0))
    return INCHES * (right - left), INCHES * (top - bottom)


def limits(columns: Sequence[Column]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the ends of the axes."""
    highest = max(column.height(0) for column in columns) + RADIUS
    return (-0.6, columns[-1].x + TO_LOSS + 0.6), (-highest - 0.95, highest + 0.8)


def draw(trace: Trace, axes: Axes, sample: int) -> None:
    """Draw one sample's way through the network on matplotlib axes.

    Parameters
    ----------
    trace : Trace
        Everything.
    axes : matplotlib.axes.Axes
        Where to draw.
    sample : int
        The sample.
    """
    layers, columns = _drawn(trace), _columns(trace, sample)
    for layer, left, right in zip(layers, columns, columns[1:], strict=False):
        _edges(axes, layer, sample, left, right)
    _loss(axes, trace, sample, columns[-1])
    for column in columns:
        _units(axes, column)
    for layer, column in zip(layers, columns[1:], strict=True):
        _below(axes, layer, sample, column)
    _frame(axes, columns)


def _columns(trace: Trace, sample: int) -> list[Column]:
    layers = _drawn(trace)
    columns = [Column("input", 0, layers[0].inputs[sample].tolist())]
    for layer in layers:
        most = max(layer.inputs.shape[1], layer.output.shape[1])
        x = columns[-1].x + WIDTH + WIDER * max(0, most - 2)
        columns.append(Column(layer.name, x, layer.output[sample].tolist()))
    return columns


def _edges(axes: Axes, layer: LayerTrace, sample: int, left: Column, right: Column) -> None:
    """Draw the lines of a layer, with a weight above each and its derivative below."""
    for i, j in _pairs(layer):
        start, end = (left.x, left.height(i)), (right.x, right.height(j))
        _line(axes, start, end)
        if layer.weights is not None:
            gradient = float(layer.inputs[sample, i] * layer.delta[sample, j])
            _along(axes, start, end, figure(float(layer.weights[i, j])), figure(gradient))


def _pairs(layer: LayerTrace) -> Iterator[tuple[int, int]]:
    """Yield which input leads to which unit."""
    if layer.weights is not None:
        yield from np.ndindex(layer.weights.shape)
    elif layer.activation.name == "softmax":
        yield from np.ndindex(layer.inputs.shape[1], layer.output.shape[1])
    else:
        yield from ((unit, unit) for unit in range(layer.output.shape[1]))


def _line(axes: Axes, start: Sequence[float], end: Sequence[float]) -> None:
    axes.plot([start[0], end[0]], [start[1], end[1]], color=LINE, linewidth=0.9, zorder=1)


def _along(
    axes: Axes,
    start: Sequence[float],
    end: Sequence[float],
    above: str,
    below: str,
    share: float = NEAR,
) -> None:
    """Write above and below a line, where it has left the others of its unit behind."""
    (x, y), (u, v) = start, end
    near = min(share, 0.38 * HEIGHT / max(abs(v - y), 1e-9))  # steep lines soon meet others
    slope = math.atan2(v - y, u - x)
    for text, colour, side in ((above, FORWARD, 1), (below, BACKWARD, -1)):
        axes.text(
            x + near * (u - x) - 0.12 * side * math.sin(slope),
            y + near * (v - y) + 0.12 * side * math.cos(slope),
            text,
            color=colour,
            ha="center",
            va="center",
            rotation=math.degrees(slope),
            rotation_mode="anchor",
            fontsize=8.5,
            bbox=BLANK,
            zorder=2,
        )


def _units(axes: Axes, column: Column) -> None:
    from matplotlib.patches import Circle

    for unit, value in enumerate(column.values):
        centre = column.x, column.height(unit)
        axes.add_patch(Circle(centre, RADIUS, facecolor="white", edgecolor="#333333", zorder=3))
        axes.text(
            *centre, figure(value), color=FORWARD, ha="center", va="center", fontsize=9.5, zorder=4
        )


def _below(axes: Axes, layer: LayerTrace, sample: int, column: Column) -> None:
    """Write net input and bias above each unit, and delta below it."""
    for unit in range(len(column.values)):
        x, y = column.x, column.height(unit)
        words = [f"z = {figure(float(layer.net_input[sample, unit]))}"]
        if layer.biases is not None:
            words.append(f"b = {figure(float(layer.biases[unit]))}")
        _word(axes, x, y + RADIUS + 0.06, ",  ".join(words), FORWARD, "bottom")
        delta = figure(float(layer.delta[sample, unit]))
        _word(axes, x, y - RADIUS - 0.06, f"$\\delta$ = {delta}", BACKWARD, "top")


def _word(axes: Axes, x: float, y: float, text: str, colour: str, side: str) -> None:
    axes.text(x, y, text, color=colour, ha="center", va=side, fontsize=8.5, bbox=BLANK, zorder=2)


def _loss(axes: Axes, trace: Trace, sample: int, last: Column) -> None:
    """Draw the loss behind the outputs, with each target and what an output does to the loss."""
    from matplotlib.patches import Circle

    x, head, (end,) = last.x + TO_LOSS, trace.head, trace.ends
    for unit in range(len(last.values)):
        start = last.x, last.height(unit)
        _line(axes, start, (x, 0))
        back = ""
        if head.output_gradient is not None:
            slope = figure(float(head.output_gradient[sample, unit]))
            back = f"$\\partial L/\\partial y$ = {slope}"
        target = f"t = {figure(float(end.objective.targets[sample, unit]))}"
        _along(axes, start, (x, 0), target, back, share=0.45)
    axes.add_patch(Circle((x, 0), RADIUS, facecolor="#f3f3f3", edgecolor="#333333", zorder=3))
    loss = figure(float(trace.losses[sample]))
    axes.text(x, 0, f"L\n{loss}", color=FORWARD, ha="center", va="center", fontsize=9, zorder=4)


def _frame(axes: Axes, columns: list[Column]) -> None:
    """Name the columns and the colours, and leave the rest blank."""
    (left, right), (bottom, top) = limits(columns)
    for column in columns:
        axes.text(column.x, top - 0.35, column.name, ha="center", va="bottom", fontsize=10)
    middle = (left + right) / 2
    for words, colour, side, ha in (
        ("forward: values, weights", FORWARD, -1, "right"),
        ("backward: derivatives of the loss", BACKWARD, 1, "left"),
    ):
        axes.text(middle + 0.12 * side, bottom + 0.2, words, color=colour, ha=ha, fontsize=9.5)
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axes.set_axis_off()


def figure(value: float) -> str:
    """Return a number to a few digits, with a true minus sign."""
    return f"{value + 0.0:.{DIGITS}g}".replace("-", "\u2212")


def svg(trace: Trace, sample: int) -> str:
    """Return the picture as SVG without a header, the same for the same numbers."""
    import io

    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=size(trace), layout="constrained")
    draw(trace, figure.add_subplot(), sample)
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "fastbp", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
