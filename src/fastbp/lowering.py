"""From layer descriptions to a plan: shapes are chained, parameters laid out, the loss checked."""

from __future__ import annotations

import math
import sys
from functools import singledispatchmethod
from typing import Any, Literal

from fastbp import activations
from fastbp.activations import ACTIVATIONS, ActivationFunction, Identity
from fastbp.calls import ActivationCalls, LayerCalls
from fastbp.initializers import Initializer, Values
from fastbp.layers import Activation, Dense, Dropout, Flatten, Layer, Rescale
from fastbp.layers import Custom as CustomLayer
from fastbp.losses import Loss, Poisson, ProbabilityLoss
from fastbp.plan import Op, Parameter, Plan, Shape

# Every offset and size in bytes must fit a signed pointer difference.
MOST_BYTES = sys.maxsize


def layer_names(layers: tuple[Layer, ...]) -> tuple[str, ...]:
    """Name each layer after its kind: dense, dense_1, dense_2, and so on."""
    seen: dict[str, int] = {}
    names = []
    for layer in layers:
        count = seen.get(layer.name, 0)
        seen[layer.name] = count + 1
        names.append(f"{layer.name}_{count}" if count else layer.name)
    return tuple(names)


def lower(
    layers: tuple[Layer, ...],
    input_shape: Shape,
    dtype: Literal["float32", "float64"],
    loss: Loss | None,
) -> Plan:
    """Return the plan of a chain of layers.

    Parameters
    ----------
    layers : tuple of Layer
        The layers from input to output.
    input_shape : tuple of int
        Shape of one input row.
    dtype : {"float32", "float64"}
        Precision of parameters and arithmetic.
    loss : Loss or None
        The loss; a cross-entropy must fit the last activation.

    Raises
    ------
    ValueError
        If shapes don't chain, an initializer's array has the wrong shape, sizes overflow, or the
        loss does not fit the output.
    """
    graph = _Graph(layer_names(layers), input_shape)
    for index, layer in enumerate(layers):
        graph.layer = index
        graph.lower(layer)
    parameters, ops = graph.lay_out()
    last = ops[-1].activation if ops else Identity()
    if not (ops and ops[-1].calls):  # what a custom part gives, who wrote it knows
        _require_rates(loss, last)
    plan = Plan(
        tensors=tuple(graph.tensors),
        ops=ops,
        output=graph.tensor,
        input_shape=input_shape,
        output_shape=graph.shape,
        parameters=parameters,
        dtype=dtype,
        loss=loss,
        fused=_fuses(loss, last),
    )
    _check_size(plan)
    return plan


