"""Who reads what: the ways from a value of a network to its loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fastbp.insight.layer_trace import LayerTrace

if TYPE_CHECKING:
    from fastbp.insight.ends import End
    from fastbp.insight.trace import Trace


class Way(NamedTuple):
    """One of those that read a value.

    Attributes
    ----------
    name : str
        What it is called: the layer, or the loss of an output.
    layer : int
        The number of the layer; -1 for a loss.
    start : int
        Where the value's numbers begin in the inputs of the layer.
    end : End or None
        The output whose loss it is.
    """

    name: str
    layer: int
    start: int
    end: End | None


def ways(trace: Trace, value: int) -> tuple[Way, ...]:
    """Return all that read a value, looking through layers that only flatten it."""
    found = list(_ways(trace, value))
    names = [way.name for way in found]
    return tuple(
        way._replace(name=f"{way.name}, input {names[:at].count(way.name)}")
        if names.count(way.name) > 1
        else way
        for at, way in enumerate(found)
    )


def _ways(trace: Trace, value: int) -> Iterator[Way]:
    for number, layer in enumerate(trace.layers):
        start = 0
        for read, width in zip(layer.reads, layer.widths, strict=True):
            if read == value and layer.kind == "flatten":
                yield from _ways(trace, trace.value_of(number))
            elif read == value:
                yield Way(layer.name, number, start, None)
            start += width
    for end in trace.ends:
        if end.value == value:
            yield Way(f"the loss of {end.name}", -1, 0, end)


def origin(layers: Sequence[LayerTrace], n_inputs: int, value: int) -> int:
    """Return the value that a value is, but for layers that only flatten it."""
    while value >= n_inputs and layers[value - n_inputs].kind == "flatten":
        (value,) = layers[value - n_inputs].reads
    return value


def has_weights_behind(trace: Trace, value: int) -> bool:
    """Whether a layer with weights reads what is made of a value."""
    reached = {value}
    for number, layer in enumerate(trace.layers):
        if reached.intersection(layer.reads):
            if layer.weights is not None:
                return True
            reached.add(trace.value_of(number))
    return False
