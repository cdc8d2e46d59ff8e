"""Back-propagation: one batch on its way through the operations of a plan, and back.

Every operation is a linear map of its input x and then an activation f:

    forward                 backward, from da = dL/da

    z = x W + b             dz = f'(z) da
    a = f(z)                dW = x^T dz, db = sum of dz over the rows
                            dx = dz W^T, which is da of the operation before

x, z and a hold a row for each row of the batch, and W a column for each output. An operation
without weights multiplies by a factor instead: z = k x, dx = k dz. One that joins several inputs
adds them, and dz is the dx of each, or puts them behind each other, and each dx is its part of dz.

A tensor that several operations read has an effect on the loss through each of them: its gradient
is the sum of what they leave there. So is the gradient of a parameter that several operations have.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastbp.engine import Array
from fastbp.plan import Op, Parameter
from fastbp.reference.activations import ACTIVATIONS

# The factors of a dropout: called with its position and the shape (rows, units) of its input. One
# row of them, if structured, is that of every row.
DropoutFactors = Callable[[int, Op, tuple[int, int]], Array]


class Trace(NamedTuple):
    """What one operation did with a batch."""

    op: Op
    factor: Array | float
    inputs: tuple[Array, ...]
    z: Array
    a: Array

    @property
    def x(self) -> Array:
        """Its only input."""
        (x,) = self.inputs
        return x


def view(flat: Array, parameter: Parameter) -> Array:
    """Return a parameter's part of a flat vector, in its shape."""
    return flat[parameter.start : parameter.stop].reshape(parameter.shape)


def forward(
    ops: tuple[Op, ...], x: tuple[Array, ...], parameters: Array, dropout: DropoutFactors | None
) -> tuple[list[Trace], dict[int, Array]]:
    """Take a batch through `ops`; return what happened, and the tensors by their numbers.

    Without `dropout` nothing is dropped.
    """
    traces = []
    values = dict(enumerate(x))
    for position, op in enumerate(ops):
        inputs = tuple(values[edge.tensor] for edge in op.inputs)
        if op.calls is not None:
            a = op.calls.forward(inputs, own_parameters(op, parameters)).copy()
            traces.append(Trace(op, 1.0, inputs, a, a))
            values[op.output] = a
            continue
        factor: Array | float = 1.0
        if op.kind == "rescale":
            factor = op.value
        elif op.kind in ("dropout", "structured_dropout") and dropout is not None:
            factor = dropout(position, op, inputs[0].shape)
        z = net_input(op, inputs, parameters, factor)
        a = ACTIVATIONS[op.activation.name].forward(z, op.activation.parameter)
        traces.append(Trace(op, factor, inputs, z, a))
        values[op.output] = a
    return traces, values


def backward(
    traces: list[Trace],
    deltas: dict[int, Array],
    parameters: Array,
    gradients: Array,
    to_input: bool,
) -> None:
    """Take dL/d(tensor) back from the outputs, writing the gradients of trainable parameters.

    `deltas` has those of the outputs, by tensor, and then of all others that were wanted: with
    `to_input` of all, else it goes no further than it must.
    """
    for trace in reversed(traces):
        op = trace.op
        if op.output not in deltas:  # nothing that is trained lies before it
            continue
        if op.calls is not None:
            if any(p.trainable for p in op.own) or op.propagates or to_input:
                found = backward_custom(op, trace, deltas[op.output], parameters, gradients)
                leave(op, found, deltas, to_input)
            continue
        f = ACTIVATIONS[op.activation.name]
        dz = f.backward(deltas[op.output], trace.z, trace.a, op.activation.parameter)
        if op.weights is not None and op.weights.trainable:
            put(op, op.weights, weights_gradient(trace.x, dz), gradients)
        if op.biases is not None and op.biases.trainable:
            put(op, op.biases, biases_gradient(dz), gradients)
        if not (op.propagates or to_input):
            continue
        leave(op, input_deltas(trace, dz, parameters), deltas, to_input)


def put(op: Op, parameter: Parameter, gradient: Array, gradients: Array) -> None:
    """Write a parameter's gradient, or add it to that of a later call of the layer."""
    place = view(gradients, parameter)
    place[...] = place + gradient if op.adds else gradient


def leave(op: Op, found: list[Array], deltas: dict[int, Array], to_input: bool) -> None:
    """Write dL/dx of what an operation reads, or add it to what others have left there."""
    for edge, dx in zip(op.inputs, found, strict=True):
        if edge.propagates or to_input:
            deltas[edge.tensor] = deltas[edge.tensor] + dx if edge.adds else dx


def own_parameters(op: Op, parameters: Array) -> list[Array]:
    """Return the parameters of a custom operation."""
    return [view(parameters, parameter) for parameter in op.own]


def backward_custom(
    op: Op, trace: Trace, dy: Array, parameters: Array, gradients: Array
) -> list[Array]:
    """Return dL/d(input) as the function of the operation gives them, and write its gradients."""
    assert op.calls is not None
    found, given = op.calls.backward(trace.inputs, trace.a, dy, own_parameters(op, parameters))
    for parameter, gradient in zip(op.own, given, strict=True):
        if parameter.trainable:
            put(op, parameter, gradient, gradients)
    return [dx.copy() for dx in found]


def net_input(op: Op, inputs: tuple[Array, ...], parameters: Array, factor: Array | float) -> Array:
    """Return z = x W + b, or k x, or what the inputs are together."""
    if op.kind == "add":
        return functools.reduce(np.add, inputs)
    if op.kind == "concatenate":
        return joined(inputs, op.pieces)
    (x,) = inputs
    if op.weights is None:
        return x * factor
    z = x @ view(parameters, op.weights)
    return z if op.biases is None else z + view(parameters, op.biases)


def joined(inputs: tuple[Array, ...], pieces: int) -> Array:
    """Return rows of so many pieces, each with a piece of every input in it."""
    n = len(inputs[0])
    return np.concatenate([x.reshape(n, pieces, -1) for x in inputs], axis=2).reshape(n, -1)


def parted(dz: Array, inputs: tuple[Array, ...], pieces: int) -> list[Array]:
    """Return what belongs to each input of `joined`."""
    n = len(dz)
    ends = np.cumsum([x.shape[1] // pieces for x in inputs])[:-1]
    parts = np.split(dz.reshape(n, pieces, -1), ends, axis=2)
    return [part.reshape(n, -1) for part in parts]


def weights_gradient(x: Array, dz: Array) -> Array:
    """Return dW = x^T dz: every row adds the outer product of its input and its dz."""
    return x.T @ dz


def biases_gradient(dz: Array) -> Array:
    """Return db, the sum of dz over the rows: a bias is a weight whose input is 1."""
    return dz.sum(axis=0)


def input_deltas(trace: Trace, dz: Array, parameters: Array) -> list[Array]:
    """Return dL/d(input) of each input."""
    if trace.op.kind == "add":
        return [dz] * len(trace.inputs)
    if trace.op.kind == "concatenate":
        return parted(dz, trace.inputs, trace.op.pieces)
    return [input_delta(trace.op, dz, parameters, trace.factor)]


def input_delta(op: Op, dz: Array, parameters: Array, factor: Array | float) -> Array:
    """Return dx = dz W^T, or k dz: what each input did to z comes back to it."""
    if op.weights is None:
        return dz * factor
    return dz @ view(parameters, op.weights).T
