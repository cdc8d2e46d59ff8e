"""The plan: what a network computes, as a graph of operations that an engine runs.

`fastbp.lowering` makes a plan from layer descriptions; an engine reads it and never sees a layer.
A plan has no state, so that one plan can serve many arenas.

Tensors are numbered; tensor t holds ``tensors[t]`` numbers for each row of a batch. Those of the
network's inputs come first. Operations stand in an order in which each one's inputs come before it.

Back-propagation takes the operations in reverse. Each leaves dL/d(tensor) of what it reads, in the
order of its edges, and where several read a tensor, those that come to it later add. So do the
gradients of parameters that several operations have: those of a layer that is called several times.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from fastbp.activations import ActivationFunction, Identity
from fastbp.calls import Calls
from fastbp.constraints import Constraint
from fastbp.initializers import Initializer
from fastbp.losses import Loss
from fastbp.regularizers import Regularizer
from fastbp.tensors import Shape


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
    regularizer : Regularizer or None
        What it costs in the loss, if it is trainable.
    constraint : Constraint or None
        What it is brought back to after each update that changes it.
    """

    name: str
    layer: int
    role: str
    shape: Shape
    start: int
    trainable: bool
    initializer: Initializer
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def stop(self) -> int:
        """Offset just past its last element in the flat vector."""
        return self.start + self.size


class Edge(NamedTuple):
    """A tensor that an operation reads.

    Attributes
    ----------
    tensor : int
        Its number.
    propagates : bool
        Whether it depends on a trainable parameter, so that training needs its gradient.
    adds : bool
        Whether the operation adds to that gradient, which then comes from a loss, from an operation
        behind this one or from an edge before this one; else it is the first to write it.
    """

    tensor: int
    propagates: bool = False
    adds: bool = False


class Op(NamedTuple):
    """One operation on the rows of a batch.

    Attributes
    ----------
    kind : str
        "dense": output = activation(input weights + biases);
        "activation": output = activation(input);
        "rescale": output = value * input;
        "dropout": output = mask * input in training, with value the rate, else output = input;
        "structured_dropout": the same, with one mask for all rows of a batch;
        "add": output = sum of the inputs, from the first on;
        "concatenate": rows of the output are `pieces` pieces, each a piece of every input in order;
        "custom": output = calls.forward(input, own parameters), on whole batches.
    layer : int
        Index of the layer that asked for it.
    inputs : tuple of Edge
        The tensors it reads: one, unless it joins several.
    output : int
        Number of the tensor it writes.
    saved : int or None
        Number of the tensor in which it keeps what its backward pass needs beside input and output:
        the net input where ``activation.saves_input``, the scaled mask of a dropout.
    activation : ActivationFunction
        The activation; the identity where the kind has none.
    fused : bool
        Whether a loss reads its net input z in place of its output, computes the activation on the
        way and gives dL/dz: a cross-entropy after softmax or sigmoid. Nobody else reads the output.
    weights, biases : Parameter or None
        Its parameters.
    value : float
        The constant of its kind.
    pieces : int
        Pieces of a row that a concatenation is of: 1 along the first axis.
    calls : Calls or None
        The functions of a custom operation.
    own : tuple of Parameter
        The parameters of a custom operation, side by side.
    adds : bool
        Whether an operation behind this one has the same parameters: this one's gradients are added
        to that one's.
    """

    kind: Literal[
        "dense",
        "activation",
        "rescale",
        "dropout",
        "structured_dropout",
        "add",
        "concatenate",
        "custom",
    ]
    layer: int
    inputs: tuple[Edge, ...]
    output: int
    saved: int | None = None
    activation: ActivationFunction = Identity()
    fused: bool = False
    weights: Parameter | None = None
    biases: Parameter | None = None
    value: float = 0.0
    pieces: int = 1
    calls: Calls | None = None
    own: tuple[Parameter, ...] = ()
    adds: bool = False

    @property
    def propagates(self) -> bool:
        """Whether training needs the gradient of something it reads."""
        return any(edge.propagates for edge in self.inputs)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Its parameters, weights first."""
        return *(p for p in (self.weights, self.biases) if p is not None), *self.own


class Output(NamedTuple):
    """What a network returns, and how it is to be.

    Attributes
    ----------
    name : str
        Name of the layer that computes it, with a number if it has computed one before.
    tensor : int
        Number of the tensor; each is that of one output.
    shape : tuple of int
        Shape of one row.
    loss : Loss or None
        What training lowers.
    weight : float
        What the loss counts in the sum of those of all outputs.
    """

    name: str
    tensor: int
    shape: Shape
    loss: Loss | None = None
    weight: float = 1.0


class Plan(NamedTuple):
    """What a network computes.

    Attributes
    ----------
    tensors : tuple of int
        Elements of one row of each tensor, those of the inputs first.
    ops : tuple of Op
        The operations in order; empty for a network that returns its input.
    inputs : tuple of tuple of int
        Shape of one row of each input.
    outputs : tuple of Output
        What the network returns. All of them have a loss, or none.
    parameters : tuple of Parameter
        All weights in layer order, then all biases, then those of custom layers: the flat vector
        without gaps.
    dtype : str
        "float32" or "float64".
    """

    tensors: tuple[int, ...]
    ops: tuple[Op, ...]
    inputs: tuple[Shape, ...]
    outputs: tuple[Output, ...]
    parameters: tuple[Parameter, ...]
    dtype: Literal["float32", "float64"]

    @property
    def input_shape(self) -> Shape:
        """Shape of one row of the only input."""
        (shape,) = self.inputs
        return shape

    @property
    def output(self) -> int:
        """Number of the tensor of the only output."""
        (output,) = self.outputs
        return output.tensor

    @property
    def output_shape(self) -> Shape:
        """Shape of one row of the only output."""
        (output,) = self.outputs
        return output.shape

    @property
    def loss(self) -> Loss | None:
        """The loss of the only output."""
        (output,) = self.outputs
        return output.loss

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What stands before the names of each output's values: nothing where there is one."""
        if len(self.outputs) == 1:
            return ("",)
        return tuple(f"{output.name}_" for output in self.outputs)

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

    @property
    def penalties(self) -> tuple[tuple[Parameter, float, float], ...]:
        """The parameters that cost something, with the factors of their |w| and w^2."""
        costly = ((p, *p.regularizer.factors) for p in self.parameters if p.regularizer)
        return tuple((p, l1, l2) for p, l1, l2 in costly if p.trainable and (l1 or l2))

    @property
    def loss_weights(self) -> tuple[float, ...]:
        """What each loss counts in the sum that training lowers.

        They are those of the outputs and, behind those of several, what the parameters cost, if
        they do. With one output that is part of its loss.
        """
        weights = tuple(output.weight for output in self.outputs)
        return (*weights, 1.0) if len(weights) > 1 and self.penalties else weights

    @property
    def constrained(self) -> tuple[Parameter, ...]:
        """The parameters that an update brings back to their constraint."""
        return tuple(p for p in self.parameters if p.trainable and p.constraint)
