"""A network in one call: `MLP.train` and `MLP.predict`, as a textbook's module has them.

    import fastbp.mlp as MLP

    trained = MLP.MLP.train(x, y, net_arch=[7, 5, 4], learning_rate=0.7)
    prediction = MLP.MLP.predict(trained, x)

All units are sigmoids without biases, and the error of an output is (p - t)^2. That module does not
compute the derivatives of its error; this one does, in compiled code, unless ``faithful=True`` asks
for the original's arithmetic.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastbp import SGD, Callback, Dense, Network, StopTraining, validate

if TYPE_CHECKING:
    from fastbp import History

Array = npt.NDArray[Any]
# Called at each iteration with its number, its error and the predictions before its update.
Watch = Callable[[int, float, Array], None]


class MLP:
    """Training and prediction in one call each; no object of this class is needed."""

    @staticmethod
    def train(
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        net_arch: Iterable[int],
        max_iter: float = 5000,
        tolerance: float = 1e-7,
        learning_rate: float = 0.001,
        activation: str = "sigmoid",
        debug: bool = False,
        *,
        faithful: bool = False,
        plot: bool = False,
    ) -> dict[str, Any]:
        """Train a network by gradient descent on all samples at once.

        Parameters
        ----------
        x : array_like, shape (inputs,) or (samples, inputs)
            One sample, or one in each row.
        y : array_like, shape (outputs,), or (samples, outputs), or (samples,) for one output
            The targets, of one sample or of each row of `x`.
        net_arch : iterable of int
            Sizes of the hidden layers; a 1 at the end stands for the output and is left out, so
            ``[1]`` and ``[]`` both mean no hidden layer.
        max_iter : float, default 5000
            Iterations at most, at least 1; a part of one counts as one.
        tolerance : float, default 1e-7
            Training ends with the iteration whose error is at most the square of this: for one
            sample and one output, whose prediction is so close to the target.
        learning_rate : float, default 0.001
            Step length, above 0.
        activation : str, default "sigmoid"
            "sigmoid" is all there is: of another name a message says that it is not known.
        debug : bool, default False
            Whether to print the start, each iteration with its error and prediction, and the end.
        faithful : bool, default False
            Whether to do what the original does, in NumPy, for one sample and one output: see
            Notes.
        plot : bool, default False
            Whether to draw error and predictions against the iteration, in a new figure of pyplot.

        Returns
        -------
        dict
            A new one for each call, with the keys ``w`` and ``initial_w``, each a list of the
            layers' weights, of shape (units, inputs), or (inputs,) for a single output; the
            arguments ``max_iter``, ``tolerance``, ``activation``, ``learning_rate``;
            ``elapsed_iter``; ``net_arch``, an int array from inputs to outputs;
            ``num_hidden_layers``, ``in_size``, ``out_size``; ``training_time_sec``. What is left
            is of the last iteration, before its update: ``network_error``, of shape (1,), the sum
            over outputs, mean over samples, of (p - t)^2; and a list each, from the first layer to
            the last, of ``derivative_chain``, the derivatives of that error with respect to net
            inputs, ``weights_derivatives``, the inputs of the layer, and ``weights_gradients``.
            The first two have a row for each sample where `x` has.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.
        ImportError
            If `plot` is asked for and matplotlib is not installed.

        Warns
        -----
        fastbp.DivergenceWarning
            If weights stop being finite.

        Notes
        -----
        Initial weights are uniform in [0, 1) from NumPy's global generator, as in the original: so
        ``numpy.random.seed`` before a call decides them.

        With ``faithful=True`` four rules stand in for the chain rule, as they do in the original.
        The gradient of each output weight is that of the first one. The deltas of the last hidden
        layer all come by way of the first output weight, as it is after its update. Below, a delta
        comes by the sum of its unit's outgoing weights times the sum of all deltas above, where a
        sum of products belongs. Without a hidden layer, the prediction stands where the inputs
        belong.
        """
        task = _Task.of(x, y, net_arch, max_iter, tolerance, learning_rate)
        if validate.flag("faithful", faithful) and task.y.size != 1:
            raise ValueError(
                f"faithful: expected one sample and one output, got {len(task.y)} samples and "
                f"{task.y.shape[1]} outputs"
            )
        log = _Log(validate.flag("debug", debug), validate.flag("plot", plot))
        if activation != "sigmoid":
            print(f"activation {activation!r} is not known; sigmoid is taken")
        initial = [
            np.random.random_sample((n_out, n_in))  # noqa: NPY002 - the original's generator
            for n_in, n_out in pairwise(task.sizes)
        ]
        log.begin(task)
        began = time.perf_counter()
        run = (_as_the_original if faithful else _by_network)(task, initial, log.watch)
        seconds = time.perf_counter() - began
        log.end(run, seconds)
        return _dictionary(task, initial, run, seconds)

    @staticmethod
    def predict(trained_ann: Mapping[str, Any], x: npt.ArrayLike) -> Any:
        """Return what a trained network makes of one sample, or of several.

        Parameters
        ----------
        trained_ann : mapping
            What `train` returned.
        x : array_like, shape (inputs,) or (samples, inputs)
            One sample, or one in each row.

        Returns
        -------
        float or ndarray, shape (outputs,), (samples,) or (samples, outputs)
            A number for each sample of a network with one output, else a row.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described; the original prints a message and returns None.
        """
        if not isinstance(trained_ann, Mapping) or "w" not in trained_ann:
            raise TypeError(
                f"trained_ann: expected what MLP.train returned, got {type(trained_ann).__name__}"
            )
        rows = _real_array("x", x, "(inputs,) or (samples, inputs)")
        weights = trained_ann["w"]
        inputs = weights[0].shape[-1]
        if rows.shape[-1] != inputs:
            raise ValueError(f"x: expected {inputs} values a sample, got {rows.shape[-1]}")
        return _forward(weights, rows)[-1]


class _Task(NamedTuple):
    """What to train on, and for how long."""

    x: Array  # (samples, inputs)
    y: Array  # (samples, outputs)
    is_one: bool  # one sample, given without an axis of samples
    sizes: tuple[int, ...]
    max_iter: float  # as it was given
    tolerance: float
    learning_rate: float

    @classmethod
    def of(
        cls, x: Any, y: Any, net_arch: Any, max_iter: Any, tolerance: Any, learning_rate: Any
    ) -> _Task:
        """Return the arguments of `MLP.train`, checked."""
        x = _real_array("x", x, "(inputs,) or (samples, inputs)")
        y = _real_array("y", y, "(outputs,) or (samples, outputs)")
        if is_one := x.ndim == 1:
            x, y = x[None], y if y.ndim == 2 else y[None]
        elif y.ndim == 1:
            y = y[:, None]
        if len(x) != len(y):
            raise ValueError(f"y: expected {len(x)} samples, as many as x has, got {len(y)}")
        sizes = (x.shape[1], *_hidden_sizes(net_arch), y.shape[1])
        validate.at_least("max_iter", max_iter, 1)
        tolerance = validate.real("tolerance", tolerance)
        rate = validate.positive("learning_rate", learning_rate)
        return cls(x, y, is_one, sizes, max_iter, tolerance, rate)

    @property
    def most(self) -> int:
        """The iterations at most."""
        return math.ceil(self.max_iter)

    @property
    def enough(self) -> float:
        """The error at which training ends; a tolerance below 0 is never met."""
        return self.tolerance * abs(self.tolerance)

    def by_sample(self, rows: list[Array]) -> list[Array]:
        """Return arrays of a row for each sample with the axes that x had."""
        return [array[0] if self.is_one else array for array in rows]


def _real_array(argument: str, value: Any, expected: str) -> Array:
    """Return `value` as float64, one or two axes."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{argument}: expected an array of numbers, got {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{argument}: expected real numbers, got dtype {array.dtype}")
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"{argument}: expected shape {expected}, got {array.shape}")
    odd = array[~np.isfinite(array)]
    if odd.size:
        raise ValueError(f"{argument}: expected finite numbers, got {odd[0]}")
    return array.astype(np.float64)


