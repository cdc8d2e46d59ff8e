"""Training watched from step to step: sizes of gradients and updates, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import fastbp
from fastbp import validate
from fastbp.callbacks import Callback
from fastbp.insight import monitor_plots
from fastbp.insight.document import Block, Cell, Heading, Shown, Table, sentence
from fastbp.watch import QUANTITIES, Watch, WatchedLayer

if TYPE_CHECKING:
    from matplotlib.axes import Axes


FloatArray = npt.NDArray[np.float64]


NO_STEPS = "it has seen no step; pass it to fit(callbacks=[monitor])"


class GradientMonitor(Callback, Shown):
    """Records how gradients flow: norms and activations of every layer, at every n-th step.

    The numbers are computed in compiled code, within the training and without a call of Python, and
    training comes to the same bits as without. Each array of `float64` has a row for each record
    and a column for each of `layers`.

    Parameters
    ----------
    every : int, default 10
        Optimizer steps from one record to the next; the first is that of step 1, where much is
        decided. Steps are counted over all fits that the monitor is given to.

    Attributes
    ----------
    layers : tuple of str
        The layers with parameters, as in `Network.summary`; () before the first fit.
    steps : ndarray of int64, shape (records,)
        Numbers of the recorded steps, counted from 1.
    losses : ndarray, shape (records,)
        Loss of the step's batch, before the step.
    parameter_norms : ndarray, shape (records, layers)
        Euclidean norm of all parameters of the layer, before the step.
    gradient_norms : ndarray, shape (records, layers)
        The same of the gradient that the optimizer is given: of all batches that are added up for a
        step, with what penalties add, before it clips and before weight decay.
    update_norms : ndarray, shape (records, layers)
        The same of the step taken, constraints included: parameters after it minus before.
    activation_norms : ndarray, shape (records, layers)
        Root mean square of the layer's outputs, behind its activation, over all units and rows of
        the batch. An `Activation` layer that alone reads a linear layer counts as its activation.
    saturated : ndarray, shape (records, layers)
        Share of these outputs that are in saturation: below 0.05 or above 0.95 for a sigmoid, below
        -0.95 or above 0.95 for tanh. NaN for other activations.
    dead : ndarray, shape (records, layers)
        Share of units whose output is 0 in all rows of the batch, so that no derivative gets
        through: of relu, and of leaky_relu and elu whose slope below 0 is 0. NaN for others.

    Raises
    ------
    TypeError, ValueError
        If `every` is not an integer of at least 1; and from `fit`, if the network has other layers
        than that of the fits before, if there is a second monitor, if another fit is using this
        one, or if the optimizer is L-BFGS, whose steps take several gradients.

    Notes
    -----
    Outputs are those of training, with the dropout of layers before. Units that a structured
    dropout leaves out of a batch do not count. A batch whose loss is not finite makes no step and
    no record; records before it stay, also where training goes back to its last good state. Of a
    layer that is called several times, the first call's outputs count.

    A recorded step takes longer than others: it keeps all activations of its batch, and forms all
    gradients before the update reads them.

    References
    ----------
    Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural
    networks", sections 3 and 4: saturation, and gradients layer by layer. Bengio 2012, "Practical
    recommendations for gradient-based training of deep architectures", section 3.5, and Bottou's
    advice there: updates of some thousandth of the parameters.

    Examples
    --------
    >>> monitor = fastbp.insight.GradientMonitor(every=100)
    >>> net.fit(x, y, epochs=20, callbacks=[monitor])
    >>> print(monitor)
    >>> monitor.plot()
    """

    _digits = 3

    def __init__(self, *, every: int = 10) -> None:
        self.every = validate.integer("every", every, 1, np.iinfo(np.int64).max)
        self._watch = Watch((), self.every)
        self._in_fit = False

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_in_fit": False}

    def watches(self, layers: tuple[WatchedLayer, ...]) -> Watch:
        if self._in_fit:
            raise ValueError(
                "callbacks: expected GradientMonitor in one fit at a time, got one that another "
                "fit is using; make a new monitor"
            )
        if self._watch.steps == 0:
            self._watch = Watch(layers, self.every)
        if self._watch.layers != layers:
            raise ValueError(
                f"callbacks: expected GradientMonitor with a network like that of the fits before, "
                f"with {', '.join(self.layers)}, got one with "
                f"{', '.join(layer.name for layer in layers) or 'no parameters'} or other sizes or "
                f"activations; make a new monitor"
            )
        return self._watch

    def prepare(self, network: fastbp.Network, epochs: int, names: tuple[str, ...]) -> None:
        super().prepare(network, epochs, names)
        if network.optimizer.evaluates:
            raise ValueError(
                f"callbacks: expected GradientMonitor with an optimizer that takes a step for each "
                f"gradient, got {type(network.optimizer).__name__}; leave GradientMonitor out"
            )

    def on_train_begin(self) -> None:
        self._in_fit = True

    def on_train_end(self, history: fastbp.History) -> None:
        self._in_fit = False

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self._watch.layers)

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        return self._records()[:, 0].astype(np.int64)

    @property
    def losses(self) -> FloatArray:
        return self._records()[:, 1].copy()

    @property
    def parameter_norms(self) -> FloatArray:
        return self._of("parameters")

    @property
    def gradient_norms(self) -> FloatArray:
        return self._of("gradients")

    @property
    def update_norms(self) -> FloatArray:
        return self._of("updates")

    @property
    def activation_norms(self) -> FloatArray:
        return self._of("activations")

    @property
    def saturated(self) -> FloatArray:
        return self._of("saturated")

    @property
    def dead(self) -> FloatArray:
        return self._of("dead")

    def require_records(self) -> None:
        """Raise ValueError if there is no record yet, saying why."""
        if not self._watch.n:
            raise ValueError(f"monitor: expected at least one recorded step, got none: {NO_STEPS}")

    def plot(self) -> list[Axes]:
        """Draw the flow of gradients over the steps, a line for each layer.

        Returns
        -------
        list of matplotlib.axes.Axes
            In a new figure: norms of the gradients, norm of the update divided by that of the
            parameters, sizes of the outputs, and the shares of saturated and of dead units, if
            there are layers where these are defined.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If no step has been recorded.
        """
        self.require_records()
        return monitor_plots.flow(self)

    def __repr__(self) -> str:
        return f"<GradientMonitor: {self._watch.n} records of {len(self.layers)} layers>"

    def __str__(self) -> str:
        return super(Callback, self).__repr__()

    def _records(self) -> FloatArray:
        return self._watch.rows[: self._watch.n]

    def _of(self, quantity: str) -> FloatArray:
        """Return what has been recorded of a quantity, shape (records, layers)."""
        width = len(self._watch.layers)
        first = 2 + QUANTITIES.index(quantity) * width
        return self._records()[:, first : first + width].copy()

    def _blocks(self) -> Iterator[Block]:
        if not self._watch.n:
            yield sentence(f"No step recorded: {NO_STEPS}.")
            return
        step, loss = self.steps[-1], self.losses[-1]
        yield Heading(2, f"Step {step} of {self._watch.steps}, loss {loss:.4g}")
        headings = (
            "layer", "parameters", "gradient", "update", "update / parameters", "activation",
            "saturated", "dead",
        )  # fmt: skip
        yield Table(headings, tuple(self._rows()))

    def _rows(self) -> Iterator[tuple[Cell, ...]]:
        """Return the last record as rows of a table."""
        last = {quantity: self._of(quantity)[-1] for quantity in QUANTITIES}
        for k, name in enumerate(self.layers):
            parameters, gradients, updates, *outputs = (float(last[q][k]) for q in QUANTITIES)
            ratio = updates / parameters if parameters else None
            numbers = (parameters, gradients, updates, ratio, *outputs)
            yield name, *(None if v is None or v != v else v for v in numbers)
