"""The network: layers with a loss and an optimizer, trained and asked by one engine."""

from __future__ import annotations

import contextlib
import math
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp import arguments, data, fitting, streams, validate
from fastbp.callbacks.hooks import PLACES, Hooks
from fastbp.engine import Array, Arrays, EngineProtocol, Fit, Rows, alone, each, indexed, row_count
from fastbp.exceptions import DivergenceWarning
from fastbp.history import History
from fastbp.items import Counts
from fastbp.row_order import RowOrder
from fastbp.schedules import Schedule
from fastbp.state import NetworkState
from fastbp.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastbp.callbacks import Callback
    from fastbp.insight import Trace
    from fastbp.tensors import Shape


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
    """A neural network: a graph of layers, trained by back-propagation in compiled code.

    It is given as a list of layers that each read the one before, or by the tensors that lead from
    its inputs to its outputs. What belongs to one input or output is given and returned as it is;
    what belongs to several is a tuple with an entry for each, here and in all methods.

    Parameters
    ----------
    layers : iterable of Layer, optional
        The layers of a chain from input to output.
    inputs : Input, or list or tuple of Input, optional
        In place of `layers`, the tensors that the network is given.
    outputs : Tensor, or list or tuple of Tensor, optional
        With `inputs`, the tensors that it returns: what layers made of them.
    input_shape : int or tuple of int, optional
        Shape of one input row of a chain. Left out, it is taken from the first `fit`; using
        parameters before that raises RuntimeError.
    loss : str or Loss, optional
        What training lowers; needed to train and to evaluate. Of several outputs one for each, or
        one for all.
    loss_weights : tuple of float, optional
        What the loss of each output counts in the sum that training lowers; at least 0, and 1 if
        left out.
    optimizer : str or Optimizer, default "adam"
        How parameters follow their gradients.
    metrics : iterable of str or Metric, default ()
        What is counted beside the loss; `fastbp.metrics` has them. All but accuracy keep the
        outputs of an epoch. Of several outputs an entry for each: a metric, a list of some, or
        None.
    dtype : {"float32", "float64"}, default "float32"
        Precision of parameters and arithmetic.
    seed : int, optional
        Key of initial values, row orders and dropout masks, in [0, 2**64). Left out, one is drawn,
        which `seed` then shows.
    n_threads : int, optional
        Threads to work with; left out, the engine chooses: few for little work, and one while
        others use the cores. Results don't depend on it.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range, shapes don't chain, an output depends
        on what is not among the inputs, or a loss does not fit its output.
    ImportError
        If the compiled core can't be loaded.

    Notes
    -----
    Concurrent predictions and evaluations are safe. Anything else that would meet a running
    operation that changes the network raises RuntimeError.

    Examples
    --------
    A block whose output is added to its input:

    >>> x = fastbp.Input(8)
    >>> h = fastbp.Dense(16, activation="relu")(x)
    >>> h = fastbp.Add()([h, fastbp.Dense(16, activation="relu")(h)])
    >>> net = fastbp.Network(inputs=x, outputs=fastbp.Dense(3)(h), loss="mean_squared_error")
    """

    @staticmethod
    def _engine_class() -> type[EngineProtocol]:
        """Return the class of the engine: what a subclass with another one overrides."""
        engine: type[EngineProtocol] = compiled_core().Engine
        return engine

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        gradient_accumulation_steps: int = 1,
        validation_data: Any = None,
        validation_split: float = 0.0,
        validation_freq: int = 1,
        shuffle: bool | Callable[[int], Any] = True,
        sample_weight: Any = None,
        class_weight: Any = None,
        callbacks: Iterable[Callback] = (),
        verbose: Any = "auto",
        stop_at_loss: float | None = None,
        record_outputs: bool = False,
    ) -> History:
        """Train, going on from where the network stands: twice 5 epochs equal once 10.

        Where it stands within an epoch of as many rows, after an interrupt or as a callback saved
        or copied it behind a batch, the first epoch is the rest of that one: the same data then
        lead to the same bits as if nothing had come in between. `position` tells. A stream always
        begins an epoch, and what is left of an epoch of a stream is left out.

        Parameters
        ----------
        x : array_like, shape (n, *input_shape), `Batches`, iterable or callable
            Inputs: real numbers of any dtype and layout; never written. A tuple of several. Or a
            stream, which brings its targets: `Batches`; or batches of any size, taken as they are,
            as (x, y) or (x, y, sample_weight), each of them a tuple where there are several: an
            iterable of them, a function that returns one, or a sequence with ``__len__`` and
            ``__getitem__``, whose batches `shuffle` shuffles and whose `on_epoch_end`, if there is
            one, is called. Nothing is taken ahead of an iterable, and what can be gone through
            once, as a generator, lasts for one epoch.
        y : array_like, shape (n, *output_shape)
            Targets, shape (n,) for one output; class numbers, shape (n,), for a sparse loss. A
            tuple for several outputs.
        epochs : int, default 1
            How often to go through the rows.
        batch_size : int, default 32
            Rows that go through the network at once, and for each update if nothing else is said;
            the last batch of an epoch may be smaller. Streams have their own.
        steps_per_epoch : int, optional
            Updates of an epoch from a stream, which goes on where the last epoch ended; left out,
            an epoch goes to its end. At its end it begins anew, if it can. Per-epoch schedules
            stand still within an epoch whose length nobody knows.
        gradient_accumulation_steps : int, default 1
            Batches for each update: it is, to rounding, that of one batch of so many times the
            rows, whatever the loss, sample weights and dropout, in the memory of one. The last
            group of an epoch may be smaller; a group counts as one batch everywhere else. L-BFGS
            takes all rows at once.
        validation_data : tuple (x, y) or (x, y, sample_weight), or stream, optional
            Data to evaluate at the ends of epochs; a stream must last for all of them.
        validation_split : float, default 0.0
            In its place, the share of the rows, in [0, 1), that are kept from training and
            evaluated: of n rows all but the first ``int(n * (1 - validation_split))``, whatever
            `shuffle` is, with their sample weights.
        validation_freq : int, default 1
            Evaluate after so many epochs, and then again.
        shuffle : bool or callable, default True
            Whether each epoch takes the rows in an order of its own; `Batches` can say no as well,
            and iterables always come as they are. A function gives that order of arrays: it takes
            the number of an epoch of this fit and returns the numbers of the rows, shape (n,).
        sample_weight : array_like, shape (n,), optional
            What each row counts; at least 0. Of several outputs one for all of them, or a tuple
            with an array or None for each.
        class_weight : mapping of int to float, or array_like of shape (classes,), optional
            What a row counts by its class, times its sample weight: at least 0, and 1 for classes
            that a mapping leaves out; of several outputs a tuple with one of them or None for each.
            A row's class is its label, the place of its largest target, or 1 for a target above one
            half of a single output, else 0. Validation counts without.
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
            evaluation; of several outputs also the loss of each, without penalties. An epoch's
            loss is the mean over rows of the losses of its batches, each before its update; metrics
            too are of outputs before the update by their batch.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described; the network is then as it was. If it shows in the
            course of a stream or a memory-mapped file, the network stands at the batch before.
        RuntimeError
            If the network is being changed by another operation.
        Exception
            What a callback or a stream raises, `StopTraining` apart, ends the fit between two
            batches.

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
            stream = streams.find(x, y, sample_weight)
            engine = self._engine or self._started(self._lowered(_row_shape(x, stream)))
            plan, look = engine.plan, self._look(engine)
            epochs = validate.integer("epochs", epochs, 1)
            shuffles = arguments.shuffles(shuffle, stream)
            accumulate = validate.integer(
                "gradient_accumulation_steps", gradient_accumulation_steps, 1
            )
            steps = arguments.steps_per_epoch(steps_per_epoch, stream)
            if stream is None:
                given: Rows | streams.OpenFeed = data.rows(plan, x, y, sample_weight, look=look)
            else:
                given = self._feed_of_fit(
                    stream,
                    Wanted(
                        plan,
                        seed=self._seed,
                        epoch=engine.position.epochs,
                        epochs=epochs,
                        trains=True,
                        shuffles=shuffles,
                        accumulate=accumulate,
                        steps=steps,
                        class_weight=class_weight,
                    ),
                )
            rows, held_out = arguments.validation(
                given, validation_data, validation_split, plan, look
            )
            if isinstance(rows, Rows):
                rows = data.weighed(rows, class_weight, plan)
            called = arguments.callback_list(callbacks, verbose)
            order = (
                RowOrder(shuffle, rows.n) if isinstance(rows, Rows) and callable(shuffle) else None
            )
            hooks = Hooks(called if order is None else (*called, order), self._occupancy)
            on_epoch_begin, on_batch_end, on_epoch_end, on_progress = map(hooks.calls, PLACES)
            job = Fit(
                data=rows,
                prefixes=plan.prefixes,
                epochs=epochs,
                batch_size=arguments.batch_size(batch_size, rows),
                accumulate=accumulate,
                shuffle=shuffles if isinstance(rows, Rows) else rows.shuffles,
                order=None if order is None else order.rows,
                metrics=self._metrics,
                validation=held_out,
                validation_freq=validate.integer("validation_freq", validation_freq, 1),
                stop_at_loss=arguments.stop_at_loss(stop_at_loss),
                record_outputs=arguments.record_outputs(record_outputs, rows, plan),
                record_rates=isinstance(self.optimizer.learning_rate, Schedule),
                n_threads=self._n_threads,
                watch=hooks.watch(plan),
                on_epoch_begin=on_epoch_begin,
                on_epoch_end=on_epoch_end,
                on_batch_end=on_batch_end,
                on_progress=on_progress,
            )
            hooks.prepare(self, job)
            self._engine = engine
            self._forwarded = 0
            record, history = fitting.run(engine, self._optimizer, job, hooks)
        if shortfall := fitting.shortfall(job, record):
            warnings.warn(*shortfall, stacklevel=2)
        return history

    def _feed_of_fit(self, stream: streams.Stream, wanted: Wanted) -> streams.OpenFeed:
        """Return the rows of a stream to train on."""
        if self._optimizer.evaluates:
            raise ValueError(
                f"x: expected arrays beside {type(self._optimizer).__name__}, which takes all rows "
                f"at once, got a stream"
            )
        return stream.feed(wanted)

    def _look(self, engine: EngineProtocol) -> data.Look:
        """Return what looks for NaN and infinity in rows."""
        return data.Look(engine, self._n_threads)

    def _require_finite(self, engine: EngineProtocol, x: Arrays, looks: bool = True) -> None:
        """Refuse inputs that are not finite; the engine need not look at what it has found."""
        plan, count = engine.plan, len(engine.plan.inputs)
        look = self._look(engine) if looks else None
        for name, rows, shape in zip(indexed("x", count), each(x, count), plan.inputs, strict=True):
            data.require_finite(name, rows, plan.dtype, shape, look)

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        class_weight: Any = None,
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
            If the loss or the gradient is not finite; there is then no update.
        """
        with self._occupancy.taken_by("train_on_batch"):
            self._occupancy.require_unread("train_on_batch")
            self._require_steps("train_on_batch")
            engine = self._built
            look = self._look(engine)
            batch = data.rows(engine.plan, x, y, sample_weight, class_weight, look=look)
            self._forwarded = 0
            result = engine.loss_and_gradients(batch, self._metrics, False, self._n_threads)
            if math.isfinite(result["loss"]) and look(engine.gradients[None]):
                engine.step()
                return result
        loss = result["loss"]
        cause = (
            "the gradient of the batch is not finite"
            if math.isfinite(loss)
            else (f"the loss of the batch is {loss}")
        )
        warnings.warn(f"{cause}; there was no update", DivergenceWarning, stacklevel=2)
        return result

    def loss_and_gradients(
        self,
        x: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        class_weight: Any = None,
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
            The loss of the batch, with the penalties of `fastbp.regularizers`.
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

    def forward(self, x: Any, *, training: bool = False) -> Any:
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
            self._forwarded = row_count(rows)
            return _shaped(outputs, [output.shape for output in engine.plan.outputs])

    def backward(self, grad_output: Any, *, accumulate: bool = False) -> Any:
        """Go back through the last `forward`; penalties of parameters are not part of it.

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
            count = len(plan.outputs)
            deltas = tuple(
                data.values(name, value, (n, *output.shape), plan.dtype).reshape(n, -1)
                for name, value, output in zip(
                    indexed("grad_output", count),
                    data.entries("grad_output", grad_output, count, "output"),
                    plan.outputs,
                    strict=True,
                )
            )
            return _shaped(self._built.backward(alone(deltas), adds, self._n_threads), plan.inputs)

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
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        class_weight: Any = None,
    ) -> dict[str, Any]:
        """Return the loss and each metric over all rows, with dropout off.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As for `fit`. Rows of a stream come in their order; it is gone through once.

        Returns
        -------
        dict of str to float
            "loss" and each metric by its key, as in "accuracy" or "f1_macro"; an array for a metric
            of several values.
        """
        with self._occupancy.reading():
            self._occupancy.require_unchanged("evaluate")
            engine = self._built
            plan, look = engine.plan, self._look(engine)
            if (stream := streams.find(x, y, sample_weight)) is None:
                rows = data.rows(plan, x, y, sample_weight, class_weight, look=look)
                return engine.evaluate(rows, self._metrics, self._n_threads)
            wanted = Wanted(plan, class_weight=class_weight)
            with contextlib.closing(stream.feed(wanted)) as feed:
                return engine.evaluate(feed, self._metrics, self._n_threads)

    def explain(
        self,
        x: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        class_weight: Any = None,
    ) -> Trace:
        """Take the next step of training on a batch apart, without taking it.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As for `fit`.

        Returns
        -------
        Trace
            Every number on the way there and back; `print` shows them. Its `chain` has the
            derivative of one weight factor by factor. Dropout is on, as in training.

        Raises
        ------
        TypeError, ValueError
            If the data are not such as `fit` takes, or the network has a custom activation or
            layer, which can't be laid open.
        """
        from fastbp.insight import Trace

        with self._occupancy.reading():
            self._occupancy.require_unchanged("explain")
            engine = self._built
            look = self._look(engine)
            plan, count = engine.plan, len(engine.plan.outputs)
            rows = data.rows(plan, x, y, sample_weight, class_weight, look=look)
            if rows.unchecked:
                self._require_finite(engine, rows.x)
                for name, targets in zip(indexed("y", count), each(rows.y, count), strict=True):
                    data.require_finite(name, targets, plan.dtype, look=look)
            return Trace(self, self._connections(plan.inputs[0]), rows, engine)

    def predict(self, x: Any, *, out: Any = None) -> Any:
        """Return the outputs of `x`, with dropout off.

        Parameters
        ----------
        x : array_like, shape (n, *input_shape), or stream
            Inputs. A stream as for `fit`, with targets or without; rows come in their order.
        out : ndarray, shape (n, *output_shape), optional
            Where to write: C-contiguous, of the network's dtype, apart from `x`. Not for a stream.

        Returns
        -------
        ndarray, shape (n, *output_shape)
            `out`, or a new array.
        """
        if getattr(x, "ndim", 0) > 1:  # a row alone is refused below
            answer = (self._engine or self._built).call(x, out, self._occupancy.writing)
            if answer is not None:
                return answer
        if (stream := streams.find(x)) is not None:
            if out is not None:
                raise ValueError("out: expected None beside a stream, got an array")
            plan = self._built.plan
            count = len(plan.outputs)
            inputs = stream.inputs(Counts(len(plan.inputs), count))
            parts = [each(self.predict(part), count) for part in inputs]
            return alone(tuple(map(np.concatenate, zip(*parts, strict=True))))
        with self._occupancy.reading():
            self._occupancy.require_unchanged("predict")
            engine = self._built
            rows = data.inputs(engine.plan, x)
            n = row_count(rows)
            shapes = [(n, *output.shape) for output in engine.plan.outputs]
            if out is None:
                outputs = tuple([np.empty(shape, self._dtype) for shape in shapes])
            else:  # which stays as it is if a row is refused
                self._require_finite(engine, rows)
                outputs = data.outputs(out, shapes, self._dtype, rows)
            answer = alone(outputs)
            if not engine.predict(rows, answer, self._n_threads):
                self._require_finite(engine, rows, looks=False)
            return answer if out is None else out

    def __call__(self, x: Any, out: Any = None) -> Any:
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
        plan = self.plan
        rows = data.arrays(plan, x)
        if any(row.shape != shape for row, shape in zip(rows, plan.inputs, strict=True)):
            return self.predict(alone(rows), out=out)
        batch = alone(tuple(row[None] for row in rows))
        if out is None:
            outputs = each(self.predict(batch), len(plan.outputs))
            return alone(tuple(output[0] for output in outputs))
        shapes = [output.shape for output in plan.outputs]
        outputs = data.outputs(out, shapes, self._dtype, alone(rows))
        self.predict(batch, out=alone(tuple(output[None] for output in outputs)))
        return out


def _row_shape(x: Any, stream: streams.Stream | None) -> Shape:
    """Return the shape of one row of inputs."""
    return data.input_shape(x) if stream is None else stream.input_shape()


def _shaped(values: Any, shapes: Sequence[Shape]) -> Any:
    """Return the rows of each input or output in their shape."""
    found = zip(each(values, len(shapes)), shapes, strict=True)
    return alone(tuple(value.reshape(len(value), *shape) for value, shape in found))
