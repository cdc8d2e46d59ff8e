"""Where one weight or bias stands, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastbp import validate
from fastbp.insight.expression import Symbol
from fastbp.insight.formulas import B, W
from fastbp.insight.layer_trace import Array, LayerTrace, quietly
from fastbp.insight.routes import origin

if TYPE_CHECKING:
    from fastbp.insight.trace import Trace


@dataclass(frozen=True)
class Place:
    """One parameter of a layer.

    Attributes
    ----------
    layer : int
        The number of the layer.
    role : str
        "weights" or "biases".
    index : tuple of int
        (input, unit) of a weight, (unit,) of a bias.
    name : str
        As in "dense_1.weights[0, 1]".
    source : str
        Where its input comes from, as in "unit 0 of dense", "input 1" or, where there are several
        inputs, "input 1 of input_2".
    target : str
        The unit it leads to.
    """

    layer: int
    role: str
    index: tuple[int, ...]
    name: str
    source: str
    target: str

    @property
    def unit(self) -> int:
        """The number of the unit it leads to."""
        return self.index[-1]

    @property
    def letter(self) -> Symbol:
        """The letter it has in formulas."""
        return W if self.role == "weights" else B

    @property
    def input(self) -> str:
        """What a weight is multiplied with."""
        return self.source if self.source.startswith("input") else f"the output of {self.source}"

    @property
    def meaning(self) -> str:
        """What it connects."""
        if self.role == "biases":
            return f"the bias of {self.target}"
        return f"from {self.source} to {self.target}"

    def values(self, layer: LayerTrace) -> tuple[float, float | None]:
        """Return what it is and what the next step makes of it."""
        new = layer.new_parameters.get(self.role)
        return self.of(layer.parameters[self.role]), None if new is None else self.of(new)

    def of(self, values: Array) -> float:
        """Return its number in an array of such parameters."""
        return float(values[self.index])

    @quietly
    def products(self, layer: LayerTrace) -> Array:
        """Return dL/dw of each sample's own loss: x delta, or delta for a bias."""
        delta: Array = layer.delta[:, self.unit]
        return delta if self.role == "biases" else layer.inputs[:, self.index[0]] * delta

    @quietly
    def gradient(self, layer: LayerTrace) -> float:
        """Return the derivative of the batch's loss: that of its samples, and of the penalty."""
        return self.samples_gradient(layer) + self.penalty_gradient(layer)

    @quietly
    def samples_gradient(self, layer: LayerTrace) -> float:
        """Return the part of the samples' losses."""
        return float(layer.share @ self.products(layer)) + self.elsewhere(layer)

    def elsewhere(self, layer: LayerTrace) -> float:
        """Return what the other calls of the layer add to that."""
        return self.of(layer.elsewhere[self.role]) if layer.elsewhere else 0.0

    def penalty_gradient(self, layer: LayerTrace) -> float:
        """Return the derivative of the penalty: 0 for a parameter that costs nothing."""
        return self.of(layer.penalty_gradient(self.role))


def find(trace: Trace, layer: Any, weight: Any, bias: Any) -> Place:
    """Return the place of a layer's weight (input, unit) or bias; one of the two is None."""
    layers = trace.layers
    names = [each.name for each in layers if each.parameters]
    number = [each.name for each in layers].index(validate.choice("layer", layer, names))
    if (weight is None) == (bias is None):
        got = "neither" if weight is None else "both"
        raise ValueError(f"weight: expected either weight= or bias=, got {got}")
    role = "biases" if weight is None else "weights"
    found = layers[number]
    if role not in found.parameters:
        raise ValueError(f"bias: expected a layer with biases, got {layer}, which has none")
    shape = found.parameters[role].shape
    index = _index(weight, shape) if bias is None else (_integer("bias", bias, shape[0]),)
    numbers = ", ".join(map(str, index))
    source = _unit_of(trace, found.reads[0], index[0])
    return Place(
        number, role, index, f"{layer}.{role}[{numbers}]", source, f"unit {index[-1]} of {layer}"
    )


def _unit_of(trace: Trace, value: int, number: int) -> str:
    """Return what a number of a value is called."""
    value = origin(trace.layers, trace.n_inputs, value)
    if value >= trace.n_inputs:
        return f"unit {number} of {trace.names[value]}"
    of = f" of {trace.names[value]}" if trace.n_inputs > 1 else ""
    return f"input {number}{of}"


def _index(weight: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(weight, tuple | list) or len(weight) != 2:
        raise ValueError(f"weight: expected a pair (input, unit), got {weight!r}")
    return tuple(
        _integer(f"weight[{axis}]", number, size)
        for axis, (number, size) in enumerate(zip(weight, shape, strict=True))
    )


def _integer(argument: str, value: Any, size: int) -> int:
    return validate.integer(argument, value, 0, size - 1)
