"""Networks on rows of a sparse matrix: SciPy makes their first products, and skips the zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp import Activation, Network, data, layers
from fastbp.engine import Array, Rows
from fastbp.sklearn.rows import Data


class SparseNetwork:
    """A network cut behind the products of its first layer, which come from SciPy.

    Products of a row are sums over its own elements in their order: what a row gives does not
    depend on the rows beside it.

    Parameters
    ----------
    recipe : dict
        What `construction.recipe` returns for the whole network.
    n_threads : int or None
        Threads for what is behind the cut.
    """

    def __init__(self, recipe: dict[str, Any], n_threads: int | None) -> None:
        first, *others = recipe["layers"]
        biases = layers.Custom(
            lambda x, biases: x + biases,
            self._backward,
            parameters={"biases": ((first.units,), "zeros")},
        )
        behind = {"layers": [biases, Activation(first.activation), *others]}
        self._behind = Network(
            **recipe | behind | {"input_shape": first.units}, n_threads=n_threads, seed=0
        )

    def _backward(self, x: Array, y: Array, dy: Array, biases: Array) -> tuple[Array, Array]:
        self._delta = dy
        return dy, dy.sum(axis=0)

    def set_parameters(self, coefs: Sequence[Array], intercepts: Sequence[Array]) -> None:
        """Take weights and biases of all layers, those of the first layer without a copy."""
        self._weights, self._n_biases = coefs[0], sum(part.size for part in intercepts)
        parts = [*coefs[1:], *intercepts[1:], intercepts[0]]
        self._behind.parameters[:] = np.concatenate([part.ravel() for part in parts])

    def products(self, x: Any) -> Array:
        """Return the products of sparse rows with the first weights."""
        products: Array = x @ self._weights
        return products

    def outputs_of(self, products: Array) -> Array:
        """Return what the network returns for rows with such products."""
        outputs: Array = self._behind.predict(products)
        return outputs

    def rows(self, given: Data) -> Rows:
        """Return the targets and weights of rows, checked, beside products that are all 0."""
        plan = self._behind.plan
        nothing = np.zeros((given.n, *plan.inputs[0]), plan.dtype)
        return data.rows(plan, nothing, given.y, given.weights)

    def loss_and_gradients(self, x: Any, rows: Rows) -> tuple[float, Array]:
        """Return the loss of rows, and its gradient: weights, then biases, each layer by layer."""
        loss, behind = self._behind.loss_and_gradients(rows, None)
        n_weights = behind.size - self._n_biases
        weights, biases, own = np.split(behind, [n_weights, behind.size - self._delta.shape[1]])
        return loss, np.concatenate([(x.T @ self._delta).ravel(), weights, own, biases])


def predict(
    network: Network,
    recipe: dict[str, Any],
    coefs: Sequence[Array],
    intercepts: Sequence[Array],
    x: Any,
) -> Array:
    """Return the outputs of sparse rows.

    Parameters
    ----------
    network : Network
        Not to be changed meanwhile.
    recipe : dict
        What it is made of.
    coefs, intercepts : sequence of ndarray
        Its parameters.
    x : sparse matrix by rows, shape (n, features)
        The rows, in its dtype.

    Returns
    -------
    ndarray, shape (n, outputs)
        A new array.
    """
    with network._occupancy.reading():
        network._occupancy.require_unchanged("predict")
        cut = SparseNetwork(recipe, network.n_threads)
        cut.set_parameters(coefs, intercepts)
        return cut.outputs_of(cut.products(x))


class SparseRows:
    """All rows of a sparse matrix, on their way through a network that is trained on them at once.

    Parameters
    ----------
    network : Network
        Whose parameters count.
    recipe : dict
        What it is made of.
    given : Data
        The rows.
    """

    def __init__(self, network: Network, recipe: dict[str, Any], given: Data) -> None:
        self._network, self._x = network, given.x
        self._cut = SparseNetwork(recipe, network.n_threads)
        self.rows = self._cut.rows(given)

    def loss_and_gradients(self) -> tuple[float, Array]:
        """Return the loss, and its gradient in the order of the network's parameters."""
        named = self._network.named_parameters()
        self._cut.set_parameters(
            *(
                [view for name, view in named.items() if name.endswith(kind)]
                for kind in (".weights", ".biases")
            )
        )
        self._products = self._cut.products(self._x)
        return self._cut.loss_and_gradients(self._x, self.rows._replace(x=self._products))

    def outputs(self) -> Array:
        """Return the outputs for the parameters of the last call of `loss_and_gradients`."""
        return self._cut.outputs_of(self._products)
