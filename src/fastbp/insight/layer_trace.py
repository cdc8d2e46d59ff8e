"""What one layer did with the rows of a batch, and what came back to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastbp.constraints import Constraint
from fastbp.reference.activations import ACTIVATIONS
from fastbp.reference.propagation import joined, parted
from fastbp.reference.restraint import CONSTRAINTS, cost, cost_gradient
from fastbp.regularizers import Regularizer

Array: TypeAlias = npt.NDArray[Any]

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
        The layer's name, as in "dense_1", and from its second call on "dense_1[1]".
    layer : str
        The layer's name alone: that of its parameters, which all of its calls have together.
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
    elsewhere : dict of str to ndarray
        What the layer's other calls add to the gradients of its parameters; empty without.
    delta : ndarray, shape (n, o)
        dL/dz.
    input_gradient : ndarray, shape (n, i)
        dL/dx: what comes back to the layers before.
    """

    name: str
    layer: str
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
    elsewhere: dict[str, Array]
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
        """Return the part of the samples' losses, through all calls of the layer."""
        own = self.call_gradient(role)
        return own + self.elsewhere[role] if self.elsewhere else own

    @quietly
    def call_gradient(self, role: str) -> Array:
        """Return what comes through this call: x^T delta, or the sum of delta, by shares."""
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
        own = {role: np.array(stepped[f"{self.layer}.{role}"]) for role in self.parameters}
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


def by_layer(layers: Sequence[LayerTrace]) -> list[LayerTrace]:
    """Return the first call of each layer: whatever belongs to its parameters is counted once."""
    first = {call.layer: call for call in reversed(layers)}
    return [call for call in layers if first[call.layer] is call]
