"""The summary of a network: a table of its layers."""

from __future__ import annotations

from fastbp.activations import Custom
from fastbp.calls import function_name
from fastbp.graph import Graph
from fastbp.layers import Custom as CustomLayer
from fastbp.layers import Layer
from fastbp.plan import Parameter, Plan

HEADINGS = ("layer", "output shape", "parameters", "trainable")


def summary(plan: Plan, graph: Graph) -> str:
    """Return a table of layers with output shapes and parameter counts, and their totals.

    Where the network is no chain it has a line for each input too, and tells what each layer reads.
    A layer that is called several times has a line for each call, and counts with the first.
    """
    names, shapes, first = graph.names, graph.shapes(), len(graph.inputs)
    table: list[tuple[str, ...]] = [HEADINGS]
    called: set[int] = set()
    reads = ["reads", *[""] * (0 if graph.is_chain else first)]
    if not graph.is_chain:
        table += [
            (name, str(shape), "", "") for name, shape in zip(names, graph.inputs, strict=False)
        ]
    for number, node in enumerate(graph.nodes, first):
        own = [parameter for parameter in plan.parameters if parameter.layer == node.layer]
        counts = ("", "") if node.layer in called and own else _counts(own)
        called.add(node.layer)
        detail = _detail(graph.layers[node.layer])
        name = f"{names[number]} ({detail})" if detail else names[number]
        table.append((name, str(shapes[number]), *counts))
        reads.append(", ".join(names[source] for source in node.inputs))
    if graph.is_chain:
        lines = [*_lines(table, 2), f"input {plan.input_shape}, {plan.dtype}"]
    else:
        table = [(name, read, *rest) for (name, *rest), read in zip(table, reads, strict=True)]
        outputs = ", ".join(output.name for output in plan.outputs)
        lines = [*_lines(table, 3), f"outputs {outputs}, {plan.dtype}"]
    total, trainable = _counts(list(plan.parameters))
    return "\n".join([*lines, f"{total} parameters, {trainable} of them trainable"])


def _detail(layer: Layer) -> str:
    """Return what tells layers of a kind apart: the activation, or the one constant."""
    activation = getattr(layer, "activation", None)
    if isinstance(activation, Custom):
        return function_name(activation.function)
    if activation is not None:
        return str(activation.name)
    if isinstance(layer, CustomLayer):
        return function_name(layer.forward)
    return ", ".join(f"{value:g}" for value in vars(layer).values())


def _counts(parameters: list[Parameter]) -> tuple[str, str]:
    total = sum(p.size for p in parameters)
    return f"{total:,}", f"{sum(p.size for p in parameters if p.trainable):,}"


def _lines(table: list[tuple[str, ...]], texts: int) -> list[str]:
    """Set texts to the left and counts to the right, with a rule below the headings and the end."""
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [
        "  ".join(
            cell.ljust(width) if place < texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    return [lines[0], rule, *lines[1:], rule]
