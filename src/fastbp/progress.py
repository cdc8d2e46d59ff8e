"""The progress of a fit or another long piece of work: one line, rewritten in place."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, TextIO

from fastbp.engine import Progress, Record

# Where lines can't be rewritten, in a log file say, a new one comes at most this often.
SECONDS_BETWEEN_LINES = 1.0


class StatusLine:
    """One line that says how far some work is.

    On a terminal or in a notebook it is rewritten in place; elsewhere a new one is written now and
    then.

    Parameters
    ----------
    stream : text file, default sys.stderr
        Where it is written.
    seconds_between_lines : float, default 1.0
        How often at most a new one comes where it can't be rewritten.
    """

    def __init__(
        self, stream: TextIO | None = None, seconds_between_lines: float = SECONDS_BETWEEN_LINES
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._rewrites = is_watched(self._stream)
        self._pause = seconds_between_lines
        self._began = time.monotonic()
        self._line_at = self._began
        self._width = 0

    def is_due(self) -> bool:
        """Whether it is time to write; if so, the pause until the next one begins."""
        now = time.monotonic()
        if not self._rewrites and now - self._line_at < self._pause:
            return False
        self._line_at = now
        return True

    def left(self, done: float) -> str:
        """Return the time left when the share `done` of the work is; nothing at the start."""
        seconds = (time.monotonic() - self._began) * (1 - done) / done if done else None
        return "" if seconds is None else f"{duration(seconds)} left"

    def taken(self) -> str:
        """Return the time since the beginning."""
        return duration(time.monotonic() - self._began)

    def write(self, line: str) -> None:
        """Write the line, over the last one where that can be done."""
        if not self._rewrites:
            print(line, file=self._stream, flush=True)
            return
        line = line[: _columns(self._stream) - 1]  # one that wraps can't be rewritten
        # Blanks wipe what a longer line left; notebooks know no escape code for it.
        print("\r" + line.ljust(self._width), end="", file=self._stream, flush=True)
        self._width = len(line)

    def wipe(self) -> None:
        """Make room for what others print."""
        if self._rewrites and self._width:
            print("\r" + " " * self._width + "\r", end="", file=self._stream, flush=True)
            self._width = 0

    def end(self) -> None:
        """Leave the line as it stands, and go to the next."""
        if self._rewrites:
            print(file=self._stream, flush=True)


class ProgressDisplay:
    """Shows how far a fit is: epoch, loss, metrics and the time left.

    An object to be called with each `Progress`, and closed with the `Record` of the whole fit.

    Parameters
    ----------
    epochs : int
        Epochs asked for.
    stream : text file, default sys.stderr
        Where it writes.
    """

    def __init__(self, epochs: int, stream: TextIO | None = None) -> None:
        self._epochs = epochs
        self._line = StatusLine(stream)

    def __call__(self, progress: Progress) -> None:
        """Show where the fit is."""
        if not self._line.is_due():
            return
        done = (progress.epoch + progress.batch / progress.batches) / self._epochs
        running = min(progress.epoch + 1, self._epochs)
        figures = _figures({"loss": progress.loss, **progress.metrics})
        left = self._line.left(done)
        self._line.write(f"epoch {running}/{self._epochs}  {done:4.0%}  {figures}  {left}")

    def close(self, record: Record) -> None:
        """Write the last line: epochs completed, their last figures and the time taken."""
        last = {name: curve[-1] for name, curve in record.curves.items() if curve}
        took = self._line.taken()
        self._line.write(f"epoch {record.epochs}/{self._epochs}  {_figures(last)}  {took}")
        self._line.end()


def wanted(verbose: Any) -> bool:
    """Whether `verbose` (0, 1 or "auto") asks for a display here."""
    if verbose == "auto":
        return is_watched(sys.stderr)
    if isinstance(verbose, int) and verbose in (0, 1):
        return bool(verbose)
    raise ValueError(f"verbose: expected 'auto', 0 or 1, got {verbose!r}")


def is_watched(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal, or the program a notebook, where a line can be rewritten."""
    if stream is None:
        return False
    return "ipykernel" in sys.modules or stream.isatty()


def duration(seconds: float) -> str:
    """Return a time as people read it: "0.4 s", "12 s", "3:05", "1:02:03"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _figures(figures: dict[str, Any]) -> str:
    """Return the loss and metrics in short; a metric of several values has no place in a line."""
    numbers = {name: value for name, value in figures.items() if isinstance(value, float)}
    return "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
