"""The summary of a network: a table of its layers."""

from __future__ import annotations

from fastbp.activations import Custom
from fastbp.calls import function_name
from fastbp.layers import Custom as CustomLayer
from fastbp.layers import Layer
from fastbp.lowering import layer_names, lower
from fastbp.plan import Parameter, Plan

HEADINGS = ("layer", "output shape", "parameters", "trainable")


def summary(plan: Plan, layers: tuple[Layer, ...]) -> str:
    """Return a table of layers with output shapes and parameter counts, and their totals."""
    table: list[tuple[str, ...]] = [HEADINGS]
    for index, (name, layer) in enumerate(zip(layer_names(layers), layers, strict=True)):
        own = [parameter for parameter in plan.parameters if parameter.layer == index]
        prefix = lower(layers[: index + 1], plan.input_shape, plan.dtype, None)
        detail = _detail(layer)
        shape = str(prefix.output_shape)
        table.append((f"{name} ({detail})" if detail else name, shape, *_counts(own)))
    total, trainable = _counts(list(plan.parameters))
    return "\n".join(
        [
            *_lines(table),
            f"input {plan.input_shape}, {plan.dtype}",
            f"{total} parameters, {trainable} of them trainable",
        ]
    )


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


def _lines(table: list[tuple[str, ...]]) -> list[str]:
    """Set text to the left and counts to the right, with a rule below the headings and the end."""
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    return [lines[0], rule, *lines[1:], rule]
