"""A trace as a page of its own: every step as a formula, with its numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastbp.insight import contributions, formulas, picture, restraint, routes, tables, update
from fastbp.insight.chain import Chain
from fastbp.insight.document import (
    Block,
    Cell,
    Equation,
    Equations,
    Heading,
    Picture,
    Table,
    sentence,
)
from fastbp.insight.expression import (
    Derivative,
    Expression,
    Number,
    Operand,
    Sum,
    Symbol,
    Total,
    product,
)
from fastbp.insight.formulas import J, L, N, P, R, W, Y
from fastbp.insight.layer_trace import JOINS, LayerTrace, by_layer
from fastbp.insight.place import find

if TYPE_CHECKING:
    from fastbp.insight.ends import End
    from fastbp.insight.trace import Trace

# Products that a sum shows; a longer one is left to its value.
MOST_TERMS = 8


def title(trace: Trace) -> str:
    """Return what the page is about."""
    return "Back-propagation through " + ", ".join(layer.name for layer in trace.layers)


def of_samples(
    trace: Trace, layers: Sequence[LayerTrace], samples: Sequence[int]
) -> Iterator[Block]:
    """Yield the pages of some samples through some layers, and the step that ends them."""
    yield Heading(1, title(trace))
    yield from _pictures(trace, layers, samples)
    yield sentence(*_letters(trace))
    for sample in samples:
        of = f", sample {sample}" if len(trace.losses) > 1 else ""
        yield Heading(2, f"Forward{of}")
        yield from _forward(trace, layers, sample)
        yield Heading(2, f"Loss{of}")
        yield from _loss(trace, sample)
        yield Heading(2, f"Backward{of}")
        yield from _backward(trace, layers, sample)
    if penalties := list(restraint.loss(trace)):
        yield Heading(2, "Penalties")
        yield sentence(
            "What parameters cost, ", R, ", and the loss of the batch with that, ", J, ":"
        )
        yield from penalties
    yield Heading(2, "Step")
    yield from _step(trace, layers)


def _pictures(
    trace: Trace, layers: Sequence[LayerTrace], samples: Sequence[int]
) -> Iterator[Block]:
    """Yield a picture of the first sample, where there is room and matplotlib for it."""
    with contextlib.suppress(ImportError):
        if len(layers) == len(trace.layers) and not picture.refusal(trace):
            yield Picture(picture.svg(trace, samples[0]))


def _letters(trace: Trace) -> Iterator[str | Expression]:
    yield from (Symbol("z"), " is a net input, ", Symbol("a"), " an output of a layer, ", Y)
    yield from (" one of the network, ", Symbol("t"), " its target, ", L, " the loss of a sample, ")
    yield from (Symbol("delta"), " = ", Derivative(L, Symbol("z")))
    yield ". Units are counted from 0; "
    yield from (_w(0, 1), " leads from unit 0 to unit 1.")


def _w(i: int, j: int) -> Symbol:
    return Symbol("w", f"{i},{j}")


def _out(trace: Trace, layer: LayerTrace) -> str:
    return "y" if trace.ends_of(layer) else "a"


def _forward(trace: Trace, layers: Sequence[LayerTrace], sample: int) -> Iterator[Block]:
    """Yield each unit's sum of products and its activation."""
    for layer in layers:
        if layer.kind == "flatten":
            continue
        yield Heading(3, layer.name)
        lines = [_general_sum(layer)] if layer.weights is not None else []
        for j in range(layer.output.shape[1]):
            lines.append(_net_input(trace, layer, sample, j))
            if layer.activation.name != "identity":
                lines.append(_activation(layer, sample, j, _out(trace, layer)))
        yield Equations(tuple(lines))


def _general_sum(layer: LayerTrace) -> Equation:
    terms: Expression = Total("i", product(Symbol("x", "i"), Symbol("w", "i,j")))
    if layer.biases is not None:
        terms = terms + Symbol("b", "j")
    return Equation((Symbol("z", "j"), terms))


def _net_input(trace: Trace, layer: LayerTrace, sample: int, j: int) -> Equation:
    """Return the sum of products of a unit, with numbers."""
    x, z = layer.inputs[sample], Number(float(layer.net_input[sample, j]))
    left = Symbol("z", str(j))
    if layer.kind in JOINS:
        return _joined(trace, layer, sample, j)
    if layer.weights is None:
        factor = float(np.broadcast_to(layer.factor, layer.output.shape)[sample, j])
        sides = (left, product(factor, float(x[j])), z) if layer.kind != "activation" else (left, z)
        return Equation(sides, layer.kind if layer.kind in ("rescale", "dropout") else "")
    if len(x) > MOST_TERMS:
        return Equation((left, z), f"{len(x)} products")
    terms: list[Expression] = [
        product(float(x[i]), float(layer.weights[i, j])) for i in range(len(x))
    ]
    if layer.biases is not None:
        terms.append(Number(float(layer.biases[j])))
    return Equation((left, Sum(tuple(terms)), z))


