"""One batch on its way through a graph of layers, and back, with all that happens to it kept.

Values are numbered as the tensors of the graph: first the inputs, then what each layer computes.

Everything is float64. The losses that are differentiated here are those of single rows: what a row
counts in the batch comes last, so that the numbers of a row are those that one works out by hand.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import fastbp
from fastbp.activations import Identity
from fastbp.constraints import Constraint
from fastbp.graph import Graph
from fastbp.reference.activations import ACTIVATIONS
from fastbp.reference.propagation import joined, parted
from fastbp.reference.restraint import CONSTRAINTS, cost, cost_gradient
from fastbp.regularizers import Regularizer

Array: TypeAlias = npt.NDArray[Any]
# The factors of a dropout: called with the number of its operation, its rate and (rows, units); a
# structured one has one row for all.
Factors: TypeAlias = Callable[[int, float, tuple[int, int]], Array]

KINDS = (
    "dense", "activation", "rescale", "dropout", "structured_dropout", "add", "concatenate",
)  # fmt: skip
JOINS = ("add", "concatenate")
# Of what diverges, or is no longer a normal number, nobody is told here: it stands in the trace.
quietly = np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")


@dataclass(frozen=True, eq=False, repr=False)
class LayerTrace:
    """What one layer did with each row of a batch, and what came back to it.

    n rows, i inputs, o outputs. L is the loss of the row itself, whatever it counts in the batch.
    Rows of several axes are flat here.

    Attributes
    ----------
    name : str
        The layer's name, as in "dense_1".
    kind : str
        "dense", "activation", "rescale", "dropout", "flatten", "add" or "concatenate".
    activation : ActivationFunction
        Its activation; the identity where it has none.
    parameters : dict of str to ndarray
        Its "weights", shape (i, o), and "biases", shape (o,), as far as it has them.
    stepped : dict of str to ndarray
        What the optimizer's next step makes of them; empty where it takes none.
    new_parameters : dict of str to ndarray
        The same, brought back to their constraints.
    trainable : dict of str to bool
        Whether training changes them.
    regularizers : dict of str to Regularizer
        What those cost that do cost something.
    constraints : dict of str to Constraint
        What those are brought back to that have a constraint and are trained.
    factor : ndarray or float
        What a layer without weights multiplies its inputs with: a constant, or for a dropout a
        number for each row and unit; if structured, for each unit, shape (1, o).
    share : ndarray, shape (n,)
        What each row counts in the loss of the batch.
    reads : tuple of int
        The numbers of the values that it reads: one, unless it joins several.
    widths : tuple of int
        How many numbers of a row each of them has.
    pieces : int
        Of a concatenation, how many pieces a row has, each with a piece of every input in it.
    inputs : ndarray, shape (n, i)
        x; where several are joined, these side by side.
    net_input : ndarray, shape (n, o)
        z = x W + b, the sum of products; or factor times x; or what is joined.
    output : ndarray, shape (n, o)
        a = f(z).
    slope : ndarray, shape (n, o), or None
        f'(z), the local derivative da/dz. None for softmax, whose outputs depend on every z: see
        `jacobian`.
    output_gradient : ndarray, shape (n, o), or None
        dL/da: what comes back from all that read the output. None where that is a loss alone which
        is differentiated together with the activation.
    loss_gradient : ndarray, shape (n, o), or None
        What comes back to z from such a loss; None without.
    delta : ndarray, shape (n, o)
        dL/dz.
    input_gradient : ndarray, shape (n, i)
        dL/dx: what comes back to the layers before.
    """

    name: str
    kind: str
    activation: Any
    parameters: dict[str, Array]
    trainable: dict[str, bool]
    regularizers: dict[str, Regularizer]
    constraints: dict[str, Constraint]
    factor: Array | float
    share: Array
    reads: tuple[int, ...]
    widths: tuple[int, ...]
    pieces: int
    inputs: Array
    net_input: Array
    output: Array
    stepped: dict[str, Array]
    new_parameters: dict[str, Array]
    slope: Array | None
    output_gradient: Array | None
    loss_gradient: Array | None
    delta: Array
    input_gradient: Array

    def __repr__(self) -> str:
        n, units = self.output.shape
        return f"<trace of {self.name}: {n} samples, {self.inputs.shape[1]} -> {units} units>"

    @property
    def weights(self) -> Array | None:
        """The weights."""
        return self.parameters.get("weights")

    @property
    def biases(self) -> Array | None:
        """The biases."""
        return self.parameters.get("biases")

    @quietly
    def gradient(self, role: str) -> Array:
        """Return the gradient of the batch's loss: that of its samples, and of the penalty.

        It is the derivative, whether the parameter is frozen or not; what is frozen costs nothing.
        """
        return self.samples_gradient(role) + self.penalty_gradient(role)

    @quietly
    def samples_gradient(self, role: str) -> Array:
        """Return the part of the samples' losses: x^T delta, or the sum of delta, by shares."""
        weighed = self.delta * self.share[:, None]
        return self.inputs.T @ weighed if role == "weights" else weighed.sum(axis=0)

    @quietly
    def penalty_gradient(self, role: str) -> Array:
        """Return the part of the penalty: 0 for parameters that cost nothing."""
        values = self.parameters[role]
        if role not in self.regularizers:
            return np.zeros_like(values)
        return cost_gradient(values, *self.regularizers[role].factors)

    def penalty(self, parameters: dict[str, Array] | None = None) -> float:
        """Return what its parameters cost, or others in their place."""
        own = self.parameters | (parameters or {})
        return sum(self.penalty_of(role, own[role]) for role in self.regularizers)

    @quietly
    def penalty_of(self, role: str, values: Array) -> float:
        """Return what values of weights or biases that cost something would cost."""
        return cost(values, *self.regularizers[role].factors)

    @property
    def weights_gradient(self) -> Array | None:
        """The gradient of the batch's loss with respect to the weights."""
        return self.gradient("weights") if "weights" in self.parameters else None

    @property
    def biases_gradient(self) -> Array | None:
        """The gradient of the batch's loss with respect to the biases."""
        return self.gradient("biases") if "biases" in self.parameters else None

    def after(self, stepped: Mapping[str, Array]) -> LayerTrace:
        """Return the trace with parameters after a step, by name, and brought back by constraints.

        Parameters
        ----------
        stepped : mapping of str to ndarray
            Parameters of the network after the optimizer's step, as "dense_1.weights".
        """
        own = {role: np.array(stepped[f"{self.name}.{role}"]) for role in self.parameters}
        projected = {
            role: CONSTRAINTS[each.name](each, own[role]) for role, each in self.constraints.items()
        }
        return replace(self, stepped=own, new_parameters=own | projected)

    def jacobian(self, sample: int) -> Array:
        """Return da_i/dz_j of a sample in row i and column j, shape (o, o)."""
        units = self.output.shape[1]
        z, a = (np.tile(each[sample], (units, 1)) for each in (self.net_input, self.output))
        f = ACTIVATIONS[self.activation.name]
        return f.backward(np.eye(units), z, a, self.activation.parameter)

    def run(self, x: Array, parameters: dict[str, Array] | None = None) -> tuple[Array, Array]:
        """Return net input and output for other inputs, with other parameters if given."""
        own = self.parameters | (parameters or {})
        z = x @ own["weights"] if own else self.gathered(x)
        if "biases" in own:
            z = z + own["biases"]
        return z, ACTIVATIONS[self.activation.name].forward(z, self.activation.parameter)

    def gathered(self, x: Array, sample: int | None = None) -> Array:
        """Return what a layer without weights makes of inputs: of all rows, or of one sample."""
        if self.kind == "add":
            return np.sum(self.parts(x), axis=0)
        if self.kind == "concatenate":
            return joined(tuple(self.parts(x)), self.pieces)
        if sample is None:
            return x * self.factor
        return x * np.broadcast_to(self.factor, self.inputs.shape)[sample]

    def parts(self, x: Array) -> list[Array]:
        """Return what belongs to each value that it reads."""
        return np.split(x, np.cumsum(self.widths)[:-1], axis=1)

    def back(self, delta: Array) -> Array:
        """Return dL/dx for dL/dz."""
        if self.weights is not None:
            return delta @ self.weights.T
        if self.kind == "add":
            return np.tile(delta, len(self.widths))
        if self.kind == "concatenate":
            parts = tuple(self.parts(self.inputs))
            return np.concatenate(parted(delta, parts, self.pieces), axis=1)
        return delta * self.factor

    def place_of(self, number: int) -> int:
        """Return to which unit of a layer without weights one of its inputs leads."""
        if self.kind not in JOINS:
            return number
        alone = np.zeros((1, sum(self.widths)))
        alone[0, number] = 1
        return int(self.gathered(alone).argmax())


