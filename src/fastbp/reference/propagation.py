"""Back-propagation: one batch on its way through the operations of a plan, and back.

Every operation is a linear map of its input x and then an activation f:

    forward                 backward, from da = dL/da

    z = x W + b             dz = f'(z) da
    a = f(z)                dW = x^T dz, db = sum of dz over the rows
                            dx = dz W^T, which is da of the operation before

x, z and a hold a row for each row of the batch, and W a column for each output. An operation
without weights multiplies by a factor instead: z = k x, dx = k dz.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fastbp.engine import Array
from fastbp.plan import Op, Parameter
from fastbp.reference.activations import ACTIVATIONS

# The factors of a dropout: called with its position and the shape (rows, units) of its input.
DropoutFactors = Callable[[int, Op, tuple[int, int]], Array]


class Trace(NamedTuple):
    """What one operation did with a batch."""

    op: Op
    factor: Array | float
    x: Array
    z: Array
    a: Array


def view(flat: Array, parameter: Parameter) -> Array:
    """Return a parameter's part of a flat vector, in its shape."""
    return flat[parameter.start : parameter.stop].reshape(parameter.shape)


def forward(
    ops: tuple[Op, ...], x: Array, parameters: Array, dropout: DropoutFactors | None
) -> tuple[list[Trace], Array]:
    """Take a batch through `ops` and return what happened and the output.

    Without `dropout` nothing is dropped.
    """
    traces = []
    for position, op in enumerate(ops):
        if op.calls is not None:
            a = op.calls.forward(x, own_parameters(op, parameters)).copy()
            traces.append(Trace(op, 1.0, x, a, a))
            x = a
            continue
        factor: Array | float = 1.0
        if op.kind == "rescale":
            factor = op.value
        elif op.kind == "dropout" and dropout is not None:
            factor = dropout(position, op, x.shape)
        z = net_input(op, x, parameters, factor)
        a = ACTIVATIONS[op.activation.name].forward(z, op.activation.parameter)
        traces.append(Trace(op, factor, x, z, a))
        x = a
    return traces, x


def backward(
    traces: list[Trace], da: Array, parameters: Array, gradients: Array, to_input: bool
) -> Array:
    """Take dL/d(output) back, writing the gradients of trainable parameters.

    Returns dL/d(input) with `to_input`; else it goes no further than it must.
    """
    for trace in reversed(traces):
        op = trace.op
        if op.calls is not None:
            da = backward_custom(op, trace, da, parameters, gradients)
            if not (op.propagates or to_input):
                break
            continue
        f = ACTIVATIONS[op.activation.name]
        dz = f.backward(da, trace.z, trace.a, op.activation.parameter)
        if op.weights is not None and op.weights.trainable:
            view(gradients, op.weights)[:] = weights_gradient(trace.x, dz)
        if op.biases is not None and op.biases.trainable:
            view(gradients, op.biases)[:] = biases_gradient(dz)
        if not (op.propagates or to_input):
            break
        da = input_delta(op, dz, parameters, trace.factor)
    return da


def own_parameters(op: Op, parameters: Array) -> list[Array]:
    """Return the parameters of a custom operation."""
    return [view(parameters, parameter) for parameter in op.own]


def backward_custom(op: Op, trace: Trace, dy: Array, parameters: Array, gradients: Array) -> Array:
    """Return dL/dx as the function of the operation gives it, and write its gradients."""
    assert op.calls is not None
    dx, given = op.calls.backward(trace.x, trace.a, dy, own_parameters(op, parameters))
    for parameter, gradient in zip(op.own, given, strict=True):
        if parameter.trainable:
            view(gradients, parameter)[:] = gradient
    return dx.copy()


def net_input(op: Op, x: Array, parameters: Array, factor: Array | float) -> Array:
    """Return z = x W + b, or k x."""
    if op.weights is None:
        return x * factor
    z = x @ view(parameters, op.weights)
    return z if op.biases is None else z + view(parameters, op.biases)


def weights_gradient(x: Array, dz: Array) -> Array:
    """Return dW = x^T dz: every row adds the outer product of its input and its dz."""
    return x.T @ dz


def biases_gradient(dz: Array) -> Array:
    """Return db, the sum of dz over the rows: a bias is a weight whose input is 1."""
    return dz.sum(axis=0)


def input_delta(op: Op, dz: Array, parameters: Array, factor: Array | float) -> Array:
    """Return dx = dz W^T, or k dz: what each input did to z comes back to it."""
    if op.weights is None:
        return dz * factor
    return dz @ view(parameters, op.weights).T
