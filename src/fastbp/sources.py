"""Where `Batches` reads rows that can be read from any place: arrays, files, sets of rows."""

from __future__ import annotations

import os
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.lib.format import open_memmap

from fastbp import data, mapped
from fastbp.items import Counts, Parts, argument_of, copy_rows, named
from fastbp.tensors import Shape

# So many are read in milliseconds.
BYTES_AT_ONCE = 1 << 22


class Kind(NamedTuple):
    """What one of the arrays is made of."""

    shape: Shape  # of a row
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))


Kinds: TypeAlias = dict[str, Kind]
"""Of inputs, and of targets and sample weights where there are any; named as `Parts`."""


class Source(Protocol):
    """Rows that can be read from any place.

    Attributes
    ----------
    rows : int
        How many there are, at least 1.
    at_once : int
        How many to read before a look whether they are wanted still.
    """

    rows: int
    at_once: int

    def kinds(self, counts: Counts) -> Kinds:
        """Return what rows are made of, for a network of so many inputs and outputs."""

    def read(self, start: int, stop: int, into: Parts, counts: Counts) -> None:
        """Copy rows [start, stop) to arrays of the kinds."""


class Columns:
    """Arrays, or what can be sliced like one; each may be in parts, and parts may be files.

    Parameters
    ----------
    arrays : dict of str to object
        By name, as in `Parts`.
    """

    def __init__(self, arrays: dict[str, Any]) -> None:
        self._columns = {name: _column(name, value) for name, value in arrays.items()}
        counts = {name: sum(map(len, column)) for name, column in self._columns.items()}
        self.rows = next(iter(counts.values()), 0)
        if not self.rows or argument_of(next(iter(arrays))) != "x":
            raise ValueError("x: expected at least one row, got none")
        for name, n in counts.items():
            if n != self.rows:
                raise ValueError(f"{name}: expected {self.rows} rows as in x, got {n}")
        row_bytes = sum(kind.row_bytes for kind in self.kinds(Counts()).values())
        self.at_once = max(1, BYTES_AT_ONCE // max(1, row_bytes))

    def kinds(self, counts: Counts) -> Kinds:
        """Return what rows are made of, whatever the network is."""
        first = {name: column[0] for name, column in self._columns.items()}
        return {
            name: Kind(tuple(part.shape[1:]), part.dtype.newbyteorder("="))
            for name, part in first.items()
        }

    def read(self, start: int, stop: int, into: Parts, counts: Counts) -> None:
        """Copy rows [start, stop) to arrays of the kinds."""
        for name, to in into.items():
            before = 0
            for part in self._columns[name]:
                first, last = max(start - before, 0), min(stop - before, len(part))
                if first < last:
                    place = before + first - start
                    here = to[place : place + last - first]
                    if isinstance(part, mapped.FileRows):
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
    return mapped.planned(parts)


def _part(argument: str, value: Any) -> Any:
    """Return an array, or what can be sliced like one."""
    if isinstance(value, str | os.PathLike):
        value = _mapped(argument, value)
    if not is_sliced(value):
        value = data.real_array(argument, value)
    if not value.shape:
        raise ValueError(f"{argument}: expected rows, got a single number")
    if isinstance(value, np.memmap):
        return mapped.rows_of(value, argument) or value.view(np.ndarray)
    return value


def _mapped(argument: str, path: str | os.PathLike[str]) -> Any:
    """Return what is in a .npy file."""
    try:
        return open_memmap(path, mode="r")
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{argument}: expected the path of a .npy file of numbers, got {path}: {error}"
        ) from None


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

    at_once = 1  # a row may take long

    def __init__(self, source: Any) -> None:
        self._source = source
        self.rows = len(source)
        if not self.rows:
            raise ValueError("x: expected at least one row, got none")

    def kinds(self, counts: Counts) -> Kinds:
        """Return what rows are made of, for a network of so many inputs and outputs."""
        row = self._row(0, counts)
        return {name: Kind(part.shape, part.dtype) for name, part in row.items()}

    def read(self, start: int, stop: int, into: Parts, counts: Counts) -> None:
        """Copy rows [start, stop) to arrays of the kinds."""
        for row in range(start, stop):
            place = {name: to[row - start : row - start + 1] for name, to in into.items()}
            parts = {name: part[None] for name, part in self._row(row, counts).items()}
            copy_rows(parts, place, f"row {row}")

    def _row(self, row: int, counts: Counts) -> Parts:
        parts = named(self._source[row], counts, dimensions=0)
        return {name: data.real_array(name, part) for name, part in parts.items()}
