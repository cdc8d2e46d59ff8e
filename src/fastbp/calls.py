"""Functions of users, as parts of a network: called with arrays, and their answers checked.

Engines hand over arrays of their own and take a copy of what comes back, so that a function may
keep what it is given and what it gives. They are told rows in one line, (rows, elements); functions
see rows in their shape.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from fastbp import activations, initializers, layers, losses, metrics

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Shape: TypeAlias = tuple[int, ...]


class Calls(Protocol):
    """An operation that is given as functions, once a batch forward and once back."""

    def forward(self, x: Array, parameters: Sequence[Array]) -> Array:
        """Return y, shape (rows, outputs), for x, shape (rows, inputs)."""

    def backward(
        self, x: Array, y: Array, dy: Array, parameters: Sequence[Array]
    ) -> tuple[Array, Sequence[Array]]:
        """Return dL/dx and the gradient of each parameter."""


class ActivationCalls(NamedTuple):
    """An activation: the slope is that of each element alone."""

    part: activations.Custom
    shape: Shape

    def forward(self, x: Array, parameters: Sequence[Array]) -> Array:
        """Return f(z) for the net input z."""
        return self._call("function", x)

    def backward(
        self, x: Array, y: Array, dy: Array, parameters: Sequence[Array]
    ) -> tuple[Array, Sequence[Array]]:
        """Return dL/dz = f'(z) dL/da."""
        return self._call("derivative", x) * dy, ()

    def _call(self, role: str, z: Array) -> Array:
        function = getattr(self.part, role)
        z = _given(z, self.shape)
        answer = _returned(_what(self.part, role), function(z), z.shape, z.dtype)
        return answer.reshape(len(z), -1)


class LayerCalls(NamedTuple):
    """A layer, with parameters of its own or without."""

    part: layers.Custom
    input_shape: Shape
    output_shape: Shape
    parameter_names: tuple[str, ...]

    def forward(self, x: Array, parameters: Sequence[Array]) -> Array:
        """Return the outputs of a batch."""
        own = (_given(p) for p in parameters)
        y = self.part.forward(_given(x, self.input_shape), *own)
        shape = len(x), *self.output_shape
        return _returned(_what(self.part, "forward"), y, shape, x.dtype).reshape(len(x), -1)

    def backward(
        self, x: Array, y: Array, dy: Array, parameters: Sequence[Array]
    ) -> tuple[Array, Sequence[Array]]:
        """Return dL/dx and the gradient of each parameter."""
        batch = (_given(x, self.input_shape), *(_given(a, self.output_shape) for a in (y, dy)))
        what = _what(self.part, "backward")
        answer = self.part.backward(*batch, *(_given(p) for p in parameters))
        dx, *gradients = self._split(what, answer)
        dx = _returned(f"{what}: dL/dx", dx, batch[0].shape, x.dtype)
        named = zip(self.parameter_names, gradients, parameters, strict=True)
        checked = [_returned(f"{what}: gradient of {n}", g, p.shape, x.dtype) for n, g, p in named]
        return dx.reshape(len(x), -1), checked

    def _split(self, what: str, answer: Any) -> Sequence[Any]:
        """Return dL/dx and the gradients, as many as there are parameters."""
        if not self.parameter_names:
            return answer if isinstance(answer, tuple) and len(answer) == 1 else (answer,)
        expected = ", ".join(("dL/dx", *self.parameter_names))
        if not isinstance(answer, tuple | list):
            raise TypeError(f"{what}: expected a tuple ({expected}), got {type(answer).__name__}")
        if len(answer) != 1 + len(self.parameter_names):
            raise ValueError(f"{what}: expected a tuple ({expected}), got {len(answer)} items")
        return answer


def row_losses(loss: losses.Custom, y: Array, t: Array) -> Array:
    """Return the loss of each row, shape (rows,), float64."""
    answer = loss.function(_given(y), _given(t))
    return _returned(_what(loss, "function"), answer, (len(y),), np.dtype(np.float64))


def loss_gradient(loss: losses.Custom, y: Array, t: Array) -> Array:
    """Return the derivative of each row's loss, shape (rows, outputs), in the dtype of y."""
    answer = loss.derivative(_given(y), _given(t))
    return _returned(_what(loss, "derivative"), answer, y.shape, y.dtype)


def metric_value(metric: metrics.Custom, y: Array, t: Array) -> float:
    """Return the metric of all rows."""
    value = metric.function(_given(y), _given(t))
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if not isinstance(value, numbers.Real | np.bool_):
        what = f"{_what(metric, 'function')}: expected a number"
        raise TypeError(f"{what}, got {type(value).__name__} {value!r}")
    return float(value)


def drawn(initializer: initializers.Custom, shape: Shape, seed: int, stream: int) -> Array:
    """Return what a parameter starts from, float64."""
    generator = np.random.Generator(np.random.Philox(key=[seed, stream]))
    answer = initializer.function(shape, generator)
    return _returned(_what(initializer, "function"), answer, shape, np.dtype(np.float64))


def _what(part: Any, role: str) -> str:
    """Name a function: the part that it belongs to, and what it is there."""
    kind = f"{type(part).__module__.removeprefix('fastbp.')}.{type(part).__name__}"
    return f"{role} of {kind} ({function_name(getattr(part, role))})"


def function_name(function: Any) -> str:
    """Return what a function is called."""
    return str(getattr(function, "__name__", type(function).__name__))


def _given(array: Array, shape: Shape | None = None) -> Array:
    """Return a read-only view, of rows in this shape if one is named."""
    view = array.view() if shape is None else array.reshape(len(array), *shape)
    view.flags.writeable = False
    return view


def _returned(what: str, value: Any, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Return a copy of an answer in this dtype; refuse what is no array of real numbers."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{what}: expected an array of shape {shape}, got {type(value).__name__}")
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{what}: expected real numbers, got an array of dtype {value.dtype}")
    if value.shape != shape:
        raise ValueError(f"{what}: expected an array of shape {shape}, got {value.shape}")
    with np.errstate(over="ignore"):  # an infinity is for whoever looks at the loss to find
        return np.array(value, dtype=dtype, order="C")