def require_known(net: fastbp.Network, graph: Graph) -> None:
    """Refuse a network with an operation that can't be laid open."""
    names = [layer.name for layer in net.layers]
    for op in net.plan.ops:
        if op.kind not in KINDS:
            raise ValueError(
                f"explain: expected Dense, Activation, Flatten, Rescale, Dropout, Add and "
                f"Concatenate layers, got {names[op.layer]}"
            )
    calls = [node.layer for node in graph.nodes]
    for parameter in net.plan.parameters:
        if calls.count(parameter.layer) > 1:
            raise ValueError(
                f"explain: expected each layer with parameters to be called once, got "
                f"{names[parameter.layer]} called {calls.count(parameter.layer)} times"
            )


@quietly
def forward(
    net: fastbp.Network, graph: Graph, inputs: Sequence[Array], share: Array, factors: Factors
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
    factors : callable
        What a dropout multiplies with.
    """
    require_known(net, graph)
    values, traces = list(inputs), []
    for number in range(len(graph.nodes)):
        unrun = _unrun(net, graph, number, values, share, factors)
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
    factors: Factors,
) -> LayerTrace:
    """Return the trace of a layer that has its inputs."""
    node = graph.nodes[number]
    layer, read = net.layers[node.layer], [values[each] for each in node.inputs]
    described, missing = layer.description, np.empty((0, 0))
    own = [p for p in net.plan.parameters if p.layer == node.layer]
    costly = {p.name: p.regularizer for p, *_ in net.plan.penalties if p.regularizer}
    calls = [each.layer for each in graph.nodes[:number]].count(node.layer)
    return LayerTrace(
        name=f"{layer.name} (call {calls + 1})" if calls else layer.name,
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
    return tuple(reversed(done))


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
