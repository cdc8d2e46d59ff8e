"""Training by SciPy's L-BFGS-B, as scikit-learn does it, on losses and gradients computed here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.parallel import _get_threadpool_controller

from fastbp import Network
from fastbp.engine import Array
from fastbp.sklearn.objective import Objective
from fastbp.sklearn.rows import Data
from fastbp.sklearn.sparse import SparseRows

if TYPE_CHECKING:
    from fastbp.sklearn.base import BaseMLP


class OneBlasThread:
    """A limit of BLAS to one thread while somebody is within it.

    SciPy's products of vectors are too short to gain by threads, and OpenBLAS's keep waiting at
    full speed after each of them, on the cores that ours need. The limit is that of the process:
    the first who enters sets it, the last who leaves takes it back, whatever threads they are of.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._limit = _get_threadpool_controller().limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limit.restore_original_limits()


ONE_BLAS_THREAD = OneBlasThread()


class DenseRows:
    """All rows of an array, on their way through a network that is trained on them at once.

    Parameters
    ----------
    network : Network
        The network.
    given : Data
        The rows.
    """

    def __init__(self, network: Network, given: Data) -> None:
        self._network, self.rows = network, given.rows(network)

    def loss_and_gradients(self) -> tuple[float, Array]:
        """Return the loss, and its gradient in the order of the network's parameters."""
        return self._network.loss_and_gradients(self.rows, None)

    def outputs(self) -> Array:
        """Return the outputs."""
        outputs: Array = self._network.predict(self.rows.x)
        return outputs


class Lowering:
    """Loss and gradient of all rows, as a function of the parameters.

    Parameters
    ----------
    network : Network
        One whose loss is the sum over rows, without a cost of weights.
    objective : Objective
        What scikit-learn reports.
    given : DenseRows or SparseRows
        All rows, on their way through it.
    weight : float
        What all rows count.
    alpha : float
        What half the sum of the squared weights costs.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        given: DenseRows | SparseRows,
        weight: float,
        alpha: float,
    ) -> None:
        self._network, self._objective, self._given = network, objective, given
        self._alpha, self._weight = alpha, weight
        named = network.named_parameters()
        self._n_weights = sum(w.size for name, w in named.items() if name.endswith(".weights"))

    def __call__(self, parameters: Array) -> tuple[float, Array]:
        """Return loss and gradient.

        The loss is the one that scikit-learn reports and minimises, which for squared errors of
        several outputs is not quite the one whose gradient it follows.
        """
        self._network.parameters[:] = parameters  # which may have left the finite numbers
        loss, gradients = self._given.loss_and_gradients()
        gradient = gradients.astype(np.float64)
        weights = parameters[: self._n_weights]
        gradient[: self._n_weights] += self._alpha * weights
        loss += self._offset() + 0.5 * self._alpha * float(weights @ weights)
        return loss / self._weight, gradient / self._weight

    def _offset(self) -> float:
        if self._objective.offset is None:
            return 0.0
        rows = self._given.rows
        assert isinstance(rows.y, np.ndarray)  # there is one output
        each = self._objective.offset(self._given.outputs(), rows.y)
        return float(each.sum() if rows.weights is None else each @ rows.weights)


def train(
    estimator: BaseMLP,
    network: Network,
    recipe: dict[str, Any],
    objective: Objective,
    data: Data,
    begin: Callable[[], object],
) -> None:
    """Train until the gradient is at most `tol` or a limit is reached.

    `begin` is called when that begins: all arguments have been found good.
    """
    given = SparseRows(network, recipe, data) if data.is_sparse else DenseRows(network, data)
    lowering = Lowering(network, objective, given, data.weight, estimator.alpha)
    begin()
    done = 0

    def tell(intermediate_result: Any) -> None:
        nonlocal done
        done += 1
        if estimator.verbose:
            print(f"Iteration {done}, loss = {intermediate_result.fun:.8f}")

    with ONE_BLAS_THREAD:
        result = scipy.optimize.minimize(
            lowering,
            network.parameters.astype(np.float64),
            method="L-BFGS-B",
            jac=True,
            callback=tell,
            options={
                "maxfun": estimator.max_fun,
                "maxiter": estimator.max_iter,
                "gtol": estimator.tol,
            },
        )
    estimator.n_iter_ = _check_optimize_result("lbfgs", result, estimator.max_iter)
    estimator.loss_ = float(result.fun)
    if not np.isfinite(result.x).all():
        estimator._refuse_divergence()
    network.set_parameters(result.x)
