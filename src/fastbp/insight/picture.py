"""A small network as a graph: numbers on their way forward in one colour, back in another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fastbp.insight.layer_trace import LayerTrace
from fastbp.insight.layout import HEIGHT, RADIUS, Box, Layout, drawn, layout, sources
from fastbp.insight.routes import origin, ways

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastbp.insight.trace import Trace

# Behind words, so that lines don't cross them.
BLANK = {"facecolor": "white", "edgecolor": "none", "pad": 0.3}
# Blue and vermilion are told apart by the colour-blind too.
FORWARD, BACKWARD, LINE = "#0b5fa5", "#c8501e", "#9a9a9a"
# Beyond these numbers cover each other.
MOST_UNITS, MOST_EDGES, MOST_COLUMNS, MOST_BELOW = 4, 12, 7, 8
INCHES = 1.2  # of a unit of the axes
DIGITS = 3
NEAR = 0.27  # where along a line its numbers stand

# Straight lines from one point to another, each once.
Lines: TypeAlias = dict[tuple[tuple[float, float], tuple[float, float]], None]


def refusal(trace: Trace) -> str:
    """Return why the network can't be drawn, or nothing."""
    layers = [trace.layers[number] for number in drawn(trace)]
    if not layers:
        return "expected a layer that computes something, got none"
    placed = layout(trace)
    units = max(trace.width(value) for value in placed.columns)
    edges = max((layer.weights.size for layer in layers if layer.weights is not None), default=0)
    count = max(placed.columns.values())
    if units > MOST_UNITS or edges > MOST_EDGES or count >= MOST_COLUMNS:
        return (
            f"expected at most {MOST_UNITS} units and {MOST_EDGES} weights in each of fewer than "
            f"{MOST_COLUMNS} layers, got {units} units, {edges} weights and {count} layers"
        )
    below = max(
        sum(trace.width(value) for value, at in placed.columns.items() if at == column)
        for column in range(count + 1)
    )
    if below > MOST_BELOW:
        return f"expected at most {MOST_BELOW} units below each other, got {below}"
    return ""


def size(trace: Trace) -> tuple[float, float]:
    """Return width and height that suit the network, in inches."""
    (left, right), (bottom, top) = _limits(layout(trace))
    return INCHES * (right - left), INCHES * (top - bottom)


def _limits(placed: Layout) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the ends of the axes."""
    bottom, top = placed.bottom - RADIUS - 0.95, placed.top + RADIUS + 0.8
    return (-0.6, placed.loss + 0.6), (bottom, top)


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
    placed = layout(trace)
    lines: Lines = {}
    for number in drawn(trace):
        _edges(axes, trace, placed, number, sample, lines)
    _loss(axes, trace, placed, sample, lines)
    for start, end in lines:
        axes.plot(*zip(start, end, strict=True), color=LINE, linewidth=0.9, zorder=1)
    for value in placed.columns:
        box = placed.units(value)
        _units(axes, box, trace.value(value)[sample].tolist())
        if value >= trace.n_inputs:
            _below(axes, trace.layers[value - trace.n_inputs], sample, box)
    _frame(axes, trace, placed)


def _edges(
    axes: Axes, trace: Trace, placed: Layout, number: int, sample: int, lines: Lines
) -> None:
    """Collect the lines to a layer, and write a weight above each and its derivative below."""
    layer, box = trace.layers[number], placed.units(trace.value_of(number))
    start = 0
    for value, width in zip(sources(trace, layer), layer.widths, strict=True):
        # Where several layers read one or two units, fewer lines end at a unit than begin at one.
        at_end = width <= 2 and len(ways(trace, value)) > 1
        for i, j in _pairs(layer, start, width):
            path = placed.path(value, i, box.column)
            path.append((box.x, box.heights[j]))
            lines |= dict.fromkeys(pairwise(path))
            if layer.weights is not None:
                gradient = float(layer.inputs[sample, i] * layer.delta[sample, j])
                words = figure(float(layer.weights[i, j])), figure(gradient)
                _along(axes, path[-2], path[-1], *words, at_end=at_end)
        start += width


def _pairs(layer: LayerTrace, start: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield which units of a value lead to which of a layer, whose inputs they are from `start`."""
    if layer.weights is not None or layer.activation.name == "softmax":
        yield from np.ndindex(width, layer.output.shape[1])
    else:
        yield from ((unit, layer.place_of(start + unit)) for unit in range(width))


