"""A trace in tables: what `print` shows of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from fastbp.insight import restraint
from fastbp.insight.document import Block, Cell, Heading, Table, sentence
from fastbp.insight.expression import Derivative, Number, Symbol, product
from fastbp.insight.formulas import A, J, L, R, T, W, X, Y, Z
from fastbp.insight.layer_trace import Array, LayerTrace, by_layer, quietly

if TYPE_CHECKING:
    from fastbp.insight.ends import End
    from fastbp.insight.trace import Trace

# Rows that all tables may have together, and those of one that is shown in part.
MOST_ROWS, MOST_SHOWN = 200, 20
DELTA = Symbol("delta")


def rows_needed(layers: Sequence[LayerTrace], samples: int) -> int:
    """Return how many rows the tables of layers have for so many samples."""
    units = sum(layer.output.shape[1] for layer in layers)
    parameters = sum(values.size for layer in layers for values in layer.parameters.values())
    return samples * (units + parameters) + parameters


def whole(trace: Trace) -> Iterator[Block]:
    """Yield tables of everything, or an overview of what is too large for them."""
    yield from _opening(trace)
    needed = rows_needed(trace.layers, len(trace.losses))
    if needed > MOST_ROWS:
        yield _overview(trace)
        yield sentence(
            f"All of it would take {needed:,} rows of tables, more than {MOST_ROWS}. For one layer "
            f"and sample: print(trace.table({trace.layers[-1].name!r}, sample=0)); for one weight: "
            f"trace.chain(layer, weight=(input, unit))."
        )
        return
    for sample in range(len(trace.losses)):
        yield from of_sample(trace, sample, trace.layers)
    yield from step(trace, trace.layers)


def part(trace: Trace, layers: Sequence[LayerTrace], sample: int) -> Iterator[Block]:
    """Yield tables of some layers and one sample, long ones cut."""
    yield from of_sample(trace, sample, layers, MOST_SHOWN)
    yield from step(trace, layers, MOST_SHOWN)


def _opening(trace: Trace) -> Iterator[Block]:
    n, names = len(trace.losses), ", ".join(layer.name for layer in trace.layers)
    samples = "1 sample" if n == 1 else f"{n:,} samples"
    yield Heading(2, f"{samples} through {names}")
    after = trace.loss_after
    behind = (
        (f"; after a step of {trace.optimizer.name} ", Number(after))
        if after is not None
        else (f"; no step: {trace.why_no_step}",)
    )
    loss = restraint.letter(trace.layers)
    kind = _losses(trace) + (" and penalties" if loss is J else "")
    yield sentence(f"{kind}: ", loss, " = ", Number(trace.loss), *behind, ".")
    yield from restraint.loss(trace)


def _losses(trace: Trace) -> str:
    """Return the name of the loss, with its weight; or those of several outputs."""
    names = [_weighed(end) for end in trace.ends]
    if len(names) == 1:
        return names[0]
    pairs = zip(trace.ends, names, strict=True)
    return " + ".join(f"{name} of {end.name}" for end, name in pairs)


def _weighed(end: End) -> str:
    """Return the name of a loss behind what it counts in all samples, unless that is 1."""
    name, count = end.objective.loss.name, end.counts[0]
    return name if count == 1 or (end.counts != count).any() else f"{count:g} * {name}"


def by_output(trace: Trace, sample: int) -> Table:
    """Return a row for each of several outputs: its loss, what that counts, and the product."""
    rows: list[tuple[Cell, ...]] = []
    for end in trace.ends:
        loss = float(end.objective.losses(end.y)[sample])
        count = float(end.counts[sample])
        rows.append((end.name, end.objective.loss.name, loss, count, count * loss))
    rows.append(("sum", "", None, None, float(trace.losses[sample])))
    return Table(("output", "loss", Symbol("L", "k"), "counts", "product"), tuple(rows))


def of_sample(
    trace: Trace, sample: int, layers: Sequence[LayerTrace], most: int = MOST_ROWS
) -> Iterator[Block]:
    """Yield tables of one sample: its outputs, then each layer's units and products."""
    if len(trace.losses) > 1:
        share, loss = trace.shares[sample], trace.losses[sample]
        yield Heading(2, f"sample {sample}")
        yield sentence(L, " = ", Number(float(loss)), ", which counts ", Number(float(share)), ".")
    if len(trace.ends) > 1:
        yield by_output(trace, sample)
    for layer in layers:
        yield Heading(3, _title(trace, layer))
        yield _units(trace, layer, sample, most)
        if layer.weights is not None:
            yield _products(layer, sample, most)


def _title(trace: Trace, layer: LayerTrace) -> str:
    inputs, units = " + ".join(map(str, layer.widths)), layer.output.shape[1]
    named = layer.activation.name != "identity"
    title = f"{layer.name}: {inputs} -> {units}" + (f", {layer.activation.name}" if named else "")
    if trace.graph.is_chain:
        return title
    return f"{title}, from {' and '.join(trace.names[number] for number in layer.reads)}"


