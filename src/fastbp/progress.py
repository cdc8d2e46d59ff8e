"""The progress display of a fit: one line, rewritten in place."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, TextIO

from fastbp.engine import Progress, Record

# Where lines can't be rewritten, in a log file say, a new one comes at most this often.
SECONDS_BETWEEN_LINES = 1.0


class ProgressDisplay:
    """Shows how far a fit is: epoch, loss, metrics and the time left.

    An object to be called with each `Progress`, and closed with the `Record` of the whole fit. On a
    terminal or in a notebook it rewrites one line; elsewhere it writes a new line now and then.

    Parameters
    ----------
    epochs : int
        Epochs asked for.
    stream : text file, default sys.stderr
        Where it writes.
    """

    def __init__(self, epochs: int, stream: TextIO | None = None) -> None:
        self._epochs = epochs
        self._stream = sys.stderr if stream is None else stream
        self._rewrites = is_watched(self._stream)
        self._began = time.monotonic()
        self._line_at = self._began
        self._width = 0

    def __call__(self, progress: Progress) -> None:
        """Show where the fit is."""
        now = time.monotonic()
        if not self._rewrites and now - self._line_at < SECONDS_BETWEEN_LINES:
            return
        self._line_at = now
        done = (progress.epoch + progress.batch / progress.batches) / self._epochs
        running = min(progress.epoch + 1, self._epochs)
        figures = {"loss": progress.loss, **progress.metrics}
        seconds = (now - self._began) * (1 - done) / done if done else None
        left = "" if seconds is None else f"{duration(seconds)} left"
        line = f"epoch {running}/{self._epochs}  {done:4.0%}  {_figures(figures)}  {left}"
        # A line that wraps can't be rewritten.
        self._write(line[: _columns(self._stream) - 1] if self._rewrites else line)

    def close(self, record: Record) -> None:
        """Write the last line: epochs completed, their last figures and the time taken."""
        last = {name: curve[-1] for name, curve in record.curves.items() if curve}
        took = duration(time.monotonic() - self._began)
        self._write(f"epoch {record.epochs}/{self._epochs}  {_figures(last)}  {took}")
        if self._rewrites:
            print(file=self._stream, flush=True)

    def _write(self, line: str) -> None:
        if not self._rewrites:
            print(line, file=self._stream, flush=True)
            return
        # Blanks wipe what a longer line left; notebooks know no escape code for it.
        print("\r" + line.ljust(self._width), end="", file=self._stream, flush=True)
        self._width = len(line)


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


def _figures(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
