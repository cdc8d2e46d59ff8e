"""Layers as a network shows them: a description together with the parameters it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbp import parameters
from fastbp.engine import Array
from fastbp.layers import Layer

if TYPE_CHECKING:
    from fastbp.state import NetworkState


class BoundLayer:
    """A layer of a network.

    Parameters
    ----------
    network : Network
        The network.
    name : str
        The layer's name there: its kind, with a number from the second of a kind on.
    description : Layer
        What it computes.
    """

    __slots__ = ("_network", "description", "name")

    def __init__(self, network: NetworkState, name: str, description: Layer) -> None:
        self._network = network
        self.name = name
        self.description = description

    def __repr__(self) -> str:
        return f"<{self.name}: {self.description!r}>"

    @property
    def weights(self) -> Array | None:
        """Live view of the weights, shape (inputs, outputs); None where there are none."""
        return self._network.named_parameters().get(f"{self.name}.weights")

    @property
    def biases(self) -> Array | None:
        """Live view of the biases, shape (outputs,); None where there are none."""
        return self._network.named_parameters().get(f"{self.name}.biases")

    @property
    def weights_gradient(self) -> Array | None:
        """Live view of the loss's gradient with respect to the weights."""
        return self._gradients().get(f"{self.name}.weights")

    @property
    def biases_gradient(self) -> Array | None:
        """Live view of the loss's gradient with respect to the biases."""
        return self._gradients().get(f"{self.name}.biases")

    def _gradients(self) -> dict[str, Array]:
        return parameters.named(self._network.plan, self._network.gradients)
