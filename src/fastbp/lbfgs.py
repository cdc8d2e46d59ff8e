"""Training by L-BFGS: steps that ask for loss and gradient of all rows more than once.

Equations and algorithms are those of Nocedal and Wright, "Numerical Optimization", 2nd edition. It
stands above the engines, which give loss and gradient and hold parameters and memory, and is the
same for both. Sums are float64 over chunks of 4,096 elements, so that its bits, too, are the same
everywhere.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastbp.engine import (
    Array,
    EngineProtocol,
    EpochPart,
    Fit,
    Progress,
    Record,
    Rows,
    each,
    loss_names,
    measured,
    recorded,
)
from fastbp.optimizers import LBFGS

CHUNK = 4096
# Constants of the strong Wolfe conditions (3.7), and the evaluations that a search may take.
DECREASE, CURVATURE = 1e-4, 0.9
MOST_EVALUATIONS = 25
PROGRESS_SECONDS = 0.05


class StoppedError(Exception):
    """Someone called on the way has had enough."""


class Point(NamedTuple):
    """The objective at one place on a line, `step` directions from its start."""

    step: float
    slope: float  # along the direction
    parameters: Array
    gradient: Array
    values: dict[str, float]

    @property
    def loss(self) -> float:
        """The objective."""
        return self.values["loss"]


def dot(a: Array, b: Array) -> float:
    """Return the sum of a b in float64: halving trees in chunks, these in order."""
    terms = np.zeros((-(-a.size // CHUNK), CHUNK))
    np.multiply(a, b, out=terms.reshape(-1)[: a.size], dtype=np.float64)
    half = CHUNK // 2
    while half:
        terms[:, :half] += terms[:, half : 2 * half]
        half //= 2
    return sum(terms[:, 0].tolist())


def direction(gradient: Array, state: Array, steps: int) -> Array:
    """Return -H g by the two-loop recursion, Algorithm 7.4.

    Parameters
    ----------
    gradient : ndarray, shape (n,)
        The gradient g.
    state : ndarray, shape (2 history, n)
        Changes of the parameters, then of the gradient: those of step t in row t % history.
    steps : int
        Steps taken so far.
    """
    history = len(state) // 2
    q = gradient.astype(np.float64)
    pairs = []
    for t in range(steps - 1, max(steps - history, 0) - 1, -1):
        s, y = (state[row].astype(np.float64) for row in (t % history, history + t % history))
        if (curvature := dot(s, y)) > 0:
            alpha = dot(s, q) / curvature
            q -= alpha * y
            pairs.append((s, y, curvature, alpha))
    if pairs:
        _, y, curvature, _ = pairs[0]
        q *= curvature / dot(y, y)  # (7.20)
    for s, y, curvature, alpha in reversed(pairs):
        q += (alpha - dot(y, q) / curvature) * s
    return -q


def decreases(start: Point, here: Point) -> bool:
    """Whether the loss is lower by enough, (3.7a), and all is finite."""
    bound = start.loss + DECREASE * here.step * start.slope
    return math.isfinite(here.slope) and here.loss <= bound


def is_flat(start: Point, here: Point) -> bool:
    """Whether the slope is small enough, (3.7b)."""
    return abs(here.slope) <= -CURVATURE * start.slope


def cubic_minimum(a: Point, b: Point) -> float:
    """Return where the cubic through two points is least, (3.59); NaN if it has no minimum."""
    width = a.step - b.step
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / width
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0 or not math.isfinite(square):
        return math.nan
    d2 = math.copysign(math.sqrt(square), b.step - a.step)
    divisor = b.slope - a.slope + 2 * d2
    return b.step - (b.step - a.step) * (b.slope + d2 - d1) / divisor if divisor else math.nan


def line_search(at: Callable[[float], Point], start: Point, step: float) -> Point:
    """Return a point that meets the strong Wolfe conditions, Algorithm 3.5.

    `start` if none is found that lowers the loss; `step` is the first to be tried.
    """
    before = start
    for number in range(MOST_EVALUATIONS):
        here = at(step)
        if not decreases(start, here) or (number > 0 and here.loss >= before.loss):
            return zoom(at, start, before, here, MOST_EVALUATIONS - number - 1)
        if is_flat(start, here):
            return here
        if here.slope >= 0:
            return zoom(at, start, here, before, MOST_EVALUATIONS - number - 1)
        further = cubic_minimum(before, here)
        step = min(max(further, 2 * step), 10 * step) if further == further else 2 * step
        before = here
    return before


def zoom(at: Callable[[float], Point], start: Point, low: Point, high: Point, most: int) -> Point:
    """Return a point between two that meets the conditions, Algorithm 3.6; `low` is the lower."""
    for _ in range(most):
        width = high.step - low.step
        share = (cubic_minimum(low, high) - low.step) / width
        here = at(low.step + width * (min(max(share, 0.1), 0.9) if share == share else 0.5))
        if here.step in (low.step, high.step):
            break
        if not decreases(start, here) or here.loss >= low.loss:
            high = here
            continue
        if is_flat(start, here):
            return here
        if here.slope * width >= 0:
            high = low
        low = here
    return low


class Training:
    """One fit of an engine by L-BFGS: an epoch is a step on all rows.

    Parameters
    ----------
    engine : EngineProtocol
        What is trained; its state is the memory of past steps.
    optimizer : LBFGS
        The rule.
    job : Fit
        What is asked for.
    record : Record
        What is reported.
    """

    def __init__(self, engine: EngineProtocol, optimizer: LBFGS, job: Fit, record: Record) -> None:
        assert isinstance(job.data, Rows)  # all of them are taken at once
        self.engine, self.optimizer, self.job, self.record = engine, optimizer, job, record
        self.data = job.data
        record.curves = {name: [] for name in job.names}
        self.last_progress = time.monotonic()
        self.parameters = engine.parameters.copy()  # of the last step; a search tries others
        self.good = self.parameters  # the last with a finite loss
        self.outputs: list[Sequence[Array]] = []

    def run(self) -> None:
        """Train until the epochs are over, the loss is low enough or is not finite."""
        here = None
        try:
            while not self.is_over():
                self.call(self.job.on_epoch_begin, self.record.epochs)
                # Dropout has other masks at each step, and who was called may have moved us.
                if here is None or self.drops or here.parameters is not self.parameters:
                    here = self.evaluate(self.parameters)
                if not (math.isfinite(here.loss) and np.isfinite(here.gradient).all()):
                    self.record.diverged = True
                    self.parameters = self.good
                    break
                here = self.run_epoch(here)
        except StoppedError:
            pass
        finally:
            self.engine.parameters[:] = self.parameters
            self.cut_record(self.record.epochs)

    def is_over(self) -> bool:
        """Whether the last epoch on record is the last of all."""
        losses, goal = self.record.curves["loss"], self.job.stop_at_loss
        reached = goal is not None and len(losses) > 0 and losses[-1] <= goal
        return reached or self.record.epochs == self.job.epochs

    def evaluate(self, parameters: Array) -> Point:
        """Return the objective at some parameters."""
        engine, job = self.engine, self.job
        engine.parameters[:] = parameters
        values = engine.loss_and_gradients(self.data, job.metrics, False, job.n_threads)
        return Point(0.0, 0.0, parameters, engine.gradients.copy(), values)

    def run_epoch(self, here: Point) -> Point:
        """Take a step from `here`, put it on record and return where it leads."""
        if self.job.record_outputs:
            outputs = self.engine.forward(self.data.x, True, self.job.n_threads)
            self.outputs.append(each(outputs, len(self.engine.plan.outputs)))
        after = self.step(here)
        self.commit(here, after)
        prefixes = self.job.prefixes
        counted = (m.name for m in measured(prefixes, self.job.metrics) if m.metric.of_rows)
        means = {name: here.values[name] for name in (*loss_names(prefixes), *counted)}
        self.call(self.job.on_batch_end, 0, dict(means))
        values = self.close_epoch(here)
        self.call(self.job.on_epoch_end, self.record.epochs - 1, values)
        self.report(means)
        return after

    @property
    def drops(self) -> bool:
        """Whether the objective changes from step to step."""
        return any("dropout" in op.kind and op.value for op in self.engine.plan.ops)

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")  # a search may go too far
    def step(self, here: Point) -> Point:
        """Return the point that a search along the direction of descent finds."""
        steps = self.engine.position.steps
        towards = direction(here.gradient, self.engine.state, steps)
        start = here._replace(step=0.0, slope=dot(here.gradient, towards))
        first = self.engine.optimizer.learning_rate
        if steps == 0:
            first *= min(1.0, 1 / (dot(np.abs(towards), np.ones_like(towards)) or 1.0))
        if not start.slope < 0:
            return start

        def at(step: float) -> Point:
            tried = (here.parameters + step * towards).astype(here.parameters.dtype)
            point = self.evaluate(tried)
            return point._replace(step=step, slope=dot(point.gradient, towards))

        return line_search(at, start, first)

    def commit(self, here: Point, after: Point) -> None:
        """Take over a step, whole, even if an interrupt comes in between."""
        history, at = self.optimizer.history, self.engine.position
        row = at.steps % history
        changes = after.parameters - here.parameters, after.gradient - here.gradient
        position = at._replace(
            steps=at.steps + 1, batches=at.batches + 1, epochs=at.epochs + 1, part=EpochPart()
        )

        def write() -> None:
            self.engine.state[row], self.engine.state[history + row] = changes
            self.engine.parameters[:] = self.parameters = after.parameters
            self.engine.position = position

        try:
            write()
        except BaseException:
            write()
            raise
        if math.isfinite(after.loss):
            self.good = after.parameters

    def close_epoch(self, before: Point) -> dict[str, Any]:
        """Put an epoch on record, with what the batch gave before its update; return its values."""
        job, record = self.job, self.record
        values = dict(before.values)
        if job.validation is not None and (record.epochs + 1) % job.validation_freq == 0:
            validation = self.engine.evaluate(job.validation, job.metrics, job.n_threads)
            values |= {"val_" + name: value for name, value in validation.items()}
        for name, value in values.items():
            record.curves[name].append(value)
        record.epochs += 1
        return values

    def call(self, hook: Callable[..., bool | None] | None, *arguments: Any) -> None:
        """Call whom the job names for this place, if it does; go on with the parameters it left."""
        if hook is None:
            return
        stops = hook(*arguments)
        if not np.array_equal(self.engine.parameters, self.parameters):
            self.parameters = self.engine.parameters.copy()
        if stops:
            raise StoppedError

    def report(self, means: dict[str, float]) -> None:
        """Tell about the progress, some twenty times a second."""
        now = time.monotonic()
        if now - self.last_progress >= PROGRESS_SECONDS:
            self.last_progress = now
            loss, metrics = means["loss"], {key: means[key] for key in means if key != "loss"}
            progress = Progress(self.record.epochs, self.job.epochs, 0, 1, loss, metrics)
            self.call(self.job.on_progress, progress)

    def cut_record(self, epochs: int) -> None:
        """Leave what belongs to the first `epochs` epochs on record."""
        for name, curve in self.record.curves.items():
            del curve[epochs // self.job.every(name) :]
        if self.job.record_outputs:
            outputs, plan = self.outputs[:epochs], self.engine.plan
            self.record.outputs = recorded(outputs, self.data.n, plan)
