"""Rows that stand in files, which are read as files, whether they come mapped into memory or not.

Reading them is quicker than copying them from where they are mapped: a block at a random place was
seen to come at 570 MB/s against 190, for the kernel reads around a page that is missing. And a file
that has become shorter is an error, not the end of the process.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastbp.engine import Array
from fastbp.tensors import Shape

# What a direct read begins and ends at: no disk has larger sectors.
SECTOR = 4096
# Read directly at a time, to a page of the large kind: of 4 KB the kernel has to find each, which
# takes 2.5 times as long.
LARGE_PAGE = 1 << 21

_own = threading.local()


@dataclass(frozen=True)
class FileRows:
    """Rows one behind the other in a file.

    Attributes
    ----------
    argument : str
        What errors call them.
    path : str
        The file.
    number : int
        What the system calls it, whatever its path: another file that takes its name is an error.
    offset : int
        Where the first row begins, in bytes.
    shape : tuple of int
        Of all rows.
    dtype : dtype
        Native.
    directly : bool
        Whether to read past the page cache. What goes through it costs four times the processor
        time of a copy, for pages are taken from other files and entered for this one; that pays
        where they are still there when a row is read again.
    """

    argument: str
    path: str
    number: int
    offset: int
    shape: Shape
    dtype: np.dtype[Any]
    directly: bool = False

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, first: int, into: Array) -> None:
        """Fill an array with rows, from `first` on."""
        row_bytes = into[:1].nbytes
        place = memoryview(into.reshape(-1).view(np.uint8).data)
        start = self.offset + first * row_bytes
        done = self._read_directly(start, place) if self.directly else 0
        self._read_through_cache(start + done, place[done:])

    def _read_through_cache(self, start: int, place: memoryview) -> None:
        with open(self.path, "rb", buffering=0) as file:
            if not self._is_in(file.fileno()):
                raise ValueError(
                    f"{self.argument}: expected {self.path} as it was, got another file of its name"
                )
            file.seek(start)
            while place:
                count = file.readinto(place)
                if not count:
                    raise ValueError(
                        f"{self.argument}: expected {len(self)} rows in {self.path}, got fewer"
                    )
                place = place[count:]

    def _is_in(self, file: int) -> bool:
        """Whether an open file is the one with the rows."""
        return os.fstat(file).st_ino == self.number

    def _read_directly(self, start: int, place: memoryview) -> int:
        """Fill memory as far as that can be done past the cache, and return how far."""
        done, own = 0, _own_memory()
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_DIRECT)
        except OSError:  # a file system that has no such reads
            return 0
        try:
            while done < len(place) and self._is_in(file):
                skipped = (start + done) % SECTOR
                sectors = -(-(skipped + len(place) - done) // SECTOR)
                size = min(sectors * SECTOR, len(own))
                count = os.preadv(file, [own[:size]], start + done - skipped) - skipped
                if count <= 0:
                    break
                count = min(count, len(place) - done)
                place[done : done + count] = own[skipped : skipped + count]
                done += count
        except OSError:
            pass  # the other way tells of an error, if it meets it too
        finally:
            os.close(file)
        return done


def _own_memory() -> memoryview:
    """Return a page of this thread.

    A fork during a read does no harm, for nothing but reads writes there.
    """
    if not hasattr(_own, "memory"):
        memory = np.empty(2 * LARGE_PAGE, np.uint8)
        start = -memory.ctypes.data % LARGE_PAGE
        _own.memory = memory[start : start + LARGE_PAGE].data
    own: memoryview = _own.memory
    return own


def rows_of(array: np.memmap[Any, Any], argument: str) -> FileRows | None:
    """Return where the rows of a mapped array stand in its file, if they stand there as they are.

    A mapping that is copied on writing may differ from the file.
    """
    root: Any = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not isinstance(root, np.memmap) or root.filename is None or root.mode == "c":
        return None
    if not (len(array) and array.flags.c_contiguous and array.dtype.isnative):
        return None
    begin, here = (a.__array_interface__["data"][0] for a in (root, array))
    path, offset = str(root.filename), root.offset + here - begin
    try:
        number = os.stat(path).st_ino
        rows = FileRows(argument, path, number, offset, array.shape, array.dtype)
        return rows if _has_rows_of(rows, array) else None
    except (OSError, ValueError):  # it has been removed, or another one has its name
        return None


def _has_rows_of(rows: FileRows, array: Array) -> bool:
    """Whether the file of that name is the one that was mapped, as its ends tell."""
    ends = np.empty((2, *rows.shape[1:]), rows.dtype)
    rows.read(0, ends[:1])
    rows.read(len(rows) - 1, ends[1:])
    return ends.tobytes() == array[[0, -1]].tobytes()


def planned(parts: list[Any]) -> list[Any]:
    """Return the parts of a column, its files to be read directly if memory can't hold them all.

    Part of a file counts as the whole: others read the rest, as when it is split for validation.
    """
    paths = {part.path for part in parts if isinstance(part, FileRows)}
    if not (paths and hasattr(os, "O_DIRECT")):
        return parts
    from fastbp import memory  # here, for an import of fastbp has no use for its pathlib

    directly = sum(map(os.path.getsize, paths)) > memory.most()
    return [replace(p, directly=directly) if isinstance(p, FileRows) else p for p in parts]
