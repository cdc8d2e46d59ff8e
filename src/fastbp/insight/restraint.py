"""What holds parameters back, in equations: penalties in the loss, constraints behind a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastbp.constraints import MaxNorm
from fastbp.insight import formulas
from fastbp.insight.document import Equation, Equations
from fastbp.insight.expression import Derivative, Expression, Number, Operand, Symbol
from fastbp.insight.formulas import L1, L2, MAX_VALUE, NORM, SIZES, SQUARES, STEPPED, J, L, R, W
from fastbp.insight.layer_trace import LayerTrace, by_layer, quietly
from fastbp.insight.place import Place

if TYPE_CHECKING:
    from fastbp.insight.trace import Trace


def letter(layers: Sequence[LayerTrace]) -> Symbol:
    """Return the letter of a batch's loss: J with a penalty in it, else L."""
    return J if any(layer.regularizers for layer in layers) else L


def loss(trace: Trace) -> Iterator[Equations]:
    """Yield what parameters cost and the loss of the batch with that, if they cost something."""
    lines = [_cost(layer, role) for layer in by_layer(trace.layers) for role in layer.regularizers]
    if not lines:
        return
    numbers = Number(trace.samples_loss) + Number(trace.penalty)
    total = Equation((J, L + R, numbers, Number(trace.loss)), "L: of the samples, R: all penalties")
    yield Equations((*lines, total))


@quietly
def _cost(layer: LayerTrace, role: str) -> Equation:
    """Return what an array of parameters costs."""
    w, regularizer = layer.parameters[role], layer.regularizers[role]
    formula = formulas.of_penalty(*regularizer.factors).value
    sums: dict[Expression, Operand] = {
        SIZES: float(np.abs(w).sum()),
        SQUARES: float(np.square(w).sum()),
    }
    numbers = formula.where(sums | _factors(layer, role))
    value = Number(layer.penalty_of(role, w))
    left = Symbol(R.name, f"{layer.layer}.{role}")
    return Equation((left, formula, numbers, value), regularizer.name)


def _factors(layer: LayerTrace, role: str) -> dict[Expression, Operand]:
    """Return the numbers of a penalty's constants."""
    l1, l2 = layer.regularizers[role].factors
    return {L1: l1, L2: l2}


def slope(layer: LayerTrace, place: Place) -> Iterator[Equation]:
    """Yield what the penalty adds to the derivative of a parameter, if that costs something."""
    role, w = place.role, place.letter
    if role not in layer.regularizers:
        return
    regularizer = layer.regularizers[role]
    formula = formulas.of_penalty(*regularizer.factors).derivative.where({W: w})
    numbers = formula.where({w: place.of(layer.parameters[role])} | _factors(layer, role))
    penalty, whole = place.penalty_gradient(layer), place.gradient(layer)
    of_samples, of_penalty = Derivative(L, w), Derivative(R, w)
    yield Equation((of_penalty, formula, numbers, Number(penalty)), f"penalty, {regularizer.name}")
    both = Number(place.samples_gradient(layer)) + Number(penalty)
    yield Equation((Derivative(J, w), of_samples + of_penalty, both, Number(whole)), "of the batch")


def stepped(place: Place) -> Symbol:
    """Return the letter of a parameter that has taken its step and is to be brought back."""
    return Symbol(place.letter.name, STEPPED.below)


def projection(layer: LayerTrace, place: Place) -> Iterator[Equation]:
    """Yield how a parameter that has taken its step is brought back, if it has a constraint."""
    constraint, values = layer.constraints.get(place.role), layer.stepped.get(place.role)
    if constraint is None or values is None:
        return
    letter, note = stepped(place), constraint.name
    formula = formulas.of_constraint(constraint).where({STEPPED: letter})
    numbers: dict[Expression, Operand] = {letter: place.of(values)}
    if isinstance(constraint, MaxNorm):
        norms = np.linalg.norm(values, axis=constraint.axis, keepdims=True)
        numbers |= {MAX_VALUE: constraint.max_value}
        numbers |= {NORM: place.of(np.broadcast_to(norms, values.shape))}
        note += f", norm of {_normed(constraint, place)}"
    new = Number(place.of(layer.new_parameters[place.role]))
    left = Symbol(place.letter.name, "new")
    yield Equation((left, formula, formula.where(numbers), new), note)


def _normed(constraint: MaxNorm, place: Place) -> str:
    """Return what a norm is taken of."""
    if place.role == "biases":
        return "all these biases"
    return (
        f"the weights to {place.target}" if constraint.axis == 0 else f"those from {place.source}"
    )