def _along(
    axes: Axes,
    start: Sequence[float],
    end: Sequence[float],
    above: str,
    below: str,
    share: float = NEAR,
    at_end: bool = False,
) -> None:
    """Write above and below a line, where it has left the others of its unit behind.

    That is near its start, or as near to its end.
    """
    (x, y), (u, v) = start, end
    # Steep lines soon meet those of the next unit, later where fewer end than begin.
    near = min(share, (0.75 if at_end else 0.38) * HEIGHT / max(abs(v - y), 1e-9))
    near = 1 - near if at_end else near
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


def _units(axes: Axes, box: Box, values: list[float]) -> None:
    from matplotlib.patches import Circle

    for height, value in zip(box.heights, values, strict=True):
        centre = box.x, height
        axes.add_patch(Circle(centre, RADIUS, facecolor="white", edgecolor="#333333", zorder=3))
        axes.text(
            *centre, figure(value), color=FORWARD, ha="center", va="center", fontsize=9.5, zorder=4
        )


def _below(axes: Axes, layer: LayerTrace, sample: int, box: Box) -> None:
    """Write net input and bias above each unit, and delta below it."""
    x = box.x
    for unit, y in enumerate(box.heights):
        words = [f"z = {figure(float(layer.net_input[sample, unit]))}"]
        if layer.biases is not None:
            words.append(f"b = {figure(float(layer.biases[unit]))}")
        _word(axes, x, y + RADIUS + 0.06, ",  ".join(words), FORWARD, "bottom")
        delta = figure(float(layer.delta[sample, unit]))
        _word(axes, x, y - RADIUS - 0.06, f"$\\delta$ = {delta}", BACKWARD, "top")


def _word(axes: Axes, x: float, y: float, text: str, colour: str, side: str) -> None:
    axes.text(x, y, text, color=colour, ha="center", va=side, fontsize=8.5, bbox=BLANK, zorder=2)


def _loss(axes: Axes, trace: Trace, placed: Layout, sample: int, lines: Lines) -> None:
    """Draw the loss behind the outputs, with each target and what an output does to the loss."""
    from matplotlib.patches import Circle

    at = placed.loss, 0.0
    for end in trace.ends:
        value = origin(trace.layers, trace.n_inputs, end.value)
        for unit, t in enumerate(end.objective.targets[sample].tolist()):
            path = [*placed.path(value, unit, 1 + max(placed.columns.values())), at]
            lines |= dict.fromkeys(pairwise(path))
            slope = "" if end.is_fused else figure(float(end.gradient[sample, unit]))
            back = f"$\\partial L/\\partial y$ = {slope}" if slope else ""
            _along(axes, path[-2], path[-1], f"t = {figure(t)}", back, share=0.45)
    axes.add_patch(Circle(at, RADIUS, facecolor="#f3f3f3", edgecolor="#333333", zorder=3))
    loss = figure(float(trace.losses[sample]))
    axes.text(*at, f"L\n{loss}", color=FORWARD, ha="center", va="center", fontsize=9, zorder=4)


def _frame(axes: Axes, trace: Trace, placed: Layout) -> None:
    """Name the layers and the colours, and leave the rest blank."""
    (left, right), (bottom, top) = _limits(placed)
    for value in placed.columns:
        box = placed.units(value)
        y = top - 0.35 if trace.graph.is_chain else box.heights[0] + RADIUS + 0.38
        axes.text(box.x, y, box.name, ha="center", va="bottom", fontsize=10)
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