def _hidden_sizes(net_arch: Any) -> list[int]:
    if isinstance(net_arch, str) or not isinstance(net_arch, Iterable):
        raise TypeError(
            f"net_arch: expected a list of sizes, got {type(net_arch).__name__} {net_arch!r}"
        )
    sizes = [validate.integer("net_arch", size, 1) for size in net_arch]
    return sizes[:-1] if sizes[-1:] == [1] else sizes


class _Step(NamedTuple):
    """An iteration up to its update, with arrays from the first layer to the last."""

    values: list[Array]  # inputs, then the outputs of each layer
    deltas: list[Array]  # derivatives of the error with respect to net inputs
    gradients: list[Array]
    error: float


class _Run(NamedTuple):
    weights: list[Array]  # (units, inputs) of each layer, after the last update
    iterations: int
    last: _Step


@np.errstate(over="ignore")  # where an exponential does, its sigmoid is 0
def _forward(weights: list[Array], x: Array) -> list[Array]:
    """Return the inputs and the outputs of each layer."""
    values = [x]
    for w in weights:
        values.append(1 / (1 + np.exp(-(values[-1] @ w.T))))
    return values


def _output_delta(p: Array, y: Array) -> Array:
    return 2 / len(y) * (p - y) * p * (1 - p)


def _error(p: Array, y: Array) -> float:
    return float(((p - y) ** 2).sum() / len(y))


