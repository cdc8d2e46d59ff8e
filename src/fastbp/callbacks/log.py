"""Callbacks that write what they see to files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from fastbp import validate
from fastbp.callbacks.base import Callback

if TYPE_CHECKING:
    from fastbp.history import History


class CSVLogger(Callback):
    """Writes a line of comma-separated values for each epoch: its number and its values.

    Each line is in the file when the next epoch begins. Values that an epoch does not have, those
    of validation between two of them, are left empty.

    Parameters
    ----------
    path : str or path
        The file.
    append : bool, default False
        Whether to go on behind the lines of an earlier fit, under their heading, or to write anew.
        Epochs are counted from 0 in each fit.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    OSError
        From `fit`, if the file can't be written.
    ValueError
        From `fit`, if the file to go on with has another heading.
    """

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"path: expected a path, got {type(path).__name__} {path!r}")
        self.path = Path(path)
        self.append = validate.flag("append", append)
        self._file: TextIO | None = None
        self._writer: Any = None

    def on_train_begin(self) -> None:
        import csv  # here, to spare `import fastbp`

        heading = ("epoch", *self.names)
        has_heading = self.append and self._has_heading(heading)
        self._file = self.path.open("a" if self.append else "w", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, heading, extrasaction="ignore")
        if not has_heading:
            self._writer.writeheader()
            self._file.flush()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        assert self._file is not None
        self._writer.writerow({"epoch": epoch, **logs})
        self._file.flush()

    def on_train_end(self, history: History) -> None:
        if self._file is not None:
            self._file.close()
            self._file = self._writer = None

    def _has_heading(self, expected: tuple[str, ...]) -> bool:
        """Whether the file has lines already, which must be under this heading."""
        if not self.path.exists() or not self.path.stat().st_size:
            return False
        with self.path.open(encoding="utf-8") as file:
            found = tuple(file.readline().rstrip("\n").split(","))
        if found != expected:
            raise ValueError(
                f"path: expected a file with the columns {', '.join(expected)}, "
                f"got {', '.join(found)} in {self.path}"
            )
        return True
