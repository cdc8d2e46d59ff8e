"""Between a fit and its callbacks: who is called where, and what comes of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastbp.callbacks.base import Callback, StopTraining, is_asked
from fastbp.engine import Fit
from fastbp.watch import Watch, watched_layers

if TYPE_CHECKING:
    from fastbp.history import History
    from fastbp.network import Network
    from fastbp.occupancy import Occupancy
    from fastbp.plan import Plan

# The places at which an engine calls, by their name in `Fit` and in `Callback`.
PLACES = "on_epoch_begin", "on_batch_end", "on_epoch_end", "on_progress"


class Hooks:
    """The callbacks of one fit.

    Parameters
    ----------
    callbacks : tuple of Callback
        In the order in which they are called.
    occupancy : Occupancy
        Of the network, which this thread holds, and lets them in.
    """

    def __init__(self, callbacks: tuple[Callback, ...], occupancy: Occupancy) -> None:
        self._callbacks = callbacks
        self._letting_in = occupancy.visited()
        self._begun: list[Callback] = []

    def watch(self, plan: Plan) -> Watch | None:
        """Return what the engine is to record of steps for one of the callbacks."""
        asked = [callback for callback in self._callbacks if is_asked(callback, "watches")]
        if len(asked) > 1:
            raise ValueError(
                f"callbacks: expected one GradientMonitor at most, got {len(asked)}; leave one out"
            )
        return asked[0].watches(watched_layers(plan)) if asked else None

    def calls(self, place: str) -> Callable[..., bool] | None:
        """Return what a `Fit` is to call at one of `PLACES`, if someone asks for it."""
        asked = [getattr(each, place) for each in self._callbacks if is_asked(each, place)]
        return functools.partial(self._call, asked) if asked else None

    def prepare(self, network: Network, job: Fit) -> None:
        """Tell all callbacks about the fit, which they may refuse."""
        for callback in self._callbacks:
            callback.prepare(network, job.epochs, job.names)

    def begin(self) -> bool:
        """Call all `on_train_begin`; whether one of them stops the training."""
        stops = False
        for callback in self._callbacks:
            stops |= self._call([callback.on_train_begin])
            self._begun.append(callback)
        return stops

    def end(self, history: History) -> None:
        """Call `on_train_end` of all that have begun, whatever one of them raises."""
        if self._begun:
            try:
                self._call([self._begun.pop(0).on_train_end], history)
            finally:
                self.end(history)

    def _call(self, methods: list[Callable[..., Any]], *arguments: Any) -> bool:
        """Call them with the network open to them; whether one of them stops the training."""
        stops = False
        with self._letting_in:
            for method in methods:
                try:
                    method(*arguments)
                except StopTraining:
                    stops = True
        return stops
