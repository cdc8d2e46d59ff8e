"""A callback that stands between a fit and others, as where an estimator fits a network."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastbp import arguments
from fastbp.callbacks.base import Callback, StopTraining, is_asked
from fastbp.callbacks.hooks import Hooks
from fastbp.engine import Record
from fastbp.history import History
from fastbp.occupancy import Occupancy

if TYPE_CHECKING:
    from fastbp.network import Network
    from fastbp.watch import Watch, WatchedLayer

AS_IT_IS = "on_epoch_begin", "on_batch_end", "on_progress"


class Relay(Callback):
    """Passes on what a fit calls: as it is, but for the ends of epochs.

    A subclass says what values these have, by `names`, and tells of them.

    Parameters
    ----------
    network : Network
        Whose fit it will be.
    callbacks : iterable of Callback
        Whom to call.
    """

    def __init__(self, network: Network, callbacks: Iterable[Callback]) -> None:
        self.network = network
        self.callbacks = arguments.callback_list(callbacks, verbose=0)
        self._hooks = Hooks(self.callbacks, Occupancy())  # that of the network lets the relay in
        self._record = Record()
        # What nobody asks for is left alone, for else training would come back to Python for it.
        for place in AS_IT_IS:
            if calls := self._hooks.calls(place):
                setattr(self, place, functools.partial(self._pass_on, calls))
        self._on_epoch_end = self._hooks.calls("on_epoch_end")
        if any(is_asked(callback, "watches") for callback in self.callbacks):
            self.watches = self._watches  # type: ignore[method-assign]

    def prepare(self, network: Network, epochs: int, names: tuple[str, ...]) -> None:
        super().prepare(network, epochs, names)
        self._record = Record(curves={name: [] for name in names})
        for callback in self.callbacks:
            callback.prepare(network, epochs, names)

    def _watches(self, layers: tuple[WatchedLayer, ...]) -> Watch | None:
        return self._hooks.watch(self.network.plan)

    def begin(self) -> None:
        """Call all `on_train_begin`.

        Not a method of that name: it may raise, and the relay must have begun by then, for those
        that have begun to be ended.
        """
        if self._hooks.begin():
            raise StopTraining

    def tell(self, epoch: int, values: dict[str, Any]) -> bool:
        """Put the values of an epoch on record and call all `on_epoch_end`; whether one stops."""
        self._record.epochs += 1
        for name, curve in self._record.curves.items():
            curve.append(values[name])
        return self._on_epoch_end is not None and self._on_epoch_end(epoch, values)

    def on_train_end(self, history: History) -> None:
        self._hooks.end(History(self._record, (), ended=history.ended))

    def _pass_on(self, calls: Callable[..., bool], *arguments: Any) -> None:
        if calls(*arguments):
            raise StopTraining