class _Graph:
    """A plan in the making: the tensors and operations so far."""

    def __init__(self, names: tuple[str, ...], input_shape: Shape) -> None:
        self.names = names
        self.shape = input_shape  # of a row of the newest output
        self.tensors = [math.prod(input_shape)]
        self.ops: list[Op] = []
        self.layer = 0
        self.tensor = 0  # the number of the newest output

    @singledispatchmethod
    def lower(self, layer: Layer) -> None:
        """Append the operations of `layer`."""
        raise TypeError(f"layers: no lowering for {type(layer).__name__}")

    @lower.register(Dense)
    def _dense(self, layer: Dense) -> None:
        shape = self.shape
        if len(shape) != 1:
            raise ValueError(
                f"layers: {self.names[self.layer]} expects rows of shape (inputs,), got "
                f"{shape} from {self._source()}; put a fastbp.Flatten() before it"
            )
        weights = self._parameter(
            "weights", (shape[0], layer.units), layer.trainable, layer.weights_initializer
        )
        biases = self._parameter(
            "biases",
            (layer.units,),
            layer.trainable and layer.bias_trainable,
            layer.bias_initializer,
        )
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
            self._activate(layer.activation)

    @lower.register(Activation)
    def _activation(self, layer: Activation) -> None:
        self._activate(layer.activation)

    def _activate(self, activation: ActivationFunction) -> None:
        # Its net input is its input, which stays, so nothing is saved.
        if isinstance(activation, activations.Custom):
            calls = ActivationCalls(activation, self.shape)
            self._append("custom", self.shape, activation=activation, calls=calls)
        else:
            self._append("activation", self.shape, activation=activation)

    @lower.register(CustomLayer)
    def _custom(self, layer: CustomLayer) -> None:
        own = tuple(
            self._parameter(name, shape, layer.trainable, initializer)
            for name, shape, initializer in layer.parameters_for(self.shape)
        )
        shape = layer.output_shape_for(self.shape)
        names = tuple(parameter.role for parameter in own)
        calls = LayerCalls(layer, self.shape, shape, names)
        self._append("custom", shape, calls=calls, own=own)

    @lower.register(Flatten)
    def _flatten(self, layer: Flatten) -> None:
        # Rows are contiguous: only the shape changes.
        self.shape = (math.prod(self.shape),)

    @lower.register(Rescale)
    def _rescale(self, layer: Rescale) -> None:
        self._append("rescale", self.shape, value=float(layer.factor))

    @lower.register(Dropout)
    def _dropout(self, layer: Dropout) -> None:
        self._append("dropout", self.shape, value=float(layer.rate), saves=True)

    def _source(self) -> str:
        return self.names[self.layer - 1] if self.layer else "input_shape"

    def _parameter(
        self,
        role: str,
        shape: Shape,
        trainable: bool,
        initializer: Initializer,
    ) -> Parameter:
        name = f"{self.names[self.layer]}.{role}"
        if isinstance(initializer, Values) and initializer.values.shape != shape:
            raise ValueError(
                f"{'bias' if role == 'biases' else role}_initializer: expected an array of shape "
                f"{shape} for {name}, got {initializer.values.shape}"
            )
        return Parameter(name, self.layer, role, shape, 0, trainable, initializer)

    def _append(self, kind: Any, shape: Shape, saves: bool = False, **fields: Any) -> None:
        """Add an operation that reads the newest tensor."""
        output = len(self.tensors)
        self.tensors += [math.prod(shape)] * (2 if saves else 1)
        self.ops.append(
            Op(
                kind=kind,
                layer=self.layer,
                inputs=(self.tensor,),
                output=output,
                saved=output + 1 if saves else None,
                propagates=any(p.trainable for op in self.ops for p in op.parameters),
                **fields,
            )
        )
        self.tensor = output
        self.shape = shape

    def lay_out(self) -> tuple[tuple[Parameter, ...], tuple[Op, ...]]:
        """Give every parameter its place: all weights in layer order, all biases, custom ones."""
        placed: dict[str, Parameter] = {}
        start = 0
        for role in ("weights", "biases", "own"):
            for op in self.ops:
                for parameter in op.own if role == "own" else (getattr(op, role),):
                    if parameter is not None:
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


def _fuses(loss: Loss | None, last: ActivationFunction) -> bool:
    """Whether `loss` is computed together with the last activation; refuse a loss that can't be."""
    if not isinstance(loss, ProbabilityLoss):
        return False
    if loss.from_logits:
        if last.name in ("softmax", "sigmoid"):
            raise ValueError(
                f"loss: {loss.name} with from_logits=True expects net inputs, but the network ends "
                f"in {last.name}; drop that activation or from_logits"
            )
        return False
    if last.name != loss.probability:
        raise ValueError(
            f"loss: {loss.name} expects probabilities from {loss.probability}, but the network "
            f"ends in {last.name}; end it in activation={loss.probability!r}, "
            f"or pass from_logits=True for a network that ends without an activation"
        )
    return True


def _require_rates(loss: Loss | None, last: ActivationFunction) -> None:
    """Refuse a Poisson loss of rates after an activation that may be negative."""
    if not isinstance(loss, Poisson) or loss.log_input or last.nonnegative:
        return
    fit = ", ".join(name for name, kind in ACTIVATIONS.items() if kind.nonnegative)
    raise ValueError(
        f"loss: poisson expects rates of at least 0 (from {fit}), but the network ends in "
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
