"""Where the units of a small network stand in its picture: in columns, from left to right.

A layer stands one column behind the last of those that it reads. What is read further on passes
the columns between in a lane of its own, so that no line crosses a unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastbp.insight.layer_trace import LayerTrace
from fastbp.insight.routes import origin, ways

if TYPE_CHECKING:
    from fastbp.insight.trace import Trace

RADIUS, WIDTH, HEIGHT = 0.34, 3.1, 1.9
# For each unit beyond two, so that lines are less steep: in a chain, and where lines of several
# layers begin at a unit.
WIDER, WIDER_YET = 0.7, 1.2
TO_LOSS = 2.6
LANE, ASIDE = 0.3, 0.9  # from a line to the next in a lane; room for the lane beside its lines
TO_TARGET = 0.95  # from a line to the next where they lead to the loss, with words along them
TITLE = 0.55  # for the name above each layer of a graph


class Box(NamedTuple):
    """The units of an input or a layer, below each other, or the lane of their lines.

    Attributes
    ----------
    name : str
        What stands above them; of a lane nothing.
    value : int
        The number of the value.
    column : int
        The column, from 0.
    x : float
        Where they stand.
    heights : tuple of float
        How high each of them stands.
    """

    name: str
    value: int
    column: int
    x: float
    heights: tuple[float, ...]


class Layout(NamedTuple):
    """Where everything stands.

    Attributes
    ----------
    boxes : dict of (int, int) to Box
        By the number of the value and the column: the first one is that of its units.
    columns : dict of int to int
        The column of each value that is drawn.
    loss : float
        Where the loss stands; its height is 0.
    top, bottom : float
        How high the highest and the lowest unit stand.
    """

    boxes: dict[tuple[int, int], Box]
    columns: dict[int, int]
    loss: float
    top: float
    bottom: float

    def units(self, value: int) -> Box:
        """Return the units of a value."""
        return self.boxes[value, self.columns[value]]

    def path(self, value: int, unit: int, column: int) -> list[tuple[float, float]]:
        """Return the points by which a line goes from a unit to the room before a column."""
        boxes = (self.boxes[value, at] for at in range(self.columns[value], column))
        return [(box.x, box.heights[unit]) for box in boxes]


def drawn(trace: Trace) -> list[int]:
    """Return the numbers of the layers that compute something."""
    return [number for number, layer in enumerate(trace.layers) if layer.kind != "flatten"]


def sources(trace: Trace, layer: LayerTrace) -> list[int]:
    """Return the values that a layer reads, as they were computed."""
    return [origin(trace.layers, trace.n_inputs, read) for read in layer.reads]


def layout(trace: Trace) -> Layout:
    """Return where everything stands."""
    columns = _columns(trace)
    last = 1 + max(columns.values())
    boxes: dict[tuple[int, int], Box] = {}
    x, before = 0.0, 0
    for column in range(last):
        here = _ordered(trace, columns, column, boxes)
        units = sum(trace.width(value) for value in here if columns[value] == column)
        wider = WIDER if trace.graph.is_chain else WIDER_YET
        x += WIDTH + wider * max(0, units - 2, before - 2) if column else 0.0
        before = units
        boxes |= _stacked(trace, columns, column, here, x)
    ends = [height for box in boxes.values() for height in box.heights]
    return Layout(boxes, columns, x + TO_LOSS, max(ends), min(ends))


def _columns(trace: Trace) -> dict[int, int]:
    """Return the column of each value that is drawn."""
    columns = dict.fromkeys(range(trace.n_inputs), 0)
    for number in drawn(trace):
        read = sources(trace, trace.layers[number])
        columns[trace.value_of(number)] = 1 + max(columns[value] for value in read)
    return columns


def _ordered(
    trace: Trace, columns: dict[int, int], column: int, boxes: dict[tuple[int, int], Box]
) -> list[int]:
    """Return the values whose units or lanes are in a column, from the top down."""
    here = [
        value for value, first in columns.items() if first <= column <= _end(trace, columns, value)
    ]

    def height(value: int) -> float:
        """How high those stand that lead here."""
        if not column:
            return 0.0
        if columns[value] < column:
            read = [value]
        else:
            read = sources(trace, trace.layers[value - trace.n_inputs])
        return float(np.mean([np.mean(boxes[each, column - 1].heights) for each in read]))

    return sorted(here, key=lambda value: (-height(value), columns[value] < column, value))


def _end(trace: Trace, columns: dict[int, int], value: int) -> int:
    """Return the last column that a value is in: that of its units, or the one before a reader."""
    found = [columns[value]]
    for way in ways(trace, value):
        reader = 1 + max(columns.values()) if way.end else columns[trace.value_of(way.layer)]
        found.append(reader - 1)
    return max(found)


def _stacked(
    trace: Trace, columns: dict[int, int], column: int, here: list[int], x: float
) -> dict[tuple[int, int], Box]:
    """Return the boxes of a column, below each other around the middle."""
    title = 0 if trace.graph.is_chain else TITLE
    ends = {origin(trace.layers, trace.n_inputs, end.value) for end in trace.ends}
    shapes = []
    for value in here:  # the room above, the step from one to the next, the room below
        if columns[value] == column:
            shapes.append((title, HEIGHT, 0.0))
        else:
            shapes.append((ASIDE / 2, TO_TARGET if value in ends else LANE, ASIDE / 2))
    widths = [trace.width(value) for value in here]
    top = sum(a + w * step + b for w, (a, step, b) in zip(widths, shapes, strict=True)) / 2
    boxes = {}
    for value, width, (above, step, below) in zip(here, widths, shapes, strict=True):
        heights = tuple(top - above - step * (unit + 0.5) for unit in range(width))
        name = trace.names[value] if columns[value] == column else ""
        boxes[value, column] = Box(name, value, column, x, heights)
        top -= above + step * width + below
    return boxes
