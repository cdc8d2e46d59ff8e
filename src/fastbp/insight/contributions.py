"""The parts of a sum: by which ways a unit's output comes to the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastbp.insight.document import Cell, Table
from fastbp.insight.expression import Derivative, Expression, Symbol, Total, product
from fastbp.insight.formulas import L
from fastbp.insight.layer_trace import Array, LayerTrace, quietly
from fastbp.insight.routes import Way

if TYPE_CHECKING:
    from fastbp.insight.trace import Trace

# Rows of a table; what is beyond is added up in one.
MOST_ROWS = 20
Z_K = Symbol("z", "k")


@dataclass(frozen=True, eq=False)
class Contributions:
    """What a unit's output does to the loss by way of several others, whose parts are added.

    Attributes
    ----------
    of : Expression
        The derivative that is their sum.
    through : str
        The others, as in "units k of dense_1".
    derivatives : tuple of Expression
        What is multiplied for each of them.
    factors : ndarray, shape (len(derivatives), units)
        The values.
    names : tuple of str
        What the others are called; empty where they are numbered.
    """

    of: Expression
    through: str
    derivatives: tuple[Expression, ...]
    factors: Array
    names: tuple[str, ...] = ()

    @property
    def parts(self) -> Array:
        """What comes through each of the others, shape (units,)."""
        return self.factors.prod(axis=0)

    @property
    def total(self) -> float:
        """Their sum."""
        return float(self.parts.sum())

    @property
    def formula(self) -> Expression:
        """The sum, in letters."""
        return Total("k", product(*self.derivatives))

    def table(self) -> Table:
        """Return a row for each of the others, and one for the sum."""
        parts, names = self.parts, self.names or tuple(map(str, range(self.parts.size)))
        # A single factor is the product.
        shown = self.derivatives if len(self.derivatives) > 1 else ()
        empty = (None,) * len(shown)
        rows: list[tuple[Cell, ...]] = [
            (names[k], *map(float, self.factors[: len(shown), k]), float(parts[k]))
            for k in range(min(len(parts), MOST_ROWS))
        ]
        if len(parts) > MOST_ROWS:
            rest = parts[MOST_ROWS:]
            rows.append((f"{len(rest)} more", *empty, float(rest.sum())))
        rows.append(("sum", *empty, self.total))
        return Table(("k", *shown, product(*self.derivatives)), tuple(rows))


def through_units(
    layer: LayerTrace, letter: Symbol, out: Symbol, unit: int, sample: int
) -> Contributions:
    """Return what a unit does by way of the units of a dense layer that reads it.

    Parameters
    ----------
    layer : LayerTrace
        The layer that reads it.
    letter, out : Symbol
        The letters of what it reads and of its outputs.
    unit, sample : int
        Of what.
    """
    assert layer.weights is not None
    weights = (Derivative(Z_K, letter), layer.weights[unit])
    delta = [(Derivative(L, Z_K), layer.delta[sample])]
    if layer.output_gradient is not None and layer.slope is not None:
        a_k = Symbol(out.name, "k")
        delta = [
            (Derivative(L, a_k), layer.output_gradient[sample]),
            (Derivative(a_k, Z_K), layer.slope[sample]),
        ]
    return _of(letter, f"units k of {layer.name}", [*delta, weights])


def through_softmax(
    layer: LayerTrace, letter: Symbol, out: Symbol, unit: int, sample: int
) -> Contributions:
    """Return what a net input does by way of the outputs of a softmax, all of which it changes."""
    assert layer.output_gradient is not None
    a_k = Symbol(out.name, "k")
    terms = [
        (Derivative(L, a_k), layer.output_gradient[sample]),
        (Derivative(a_k, letter), layer.jacobian(sample)[:, unit]),
    ]
    return _of(letter, f"outputs k of {layer.name}", terms)


def through_ways(
    trace: Trace, ways: Sequence[Way], letter: Symbol, unit: int, sample: int
) -> Contributions:
    """Return what a unit does by way of each of several that read it."""
    found = [_back_from(trace, way, unit, sample) for way in ways]
    derivative = Derivative(Symbol(L.name, "k"), letter)
    names = tuple(way.name for way in ways)
    return Contributions(Derivative(L, letter), "ways k", (derivative,), np.array([found]), names)


def _back_from(trace: Trace, way: Way, unit: int, sample: int) -> float:
    """Return what comes back to a unit by one way."""
    if way.end is not None:
        return float(way.end.gradient[sample, unit])
    return float(trace.layers[way.layer].input_gradient[sample, way.start + unit])


def through_loss_and_output(
    layer: LayerTrace, letter: Symbol, unit: int, sample: int
) -> Contributions:
    """Return what a net input does by way of a loss that reads it, and by way of its output."""
    assert layer.loss_gradient is not None
    direct = float(layer.loss_gradient[sample, unit])
    parts = np.array([[direct, float(layer.delta[sample, unit]) - direct]])
    derivative = Derivative(Symbol(L.name, "k"), letter)
    names = f"the loss of {layer.name}", f"the output of {layer.name}"
    return Contributions(Derivative(L, letter), "ways k", (derivative,), parts, names)


@quietly
def through_outputs(
    trace: Trace, value: int, letter: Symbol, unit: int, sample: int
) -> Contributions:
    """Return what a unit of a value does by way of each output of the network.

    A change of the unit is taken forward through the layers behind it, so that it needs no more
    than one pass.
    """
    outputs, net_inputs = _changes(trace, value, unit, sample)
    factors, names = [], []
    for end in trace.ends:
        known, number = (net_inputs, end.head) if end.is_fused else (outputs, end.value)
        if number in known:
            factors.append(np.stack([end.gradient[sample], known[number]]))
            names += [f"{end.name}[{k}]" for k in range(len(known[number]))]
    out = Z_K if all(end.is_fused for end in trace.ends) else Symbol("y", "k")
    through = "outputs k of the network"
    if out is not Z_K and any(end.is_fused for end in trace.ends):
        through += ", or their net inputs where the loss is one with the activation"
    return Contributions(
        Derivative(L, letter),
        through,
        (Derivative(L, out), Derivative(out, letter)),
        np.concatenate(factors, axis=1),
        tuple(names) if len(trace.ends) > 1 else (),
    )


def _changes(
    trace: Trace, value: int, unit: int, sample: int
) -> tuple[dict[int, Array], dict[int, Array]]:
    """Return how fast values, and net inputs by layer, change with a unit of a value."""
    start = np.zeros(trace.width(value))
    start[unit] = 1
    values, net_inputs = {value: start}, dict[int, Array]()
    for number, layer in enumerate(trace.layers):
        if not any(read in values for read in layer.reads):
            continue
        widths = zip(layer.reads, layer.widths, strict=True)
        parts = [values.get(read, np.zeros(width)) for read, width in widths]
        change = np.concatenate(parts)
        weights = layer.weights
        z = layer.gathered(change[None], sample)[0] if weights is None else change @ weights
        slope = layer.slope
        net_inputs[number] = z
        values[trace.value_of(number)] = (
            layer.jacobian(sample) @ z if slope is None else slope[sample] * z
        )
    return values, net_inputs


def _of(letter: Symbol, through: str, terms: list[tuple[Derivative, Array]]) -> Contributions:
    names, values = zip(*terms, strict=True)
    return Contributions(Derivative(L, letter), through, names, np.stack(values))
