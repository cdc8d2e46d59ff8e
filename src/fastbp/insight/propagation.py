"""One batch on its way through a graph of layers, and back, with all that happens to it kept.

Values are numbered as the tensors of the graph: first the inputs, then what each layer computes.

Everything is float64. The losses that are differentiated here are those of single rows: what a row
counts in the batch comes last, so that the numbers of a row are those that one works out by hand.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TypeAlias

import numpy as np

import fastbp
from fastbp.activations import Identity
from fastbp.graph import Graph
from fastbp.insight.layer_trace import Array, LayerTrace, quietly
from fastbp.reference.activations import ACTIVATIONS
from fastbp.regularizers import Regularizer

# The factors of a dropout: called with the number of its operation, its rate and (rows, units); a
# structured one has one row for all.
Factors: TypeAlias = Callable[[int, float, tuple[int, int]], Array]

KINDS = (
    "dense", "activation", "rescale", "dropout", "structured_dropout", "add", "concatenate",
)  # fmt: skip


def require_known(net: fastbp.Network) -> None:
    """Refuse a network with an operation that can't be laid open."""
    names = [layer.name for layer in net.layers]
    for op in net.plan.ops:
        if op.kind not in KINDS:
            raise ValueError(
                f"explain: expected Dense, Activation, Flatten, Rescale, Dropout, Add and "
                f"Concatenate layers, got {names[op.layer]}"
            )


def _share_of(regularizer: Regularizer, share: float) -> Regularizer:
    """Return a description of a share of what parameters cost."""
    names = [field.name for field in fields(regularizer)]
    return replace(regularizer, **{name: share * getattr(regularizer, name) for name in names})


@quietly
def forward(
    net: fastbp.Network,
    graph: Graph,
    inputs: Sequence[Array],
    share: Array,
    cost_share: float,
    factors: Factors,
) -> tuple[LayerTrace, ...]:
    """Take rows through the layers of a network; what comes back is still missing.

    Parameters
    ----------
    net : Network
        Gives the layers and their parameters.
    graph : Graph
        Who reads whom.
    inputs : sequence of ndarray, shape (n, inputs)
        The rows of each input.
    share : ndarray, shape (n,)
        What each counts.
    cost_share : float
        What the parameters' cost counts.
    factors : callable
        What a dropout multiplies with.
    """
    require_known(net)
    values, traces = list(inputs), []
    for number in range(len(graph.nodes)):
        unrun = _unrun(net, graph, number, values, share, cost_share, factors)
        z, a = unrun.run(unrun.inputs)
        traces.append(replace(unrun, net_input=z, output=a))
        values.append(a)
    return tuple(traces)


def _unrun(
    net: fastbp.Network,
    graph: Graph,
    number: int,
    values: Sequence[Array],
    share: Array,
    cost_share: float,
    factors: Factors,
) -> LayerTrace:
    """Return the trace of a layer that has its inputs."""
    node = graph.nodes[number]
    layer, read = net.layers[node.layer], [values[each] for each in node.inputs]
    described, missing = layer.description, np.empty((0, 0))
    own = [p for p in net.plan.parameters if p.layer == node.layer]
    costly = {
        p.name: _share_of(p.regularizer, cost_share)
        for p, *_ in net.plan.penalties
        if p.regularizer
    }
    calls = [each.layer for each in graph.nodes[:number]].count(node.layer)
    return LayerTrace(
        name=f"{layer.name}[{calls}]" if calls else layer.name,
        layer=layer.name,
        kind=described.name,
        activation=getattr(described, "activation", Identity()),
        parameters={p.role: np.array(getattr(layer, p.role), np.float64) for p in own},
        trainable={p.role: p.trainable for p in own},
        regularizers={p.role: costly[p.name] for p in own if p.name in costly},
        constraints={p.role: p.constraint for p in own if p.trainable and p.constraint},
        factor=_factor(net, node.layer, calls, read[0].shape, factors),
        share=share,
        reads=node.inputs,
        widths=tuple(each.shape[1] for each in read),
        pieces=_pieces(graph, number),
        inputs=np.concatenate(read, axis=1) if len(read) > 1 else read[0],
        net_input=missing,
        output=missing,
        stepped={},
        new_parameters={},
        slope=None,
        output_gradient=None,
        loss_gradient=None,
        elsewhere={},
        delta=missing,
        input_gradient=missing,
    )


