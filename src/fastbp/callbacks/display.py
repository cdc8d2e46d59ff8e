"""The progress display of a fit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from fastbp.callbacks.base import Callback
from fastbp.engine import Progress
from fastbp.progress import StatusLine, is_watched

if TYPE_CHECKING:
    from fastbp.history import History

BAR_FORMAT = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"


class ProgressDisplay(Callback):
    """Shows how far a fit is: epoch, loss, metrics and the time left.

    A bar of tqdm on a terminal or in a notebook, if tqdm is installed; else a line. `fit` adds one
    where `verbose` asks for it.

    Parameters
    ----------
    stream : text file, default sys.stderr
        Where it writes.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._view: _View | None = None

    def on_train_begin(self) -> None:
        stream = sys.stderr if self._stream is None else self._stream
        tqdm = _tqdm() if is_watched(stream) else None
        self._view = _Bar(tqdm, self.epochs, stream) if tqdm else _Line(self.epochs, stream)

    def on_progress(self, progress: Progress) -> None:
        assert self._view is not None
        self._view.show(progress)

    def on_train_end(self, history: History) -> None:
        assert self._view is not None
        last = {name: curve[-1] for name, curve in history.items() if curve}
        self._view.close(history.epochs, last)
        self._view = None


class _View(Protocol):
    """What a display looks like."""

    def show(self, progress: Progress) -> None:
        """Show where the fit is."""

    def close(self, epochs: int, last: dict[str, Any]) -> None:
        """Show how many epochs were completed, and the values of the last."""


class _Line:
    """A line, rewritten in place or written anew now and then."""

    def __init__(self, epochs: int, stream: TextIO) -> None:
        self._epochs = epochs
        self._line = StatusLine(stream)

    def show(self, progress: Progress) -> None:
        if not self._line.is_due():
            return
        done = _done(progress)
        where = f"epoch {_running(progress)}/{self._epochs}  {done / self._epochs:4.0%}"
        figures, left = _figures(_values(progress)), self._line.left(done / self._epochs)
        self._line.write(f"{where}  {figures}  {left}")

    def close(self, epochs: int, last: dict[str, Any]) -> None:
        took = self._line.taken()
        self._line.write(f"epoch {epochs}/{self._epochs}  {_figures(last)}  {took}")
        self._line.end()


class _Bar:
    """A bar of tqdm."""

    def __init__(self, tqdm: Any, epochs: int, stream: TextIO) -> None:
        self._epochs = epochs
        self._bar = tqdm(total=epochs, file=stream, mininterval=0, bar_format=BAR_FORMAT)

    def show(self, progress: Progress) -> None:
        self._draw(_done(progress), _running(progress), _values(progress))

    def close(self, epochs: int, last: dict[str, Any]) -> None:
        self._draw(epochs, epochs, last)
        self._bar.close()

    def _draw(self, done: float, epoch: int, values: dict[str, Any]) -> None:
        self._bar.n = done
        self._bar.set_description_str(f"epoch {epoch}/{self._epochs}", refresh=False)
        self._bar.set_postfix_str(_figures(values), refresh=False)
        self._bar.refresh()


def _tqdm() -> Any:
    """Return the class of bars that suits the program, without a thread of its own; or None."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0

    return Bar


def _done(progress: Progress) -> float:
    """Return how many epochs are done, with the share of the running one where that is known."""
    return progress.epoch + (progress.batch / progress.batches if progress.batches else 0)


def _running(progress: Progress) -> int:
    return min(progress.epoch + 1, progress.epochs)


def _values(progress: Progress) -> dict[str, float]:
    return {"loss": progress.loss, **progress.metrics}


def _figures(values: dict[str, Any]) -> str:
    """Return values in short; a metric of several has no place in a line."""
    numbers = {name: value for name, value in values.items() if isinstance(value, float)}
    return "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