def _joined(trace: Trace, layer: LayerTrace, sample: int, j: int) -> Equation:
    """Return a unit of a layer that joins several, with what comes to it from each."""
    numbers = [i for i in range(sum(layer.widths)) if layer.place_of(i) == j]
    ends = np.cumsum(layer.widths)
    names = [trace.names[layer.reads[int(np.searchsorted(ends, i, "right"))]] for i in numbers]
    terms = [Number(float(layer.inputs[sample, i])) for i in numbers]
    z = Number(float(layer.net_input[sample, j]))
    sides = (
        (Symbol("z", str(j)), Sum(tuple(terms)), z) if len(terms) > 1 else (Symbol("z", str(j)), z)
    )
    return Equation(sides, f"from {' and '.join(names)}")


def _activation(layer: LayerTrace, sample: int, j: int, letter: str) -> Equation:
    """Return the activation of a unit, with numbers."""
    left, a = Symbol(letter, str(j)), Number(float(layer.output[sample, j]))
    if layer.activation.name == "softmax":
        formula = formulas.of_activation(layer.activation).value
        return Equation(
            (left, formula.where({Symbol("z", "j"): Symbol("z", str(j))}), a), "softmax"
        )
    formula = formulas.of_activation(layer.activation).value
    values: dict[Expression, Operand] = {formulas.Z: float(layer.net_input[sample, j])}
    constant = formulas.CONSTANTS.get(layer.activation.name)
    if constant is not None:
        values[constant] = layer.activation.parameter
    return Equation((left, formula.where(values), a), layer.activation.name)


def _loss(trace: Trace, sample: int) -> Iterator[Block]:
    """Yield each output beside its targets, and its loss with its derivative."""
    several = len(trace.ends) > 1
    for end in trace.ends:
        if several:
            yield Heading(3, f"{end.name}: {end.objective.loss.name}")
        slope = Derivative(L, Symbol("z" if end.is_fused else "y", "k"))
        columns = end.output[sample], end.objective.counted[sample], end.gradient[sample]
        rows: tuple[tuple[Cell, ...], ...] = tuple(
            (str(k), *map(float, row)) for k, row in enumerate(zip(*columns, strict=True))
        )
        yield Table(("k", Symbol("y", "k"), Symbol("t", "k"), slope), rows)
        value, derivative, note = _loss_formula(end, float(end.counts[sample]))
        letter = Symbol("L", end.name) if several else L
        loss = Number(float(end.losses(end.y)[sample]))
        yield Equations((Equation((letter, value, loss), note), Equation((slope, derivative))))
    if several:
        parts = Sum(tuple(Symbol("L", end.name) for end in trace.ends))
        numbers = Sum(tuple(Number(float(end.losses(end.y)[sample])) for end in trace.ends))
        yield Equations((Equation((L, parts, numbers, Number(float(trace.losses[sample])))),))


def _loss_formula(end: End, count: float) -> tuple[Expression, Expression, str]:
    """Return the loss of a sample, its derivative by output k, and a word about them."""
    loss, n = end.objective.loss, end.output.shape[1]
    value, derivative = formulas.of_loss(loss)
    if end.is_fused:  # the probabilities are the outputs
        probabilities: dict[Expression, Operand] = {P: Y}
        probabilities |= {Symbol("p", index): Symbol("y", index) for index in ("k", "label")}
        value, derivative = value.where(probabilities), derivative.where({P: Y})
    numbers: dict[Expression, Operand] = {}
    if loss.name in formulas.CONSTANTS:
        numbers[formulas.CONSTANTS[loss.name]] = loss.parameter
    letters: dict[Expression, Operand] = {
        each: Symbol(each.name, "k") for each in (Y, P, formulas.T, formulas.S)
    }
    note = loss.name if value == value.where({N: n}) else f"{loss.name}, n = {n}"
    value, derivative = value.where(numbers), derivative.where(letters | numbers)
    if count != 1:
        value, derivative = product(count, value), product(count, derivative)
        note += f", which counts {count:g}"
    return value, derivative, note


