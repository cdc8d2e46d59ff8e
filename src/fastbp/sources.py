"""Where `Batches` reads its rows: arrays, files, sets of rows, and whatever yields pieces."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from fastbp import data
from fastbp.engine import Array
from fastbp.tensors import Shape

Parts: TypeAlias = tuple[Any, ...]
"""x, or (x, y), or (x, y, sample_weight)."""

NAMES = "x", "y", "sample_weight"


class Kind(NamedTuple):
    """What one of the arrays is made of."""

    shape: Shape  # of a row
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))


class Source(Protocol):
    """Rows that can be read from any place.

    Attributes
    ----------
    rows : int
        How many there are, at least 1.
    kinds : tuple of Kind
        Of inputs, and of targets and sample weights where there are any.
    """

    rows: int
    kinds: tuple[Kind, ...]

    def read(self, start: int, stop: int, into: list[Array]) -> None:
        """Copy rows [start, stop) to arrays of the kinds."""


class Columns:
    """Arrays, or what can be sliced like one; each may be in parts, and parts may be files.

    Parameters
    ----------
    arrays : dict of str to object
        By the name of the argument.
    """

    def __init__(self, arrays: dict[str, Any]) -> None:
        self._columns = [_column(name, value) for name, value in arrays.items()]
        self.rows = sum(map(len, self._columns[0]))
        if not self.rows:
            raise ValueError("x: expected at least one row, got none")
        for name, column in zip(arrays, self._columns, strict=True):
            n = sum(map(len, column))
            if n != self.rows:
                raise ValueError(f"{name}: expected {self.rows} rows as in x, got {n}")
        self.kinds = tuple(
            Kind(tuple(column[0].shape[1:]), column[0].dtype.newbyteorder("="))
            for column in self._columns
        )

    def read(self, start: int, stop: int, into: list[Array]) -> None:
        """Copy rows [start, stop) to arrays of the kinds."""
        for column, to in zip(self._columns, into, strict=True):
            before = 0
            for part in column:
                first, last = max(start - before, 0), min(stop - before, len(part))
                if first < last:
                    place = before + first - start
                    here = to[place : place + last - first]
                    if isinstance(part, FileRows):
                        part.read(first, here)
                    else:
                        here[...] = part[first:last]
                before += len(part)


def _column(argument: str, value: Any) -> list[Any]:
    """Return the parts of one of the arrays, which agree in dtype and shape of rows."""
    in_parts = isinstance(value, list) and all(
        isinstance(part, str | os.PathLike) or getattr(part, "shape", ()) for part in value
    )
    parts = [_part(argument, part) for part in (value if in_parts and value else [value])]
    first = parts[0]
    for part in parts:
        if part.dtype.kind not in "biuf":
            raise TypeError(f"{argument}: expected real numbers, got dtype {part.dtype}")
        if (part.shape[1:], part.dtype) != (first.shape[1:], first.dtype):
            raise ValueError(
                f"{argument}: expected parts of one kind, got rows of shape {first.shape[1:]} and "
                f"dtype {first.dtype} and of shape {part.shape[1:]} and dtype {part.dtype}"
            )
    return parts


def _part(argument: str, value: Any) -> Any:
    """Return an array, or what can be sliced like one."""
    if isinstance(value, str | os.PathLike):
        value = np.load(value, mmap_mode="r", allow_pickle=False)
    if not is_sliced(value):
        value = data.real_array(argument, value)
    if not value.shape:
        raise ValueError(f"{argument}: expected rows, got a single number")
    if isinstance(value, np.memmap):
        return _rows_of_file(value) or value.view(np.ndarray)
    return value


class FileRows(NamedTuple):
    """Rows that stand in a file one behind the other.

    Reading them is quicker than copying them from where they are mapped into memory: a block at a
    random place was seen to come at 570 MB/s against 190, for the kernel reads around a page that
    is missing. And a file that has become shorter is an error, not the end of the process.
    """

    path: str
    offset: int
    shape: Shape
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, first: int, into: Array) -> None:
        """Fill an array with rows, from `first` on."""
        row_bytes = Kind(self.shape[1:], self.dtype).row_bytes
        left = memoryview(into.reshape(-1).view(np.uint8).data)
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.offset + first * row_bytes)
            while left:
                count = file.readinto(left)
                if not count:
                    raise ValueError(f"x: expected {self.shape[0]} rows in {self.path}, got fewer")
                left = left[count:]


def _rows_of_file(array: np.memmap[Any, Any]) -> FileRows | None:
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
    rows = FileRows(str(root.filename), root.offset + here - begin, array.shape, array.dtype)
    return rows if _has_rows_of(rows, array) else None


def _has_rows_of(rows: FileRows, array: Array) -> bool:
    """Whether the file of that name is the one that was mapped, as its ends tell."""
    ends = np.empty((2, *rows.shape[1:]), rows.dtype)
    try:
        rows.read(0, ends[:1])
        rows.read(len(rows) - 1, ends[1:])
    except (OSError, ValueError):  # it has been removed, or another one has its name
        return False
    return ends.tobytes() == array[[0, -1]].tobytes()


def is_sliced(value: Any) -> bool:
    """Whether `value` has the shape, the dtype and the slices of an array of NumPy."""
    return isinstance(getattr(value, "shape", None), tuple) and isinstance(
        getattr(value, "dtype", None), np.dtype
    )


class RowByRow:
    """A set that gives rows one by one: ``source[i]`` is x, (x, y) or (x, y, sample_weight).

    Parameters
    ----------
    source : object with __len__ and __getitem__
        The set.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self.rows = len(source)
        if not self.rows:
            raise ValueError("x: expected at least one row, got none")
        self.kinds = tuple(Kind(a.shape, a.dtype) for a in self._row(0))

    def read(self, start: int, stop: int, into: list[Array]) -> None:
        """Copy rows [start, stop) to arrays of the kinds."""
        for row in range(start, stop):
            place = [to[row - start : row - start + 1] for to in into]
            copy_rows([part[None] for part in self._row(row)], place, f"row {row}")

    def _row(self, row: int) -> list[Array]:
        return [data.real_array(name, part) for name, part in named(self._source[row])]