def _pieces(graph: Graph, number: int) -> int:
    """Return how many pieces a row of a concatenation has."""
    node = graph.nodes[number]
    layer = graph.layers[node.layer]
    if not isinstance(layer, fastbp.Concatenate):
        return 1
    shape = graph.shapes()[node.inputs[0]]
    return math.prod(shape[: layer.row_axis(shape)])


def _factor(
    net: fastbp.Network, layer: int, call: int, shape: tuple[int, ...], factors: Factors
) -> Array | float:
    """Return what a layer without weights multiplies with when it is called for the nth time."""
    described = net.layers[layer].description
    if isinstance(described, fastbp.Rescale):
        return float(described.factor)
    if isinstance(described, fastbp.Dropout):
        numbers = [number for number, op in enumerate(net.plan.ops) if op.layer == layer]
        rows = 1 if described.structured else shape[0]
        return factors(numbers[call], float(described.rate), (rows, shape[1]))
    return 1.0


@quietly
def backward(
    traces: Sequence[LayerTrace],
    n_inputs: int,
    outputs: dict[int, Array],
    net_inputs: dict[int, Array],
) -> tuple[LayerTrace, ...]:
    """Return traces with what comes back to them.

    Parameters
    ----------
    traces : sequence of LayerTrace
        What `forward` returned.
    n_inputs : int
        How many inputs the network has: the values before those of the layers.
    outputs : dict of int to ndarray, shape (n, outputs)
        dL/dy of each row, by the number of the value; what comes back to other values is added.
    net_inputs : dict of int to ndarray
        The same with respect to the net input of the last activation before the value, where the
        loss is differentiated together with that.
    """
    done: list[LayerTrace] = []
    for number in reversed(range(len(traces))):
        value = n_inputs + number
        trace = _with_delta(traces[number], outputs.get(value), net_inputs.get(value))
        done.append(trace)
        if trace.kind != "flatten":
            for read, part in zip(trace.reads, trace.parts(trace.input_gradient), strict=True):
                leave(outputs, read, part)
            continue
        for found in (outputs, net_inputs):  # which goes on to the activation before it
            if value in found:
                leave(found, trace.reads[0], found[value])
    return _together(tuple(reversed(done)))


def _together(traces: tuple[LayerTrace, ...]) -> tuple[LayerTrace, ...]:
    """Let each of several calls of a layer know what the others add to its gradients."""
    sums: dict[tuple[str, str], Array] = {}
    for trace in traces:
        for role in trace.parameters:
            key = trace.layer, role
            sums[key] = sums.get(key, 0) + trace.call_gradient(role)
    names = [trace.layer for trace in traces]
    return tuple(
        replace(
            trace,
            elsewhere={
                role: sums[trace.layer, role] - trace.call_gradient(role)
                for role in trace.parameters
            },
        )
        if names.count(trace.layer) > 1
        else trace
        for trace in traces
    )


def leave(found: dict[int, Array], value: int, gradient: Array) -> None:
    """Add to what comes back to a value."""
    found[value] = found[value] + gradient if value in found else gradient


def _with_delta(trace: LayerTrace, gradient: Array | None, direct: Array | None) -> LayerTrace:
    """Return a trace with dL/dz and dL/dx from what comes back to its output and net input."""
    f = ACTIVATIONS[trace.activation.name]
    z, a, constant = trace.net_input, trace.output, trace.activation.parameter
    found = [] if direct is None else [direct]
    if gradient is not None:
        found.append(f.backward(gradient, z, a, constant))
    delta = functools.reduce(np.add, found)
    flat, mixes = trace.kind == "flatten", trace.activation.name == "softmax"
    return replace(
        trace,
        slope=None if mixes else f.backward(np.ones_like(a), z, a, constant),
        output_gradient=delta if flat else gradient,
        loss_gradient=None if flat else direct,
        delta=delta,
        input_gradient=trace.back(delta),
    )
