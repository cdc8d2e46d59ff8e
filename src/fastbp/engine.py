"""The interface of the engines: what runs a plan, and what is handed to it.

There are two: `fastbp._core.Engine`, compiled, and `fastbp.reference.Engine`, in NumPy. Both keep
to `EngineProtocol`; a test compares their signatures. All arrays that reach an engine have been
checked by `fastbp.data`, which leaves it to the engine to look for NaN and infinity in rows.

What belongs to the only input or output of a plan comes and goes as it is, here and at `Network`;
what belongs to several is a tuple with an entry for each (`fastbp.several`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableSequence, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from fastbp.metrics import Metric
from fastbp.optimizers import Optimizer
from fastbp.plan import Plan
from fastbp.several import alone as alone
from fastbp.several import each as each
from fastbp.several import indexed as indexed

if TYPE_CHECKING:
    from threading import Lock

    import numpy.typing as npt

    from fastbp.tensors import Shape
    from fastbp.watch import Watch

Array: TypeAlias = "npt.NDArray[Any]"
Arrays: TypeAlias = "Array | tuple[Array, ...]"
"""One array, or one for each of several inputs or outputs."""


def row_count(x: Arrays) -> int:
    """Return how many rows there are of each input."""
    return len(x[0] if isinstance(x, tuple) else x)


class Rows(NamedTuple):
    """Checked training or test data of n rows.

    Attributes
    ----------
    x : ndarray, shape (n, inputs), or tuple of them
        Inputs, of a native real dtype (bool, any integer, float32, float64); elements of a row are
        contiguous, rows may be any distance apart. Never written.
    y : ndarray, or tuple of them, or None
        Targets: shape (n, outputs), as `x`; or labels, shape (n,), int32, contiguous. A row with a
        label of -1 weighs 0, and metrics leave it out.
    weights : ndarray or None, or tuple of them
        Sample weights, shape (n,), float64, contiguous, finite, none negative.
    unchecked : bool
        True if `x` and `y` have not been scanned for NaN, infinity and values that overflow the
        plan's dtype (memmaps): the engine then looks as it gathers each batch and raises
        ValueError, leaving the network as it was before that batch.
    """

    x: Arrays
    y: Arrays | None = None
    weights: Any = None
    unchecked: bool = False

    @property
    def n(self) -> int:
        """How many rows there are."""
        return row_count(self.x)


class Feed(Protocol):
    """Rows that come a chunk at a time, epoch after epoch: what never is in memory as a whole.

    Attributes
    ----------
    rows, batches : int or None
        Of an epoch, where that is known beforehand.
    """

    rows: int | None
    batches: int | None

    def take(self) -> Rows | None:
        """Return the next chunk of the running epoch, or None at its end, where the next begins.

        A chunk is the caller's until the next call, which may overwrite it. Each has a whole number
        of updates' rows, but for the last of an epoch. What reading it raises is passed on.
        """


def chunks(data: Rows | Feed) -> Iterator[Rows]:
    """Go through all rows once: at one go, or a chunk at a time."""
    if isinstance(data, Rows):
        yield data
        return
    while (chunk := data.take()) is not None:
        yield chunk


class EpochPart(NamedTuple):
    """What has been done of an epoch that is not over.

    Attributes
    ----------
    rows, of_rows : int
        Rows taken of all that it has; 0 between two epochs, and in one of a feed, with which nobody
        goes on.
    measured : int, or tuple of int
        Those of them that metrics count, for each of several losses (`Plan.loss_weights`).
    loss_sum, right_sum : float, or tuple of float
        Sums over these of the batches' losses, and of the accuracy.
    """

    rows: int = 0
    of_rows: int = 0
    measured: Any = 0
    loss_sum: Any = 0.0
    right_sum: Any = 0.0


class Position(NamedTuple):
    """Where training stands, counted from the last reset.

    Attributes
    ----------
    steps : int
        Updates since the optimizer was set: t of Adam.
    batches : int
        Batches trained on: keys the dropout masks.
    epochs : int
        Epochs begun: keys the order of the rows.
    schedule_steps, schedule_epochs : int
        What `steps` and `epochs` were when the schedule of the learning rate was set: its time 0.
    part : EpochPart
        Where the newest epoch stands, if it is not over.
    """

    steps: int = 0
    batches: int = 0
    epochs: int = 0
    schedule_steps: int = 0
    schedule_epochs: int = 0
    part: EpochPart = EpochPart()


class Progress(NamedTuple):
    """How far a fit is: what the progress display shows.

    Attributes
    ----------
    epoch, epochs : int
        Epochs completed and asked for in this fit.
    batch, batches : int
        Batches completed in the running epoch, and batches of an epoch, or 0 if nobody knows.
    loss : float
        Row-weighted mean of the batch losses of the running epoch so far, or of the last epoch
        where none has been run in this one.
    metrics : dict of str to float
        The same for each metric that is a mean over rows, and for the loss of each of several
        outputs.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    metrics: dict[str, float]