def _by_network(task: _Task, initial: list[Array], watch: Watch | None) -> _Run:
    """Train in compiled code; the last iteration is gone through again to show its derivatives."""
    layers = [
        Dense(len(w), activation="sigmoid", use_bias=False, weights_initializer=w.T)
        for w in initial
    ]
    network = Network(
        layers,
        input_shape=task.sizes[0],
        loss="squared_error",
        optimizer=SGD(task.learning_rate),
        dtype="float64",
        seed=0,
    )
    steps = _Steps(task) if watch is None else _WatchedSteps(task, watch)
    history: History = network.fit(
        task.x,
        task.y,
        epochs=task.most,
        batch_size=len(task.x),
        shuffle=False,
        callbacks=[steps],
        verbose=0,
    )
    trained, before = (_matrices(flat, initial) for flat in (network.parameters, steps.before))
    return _Run(trained, history.epochs, _step(before, task))


def _matrices(parameters: Array, like: list[Array]) -> list[Array]:
    """Return copies of the weights in a network's vector, (units, inputs)."""
    parts = np.split(parameters, np.cumsum([w.size for w in like[:-1]]))
    return [part.reshape(w.T.shape).T.copy() for part, w in zip(parts, like, strict=True)]


class _Steps(Callback):
    """Ends a fit at the tolerance, and keeps the parameters from before the last update."""

    def __init__(self, task: _Task) -> None:
        self._enough = task.enough

    def on_train_begin(self) -> None:
        self._live = self.network.parameters
        self.before, self._now = self._live.copy(), self._live.copy()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        self.before, self._now = self._now, self.before
        self._now[...] = self._live
        if logs["loss"] <= self._enough:
            raise StopTraining


class _WatchedSteps(_Steps):
    """Tells of each iteration too, which costs a prediction."""

    def __init__(self, task: _Task, watch: Watch) -> None:
        super().__init__(task)
        self._x, self._watch = task.x, watch

    def on_epoch_begin(self, epoch: int) -> None:
        self._outputs = self.network.predict(self._x)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        self._watch(epoch, logs["loss"], self._outputs)
        super().on_epoch_end(epoch, logs)


@np.errstate(invalid="ignore")  # after weights that diverged
def _step(weights: list[Array], task: _Task) -> _Step:
    """Return an iteration by the chain rule."""
    values = _forward(weights, task.x)
    deltas = [_output_delta(values[-1], task.y)]
    for w, a in zip(weights[:0:-1], values[-2:0:-1], strict=True):
        deltas.insert(0, (deltas[0] @ w) * a * (1 - a))
    gradients = [delta.T @ a for delta, a in zip(deltas, values, strict=False)]
    return _Step(values, deltas, gradients, _error(values[-1], task.y))


