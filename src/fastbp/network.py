"""The network: layers with a loss and an optimizer, trained and asked by one engine."""

from __future__ import annotations

import functools
import math
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp import arguments, data, validate
from fastbp.callbacks.hooks import Hooks
from fastbp.engine import Array, EngineProtocol, Fit, Record
from fastbp.exceptions import ConvergenceWarning, DivergenceWarning
from fastbp.history import History
from fastbp.optimizers import LBFGS
from fastbp.schedules import Schedule
from fastbp.state import NetworkState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from logging import Logger

    import numpy.typing as npt

    from fastbp.callbacks import Callback


def compiled_core() -> ModuleType:
    """Return the compiled core, or raise ImportError with advice."""
    try:
        from fastbp import _core
    except ImportError as error:
        raise ImportError(
            f"fastbp's compiled core can't be loaded ({error}); reinstall fastbp, or take "
            f"fastbp.reference.Network, which needs NumPy alone and is slower"
        ) from error
    return _core


class Network(NetworkState):
    """A neural network: a chain of layers, trained by back-propagation in compiled code.

    Parameters
    ----------
    layers : iterable of Layer
        The layers from input to output.
    input_shape : int or tuple of int, optional
        Shape of one input row. Left out, it is taken from the first `fit`; using parameters before
        that raises RuntimeError.
    loss : str or Loss, optional
        What training lowers; needed to train and to evaluate.
    optimizer : str or Optimizer, default "adam"
        How parameters follow their gradients.
    metrics : iterable of str or Metric, default ()
        What is counted beside the loss; `fastbp.metrics` has them. All but accuracy keep the
        outputs of an epoch.
    dtype : {"float32", "float64"}, default "float32"
        Precision of parameters and arithmetic.
    seed : int, optional
        Key of initial values, row orders and dropout masks, in [0, 2**64). Left out, one is drawn,
        which `seed` then shows.
    n_threads : int, optional
        Threads to work with; left out, the engine chooses. Results don't depend on it.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range, shapes don't chain, or the loss does
        not fit the output.
    ImportError
        If the compiled core can't be loaded.

    Notes
    -----
    Concurrent predictions and evaluations are safe. Anything else that would meet a running
    operation that changes the network raises RuntimeError.
    """

    @staticmethod
    def _engine_class() -> type[EngineProtocol]:
        """Return the class of the engine: what a subclass with another one overrides."""
        engine: type[EngineProtocol] = compiled_core().Engine
        return engine

    def fit(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        gradient_accumulation_steps: int = 1,
        validation_data: tuple[Any, ...] | None = None,
        validation_split: float = 0.0,
        validation_freq: int = 1,
        shuffle: bool = True,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: Mapping[int, float] | npt.ArrayLike | None = None,
        callbacks: Iterable[Callback] = (),
        verbose: Any = "auto",
        stop_at_loss: float | None = None,
        record_outputs: bool = False,
    ) -> History:
        """Train, going on from where the network stands: twice 5 epochs equal once 10.

        Where it stands within an epoch of as many rows, after an interrupt or as a callback saved
        or copied it behind a batch, the first epoch is the rest of that one: the same data then
        lead to the same bits as if nothing had come in between. `position` tells.

        Parameters
        ----------
        x : array_like, shape (n, *input_shape)
            Inputs: real numbers of any dtype and layout; never written.
        y : array_like, shape (n, *output_shape)
            Targets, shape (n,) for one output; class numbers, shape (n,), for a sparse loss.
        epochs : int, default 1
            How often to go through the rows.
        batch_size : int, default 32
            Rows that go through the network at once, and for each update if nothing else is said;
            the last batch of an epoch may be smaller.
        gradient_accumulation_steps : int, default 1
            Batches for each update: it is, to rounding, that of one batch of so many times the
            rows, whatever the loss, sample weights and dropout, in the memory of one. The last
            group of an epoch may be smaller; a group counts as one batch everywhere else. L-BFGS
            takes all rows at once.
        validation_data : tuple (x, y) or (x, y, sample_weight), optional
            Data to evaluate at the ends of epochs.
        validation_split : float, default 0.0
            In its place, the share of the rows, in [0, 1), that are kept from training and
            evaluated: of n rows all but the first ``int(n * (1 - validation_split))``, whatever
            `shuffle` is, with their sample weights.
        validation_freq : int, default 1
            Evaluate after so many epochs, and then again.
        shuffle : bool, default True
            Whether each epoch takes the rows in an order of its own.
        sample_weight : array_like, shape (n,), optional
            What each row counts; at least 0.
        class_weight : mapping of int to float, or array_like of shape (classes,), optional
            What a row counts by its class, times its sample weight: at least 0, and 1 for classes
            that a mapping leaves out. A row's class is its label, the place of its largest target,
            or 1 for a target above one half of a single output, else 0. Validation counts without.
            A batch's loss is divided by the sum of its weights, so that with batches of one row
            weights change nothing; pass a loss with reduction="sum" for a plain sum.
        callbacks : iterable of Callback, default ()
            Whom to call on the way, in this order; see `fastbp.callbacks`.
        verbose : {"auto", 0, 1}, default "auto"
            Whether to show progress; "auto" does so on a terminal or in a notebook.
        stop_at_loss : float, optional
            Stop after an epoch whose loss is at most this.
        record_outputs : bool, default False
            Whether the history keeps the outputs of each epoch; for at most 64 values.

        Returns
        -------
        History
            The loss and each metric, one value per epoch, and those of validation, one value per
            evaluation. An epoch's loss is the mean over rows of the losses of its batches, each
            before its update; metrics too are of outputs before the update by their batch.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described; the network is then as it was.
        RuntimeError
            If the network is being changed by another operation.
        Exception
            What a callback raises, `StopTraining` apart, ends the fit between two batches.

        Warns
        -----
        DivergenceWarning
            If loss or parameters stop being finite: training then ends, and the network is back
            where they last were.
        ConvergenceWarning
            If `stop_at_loss` is not reached.
        """
        with self._occupancy.taken_by("fit"):
            self._occupancy.require_unread("fit")
            engine = self._engine or self._started(self._lowered(data.input_shape(x)))
            plan, look = engine.plan, self._look(engine)
            given = data.rows(plan, x, y, sample_weight, look=look)
            rows, held_out = arguments.validation(
                given, validation_data, validation_split, plan, look
            )
            rows = data.weighed(rows, class_weight, plan)
            hooks = Hooks(arguments.callback_list(callbacks, verbose), self._occupancy)
            job = Fit(
                data=rows,
                epochs=validate.integer("epochs", epochs, 1),
                batch_size=validate.integer("batch_size", batch_size, 1),
                accumulate=validate.integer(
                    "gradient_accumulation_steps", gradient_accumulation_steps, 1
                ),
                shuffle=validate.flag("shuffle", shuffle),
                metrics=self._metrics,
                validation=held_out,
                validation_freq=validate.integer("validation_freq", validation_freq, 1),
                stop_at_loss=arguments.stop_at_loss(stop_at_loss),
                record_outputs=arguments.record_outputs(record_outputs, rows, plan),
                record_rates=isinstance(self.optimizer.learning_rate, Schedule),
                n_threads=self._n_threads,
                **hooks.calls(),
            )
            hooks.prepare(self, job)
            self._engine = engine
            record, history = self._train(engine, job, hooks)
        if shortfall := _shortfall(job, record):
            warnings.warn(*shortfall, stacklevel=2)
        return history

    def _look(self, engine: EngineProtocol) -> data.Look:
        """Return what looks for NaN and infinity in rows."""
        return functools.partial(engine.all_finite, n_threads=self._n_threads)

    def _require_finite(self, engine: EngineProtocol, x: Array) -> None:
        """Refuse inputs that are not finite."""
        plan = engine.plan
        data.require_finite("x", x, plan.dtype, plan.input_shape, self._look(engine))

    def _train(self, engine: EngineProtocol, job: Fit, hooks: Hooks) -> tuple[Record, History]:
        """Run the engine between the log and the callbacks of a fit."""
        logger = _logger()
        rows, size, epochs = len(job.data.x), job.batch_size, job.epochs
        logger.info("fit: %d rows in batches of %d, %d epochs", rows, size, epochs)
        self._forwarded = 0
        record = Record(curves={name: [] for name in job.names})
        try:
            if not hooks.begin():
                self._run(engine, job, record)
        finally:
            logger.info("fit: ended after %d epochs", record.epochs)
            if record.diverged:
                logger.warning("fit: diverged; back at the end of epoch %d", record.epochs)
            history = History(record, engine.plan.output_shape, job.validation_freq)
            hooks.end(history)
        return record, history

    def _run(self, engine: EngineProtocol, job: Fit, record: Record) -> None:
        """Train, in the engine or, for a rule that asks for the loss on its way, around it."""
        if isinstance(self._optimizer, LBFGS):
            from fastbp import lbfgs

            lbfgs.Training(engine, self._optimizer, job, record).run()
        else:
            engine.fit(job, record)

    def train_on_batch(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: Mapping[int, float] | npt.ArrayLike | None = None,
    ) -> dict[str, Any]:
        """Make one update from all rows as one batch.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As for `fit`.

        Returns
        -------
        dict of str to float
            The loss and each metric, before the update; an array for a metric of several values.

        Warns
        -----
        DivergenceWarning
            If the loss is not finite; there is then no update.
        """
        with self._occupancy.taken_by("train_on_batch"):
            self._occupancy.require_unread("train_on_batch")
            self._require_steps("train_on_batch")
            engine = self._built
            look = self._look(engine)
            batch = data.rows(engine.plan, x, y, sample_weight, class_weight, look=look)
            self._forwarded = 0
            result = engine.loss_and_gradients(batch, self._metrics, False, self._n_threads)
            if math.isfinite(result["loss"]):
                engine.step()
                return result
        message = f"the loss of the batch is {result['loss']}; there was no update"
        warnings.warn(message, DivergenceWarning, stacklevel=2)
        return result

    def loss_and_gradients(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: Mapping[int, float] | npt.ArrayLike | None = None,
        accumulate: bool = False,
    ) -> tuple[float, Array]:
        """Go forward and back through all rows as one batch of training, without an update.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As for `fit`.
        accumulate : bool, default False
            Whether to add to `gradients` instead of overwriting them.

        Returns
        -------
        loss : float
            The loss of the batch.
        gradients : ndarray, shape (n_parameters,)
            `gradients`: a live view, which the next call overwrites.
        """
        with self._occupancy.taken_by("loss_and_gradients"):
            engine = self._built
            look = self._look(engine)
            batch = data.rows(engine.plan, x, y, sample_weight, class_weight, look=look)
            adds = validate.flag("accumulate", accumulate)
            self._forwarded = 0
            result = engine.loss_and_gradients(batch, (), adds, self._n_threads)
            return result["loss"], engine.gradients

    def forward(self, x: npt.ArrayLike, *, training: bool = False) -> Array:
        """Return the outputs of `x` and keep what `backward` needs.

        Parameters
        ----------
        x : array_like, shape (n, *input_shape)
            Inputs.
        training : bool, default False
            Whether dropout is on.

        Returns
        -------
        ndarray, shape (n, *output_shape)
            A new array.
        """
        with self._occupancy.taken_by("forward"):
            engine = self._built
            rows = data.inputs(engine.plan, x)
            self._require_finite(engine, rows)
            outputs = engine.forward(rows, validate.flag("training", training), self._n_threads)
            self._forwarded = len(rows)
            return outputs.reshape(len(rows), *engine.plan.output_shape)

    def backward(self, grad_output: npt.ArrayLike, *, accumulate: bool = False) -> Array:
        """Go back through the last `forward`.

        Parameters
        ----------
        grad_output : array_like, shape (n, *output_shape)
            Gradient of a loss with respect to the outputs.
        accumulate : bool, default False
            Whether to add to `gradients` instead of overwriting them.

        Returns
        -------
        ndarray, shape (n, *input_shape)
            Gradient of the loss with respect to the inputs.

        Raises
        ------
        RuntimeError
            If no `forward` came before, or parameters have changed since.
        """
        with self._occupancy.taken_by("backward"):
            plan, n = self.plan, self._forwarded
            if not n:
                raise RuntimeError("backward: expected a forward() before it, with no change since")
            adds = validate.flag("accumulate", accumulate)
            delta = data.values("grad_output", grad_output, (n, *plan.output_shape), plan.dtype)
            gradient = self._built.backward(delta.reshape(n, -1), adds, self._n_threads)
            return gradient.reshape(n, *plan.input_shape)

    def step(self) -> None:
        """Update the trainable parameters from `gradients`."""
        with self._occupancy.taken_by("step"):
            self._occupancy.require_unread("step")
            self._require_steps("step")
            self._built.step()
            self._forwarded = 0

    def _require_steps(self, operation: str) -> None:
        if self._optimizer.evaluates:
            raise RuntimeError(
                f"{operation}: expected an optimizer that needs one gradient a step, got "
                f"{type(self._optimizer).__name__}; call fit()"
            )

    def evaluate(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: Mapping[int, float] | npt.ArrayLike | None = None,
    ) -> dict[str, Any]:
        """Return the loss and each metric over all rows, with dropout off.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As for `fit`.

        Returns
        -------
        dict of str to float
            "loss" and each metric by its key, as in "accuracy" or "f1_macro"; an array for a metric
            of several values.
        """
        with self._occupancy.reading():
            self._occupancy.require_unchanged("evaluate")
            engine = self._built
            look = self._look(engine)
            rows = data.rows(engine.plan, x, y, sample_weight, class_weight, look=look)
            return engine.evaluate(rows, self._metrics, self._n_threads)

    def predict(self, x: npt.ArrayLike, *, out: Array | None = None) -> Array:
        """Return the outputs of `x`, with dropout off.

        Parameters
        ----------
        x : array_like, shape (n, *input_shape)
            Inputs.
        out : ndarray, shape (n, *output_shape), optional
            Where to write: C-contiguous, of the network's dtype, apart from `x`.

        Returns
        -------
        ndarray, shape (n, *output_shape)
            `out`, or a new array.
        """
        if getattr(x, "ndim", 0) > 1:  # a row alone is refused below
            answer = (self._engine or self._built).call(x, out, self._occupancy.writing)
            if answer is not None:
                return answer
        with self._occupancy.reading():
            self._occupancy.require_unchanged("predict")
            engine = self._built
            rows = data.inputs(engine.plan, x)
            shape = (len(rows), *engine.plan.output_shape)
            if out is None:
                outputs = np.empty(shape, self._dtype)
            else:  # which stays as it is if a row is refused
                self._require_finite(engine, rows)
                outputs = data.output(out, shape, self._dtype, rows)
            if not engine.predict(rows, outputs.reshape(len(rows), -1), self._n_threads):
                data.require_finite("x", rows, self._dtype, engine.plan.input_shape)
            return outputs

    def __call__(self, x: npt.ArrayLike, out: Array | None = None) -> Array:
        """Return the outputs of one row or of a batch of rows, with dropout off.

        Made for one row at a time: from one array of numbers to another it allocates nothing.

        Parameters
        ----------
        x : array_like, shape input_shape or (n, *input_shape)
            Inputs.
        out : ndarray, shape output_shape or (n, *output_shape), optional
            Where to write: C-contiguous, of the network's dtype, apart from `x`.

        Returns
        -------
        ndarray
            `out`, or a new array.
        """
        answer = (self._engine or self._built).call(x, out, self._occupancy.writing)
        if answer is not None:
            return answer
        array = data.real_array("x", x)
        plan = self.plan
        if array.shape != plan.input_shape:
            return self.predict(array, out=out)
        if out is None:
            return self.predict(array[None])[0]
        self.predict(array[None], out=data.output(out, plan.output_shape, self._dtype, array)[None])
        return out


def _shortfall(job: Fit, record: Record) -> tuple[str, type[Warning]] | None:
    """Return the warning that a fit's end calls for."""
    if record.diverged:
        return (
            f"training diverged: loss or parameters stopped being finite; the network is back at "
            f"its last good state, after epoch {record.epochs} of this fit; a lower "
            f"learning_rate or smaller inputs often help",
            DivergenceWarning,
        )
    loss = record.curves["loss"][-1] if record.epochs else math.nan
    if job.stop_at_loss is None or loss <= job.stop_at_loss:
        return None
    return (
        f"training ended after {record.epochs} epochs at a loss of {loss:g}, above "
        f"stop_at_loss={job.stop_at_loss:g}",
        ConvergenceWarning,
    )


@functools.cache
def _logger() -> Logger:
    """Return fastbp's logger; imported here, for it is a good part of an import's time.

    Asked for once: an interrupt while logging looks it up would leave logging locked for ever.
    """
    import logging

    logger = logging.getLogger("fastbp")
    if not logger.handlers:
        # Else Python prints records of a program that has set up no logging.
        logger.addHandler(logging.NullHandler())
    return logger