class Fit(NamedTuple):
    """What `fit` asks of an engine.

    Attributes
    ----------
    data : Rows or Feed
        Training data.
    validation : Rows, Feed or None
        Data evaluated at the ends of epochs.
    validation_freq : int
        After how many epochs that is done, and then again.
    epochs : int
        At least 1.
    batch_size : int or None
        At least 1. The last batch of an epoch may be smaller. None: each chunk of a feed is one
        batch.
    accumulate : int
        At least 1: batches whose gradients are added up for one update, which is to rounding that
        of one batch of so many times the rows, dropout masks and the record included. Such a group
        counts as one batch everywhere else.
    shuffle : bool
        Whether each epoch takes the rows, or those of each chunk, in an order of its own.
    order : ndarray or None, shape (n,), int64
        In place of `shuffle`, for `Rows`: numbers of the rows in the order in which the next epoch
        takes them. `on_epoch_begin` may change it; such an epoch always begins anew.
    metrics : tuple of Metric, or of such tuples
        What is counted beside the loss.
    prefixes : tuple of str
        The plan's: what stands before the names of each output's values.
    stop_at_loss : float or None
        An epoch whose loss is at most this is the last.
    record_outputs : bool
        Whether to keep the training outputs of each epoch.
    record_rates : bool
        Whether to keep the learning rate of the last update of each epoch.
    n_threads : int or None
        Size of the team; None lets the engine choose.
    watch : Watch or None
        Steps to record, and where; the engine fills it.
    on_epoch_begin : callable or None
        Called with the number of an epoch, counted from 0, before it begins.
    on_epoch_end : callable or None
        Called with the number of an epoch and a dict of its values when it is on record.
    on_batch_end : callable or None
        Called after each batch with its number in the epoch and a dict of the means over rows, of
        the epoch so far, of the loss and the metrics that are such means.
    on_progress : callable or None
        Called with a `Progress` some twenty times a second.

    The engine comes back to Python only where one of these is called: at a batch boundary, where
    position, parameters and state are those of a network at rest and the constants of its optimizer
    may be changed. An answer of True ends the fit there as at the end of its epochs; what is raised
    ends it too and is passed on.
    """

    data: Rows | Feed
    epochs: int
    batch_size: int | None
    shuffle: bool
    metrics: tuple[Any, ...] = ()
    validation: Rows | Feed | None = None
    stop_at_loss: float | None = None
    record_outputs: bool = False
    record_rates: bool = False
    n_threads: int | None = None
    validation_freq: int = 1
    on_epoch_begin: Callable[[int], bool | None] | None = None
    on_epoch_end: Callable[[int, dict[str, Any]], bool | None] | None = None
    on_batch_end: Callable[[int, dict[str, float]], bool | None] | None = None
    on_progress: Callable[[Progress], bool | None] | None = None
    accumulate: int = 1
    prefixes: tuple[str, ...] = ("",)
    watch: Watch | None = None
    order: Array | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What is put on record: loss and metrics, behind "val_" those of validation, the rate."""
        names = loss_names(self.prefixes)
        if self.metrics:
            names += tuple([m.name for m in measured(self.prefixes, self.metrics)])
        if self.validation is not None:
            names += tuple(["val_" + name for name in names])
        return (*names, "learning_rate") if self.record_rates else names

    def every(self, name: str) -> int:
        """Return how many epochs there are from one value of a curve to the next."""
        return self.validation_freq if name.startswith("val_") else 1


class Measured(NamedTuple):
    """A metric of one output, by its name among all values."""

    name: str
    output: int
    metric: Metric


def measured(prefixes: tuple[str, ...], metrics: tuple[Any, ...]) -> tuple[Measured, ...]:
    """Return all metrics of all outputs; `prefixes` are the plan's."""
    if not metrics:
        return ()
    of_outputs = zip(prefixes, each(metrics, len(prefixes)), strict=True)
    return tuple(
        Measured(prefix + metric.key, output, metric)
        for output, (prefix, own) in enumerate(of_outputs)
        for metric in own
    )


