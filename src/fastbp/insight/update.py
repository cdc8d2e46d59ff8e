"""How a weight or bias follows its gradient in the optimizer's next step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import fastbp
from fastbp.insight.document import Block, Equation, Equations, sentence
from fastbp.insight.expression import Derivative, Expression, Number, Symbol
from fastbp.insight.formulas import L
from fastbp.insight.place import Place
from fastbp.optimizers import Optimizer

if TYPE_CHECKING:
    from fastbp.insight.trace import Trace

ETA = Symbol("eta")


def is_plain_descent(rule: Optimizer) -> bool:
    """Whether a step is the learning rate times the gradient, and nothing else."""
    extras = rule.weight_decay, rule.clip_norm, rule.clip_value
    return isinstance(rule, fastbp.SGD) and not (rule.momentum or any(extras))


def descent(letter: Symbol) -> Expression:
    """Return w - eta dL/dw."""
    return letter - ETA * Derivative(L, letter)


def of(trace: Trace, place: Place, gradient: float) -> Iterator[Block]:
    """Yield the new value of a weight or bias as an equation, and the rule that makes it."""
    layer, letter = trace.layers[place.layer], place.letter
    value, new = place.values(layer)
    left, rule = Symbol(letter.name, "new"), trace.optimizer
    if new is None or not layer.trainable[place.role]:
        reason = f"no step: {trace.why_no_step}" if layer.trainable[place.role] else "frozen"
        yield Equations((Equation((left, letter, Number(value)), reason),))
    elif is_plain_descent(rule):
        formula, slope = descent(letter), Derivative(L, letter)
        numbers = formula.where({letter: value, slope: gradient, ETA: trace.learning_rate})
        line = Equation((left, formula, numbers, Number(new)), "eta: the learning rate")
        yield Equations((line,))
    else:
        step = Number(value) + Number(new - value)
        yield Equations((Equation((left, step, Number(new)), rule.name),))
        yield sentence(f"{rule.name}: {rule.formula}")
