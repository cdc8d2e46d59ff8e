"""Training by SciPy's L-BFGS-B, as scikit-learn does it, on losses and gradients computed here."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.parallel import _get_threadpool_controller

from fastbp import Network
from fastbp.engine import Array, Rows
from fastbp.sklearn.objective import Objective
from fastbp.sklearn.rows import Data

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


class Lowering:
    """Loss and gradient of all rows, as a function of the parameters.

    Parameters
    ----------
    network : Network
        One whose loss is the sum over rows, without a cost of weights.
    objective : Objective
        What scikit-learn reports.
    data : Data
        All rows.
    alpha : float
        What half the sum of the squared weights costs.
    """

    def __init__(self, network: Network, objective: Objective, data: Data, alpha: float) -> None:
        self._network, self._objective, self._data = network, objective, data
        # An array is all there at once; of a sparse matrix some rows at a time, each time anew.
        self._rows = None if data.is_sparse else list(data.rows(network))
        self._alpha, self._weight = alpha, data.weight
        named = network.named_parameters()
        self._n_weights = sum(w.size for name, w in named.items() if name.endswith(".weights"))

    def __call__(self, parameters: Array) -> tuple[float, Array]:
        """Return loss and gradient.

        The loss is the one that scikit-learn reports and minimises, which for squared errors of
        several outputs is not quite the one whose gradient it follows.
        """
        network = self._network
        network.parameters[:] = parameters  # which may have left the finite numbers
        loss = 0.0
        for number, rows in enumerate(self._rows or self._data.rows(network)):
            loss += network.loss_and_gradients(rows, None, accumulate=number > 0)[0]
            loss += self._offset(rows)
        gradient = network.gradients.astype(np.float64)
        weights = parameters[: self._n_weights]
        gradient[: self._n_weights] += self._alpha * weights
        loss += 0.5 * self._alpha * float(weights @ weights)
        return loss / self._weight, gradient / self._weight

    def _offset(self, rows: Rows) -> float:
        if self._objective.offset is None:
            return 0.0
        assert isinstance(rows.y, np.ndarray)  # there is one output
        each = self._objective.offset(self._network.predict(rows.x), rows.y)
        return float(each.sum() if rows.weights is None else each @ rows.weights)


def train(estimator: BaseMLP, network: Network, objective: Objective, data: Data) -> None:
    """Train until the gradient is at most `tol` or a limit is reached."""
    lowering = Lowering(network, objective, data, estimator.alpha)
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