def loss_names(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """Return "loss" and, where there are several outputs, the name of the loss of each."""
    own = () if len(prefixes) == 1 else [f"{prefix}loss" for prefix in prefixes]
    return ("loss", *own)


def loss_values(plan: Plan, losses: Sequence[float]) -> dict[str, float]:
    """Return the weighted sum of the plan's losses, and those of several outputs."""
    total = sum(weight * loss for weight, loss in zip(plan.loss_weights, losses, strict=True))
    return dict(zip(loss_names(plan.prefixes), (total, *losses), strict=False))


@dataclass
class Record:
    """What a fit reports; filled epoch by epoch, so that it is right after an exception too.

    Attributes
    ----------
    epochs : int
        Epochs completed.
    curves : dict of str to sequence of float
        "loss", that of each of several outputs, each metric's name, and with "val_" before them the
        same on validation data, which have a value for each validation; then "learning_rate", that
        of the epoch's last update, where the job asks for it. A metric of several values has
        arrays.
    outputs : ndarray or None, shape (epochs, n, outputs), or tuple of them
        Training outputs of each epoch in the order of the data, if asked for.
    diverged : bool
        True if loss or parameters stopped being finite. The network then stands at its last good
        snapshot, and `epochs` and `curves` end there.
    """

    epochs: int = 0
    curves: dict[str, MutableSequence[Any]] = field(default_factory=dict)
    outputs: Arrays | None = None
    diverged: bool = False


def recorded(outputs: Sequence[Sequence[Array]], n: int, plan: Plan) -> Any:
    """Return outputs of n rows, epoch by epoch and in there one by one, as a `Record` has them."""
    return alone(
        tuple(
            np.array([epoch[k] for epoch in outputs], plan.dtype).reshape(
                len(outputs), n, plan.tensors[output.tensor]
            )
            for k, output in enumerate(plan.outputs)
        )
    )


class EngineProtocol(Protocol):
    """Runs one plan on parameters, gradients and optimizer state of its own.

    Attributes
    ----------
    plan : Plan
        The plan.
    parameters, gradients : ndarray, shape (n_parameters,)
        Live flat vectors in the plan's dtype, 64-byte aligned, never moved. Gradients of frozen
        parameters stay 0.
    state : ndarray, shape (optimizer.n_states, n_parameters)
        What the optimizer remembers; starts anew when the optimizer changes.
    seed : int
        Key of the row orders and dropout masks, in [0, 2**64). Settable.
    position : Position
        Where training stands. Settable.
    optimizer : Optimizer
        The update rule. Setting another kind, or one with another number of states, starts `state`
        anew, at the rule's `initial_state`, and ``position.steps`` at 0; setting one that differs
        only in its constants keeps them. A schedule starts anew as `Optimizer.starts_schedule`
        says.
    learning_rate : float
        The rate that `step` takes next. Read-only.
    """

    plan: Plan
    parameters: Array
    gradients: Array
    state: Array
    seed: int
    position: Position
    optimizer: Optimizer

    @property
    def learning_rate(self) -> float: ...

    def __init__(self, plan: Plan, optimizer: Optimizer, seed: int) -> None: ...

    def takes(self, value: object, shape: Shape, n_threads: int | None) -> bool:
        """Whether `value` passes as rows of this shape, as it is: `Rows.x` in memory, all finite.

        `value` comes unchecked. False is the answer to whatever needs a closer look too.
        """

    def all_finite(self, rows: Array, n_threads: int | None) -> bool:
        """Whether `rows` (as `Rows.x`, of any width) are finite in the plan's dtype."""

    def predict(self, x: Arrays, out: Arrays, n_threads: int | None) -> bool:
        """Write the outputs of rows `x` (as `Rows.x`) to `out`: C-contiguous, plan's dtype.

        Each row stands there in its shape or in one line.
        Looks at the rows as it reads them: False if they are not `all_finite`. What has been
        written then means nothing.
        """

    def call(self, x: object, out: object, changing: Lock) -> Array | None:
        """Return the outputs of one row or a few at once, or None to ask for the way of `predict`.

        `x` and `out` (or None, for a new array) come unchecked; None is the answer to whatever
        would need an error too, or if `changing`, the lock of who changes the network, is held.
        """

    def evaluate(
        self, data: Rows | Feed, metrics: tuple[Any, ...], n_threads: int | None
    ) -> dict[str, Any]:
        """Return the loss over all rows, of an epoch, penalties included, and each metric.

        Dropout is off.

        Named as by `loss_names` and `measured`; `metrics` as in `Fit`.
        """

    def forward(self, x: Arrays, training: bool, n_threads: int | None) -> Any:
        """Return the outputs of `x`, keeping what `backward` needs.

        With `training`, dropout is on, with the masks of the batch that comes next in
        ``position.batches``.
        """

    def backward(self, grad_output: Arrays, accumulate: bool, n_threads: int | None) -> Any:
        """Return dL/dx for the rows of the last `forward`; overwrite or add to `gradients`.

        `grad_output` is dL/dy, C-contiguous in the plan's dtype. Raises RuntimeError if no forward
        pass came before.
        """

    def loss_and_gradients(
        self, data: Rows, metrics: tuple[Any, ...], accumulate: bool, n_threads: int | None
    ) -> dict[str, Any]:
        """Take all rows as one batch, as in training; return its loss and metrics.

        Overwrites or adds to `gradients`; no update. Penalties count in both. Dropout is on, with
        the masks of batch ``position.batches``.
        """

    def step(self) -> None:
        """Update the trainable parameters from `gradients`, and project them on their constraints.

        Count a step and a batch.
        """

    def fit(self, job: Fit, record: Record) -> None:
        """Train, and fill `record` epoch by epoch.

        The first epoch is the rest of the one that ``position.part`` stands in, if that is one of
        as many rows, and not of a feed. Outputs of the rows that it had taken are then taken as
        they are now, for a record or metrics of all of them.

        Per batch: forward, loss, gradients, step. What is raised in between (KeyboardInterrupt, an
        error of what the job has called, ValueError for unchecked data) leaves the network at a
        batch boundary.
        """
