"""From layer descriptions to a plan: shapes are chained, parameters laid out, the loss checked."""

from __future__ import annotations

import math
import sys
from functools import singledispatchmethod
from typing import Any, Literal

from fastbp import activations
from fastbp.activations import ACTIVATIONS, ActivationFunction, Identity
from fastbp.calls import ActivationCalls, LayerCalls
from fastbp.graph import Graph, Node, chain, layer_names
from fastbp.initializers import Initializer, Values
from fastbp.layers import (
    Activation,
    Add,
    Concatenate,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Rescale,
)
from fastbp.layers import Custom as CustomLayer
from fastbp.losses import Loss, Poisson, ProbabilityLoss
from fastbp.plan import Edge, Op, Output, Parameter, Plan
from fastbp.tensors import Shape

# Every offset and size in bytes must fit a signed pointer difference.
MOST_BYTES = sys.maxsize


def lower(
    layers: tuple[Layer, ...],
    input_shape: Shape,
    dtype: Literal["float32", "float64"],
    loss: Loss | None,
) -> Plan:
    """Return the plan of a chain of layers, from input to output; see `lower_graph`."""
    return lower_graph(chain(layers, input_shape), dtype, (loss,), (1.0,))


def lower_graph(
    graph: Graph,
    dtype: Literal["float32", "float64"],
    losses: tuple[Loss | None, ...],
    weights: tuple[float, ...],
) -> Plan:
    """Return the plan of a graph of layers.

    Parameters
    ----------
    graph : Graph
        Layers, and who reads whom.
    dtype : {"float32", "float64"}
        Precision of parameters and arithmetic.
    losses : tuple of Loss or None
        The loss of each output; a cross-entropy must fit the activation that computes it.
    weights : tuple of float
        What each counts.

    Raises
    ------
    ValueError
        If shapes don't chain, a layer is called on rows of shapes that need parameters of
        different shapes, an initializer's array has the wrong shape, sizes overflow, or a
        loss does not fit its output.
    """
    lowering = _Lowering(graph)
    for node in graph.nodes:
        lowering.run(node)
    outputs = lowering.outputs(losses, weights)
    parameters, ops = lowering.lay_out()
    plan = Plan(
        tensors=tuple(lowering.tensors),
        ops=wired(ops, outputs),
        inputs=graph.inputs,
        outputs=outputs,
        parameters=parameters,
        dtype=dtype,
    )
    _check_size(plan)
    return plan


