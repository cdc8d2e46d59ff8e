"""Callbacks that write what they see to files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, TextIO

from fastbp import validate
from fastbp.callbacks.base import Callback

if TYPE_CHECKING:
    from fastbp.history import History


class CSVLogger(Callback):
    """Writes a line of comma-separated values for each epoch: its number and its values.

    Each line is in the file when the next epoch begins. Values that an epoch does not have, those
    of validation between two of them, are left empty. Metrics of several values are left out.

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
        self.path = os.fspath(path)  # no pathlib, to spare `import fastbp`
        self.append = validate.flag("append", append)
        self._file: TextIO | None = None
        self._writer: Any = None

    def on_train_begin(self) -> None:
        import csv  # here for the same reason

        heading = ("epoch", *self.numbers())
        has_heading = self.append and self._has_heading(heading)
        mode: Literal["a", "w"] = "a" if self.append else "w"
        self._file = open(self.path, mode, newline="", encoding="utf-8")  # noqa: SIM115
        self._writer = csv.DictWriter(self._file, heading, extrasaction="ignore")
        if not has_heading:
            self._writer.writeheader()
            self._file.flush()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        assert self._file is not None
        self._writer.writerow({"epoch": epoch, **logs})
        self._file.flush()

    def on_train_end(self, history: History) -> None:
        if self._file is not None:
            self._file.close()
            self._file = self._writer = None

    def _has_heading(self, expected: tuple[str, ...]) -> bool:
        """Whether the file has lines already, which must be under this heading."""
        if not os.path.exists(self.path) or not os.path.getsize(self.path):
            return False
        with open(self.path, encoding="utf-8") as file:
            found = tuple(file.readline().rstrip("\n").split(","))
        if found != expected:
            raise ValueError(
                f"path: expected a file with the columns {', '.join(expected)}, "
                f"got {', '.join(found)} in {self.path}"
            )
        return True
