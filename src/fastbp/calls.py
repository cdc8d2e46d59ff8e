"""Functions of users, as parts of a network: called with arrays, and their answers checked.

Engines hand over arrays that never change again, and copy what comes back before they call another
function: a function may keep what it is given, and use what it gives once more. Engines have rows
in one line, (rows, elements); functions see them in their shape. An operation gets its inputs as a
tuple; its function gets one alone, and several as a tuple.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from fastbp import activations, initializers, layers, losses, metrics
from fastbp.several import alone, each, indexed

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Shape: TypeAlias = tuple[int, ...]
Inputs: TypeAlias = Sequence[Array]


class Calls(Protocol):
    """An operation that is given as functions, once a batch forward and once back."""

    def forward(self, inputs: Inputs, parameters: Sequence[Array]) -> Array:
        """Return y, shape (rows, outputs), for inputs of shape (rows, its elements) each."""

    def backward(
        self, inputs: Inputs, y: Array, dy: Array, parameters: Sequence[Array]
    ) -> tuple[Inputs, Sequence[Array]]:
        """Return dL/d(input) of each input and the gradient of each parameter."""


class ActivationCalls(NamedTuple):
    """An activation: the slope is that of each element alone."""

    part: activations.Custom
    shape: Shape

    def forward(self, inputs: Inputs, parameters: Sequence[Array]) -> Array:
        """Return f(z) for the net input z."""
        return self._call("function", *inputs)

    def backward(
        self, inputs: Inputs, y: Array, dy: Array, parameters: Sequence[Array]
    ) -> tuple[Inputs, Sequence[Array]]:
        """Return dL/dz = f'(z) dL/da."""
        return (self._call("derivative", *inputs) * dy,), ()

    def _call(self, role: str, z: Array) -> Array:
        function = getattr(self.part, role)
        z = _given(z, self.shape)
        answer = _returned((self.part, role), function(z), z.shape, z.dtype)
        return answer.reshape(len(z), -1)


class LayerCalls(NamedTuple):
    """A layer, with parameters of its own or without."""

    part: layers.Custom
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    parameter_names: tuple[str, ...]

    def forward(self, inputs: Inputs, parameters: Sequence[Array]) -> Array:
        """Return the outputs of a batch."""
        n, dtype = len(inputs[0]), inputs[0].dtype
        y = self.part.forward(alone(self._rows(inputs)), *(_given(p) for p in parameters))
        shape = n, *self.output_shape
        return _returned((self.part, "forward"), y, shape, dtype).reshape(n, -1)

    def backward(
        self, inputs: Inputs, y: Array, dy: Array, parameters: Sequence[Array]
    ) -> tuple[Inputs, Sequence[Array]]:
        """Return dL/d(input) of each input and the gradient of each parameter."""
        rows, dtype = self._rows(inputs), y.dtype
        batch = alone(rows), *(_given(a, self.output_shape) for a in (y, dy))
        answer = self.part.backward(*batch, *(_given(p) for p in parameters))
        dx, *gradients = self._split(answer)
        named = zip(self.parameter_names, gradients, parameters, strict=True)
        checked = [
            _returned((self.part, "backward", "gradient of", n), g, p.shape, dtype)
            for n, g, p in named
        ]
        return self._deltas(dx, rows), checked

    def _rows(self, inputs: Inputs) -> tuple[Array, ...]:
        return tuple(_given(x, shape) for x, shape in zip(inputs, self.input_shapes, strict=True))

    def _deltas(self, dx: Any, rows: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return dL/d(input) of each input, rows in one line."""
        count = len(rows)
        if count > 1 and not (isinstance(dx, tuple | list) and len(dx) == count):
            what = f"{_what((self.part, 'backward', 'dL/dx'))}: expected a tuple of {count} arrays"
            got = f"{len(dx)} items" if isinstance(dx, tuple | list) else type(dx).__name__
            raise TypeError(f"{what}, got {got}")
        named = zip(indexed("dL/dx", count), each(dx, count), rows, strict=True)
        return tuple(
            _returned((self.part, "backward", name), given, x.shape, x.dtype).reshape(len(x), -1)
            for name, given, x in named
        )

    def _split(self, answer: Any) -> Sequence[Any]:
        """Return dL/dx and the gradients, as many as there are parameters."""
        n = 1 + len(self.parameter_names)
        if n == 1 and len(self.input_shapes) > 1:
            return (answer,)
        if isinstance(answer, tuple | list) and len(answer) == n:
            return answer
        if n == 1:
            return (answer,)
        expected = ", ".join(("dL/dx", *self.parameter_names))
        what = f"{_what((self.part, 'backward'))}: expected a tuple ({expected})"
        if not isinstance(answer, tuple | list):
            raise TypeError(f"{what}, got {type(answer).__name__}")
        raise ValueError(f"{what}, got {len(answer)} items")


def row_losses(loss: losses.Custom, y: Array, t: Array) -> Array:
    """Return the loss of each row, shape (rows,), float64."""
    answer = loss.function(_given(y), _given(t))
    return _returned((loss, "function"), answer, (len(y),), np.dtype(np.float64))


def loss_gradient(loss: losses.Custom, y: Array, t: Array) -> Array:
    """Return the derivative of each row's loss, shape (rows, outputs), in the dtype of y."""
    answer = loss.derivative(_given(y), _given(t))
    return _returned((loss, "derivative"), answer, y.shape, y.dtype)


def metric_value(metric: metrics.Custom, y: Array, t: Array) -> float:
    """Return the metric of all rows."""
    value = metric.function(_given(y), _given(t))
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if not isinstance(value, numbers.Real | np.bool_):
        what = f"{_what((metric, 'function'))}: expected a number"
        raise TypeError(f"{what}, got {type(value).__name__} {value!r}")
    return float(value)


def drawn(initializer: initializers.Custom, shape: Shape, seed: int, stream: int) -> Array:
    """Return what a parameter starts from, float64."""
    generator = np.random.Generator(np.random.Philox(key=[seed, stream]))
    answer = initializer.function(shape, generator)
    return _returned((initializer, "function"), answer, shape, np.dtype(np.float64))


def function_name(function: Any) -> str:
    """Return what a function is called."""
    return str(getattr(function, "__name__", type(function).__name__))


def _what(source: tuple[Any, ...]) -> str:
    """Name an answer: the part, the role of the function in it, and which of its answers."""
    part, role, *rest = source
    kind = f"{type(part).__module__.removeprefix('fastbp.')}.{type(part).__name__}"
    name = f"{role} of {kind} ({function_name(getattr(part, role))})"
    return ": ".join([name, " ".join(rest)]) if rest else name


def _given(array: Array, shape: Shape = ()) -> Array:
    """Return a read-only view, of rows in this shape if it has several axes."""
    view = array.reshape(len(array), *shape) if len(shape) > 1 else array.view()
    view.setflags(write=False)
    return view


def _returned(source: tuple[Any, ...], value: Any, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Return an answer, C-contiguous in this dtype; refuse what is no array of real numbers."""
    if isinstance(value, np.ndarray) and value.dtype == dtype and value.shape == shape:
        return np.ascontiguousarray(value)
    expected = f"{_what(source)}: expected"
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{expected} an array of shape {shape}, got {type(value).__name__}")
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{expected} real numbers, got an array of dtype {value.dtype}")
    if value.shape != shape:
        raise ValueError(f"{expected} an array of shape {shape}, got {value.shape}")
    with np.errstate(over="ignore"):  # an infinity is for whoever looks at the loss to find
        return value.astype(dtype, order="C")
