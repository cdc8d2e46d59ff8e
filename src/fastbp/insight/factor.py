"""The factors that a chain consists of: those of the loss and of activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastbp.insight import document, formulas
from fastbp.insight.document import Equation
from fastbp.insight.expression import Derivative, Expression, Number, Operand, Symbol, product
from fastbp.insight.formulas import CONSTANTS, TARGETS, A, N, P, S, T, Y, Z
from fastbp.insight.layer_trace import JOINS, LayerTrace
from fastbp.losses import ProbabilityLoss
from fastbp.reference.activations import ACTIVATIONS

if TYPE_CHECKING:
    from fastbp.insight.ends import End


@dataclass(frozen=True)
class Factor:
    """One factor of a chain.

    Attributes
    ----------
    derivative : Expression
        What it is, as in dL/da.
    value : float
        Its value.
    formula : Expression or None
        How it is computed, in letters.
    numbers : Expression or None
        The same with numbers in their places.
    note : str
        What it belongs to.
    """

    derivative: Expression
    value: float
    formula: Expression | None = None
    numbers: Expression | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """What it is, as text: "dL/da"."""
        return document.in_text(self.derivative)

    @property
    def equation(self) -> Equation:
        """The derivative, its formula, its numbers and its value."""
        sides = (self.derivative, self.formula, self.numbers, Number(self.value))
        return Equation(tuple(side for side in sides if side is not None), self.note)


def of_layer(layer: LayerTrace, unit: int, sample: int, out: Symbol, into: Symbol) -> Factor:
    """Return the local derivative of a layer that works unit by unit.

    Parameters
    ----------
    layer : LayerTrace
        The layer.
    unit, sample : int
        Of what.
    out, into : Symbol
        The letters of its output, and of what it is differentiated with respect to.
    """
    assert layer.slope is not None
    f, slope = layer.activation, float(layer.slope[sample, unit])
    if layer.kind in JOINS:
        return Factor(Derivative(out, into), 1.0, note=f"{layer.name} hands it on as it is")
    if layer.kind in ("rescale", "dropout"):
        factor = float(np.broadcast_to(layer.factor, layer.output.shape)[sample, unit])
        return Factor(Derivative(out, into), factor, note=f"the factor of {layer.name}")
    formula = formulas.of_activation(f).derivative.where({A: out, Z: into})
    numbers: dict[Expression, Operand] = {
        out: float(layer.output[sample, unit]),
        into: float(layer.net_input[sample, unit]),
    }
    if f.name in CONSTANTS:
        numbers[CONSTANTS[f.name]] = f.parameter
    note = f.name if layer.kind == "dense" else f"{f.name}, {layer.name}"
    return Factor(Derivative(out, into), slope, formula, formula.where(numbers), note)


def of_loss(end: End, unit: int, sample: int, of: Expression) -> Factor:
    """Return what an output does to the loss.

    Or what the net input of the last activation does, where the loss is differentiated together
    with that.

    Parameters
    ----------
    end : End
        The output.
    unit, sample : int
        Of what.
    of : Expression
        What the derivative is called.
    """
    objective, y = end.objective, end.output[sample]
    loss, t = objective.loss, float(objective.counted[sample, unit])
    formula, note = formulas.of_loss(loss).derivative, loss.name
    numbers: dict[Expression, Operand] = {
        Y: float(y[unit]),
        T: t,
        N: len(y),
        S: 1 if t > 0 else -1,
    }
    if isinstance(loss, ProbabilityLoss):
        formula, note = _of_probability(end, sample)
        f = ACTIVATIONS[str(loss.probability)]
        numbers[P] = float(f.forward(y[None], 0.0)[0, unit])
        numbers[TARGETS] = float(objective.counted[sample].sum())
    if loss.name in CONSTANTS:
        numbers[CONSTANTS[loss.name]] = loss.parameter
    if t != float(objective.targets[sample, unit]):
        note += f", t smoothed from {objective.targets[sample, unit]:g}"
    if (count := float(end.counts[sample])) != 1:
        formula, note = product(count, formula), f"{note}, which counts {count:g}"
    value = float(end.gradient[sample, unit])
    return Factor(of, value, formula, formula.where(numbers), note)


def _of_probability(end: End, sample: int) -> tuple[Expression, str]:
    """Return the derivative of a loss of probabilities, and a word about it.

    They are the outputs, where loss and activation are one; else they are computed from them. That
    targets add up to 1 is taken for granted in the formula, but not so here.
    """
    loss = end.objective.loss
    probability = Y if end.is_fused else P
    note = f"{loss.name}, p = {loss.probability}(y)"
    if end.is_fused:
        note = f"{loss.name} and {loss.probability} in one"
    total = float(end.objective.counted[sample].sum())
    if loss.probability == "softmax" and abs(total - 1) > 1e-9:
        return probability * TARGETS - T, f"{note}, T = sum t"
    return formulas.of_loss(loss).derivative.where({P: probability}), note