def _as_the_original(task: _Task, initial: list[Array], watch: Watch | None) -> _Run:
    """Train by the four rules of the original; the update of a converged iteration is made too."""
    weights, error, iterations = initial, math.inf, 0
    while iterations < task.most and error > task.enough:
        last = _original_step(weights, task)
        weights = [
            w - task.learning_rate * gradient
            for w, gradient in zip(weights, last.gradients, strict=True)
        ]
        error = last.error
        if watch is not None:
            watch(iterations, error, last.values[-1])
        iterations += 1
    return _Run(weights, iterations, last)


def _original_step(weights: list[Array], task: _Task) -> _Step:
    """Return an iteration of the original; see the notes of `MLP.train`."""
    values = _forward(weights, task.x)
    p = values[-1]
    deltas = [_output_delta(p, task.y)]
    stand_in = p if len(weights) == 1 else values[-2][:, :1]
    gradients = [np.full_like(weights[-1], deltas[0] * stand_in)]
    share = (weights[-1] - task.learning_rate * gradients[0])[0, 0]
    for layer in reversed(range(len(weights) - 1)):
        a = values[layer + 1]
        deltas.insert(0, a * (1 - a) * share * deltas[0].sum())
        gradients.insert(0, deltas[0].T @ values[layer])
        share = weights[layer].sum(axis=0)
    return _Step(values, deltas, gradients, _error(p, task.y))


def _flattened(matrices: list[Array]) -> list[Array]:
    """Return the layers' matrices, that of a single output as a vector."""
    *hidden, last = matrices
    return [*hidden, last[0] if len(last) == 1 else last]


def _dictionary(task: _Task, initial: list[Array], run: _Run, seconds: float) -> dict[str, Any]:
    """Return the sixteen keys of a training."""
    return {
        "w": _flattened(run.weights),
        "initial_w": _flattened(initial),
        "max_iter": task.max_iter,
        "elapsed_iter": run.iterations,
        "tolerance": task.tolerance,
        "activation": "sigmoid",
        "learning_rate": task.learning_rate,
        "net_arch": np.array(task.sizes),
        "num_hidden_layers": len(task.sizes) - 2,
        "in_size": task.sizes[0],
        "out_size": task.sizes[-1],
        "training_time_sec": seconds,
        "network_error": np.array([run.last.error]),
        "derivative_chain": task.by_sample(run.last.deltas),
        "weights_derivatives": task.by_sample(run.last.values[:-1]),
        "weights_gradients": _flattened(run.last.gradients),
    }


class _Log:
    """What is printed and drawn of a training."""

    def __init__(self, prints: bool, plots: bool) -> None:
        self._prints = prints
        self._axes = _new_axes() if plots else None
        self._errors: list[float] = []
        self._predictions: list[Array] = []
        self.watch = self._take if prints or plots else None

    def begin(self, task: _Task) -> None:
        self._targets = task.y.ravel()
        if self._prints:
            print(f"training begins: layers of {', '.join(map(str, task.sizes))} units")

    def _take(self, iteration: int, error: float, outputs: Array) -> None:
        if self._prints:
            prediction = outputs.item() if outputs.size == 1 else outputs.squeeze()
            print(f"iteration {iteration}: error {error}, prediction {prediction}")
        if self._axes is not None:
            self._errors.append(error)
            self._predictions.append(outputs.ravel())

    def end(self, run: _Run, seconds: float) -> None:
        if self._prints:
            print(f"training ends: {run.iterations} iterations, {seconds:.3g} s")
        if self._axes is not None:
            from fastbp import plotting

            left, right = self._axes
            predictions = np.array(self._predictions)
            plotting.descent(left, right, self._errors, predictions, self._targets)


def _new_axes() -> Any:
    """Return two axes of a new figure, side by side."""
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        message = "plot: expected matplotlib to draw with: pip install 'fastbp[plot]'"
        raise ImportError(message) from error
    _, axes = plt.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained")
    return axes
