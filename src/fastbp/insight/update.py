"""How a weight or bias follows its gradient in the optimizer's next step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import fastbp
from fastbp import reference
from fastbp.insight import restraint
from fastbp.insight.document import Block, Equation, Equations, sentence
from fastbp.insight.expression import Derivative, Expression, Number, Symbol
from fastbp.insight.formulas import J, L
from fastbp.insight.layer_trace import Array
from fastbp.insight.place import Place
from fastbp.optimizers import Optimizer
from fastbp.reference.propagation import view

if TYPE_CHECKING:
    from fastbp.insight.trace import Trace

ETA = Symbol("eta")


def is_plain_descent(rule: Optimizer) -> bool:
    """Whether a step is the learning rate times the gradient, and nothing else."""
    extras = rule.weight_decay, rule.clip_norm, rule.clip_value
    return isinstance(rule, fastbp.SGD) and not (rule.momentum or any(extras))


def descent(letter: Symbol, loss: Symbol) -> Expression:
    """Return w - eta dL/dw."""
    return letter - ETA * Derivative(loss, letter)


def stepped(engine: Any, gradients: Mapping[str, Array]) -> dict[str, Array]:
    """Return what the next step of an engine makes of its parameters, in float64.

    That is before constraints bring them back.

    Parameters
    ----------
    engine : EngineProtocol
        The engine; it is left alone.
    gradients : mapping of str to ndarray
        The gradients of trainable parameters by name.
    """
    free = tuple(each._replace(constraint=None) for each in engine.plan.parameters)
    plan = engine.plan._replace(dtype="float64", parameters=free)
    twin = reference.Engine(plan, engine.optimizer, engine.seed)
    twin.parameters[:], twin.state[:] = engine.parameters, engine.state
    twin.position = engine.position
    for each in free:
        if each.name in gradients:
            view(twin.gradients, each)[:] = gradients[each.name]
    twin.step()
    return {each.name: view(twin.parameters, each) for each in free}


def of(trace: Trace, place: Place) -> Iterator[Block]:
    """Yield what comes behind the chain of a weight or bias, up to its new value.

    A penalty adds to its derivative, the optimizer takes a step, a constraint brings it back.
    """
    layer, rule = trace.layers[place.layer], trace.optimizer
    if layer.elsewhere:
        others, whole = place.elsewhere(layer), place.samples_gradient(layer)
        yield sentence(
            f"Other calls of {layer.layer} add ", Number(others), " to it: of the batch it is ",
            Number(whole), ".",
        )  # fmt: skip
    lines = (
        restraint.slope(layer, place),
        (_step(trace, place),),
        restraint.projection(layer, place),
    )
    yield Equations(tuple(chain.from_iterable(lines)))
    if layer.stepped and layer.trainable[place.role] and not is_plain_descent(rule):
        yield sentence(f"{rule.name}: {rule.formula}")


def _step(trace: Trace, place: Place) -> Equation:
    """Return what the optimizer makes of a weight or bias."""
    layer, letter, rule = trace.layers[place.layer], place.letter, trace.optimizer
    value = place.of(layer.parameters[place.role])
    left = Symbol(letter.name, "new")
    if not (layer.stepped and layer.trainable[place.role]):
        reason = f"no step: {trace.why_no_step}" if layer.trainable[place.role] else "frozen"
        return Equation((left, letter, Number(value)), reason)
    if place.role in layer.constraints:
        left = restraint.stepped(place)
    new = place.of(layer.stepped[place.role])
    if not is_plain_descent(rule):
        return Equation((left, Number(value) + Number(new - value), Number(new)), rule.name)
    loss = J if place.role in layer.regularizers else L
    formula, slope = descent(letter, loss), Derivative(loss, letter)
    numbers = {letter: value, slope: place.gradient(layer), ETA: trace.learning_rate}
    sides = left, formula, formula.where(numbers), Number(new)
    return Equation(sides, "eta: the learning rate")
