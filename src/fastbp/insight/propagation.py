"""One batch on its way through a chain of layers, and back, with all that happens to it kept.

Everything is float64. The losses that are differentiated here are those of single rows: what a row
counts in the batch comes last, so that the numbers of a row are those that one works out by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import fastbp
from fastbp.constraints import Constraint
from fastbp.reference.activations import ACTIVATIONS
from fastbp.reference.restraint import CONSTRAINTS, cost, cost_gradient
from fastbp.regularizers import Regularizer

Array: TypeAlias = npt.NDArray[Any]
# The factors of a dropout: called with the number of its operation, its rate and (rows, units); a
# structured one has one row for all.
Factors: TypeAlias = Callable[[int, float, tuple[int, int]], Array]

KINDS = ("dense", "activation", "rescale", "dropout", "structured_dropout")
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
        "dense", "activation", "rescale", "dropout" or "flatten".
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
    inputs : ndarray, shape (n, i)
        x.
    net_input : ndarray, shape (n, o)
        z = x W + b, the sum of products; or factor times x.
    output : ndarray, shape (n, o)
        a = f(z).
    slope : ndarray, shape (n, o), or None
        f'(z), the local derivative da/dz. None for softmax, whose outputs depend on every z: see
        `jacobian`.
    output_gradient : ndarray, shape (n, o), or None
        dL/da. None where the loss is differentiated together with the activation.
    delta : ndarray, shape (n, o)
        dL/dz.
    input_gradient : ndarray, shape (n, i)
        dL/dx: what comes back to the layer before.
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
    inputs: Array
    net_input: Array
    output: Array
    stepped: dict[str, Array]
    new_parameters: dict[str, Array]
    slope: Array | None
    output_gradient: Array | None
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
        z = x @ own["weights"] if own else x * self.factor
        if "biases" in own:
            z = z + own["biases"]
        return z, ACTIVATIONS[self.activation.name].forward(z, self.activation.parameter)


def require_known(net: fastbp.Network) -> None:
    """Refuse a network with an operation that a chain can't go through."""
    names = [layer.name for layer in net.layers]
    for op in net.plan.ops:
        if op.kind not in KINDS:
            raise ValueError(
                f"explain: expected a chain of Dense, Activation, Flatten, Rescale and Dropout "
                f"layers, got {names[op.layer]}"
            )


@quietly
def forward(net: fastbp.Network, x: Array, share: Array, factors: Factors) -> list[LayerTrace]:
    """Take rows through the layers of a network; what comes back is still missing.

    Parameters
    ----------
    net : Network
        Gives the layers and their parameters.
    x : ndarray, shape (n, inputs)
        The rows.
    share : ndarray, shape (n,)
        What each counts.
    factors : callable
        What a dropout multiplies with.
    """
    require_known(net)
    traces: list[LayerTrace] = []
    operations = {op.layer: (number, op) for number, op in enumerate(net.plan.ops)}
    costly = {p.name: p.regularizer for p, *_ in net.plan.penalties if p.regularizer}
    for index, layer in enumerate(net.layers):
        number, op = operations.get(index, (0, None))
        factor: Array | float = 1.0
        if op and op.kind == "rescale":
            factor = op.value
        elif op and op.kind in ("dropout", "structured_dropout"):
            rows = 1 if op.kind == "structured_dropout" else len(x)
            factor = factors(number, op.value, (rows, x.shape[1]))
        own = op.parameters if op else ()
        missing = np.empty((0, 0))
        unrun = LayerTrace(
            name=layer.name,
            kind=layer.description.name,
            activation=op.activation if op else fastbp.activations.Identity(),
            parameters={p.role: np.array(getattr(layer, p.role), np.float64) for p in own},
            trainable={p.role: p.trainable for p in own},
            regularizers={p.role: costly[p.name] for p in own if p.name in costly},
            constraints={p.role: p.constraint for p in own if p.trainable and p.constraint},
            factor=factor,
            share=share,
            inputs=x,
            net_input=missing,
            output=missing,
            stepped={},
            new_parameters={},
            slope=None,
            output_gradient=None,
            delta=missing,
            input_gradient=missing,
        )
        z, a = unrun.run(x)
        traces.append(replace(unrun, net_input=z, output=a))
        x = a
    return traces


@quietly
def backward(traces: Sequence[LayerTrace], gradient: Array, fused: bool) -> tuple[LayerTrace, ...]:
    """Return traces with what comes back to them.

    Parameters
    ----------
    traces : sequence of LayerTrace
        What `forward` returned.
    gradient : ndarray, shape (n, outputs)
        dL/dy of each row; with `fused` that with respect to the net input of the last activation.
    fused : bool
        Whether the loss is differentiated together with the last activation.
    """
    done: list[LayerTrace] = []
    for trace in reversed(traces):
        together = fused and trace.kind != "flatten"
        fused = fused and not together
        f = ACTIVATIONS[trace.activation.name]
        z, a, constant = trace.net_input, trace.output, trace.activation.parameter
        delta = gradient if together else f.backward(gradient, z, a, constant)
        mixes = trace.activation.name == "softmax"
        back = delta * trace.factor if trace.weights is None else delta @ trace.weights.T
        done.append(
            replace(
                trace,
                slope=None if mixes else f.backward(np.ones_like(a), z, a, constant),
                output_gradient=None if together else gradient,
                delta=delta,
                input_gradient=back,
            )
        )
        gradient = back
    return tuple(reversed(done))