def named(item: Any) -> Iterator[tuple[str, Any]]:
    """Go through the arrays of an item, each with the name of its argument."""
    parts = tuple(item) if isinstance(item, tuple | list) else (item,)
    if not 1 <= len(parts) <= len(NAMES):
        raise ValueError(
            f"x: expected items x, (x, y) or (x, y, sample_weight), got one of {len(parts)} parts"
        )
    return zip(NAMES, parts, strict=False)


def copy_rows(parts: Sequence[Array], into: Sequence[Array], where: str) -> None:
    """Copy arrays to where they belong, if they are of the kind that is kept there."""
    if len(parts) != len(into):
        raise ValueError(f"x: expected {len(into)} arrays in {where} as before, got {len(parts)}")
    for name, part, to in zip(NAMES, parts, into, strict=False):
        if part.shape[1:] != to.shape[1:] or len(part) != len(to):
            raise ValueError(
                f"{name}: expected rows of shape {to.shape[1:]} as before, "
                f"got {part.shape[1:]} in {where}"
            )
        # A float that is too large for its type is found with the others; an integer would wrap.
        if not np.can_cast(part.dtype, to.dtype, "same_kind" if to.dtype.kind == "f" else "safe"):
            raise ValueError(f"{name}: expected {to.dtype} as before, got {part.dtype} in {where}")
        with np.errstate(over="ignore"):  # the look at each batch finds it
            to[...] = part


class Items:
    """What yields items one after the other, as often as it can.

    Parameters
    ----------
    source : iterable, iterator, or callable that returns one of them
        A callable and an iterable are gone through anew, an iterator once.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self.is_repeatable = callable(source) or iter(source) is not source
        self._items: Iterator[Any] | None = None
        self._ahead: list[Any] = []

    def anew(self) -> Items:
        """Return the same items from the first on, if they can be gone through again."""
        return Items(self._source) if self.is_repeatable else self

    def first(self) -> Any:
        """Return the first item, which `next` returns again."""
        if not self._ahead:
            try:
                self._ahead.append(self.next())
            except StopIteration:
                raise ValueError("x: expected batches of rows, got none at all") from None
        return self._ahead[0]

    def next(self) -> Any:
        """Return the next item; StopIteration at the end, behind which it begins anew."""
        if self._ahead:
            return self._ahead.pop()
        if self._items is None:
            self._items = self._begun()
        try:
            return next(self._items)
        except StopIteration:
            if self.is_repeatable:
                self._items = None
            raise

    def _begun(self) -> Iterator[Any]:
        items = self._source() if callable(self._source) else self._source
        try:
            return iter(items)
        except TypeError:
            raise TypeError(
                f"x: expected a function that returns what can be gone through, "
                f"got one that returns {type(items).__name__}"
            ) from None

    def next_for(self, steps: int) -> Any:
        """Return the next item of an epoch of so many batches, anew from the end if need be."""
        try:
            return self.next()
        except StopIteration:
            if not self.is_repeatable:
                raise ValueError(
                    f"x: expected {steps} batches in each epoch, as steps_per_epoch says, "
                    f"got an end before"
                ) from None
            self.first()
            return self.next()

    def require_epochs(self, epochs: int | None, steps: int | None) -> None:
        """Refuse more epochs than there are of what can be gone through once."""
        if epochs != 1 and steps is None and not self.is_repeatable:
            raise ValueError(
                "x: expected what can be gone through again for each epoch, as a function that "
                "returns a generator, got what can be gone through once; or pass steps_per_epoch"
            )