def _backward(trace: Trace, layers: Sequence[LayerTrace], sample: int) -> Iterator[Block]:
    """Yield what comes back to each layer, from the last to the first, and its derivatives."""
    for layer in reversed(layers):
        if layer.kind == "flatten":
            continue
        yield Heading(3, layer.name)
        lines: list[Equation] = []
        for j in range(layer.output.shape[1]):
            lines += _back(trace, layer, sample, j)
            lines.append(_delta(trace, layer, sample, j))
        yield Equations(tuple(lines))
        if layer.weights is not None:
            yield sentence("The derivatives of its weights", *_and_biases(layer), ":")
            yield Equations(tuple(_derivatives(trace, layer, sample)))


def _and_biases(layer: LayerTrace) -> tuple[str, ...]:
    return (" and biases",) if layer.biases is not None else ()


def _delta(trace: Trace, layer: LayerTrace, sample: int, j: int) -> Equation:
    """Return delta of a unit: what comes back to it times its slope."""
    left = Symbol("delta", str(j))
    delta = Number(float(layer.delta[sample, j]))
    if layer.output_gradient is None:
        return Equation((left, Derivative(L, Symbol("z", str(j))), delta), "from the loss")
    if layer.loss_gradient is not None:
        direct = float(layer.loss_gradient[sample, j])
        parts = Sum((Number(direct), Number(float(layer.delta[sample, j]) - direct)))
        return Equation((left, parts, delta), "from the loss, and through the output")
    a = Symbol(_out(trace, layer), str(j))
    back, slope = Derivative(L, a), Derivative(a, Symbol("z", str(j)))
    if layer.slope is None:
        return Equation((left, delta), "through all outputs of softmax")
    gradient, local = float(layer.output_gradient[sample, j]), float(layer.slope[sample, j])
    return Equation((left, product(back, slope), product(gradient, local), delta))


def _back(trace: Trace, layer: LayerTrace, sample: int, j: int) -> Iterator[Equation]:
    """Yield dL/da of a unit, where it is a sum over the units of a layer, or over several ways."""
    value = trace.value_of(trace.layers.index(layer))
    first, *others = routes.ways(trace, value)
    if layer.output_gradient is None or (not others and first.end):
        return
    left = Derivative(L, Symbol(_out(trace, layer), str(j)))
    total = Number(float(layer.output_gradient[sample, j]))
    if others:
        found = contributions.through_ways(trace, (first, *others), Symbol("a"), j, sample)
        sides = [left, Sum(tuple(map(Number, found.parts.tolist()))), total]
        yield Equation(tuple(sides), f"through {', '.join(found.names)}")
        return
    reader = trace.layers[first.layer]
    if reader.kind in JOINS:
        place = reader.place_of(first.start + j)
        yield Equation((left, Symbol("delta", str(place)), total), f"of {reader.name}")
    if reader.weights is None:
        return
    weights, delta = reader.weights[j], reader.delta[sample]
    letters = Total("k", product(Symbol("delta", "k"), Symbol("w", f"{j},k")))
    sides = [left, letters, total]
    if len(weights) <= MOST_TERMS:
        terms = (product(float(d), float(w)) for d, w in zip(delta, weights, strict=True))
        sides.insert(2, Sum(tuple(terms)))
    yield Equation(tuple(sides), f"over the units of {reader.name}")


def _derivatives(trace: Trace, layer: LayerTrace, sample: int) -> Iterator[Equation]:
    """Yield dL/dw of each weight and dL/db of each bias as products of chains."""
    for role, values in layer.parameters.items():
        for index in np.ndindex(values.shape):
            at = (
                {"weight": index, "bias": None}
                if role == "weights"
                else {"weight": None, "bias": index[0]}
            )
            chain = Chain(trace, find(trace, layer.name, **at), sample)
            letter = Symbol(role[0], ",".join(map(str, index)))
            numbers = product(*(factor.value for factor in chain.factors))
            yield Equation(
                (Derivative(L, letter), chain.derivatives, numbers, Number(chain.product))
            )


def _step(trace: Trace, layers: Sequence[LayerTrace]) -> Iterator[Block]:
    """Yield the rule and what becomes of the parameters and the loss."""
    rule = trace.optimizer
    if update.is_plain_descent(rule):
        loss = restraint.letter(layers)
        step = update.descent(W, loss).where({update.ETA: trace.learning_rate})
        yield Equations((Equation((Symbol("w", "new"), step)),))
    else:
        yield sentence(f"{rule.name}: {rule.formula}")
    for layer in by_layer(layers):
        for role, constraint in layer.constraints.items():
            yield sentence(f"Then {layer.layer}.{role}, {constraint}: {constraint.formula}")
    yield from tables.step(trace, layers)
    if trace.loss_after is None:
        yield sentence(f"There is no step: {trace.why_no_step}.")
    else:
        yield sentence(
            "The loss of the batch goes from ",
            Number(trace.loss),
            " to ",
            Number(trace.loss_after),
            ".",
        )