class _Lowering:
    """A plan in the making: the tensors and operations so far."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layer_names = layer_names(graph.layers)
        self.tensors = [math.prod(shape) for shape in graph.inputs]
        self.ops: list[Op] = []
        # Of the graph's tensors: shape of a row, name, and those of the plan that hold them.
        self.shapes = graph.shapes()
        self.names = graph.names
        self.places = list(range(len(graph.inputs)))
        # Of each layer's first call: what it read, and the shapes of its parameters.
        self.first_calls: dict[int, tuple[int, dict[str, Shape]]] = {}
        # Of the node that is being lowered: what it reads, then what it computes.
        self.layer = 0
        self.inputs: tuple[int, ...] = ()
        self.read: tuple[Shape, ...] = ()
        self.tensor = 0
        self.shape: Shape = ()

    def run(self, node: Node) -> None:
        """Append the operations of a node."""
        self.layer = node.layer
        self.read = tuple(self.shapes[number] for number in node.inputs)
        self.shape = self.read[0]
        self.inputs = tuple(self.places[number] for number in node.inputs)
        self.tensor, first = self.inputs[0], len(self.ops)
        self.lower(self.graph.layers[node.layer])
        self._require_alike(node, [p for op in self.ops[first:] for p in op.parameters])
        self.places.append(self.tensor)

    def _require_alike(self, node: Node, parameters: list[Parameter]) -> None:
        """Refuse a further call of a layer on rows for which it would need other parameters."""
        shapes = {parameter.name: parameter.shape for parameter in parameters}
        source = node.inputs[0]
        first, expected = self.first_calls.setdefault(node.layer, (source, shapes))
        if shapes != expected:
            raise ValueError(
                f"layers: {self.layer_names[node.layer]} expects rows of one shape in all of its "
                f"calls, got {self.shapes[first]} from {self.names[first]} and "
                f"{self.shapes[source]} from {self.names[source]}"
            )

    @singledispatchmethod
    def lower(self, layer: Layer) -> None:
        """Append the operations of `layer`."""
        raise TypeError(f"layers: no lowering for {type(layer).__name__}")

    @lower.register(Dense)
    def _dense(self, layer: Dense) -> None:
        shape = self.shape[0], layer.units
        weights = self._parameter(
            "weights", shape, layer.trainable, layer.weights_initializer
        )._replace(regularizer=layer.weights_regularizer, constraint=layer.weights_constraint)
        biases = self._parameter(
            "biases",
            (layer.units,),
            layer.trainable and layer.bias_trainable,
            layer.bias_initializer,
        )._replace(regularizer=layer.bias_regularizer, constraint=layer.bias_constraint)
        custom = isinstance(layer.activation, activations.Custom)
        activation = Identity() if custom else layer.activation
        self._append(
            "dense",
            (layer.units,),
            activation=activation,
            saves=activation.saves_input,
            weights=weights,
            biases=biases if layer.use_bias else None,
        )
        if custom:
            self._activate(layer.activation, shape[1:])

    @lower.register(Activation)
    def _activation(self, layer: Activation) -> None:
        self._activate(layer.activation, self.shape)

    def _activate(self, activation: ActivationFunction, shape: Shape) -> None:
        # Its net input is its input, which stays, so nothing is saved.
        if isinstance(activation, activations.Custom):
            calls = ActivationCalls(activation, shape)
            self._append("custom", shape, activation=activation, calls=calls)
        else:
            self._append("activation", shape, activation=activation)

    @lower.register(CustomLayer)
    def _custom(self, layer: CustomLayer) -> None:
        own = tuple(
            self._parameter(name, shape, layer.trainable, initializer)
            for name, shape, initializer in layer.parameters_for(self.read)
        )
        shape = layer.shape_for(self.read)
        names = tuple(parameter.role for parameter in own)
        calls = LayerCalls(layer, self.read, shape, names)
        self._append("custom", shape, calls=calls, own=own)

    @lower.register(Flatten)
    def _flatten(self, layer: Flatten) -> None:
        """Leave all as it is: rows are contiguous, and only their shape changes."""

    @lower.register(Rescale)
    def _rescale(self, layer: Rescale) -> None:
        self._append("rescale", self.shape, value=float(layer.factor))

    @lower.register(Dropout)
    def _dropout(self, layer: Dropout) -> None:
        kind = "structured_dropout" if layer.structured else "dropout"
        self._append(kind, self.shape, value=float(layer.rate), saves=not layer.structured)

    @lower.register(Add)
    def _add(self, layer: Add) -> None:
        self._append("add", self.shape)

    @lower.register(Concatenate)
    def _concatenate(self, layer: Concatenate) -> None:
        pieces = math.prod(self.shape[: layer.row_axis(self.shape)])
        self._append("concatenate", (sum(self.tensors[t] for t in self.inputs),), pieces=pieces)

    def _parameter(
        self,
        role: str,
        shape: Shape,
        trainable: bool,
        initializer: Initializer,
    ) -> Parameter:
        name = f"{self.layer_names[self.layer]}.{role}"
        if isinstance(initializer, Values) and initializer.values.shape != shape:
            raise ValueError(
                f"{'bias' if role == 'biases' else role}_initializer: expected an array of shape "
                f"{shape} for {name}, got {initializer.values.shape}"
            )
        return Parameter(name, self.layer, role, shape, 0, trainable, initializer)

    def _append(self, kind: Any, shape: Shape, saves: bool = False, **fields: Any) -> None:
        """Add an operation that reads what the layer reads."""
        output = self._tensor(math.prod(shape))
        saved = self._tensor(math.prod(shape)) if saves else None
        inputs = tuple(map(Edge, self.inputs))
        self.ops.append(Op(kind, self.layer, inputs, output, saved, **fields))
        self.tensor, self.inputs = output, (output,)

    def _tensor(self, size: int) -> int:
        """Add a tensor and return its number."""
        self.tensors.append(size)
        return len(self.tensors) - 1

    def outputs(
        self, losses: tuple[Loss | None, ...], weights: tuple[float, ...]
    ) -> tuple[Output, ...]:
        """Return what the network returns, each in a tensor that its loss can read."""
        found: list[Output] = []
        for number, loss, weight in zip(self.graph.outputs, losses, weights, strict=True):
            tensor, shape = self.places[number], self.shapes[number]
            if any(output.tensor == tensor for output in found):  # a Flatten of another one
                self.inputs = (tensor,)
                self._append("rescale", shape, value=1.0)
                tensor = self.tensor
            name = _unlike(self._maker(number), {output.name for output in found})
            found.append(Output(name, tensor, shape, loss, weight))
        return tuple(self._fitted(output) for output in found)

    def _maker(self, number: int) -> str:
        """Return the name of the input or of the layer that gives a tensor of the graph."""
        node = number - len(self.graph.inputs)
        return self.names[number] if node < 0 else self.layer_names[self.graph.nodes[node].layer]

    def _fitted(self, output: Output) -> Output:
        """Return the output with a tensor that its loss can read; refuse a loss that can't be."""
        made = next((op for op in self.ops if op.output == output.tensor), None)
        last = made.activation if made else Identity()
        where = "the network" if len(self.graph.outputs) == 1 else output.name
        if not (made and made.calls):  # what a custom part gives, who wrote it knows
            _require_rates(output.loss, last, where)
        if not _fuses(output.loss, last, where):
            return output
        at = next(i for i, op in enumerate(self.ops) if op.output == output.tensor)
        if any(edge.tensor == output.tensor for op in self.ops for edge in op.inputs):
            at = self._branched(at)
        self.ops[at] = self.ops[at]._replace(fused=True)
        return output._replace(tensor=self.ops[at].output)

    def _branched(self, at: int) -> int:
        """Let an activation that others read too be computed a second time, for the loss alone.

        Return the place of the operation that does so.
        """
        made = self.ops[at]
        if made.kind == "dense":
            net_input = (Edge(self._tensor(self.tensors[made.output])),)
            product = made._replace(activation=Identity(), output=net_input[0].tensor)
            made = Op("activation", made.layer, net_input, made.output, activation=made.activation)
            self.ops[at : at + 1] = [product, made]
            at += 1
        self.ops.insert(at + 1, made._replace(output=self._tensor(self.tensors[made.output])))
        return at + 1

    def lay_out(self) -> tuple[tuple[Parameter, ...], tuple[Op, ...]]:
        """Give every parameter its place: all weights in layer order, all biases, custom ones.

        Those of a layer that is called several times have one.
        """
        placed: dict[str, Parameter] = {}
        start = 0
        for role in ("weights", "biases", "own"):
            for op in self.ops:
                for parameter in op.own if role == "own" else (getattr(op, role),):
                    if parameter is not None and parameter.name not in placed:
                        placed[parameter.name] = parameter._replace(start=start)
                        start += parameter.size
        ops = tuple(
            op._replace(
                weights=op.weights and placed[op.weights.name],
                biases=op.biases and placed[op.biases.name],
                own=tuple(placed[p.name] for p in op.own),
            )
            for op in self.ops
        )
        return tuple(placed.values()), ops


