"""Symbolic tensors: what layers are called on to describe a network that is no chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastbp import validate
from fastbp.description import Description

if TYPE_CHECKING:
    from fastbp.layers import Layer

Shape = tuple[int, ...]


class Tensor(Description):
    """What a layer makes of other tensors: calling a layer on a tensor returns one.

    It holds no numbers. A tensor equals itself alone, for two branches may be built alike.

    Parameters
    ----------
    layer : Layer or None
        What computes it; None for an `Input`.
    inputs : tuple of Tensor
        What the layer is called on.
    shape : tuple of int
        Shape of one row.
    """

    layer: Layer | None
    inputs: tuple[Tensor, ...]
    shape: Shape

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def name(self) -> str:
        """The kind of what computes it."""
        return "input" if self.layer is None else self.layer.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: rows of shape {self.shape} from {self.name}>"


class Input(Tensor):
    """A tensor that stands for rows given to the network.

    Parameters
    ----------
    shape : int or tuple of int
        Number of inputs, or the shape of one row.

    Raises
    ------
    TypeError, ValueError
        If `shape` is no size or tuple of sizes of at least 1.
    """

    def __init__(self, shape: int | tuple[int, ...]) -> None:
        for name, value in (("layer", None), ("inputs", ()), ("shape", row_shape("shape", shape))):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"Input(shape={self.shape})"


def row_shape(argument: str, value: Any) -> Shape:
    """Return a number of inputs, or the shape of a row, as a shape."""
    sizes = value if isinstance(value, tuple | list) else (value,)
    if not sizes:
        raise ValueError(f"{argument}: expected at least one size, got {value!r}")
    return tuple(validate.integer(argument, size, 1) for size in sizes)
