"""The plan: what a network computes, as a graph of operations that an engine runs.

`fastbp.lowering` makes a plan from layer descriptions; an engine reads it and never sees a layer.
A plan has no state, so that one plan can serve many arenas.

Tensors are numbered; tensor t holds ``tensors[t]`` numbers for each row of a batch. Operations
stand in an order in which each one's inputs come before it.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from fastbp.activations import ActivationFunction, Identity
from fastbp.calls import Calls
from fastbp.initializers import Initializer
from fastbp.losses import Loss

Shape = tuple[int, ...]


class Parameter(NamedTuple):
    """One array of parameters and its place in the flat vector.

    Attributes
    ----------
    name : str
        Layer name and role, as in "dense_1.weights".
    layer : int
        Index of the layer it belongs to.
    role : str
        "weights" or "biases", or what a custom layer calls it.
    shape : tuple of int
        (inputs, outputs) for weights, (outputs,) for biases, any for a custom layer.
    start : int
        Offset of its first element in the flat vector.
    trainable : bool
        Whether training changes it.
    initializer : Initializer
        What it starts from.
    """

    name: str
    layer: int
    role: str
    shape: Shape
    start: int
    trainable: bool
    initializer: Initializer

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def stop(self) -> int:
        """Offset just past its last element in the flat vector."""
        return self.start + self.size


class Op(NamedTuple):
    """One operation on the rows of a batch.

    Attributes
    ----------
    kind : str
        "dense": output = activation(input weights + biases);
        "activation": output = activation(input);
        "rescale": output = value * input;
        "dropout": output = mask * input in training, with value the rate, else output = input;
        "custom": output = calls.forward(input, own parameters), on whole batches.
    layer : int
        Index of the layer that asked for it.
    inputs : tuple of int
        Numbers of the tensors it reads.
    output : int
        Number of the tensor it writes.
    saved : int or None
        Number of the tensor in which it keeps what its backward pass needs beside input and output:
        the net input where ``activation.saves_input``, the scaled mask of a dropout.
    propagates : bool
        Whether a trainable parameter lies before it, so that training needs the gradient with
        respect to its input.
    activation : ActivationFunction
        The activation; the identity where the kind has none.
    weights, biases : Parameter or None
        Its parameters.
    value : float
        The constant of its kind.
    calls : Calls or None
        The functions of a custom operation.
    own : tuple of Parameter
        The parameters of a custom operation, side by side.
    """

    kind: Literal["dense", "activation", "rescale", "dropout", "custom"]
    layer: int
    inputs: tuple[int, ...]
    output: int
    saved: int | None = None
    propagates: bool = False
    activation: ActivationFunction = Identity()
    weights: Parameter | None = None
    biases: Parameter | None = None
    value: float = 0.0
    calls: Calls | None = None
    own: tuple[Parameter, ...] = ()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Its parameters, weights first."""
        return *(p for p in (self.weights, self.biases) if p is not None), *self.own


class Plan(NamedTuple):
    """What a network computes.

    Attributes
    ----------
    tensors : tuple of int
        Elements of one row of each tensor. Tensor 0 is the network's input.
    ops : tuple of Op
        The operations in order; empty for a network that returns its input.
    output : int
        Number of the tensor that holds the network's output.
    input_shape, output_shape : tuple of int
        Shape of one row of the input and of the output.
    parameters : tuple of Parameter
        All weights in layer order, then all biases, then those of custom layers: the flat vector
        without gaps.
    dtype : str
        "float32" or "float64".
    loss : Loss or None
        What training lowers.
    fused : bool
        True if `loss` is a cross-entropy computed together with the last operation's softmax or
        sigmoid: it then reads that operation's net input z, and its gradient is that with respect
        to z.
    """

    tensors: tuple[int, ...]
    ops: tuple[Op, ...]
    output: int
    input_shape: Shape
    output_shape: Shape
    parameters: tuple[Parameter, ...]
    dtype: Literal["float32", "float64"]
    loss: Loss | None
    fused: bool

    @property
    def n_parameters(self) -> int:
        """Length of the flat vector."""
        return self.parameters[-1].stop if self.parameters else 0

    @property
    def trainable_spans(self) -> tuple[tuple[int, int], ...]:
        """(start, stop) of the trainable parts of the flat vector, neighbours merged."""
        spans: list[tuple[int, int]] = []
        for parameter in self.parameters:
            if not parameter.trainable:
                continue
            if spans and spans[-1][1] == parameter.start:
                spans[-1] = (spans[-1][0], parameter.stop)
            else:
                spans.append((parameter.start, parameter.stop))
        return tuple(spans)
