"""The parts of a sum: by which ways a unit's output comes to the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fastbp.insight.document import Cell, Table
from fastbp.insight.expression import Derivative, Expression, Symbol, Total, product
from fastbp.insight.formulas import L
from fastbp.insight.propagation import Array, LayerTrace

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
    """

    of: Expression
    through: str
    derivatives: tuple[Expression, ...]
    factors: Array

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
        parts, empty = self.parts, (None,) * len(self.derivatives)
        rows: list[tuple[Cell, ...]] = [
            (str(k), *map(float, self.factors[:, k]), float(parts[k]))
            for k in range(min(len(parts), MOST_ROWS))
        ]
        if len(parts) > MOST_ROWS:
            rest = parts[MOST_ROWS:]
            rows.append((f"{len(rest)} more", *empty, float(rest.sum())))
        rows.append(("sum", *empty, self.total))
        return Table(("k", *self.derivatives, product(*self.derivatives)), tuple(rows))


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


def through_outputs(
    layers: Sequence[LayerTrace], letter: Symbol, unit: int, sample: int
) -> Contributions:
    """Return what a unit does by way of each output of the network.

    `layers` are those from the one on that reads it. A change of the unit is taken forward through
    them, so that it needs no more than one pass.
    """
    change = np.zeros(layers[0].inputs.shape[1])
    change[unit] = 1
    out, gradient = Symbol("y", "k"), None
    for layer in layers:
        change = _after_product(layer, sample)(change)
        gradient = layer.output_gradient
        if gradient is None:
            out, gradient = Z_K, layer.delta
            break
        slope = layer.slope
        change = layer.jacobian(sample) @ change if slope is None else slope[sample] * change
    assert gradient is not None
    terms = [(Derivative(L, out), gradient[sample]), (Derivative(out, letter), change)]
    return _of(letter, "outputs k of the network", terms)


def _after_product(layer: LayerTrace, sample: int) -> Callable[[Array], Array]:
    """Return what a layer's product makes of a change of its inputs."""
    weights = layer.weights
    if weights is not None:
        return lambda change: change @ weights
    factor = np.broadcast_to(layer.factor, layer.inputs.shape)[sample]
    return lambda change: change * factor


def _of(letter: Symbol, through: str, terms: list[tuple[Derivative, Array]]) -> Contributions:
    names, values = zip(*terms, strict=True)
    return Contributions(Derivative(L, letter), through, names, np.stack(values))