def _unlike(name: str, others: set[str]) -> str:
    """Return `name`, with a number that makes it unlike the others if it has to have one."""
    numbers = (f"{name}_{count}" for count in range(1, len(others) + 2))
    return next(each for each in (name, *numbers) if each not in others)


def wired(ops: tuple[Op, ...], outputs: tuple[Output, ...]) -> tuple[Op, ...]:
    """Return the operations, which then say which gradients training needs, and who adds."""
    trained: set[int] = set()  # tensors that depend on a trainable parameter
    for op in ops:
        trains = any(parameter.trainable for parameter in op.parameters)
        if trains or any(edge.tensor in trained for edge in op.inputs):
            trained.add(op.output)
    written = {output.tensor for output in outputs}
    called: set[int] = set()  # layers with parameters
    found = []
    for op in reversed(ops):
        edges = []
        for tensor, *_ in op.inputs:
            edges.append(Edge(tensor, tensor in trained, tensor in written))
            written.add(tensor)
        adds = bool(op.parameters) and op.layer in called
        found.append(op._replace(inputs=tuple(edges), adds=adds))
        if op.parameters:
            called.add(op.layer)
    return tuple(reversed(found))


def _fuses(loss: Loss | None, last: ActivationFunction, where: str) -> bool:
    """Whether `loss` is computed together with the last activation; refuse a loss that can't be."""
    if not isinstance(loss, ProbabilityLoss):
        return False
    if loss.from_logits:
        if last.name in ("softmax", "sigmoid"):
            raise ValueError(
                f"loss: {loss.name} with from_logits=True expects net inputs, but {where} ends "
                f"in {last.name}; drop that activation or from_logits"
            )
        return False
    if last.name != loss.probability:
        raise ValueError(
            f"loss: {loss.name} expects probabilities from {loss.probability}, but {where} "
            f"ends in {last.name}; end it in activation={loss.probability!r}, "
            f"or pass from_logits=True for a network that ends without an activation"
        )
    return True


def _require_rates(loss: Loss | None, last: ActivationFunction, where: str) -> None:
    """Refuse a Poisson loss of rates after an activation that may be negative."""
    if not isinstance(loss, Poisson) or loss.log_input or last.nonnegative:
        return
    fit = ", ".join(name for name, kind in ACTIVATIONS.items() if kind.nonnegative)
    raise ValueError(
        f"loss: poisson expects rates of at least 0 (from {fit}), but {where} ends in "
        f"{last.name}; end it in activation='softplus', or pass log_input=True for a network whose "
        f"outputs are logarithms of rates"
    )


def _check_size(plan: Plan) -> None:
    """Refuse sizes whose bytes overflow: gradients and two states stand beside the parameters."""
    itemsize = 4 if plan.dtype == "float32" else 8
    needs = {"parameters": 4 * plan.n_parameters, "values of a row": 2 * sum(plan.tensors)}
    for what, count in needs.items():
        if count * itemsize > MOST_BYTES:
            raise ValueError(
                f"layers: expected sizes within this machine's address space, got {what} that "
                f"need {count * itemsize} bytes"
            )