def _units(trace: Trace, layer: LayerTrace, sample: int, most: int) -> Table:
    """Return a row for each unit: forward, slope, and what came back."""
    ends = trace.ends_of(layer)
    a: Symbol = Y if ends else A
    both = layer.output_gradient is not None and layer.loss_gradient is not None
    columns: list[tuple[Cell, Array | None]] = [
        *_taken(layer),
        (Z, layer.net_input),
        (a, layer.output),
        (Derivative(a, Z), layer.slope),
        (Derivative(L, a), layer.output_gradient),
        (Symbol("delta", "loss"), layer.loss_gradient if both else None),
        (DELTA, layer.delta),
    ]
    place = [name for name, _ in columns].index(a) + 1
    for end in ends:
        of = [(T, end.objective.targets), (Symbol("L", "k"), end.parts)]
        columns[place:place] = of
        place += len(of)
    given = [(name, values[sample]) for name, values in columns if values is not None]
    rows: list[tuple[Cell, ...]] = [
        (str(j), *(float(values[j]) for _, values in given)) for j in range(layer.output.shape[1])
    ]
    return _cut(("unit", *(name for name, _ in given)), rows, most)


def _taken(layer: LayerTrace) -> list[tuple[Cell, Array | None]]:
    """Return what a layer reads and what it multiplies that with, unless these are weights or 1."""
    if layer.kind not in ("rescale", "dropout"):
        return []
    return [(X, layer.inputs), ("factor", np.broadcast_to(layer.factor, layer.inputs.shape))]


@quietly
def _products(layer: LayerTrace, sample: int, most: int) -> Table:
    """Return a row for each weight and bias: its part of the net input and its derivative."""
    assert layer.weights is not None
    x, delta = layer.inputs[sample], layer.delta[sample]
    rows: list[tuple[Cell, ...]] = []
    for (i, j), w in np.ndenumerate(layer.weights):
        if len(rows) > most:
            break
        products = float(x[i]), float(w * x[i]), float(x[i] * delta[j])
        rows.append((f"weights[{i}, {j}]", float(w), *products))
    if layer.biases is not None:
        for j, b in enumerate(layer.biases[: most + 1]):
            rows.append((f"biases[{j}]", float(b), 1.0, float(b), float(delta[j])))
    names = ("of", W, X, product(W, X), Derivative(L, W))
    hidden = sum(values.size for values in layer.parameters.values())
    return _cut(names, rows, most, hidden)


def step(trace: Trace, layers: Sequence[LayerTrace], most: int = MOST_ROWS) -> Iterator[Block]:
    """Yield a table of the batch's gradients and what the next step makes of the parameters."""
    rows: list[tuple[Cell, ...]] = []
    loss = restraint.letter(layers)
    total = 0
    for layer in by_layer(layers):
        for role, values in layer.parameters.items():
            total += values.size
            slopes, new = _slopes(layer, role, loss), layer.new_parameters.get(role)
            for index in islice(np.ndindex(values.shape), most + 1 - len(rows)):
                name = f"{layer.layer}.{role}[{', '.join(map(str, index))}]"
                numbers = (float(each[index]) for each in (values, *slopes))
                after = "" if new is None else float(new[index])
                rows.append((name, *numbers, after, _word(layer, role, index)))
    if not rows:
        return
    by = [L] if loss is L else [L, R, J]
    names: tuple[Cell, ...] = (
        "parameter",
        W,
        *(Derivative(each, W) for each in by),
        Symbol("w", "new"),
        "",
    )
    if not any(row[-1] for row in rows):
        rows, names = [row[:-1] for row in rows], names[:-1]
    yield Heading(3, f"step of {trace.optimizer.name}, learning rate {trace.learning_rate:g}")
    yield _cut(names, rows, most, total)


def _slopes(layer: LayerTrace, role: str, loss: Symbol) -> tuple[Array, ...]:
    """Return the gradients of the batch's loss: with penalties, their parts and the whole."""
    whole = layer.gradient(role)
    if loss is L:
        return (whole,)
    return layer.samples_gradient(role), layer.penalty_gradient(role), whole


def _word(layer: LayerTrace, role: str, index: tuple[int, ...]) -> str:
    """Return what keeps a parameter from a step: it is frozen, or a constraint brings it back."""
    if not layer.trainable[role]:
        return "frozen"
    meets = layer.stepped and layer.stepped[role][index] != layer.new_parameters[role][index]
    return layer.constraints[role].name if meets else ""


def _cut(
    names: tuple[Cell, ...], rows: list[tuple[Cell, ...]], most: int, total: int | None = None
) -> Table:
    """Return a table of the first rows, and a last one that says how many are left out."""
    total = len(rows) if total is None else total
    if total <= most:
        return Table(names, tuple(rows))
    rest = (f"{total - most:,} more", *(None,) * (len(names) - 1))
    return Table(names, (*rows[:most], rest))


def _overview(trace: Trace) -> Table:
    """Return a row for each layer: sizes, and how large its numbers are."""
    loss = restraint.letter(trace.layers)
    names = ("layer", "units", "parameters", A, DELTA, Derivative(loss, W))
    rows: list[tuple[Cell, ...]] = []
    for layer in trace.layers:
        gradients = [layer.gradient(role).ravel() for role in layer.parameters]
        size = sum(values.size for values in layer.parameters.values())
        gradient = _mean_size(np.concatenate(gradients)) if gradients else None
        units = str(layer.output.shape[1])
        rows.append(
            (
                layer.name,
                units,
                f"{size:,}",
                _mean_size(layer.output),
                _mean_size(layer.delta),
                gradient,
            )
        )
    return Table(("mean size of", *names[1:]), tuple(rows))


@quietly
def _mean_size(values: Array) -> float:
    """Return the root mean square, to three digits."""
    return float(f"{np.sqrt(np.mean(np.square(values))):.3g}")
