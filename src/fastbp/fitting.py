"""A fit between its checked arguments and what the engine makes of them: log, callbacks, record."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from fastbp import streams
from fastbp.callbacks.hooks import Hooks
from fastbp.engine import EngineProtocol, Fit, Record, Rows, alone
from fastbp.exceptions import ConvergenceWarning, DivergenceWarning
from fastbp.history import History
from fastbp.optimizers import LBFGS, Optimizer

if TYPE_CHECKING:
    from logging import Logger


def run(
    engine: EngineProtocol, optimizer: Optimizer, job: Fit, hooks: Hooks
) -> tuple[Record, History]:
    """Train, between the log and the callbacks of a fit."""
    logger = _logger()
    rows = job.data.n if isinstance(job.data, Rows) else job.data.rows
    size, epochs = job.batch_size, job.epochs
    logger.info("fit: %s rows in batches of %s, %d epochs", rows, size, epochs)
    record = Record(curves={name: [] for name in job.names})
    try:
        if not hooks.begin():
            _train(engine, optimizer, job, record)
    finally:
        streams.close(job.data, job.validation)
        logger.info("fit: ended after %d epochs", record.epochs)
        if record.diverged:
            logger.warning("fit: diverged; back at the end of epoch %d", record.epochs)
        shapes = tuple([output.shape for output in engine.plan.outputs])
        history = History(record, alone(shapes), job.validation_freq, _end(job, record))
        hooks.end(history)
    return record, history


def _train(engine: EngineProtocol, optimizer: Optimizer, job: Fit, record: Record) -> None:
    """Train, in the engine or, for a rule that asks for the loss on its way, around it."""
    if isinstance(optimizer, LBFGS):
        from fastbp import lbfgs

        lbfgs.Training(engine, optimizer, job, record).run()
    else:
        engine.fit(job, record)


def _end(job: Fit, record: Record) -> str:
    """Return what ended a fit."""
    if record.diverged:
        return "divergence"
    loss = record.curves["loss"][-1] if record.epochs else math.nan
    if job.stop_at_loss is not None and loss <= job.stop_at_loss:
        return "stop_at_loss"
    return "callback" if record.epochs < job.epochs else "epochs"


def shortfall(job: Fit, record: Record) -> tuple[str, type[Warning]] | None:
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
