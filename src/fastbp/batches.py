"""Batches of rows that memory need not hold: read a buffer at a time, ahead of the training."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from fastbp import random, sources, validate
from fastbp.engine import Array, Arrays, Rows
from fastbp.items import Counts, Items, Parts, arrays_of, copy_rows, spread, together
from fastbp.prefetch import Buffer, Chunk, Inline, Prefetch, Room
from fastbp.sources import Kind, Kinds
from fastbp.tensors import Shape
from fastbp.wanted import Wanted

# Read at a time from one place, if nothing else is said, and kept in a buffer.
BLOCK_BYTES, BLOCKS = 1 << 20, 16
# Losses are summed over so many rows at a time, wherever rows come from.
SUMMED_ROWS = 4096


class Batches:
    """Rows in batches, from more than memory holds: what `fit` takes in place of arrays.

    A thread reads the rows of the next batches while a network trains on those before, into
    buffers that are allocated once. Both are there while something runs, and not in between.

    Parameters
    ----------
    x : array_like, path, list of these, tuple of all that, set of rows, iterable or callable
        Inputs. Arrays, memory-mapped files and whatever else has a shape, a dtype and slices (as
        data sets of HDF5 and Zarr); the path of a .npy file; a list of such, one behind the other.
        A tuple has one of these for each of several inputs.
        Or, without `y`, a set of rows: an object with ``__len__`` whose ``x[i]`` is a row as
        (x, y) or (x, y, sample_weight), as in PyTorch. Or what yields pieces of any number of rows
        as (x, y) or (x, y, sample_weight): an iterable, or a function that returns one. In these,
        what belongs to several inputs or outputs is a tuple or a list.
    y, sample_weight : as `x`, optional
        Targets and what rows count, as in `fit`, where `x` does not bring them. A tuple for several
        outputs; sample weights may be None for some of them, or one array for all.
    batch_size : int, default 32
        Rows of a batch; the last one of an epoch may be smaller.
    shuffle : {"block", True, False}, default "block"
        Whether rows come in an order of their own in each epoch, the same for the same seed of the
        network, whatever `prefetch` and the number of threads: blocks of `block_rows` rows come in
        a random order, and `buffer_rows` rows at a time, from one block after the other, are
        shuffled among each other. With one block and one buffer over all rows it is the order of
        `fit` with arrays. Pieces come as they are yielded; only rows in the buffer are shuffled.
        True is the same as "block".
    block_rows : int, optional
        Rows that are read from one place; left out, those of 1 MiB.
    buffer_rows : int, optional
        Rows in memory at a time, rounded up to whole updates; left out, those of 16 MiB.
    prefetch : int, default 1
        Buffers that are filled ahead, beside the one in use. 0: no thread, and rows are read when
        it is their turn.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or numbers of rows don't agree.

    Notes
    -----
    A row that is not finite ends a fit at the batch before. What a source raises in the thread is
    raised by `fit`, with its traceback, when it is the turn of the rows that it was to read.
    With `steps_per_epoch`, a fit leaves out what is left of its last piece, and of the rows that
    were read ahead if it ends early.
    Evaluation and prediction take the rows in their order.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int = 32,
        shuffle: str | bool = "block",
        block_rows: int | None = None,
        buffer_rows: int | None = None,
        prefetch: int = 1,
    ) -> None:
        self._source = _source(x, y, sample_weight)
        self.batch_size = validate.integer("batch_size", batch_size, 1)
        self.shuffle = _is_shuffled(shuffle)
        self.block_rows = _rows_or_none("block_rows", block_rows)
        self.buffer_rows = _rows_or_none("buffer_rows", buffer_rows)
        self.prefetch = validate.integer("prefetch", prefetch, 0)
        if isinstance(self._source, Items) and block_rows is not None:
            raise ValueError("block_rows: expected None beside pieces, which are blocks themselves")

    def __repr__(self) -> str:
        rows = "unknown" if self.rows is None else f"{self.rows:,}"
        return f"<Batches of {self.batch_size}: {rows} rows>"

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        if self.rows is None:
            raise TypeError("Batches: expected a known number of rows, got pieces")
        return -(-self.rows // self.batch_size)

    @property
    def rows(self) -> int | None:
        """How many rows there are, or None where that shows at their end."""
        return None if isinstance(self._source, Items) else self._source.rows

    def input_shape(self) -> Shape:
        """Return the shape of one row of inputs."""
        if isinstance(self._source, Items):
            return self._source.input_shape()
        shape: Shape = together(self._source.kinds(Counts()), "x", 1).shape
        return shape

    def feed(self, wanted: Wanted) -> ChunkFeed:
        """Return the rows as an engine takes them; nothing is read before the first is taken."""
        if isinstance(self._source, Items):
            self._source.require_epochs(wanted.epochs, wanted.steps)
        elif wanted.steps is not None:
            raise ValueError(
                f"steps_per_epoch: expected None beside {self.rows} rows, got {wanted.steps}"
            )
        return ChunkFeed(self, wanted)

    def inputs(self, counts: Counts) -> Iterator[Arrays]:
        """Go through the inputs alone, in order, in arrays that the next ones overwrite."""
        if isinstance(self._source, Items):
            yield from self._source.inputs(counts)
            return
        kinds = self._source.kinds(counts)
        step = self._buffer_rows(kinds, 1)
        buffer = new_buffer(kinds, min(step, self._source.rows))
        for start in range(0, self._source.rows, step):
            stop = min(start + step, self._source.rows)
            parts = cut(buffer, 0, stop - start)
            self._source.read(start, stop, parts, counts)
            yield together(parts, "x", counts.inputs)

    def _buffer_rows(self, kinds: Kinds, unit: int) -> int:
        """Return the rows of a buffer, a whole number of units."""
        rows = self.buffer_rows or BLOCKS * self._block_rows(kinds)
        return -(-rows // unit) * unit

    def _block_rows(self, kinds: Kinds) -> int:
        row_bytes = sum(kind.row_bytes for kind in kinds.values())
        return self.block_rows or max(1, BLOCK_BYTES // max(1, row_bytes))


class ChunkFeed:
    """The rows of `Batches` on their way to an engine: `fastbp.engine.Feed`.

    Parameters
    ----------
    batches : Batches
        Where they come from.
    wanted : Wanted
        What is wanted of them.
    """

    def __init__(self, batches: Batches, wanted: Wanted) -> None:
        self._batches, self._wanted = batches, wanted
        self._update_rows = batches.batch_size * wanted.accumulate
        self.batches = wanted.steps
        self.rows = batches.rows if wanted.steps is None else wanted.steps * self._update_rows
        self.batch_size: int | None = batches.batch_size
        self.shuffles = batches.shuffle and wanted.shuffles
        self._loading: Inline | None = None

    def take(self) -> Rows | None:
        """Return the next chunk, or None at the end of an epoch."""
        if self._loading is None:
            self._loading = self._begin()
        return self._loading.take()

    def close(self) -> None:
        """Read no more."""
        if self._loading is not None:
            self._loading.close()

    def _begin(self) -> Inline:
        """Allocate the buffers, and start to fill them."""
        kinds = self._kinds()
        self._block_rows = self._batches._block_rows(kinds)
        self._chunk_rows = self._batches._buffer_rows(kinds, self._unit(kinds))
        rows = min(self._chunk_rows, self.rows or self._chunk_rows)
        produce = self._windows if self._batches.rows is not None else self._gathered
        ahead = self._batches.prefetch
        buffers = [new_buffer(kinds, rows) for _ in range(1 + ahead)]
        return Prefetch(produce, buffers) if ahead else Inline(produce, buffers[0])

    def _kinds(self) -> Kinds:
        """Return what rows are made of; of pieces the first one tells, which is kept."""
        source, counts, steps = self._batches._source, self._wanted.counts, self._wanted.steps
        if not isinstance(source, Items):
            return source.kinds(counts)
        self._items = source.anew() if steps is None else source
        first = arrays_of(self._items.first(steps), counts)
        return {name: Kind(array.shape[1:], array.dtype) for name, array in first.items()}

    def _unit(self, kinds: Kinds) -> int:
        """Return what chunks have a whole number of."""
        if self._wanted.trains:
            return self._update_rows
        return SUMMED_ROWS if self._batches._buffer_rows(kinds, 1) >= SUMMED_ROWS else 1

    def _windows(self, room: Room[Buffer]) -> Generator[Chunk | None]:
        """Read chunk by chunk what can be read from any place."""
        source = self._batches._source
        assert not isinstance(source, Items)
        for epoch in self._wanted.numbers():
            blocks = self._blocks(epoch, source.rows)
            for start in range(0, source.rows, self._chunk_rows):
                buffer = room.take()
                rows = min(self._chunk_rows, source.rows - start)
                place = 0
                for first, last in blocks.pieces(start, start + rows, source.at_once):
                    part = cut(buffer, place, place + last - first)
                    source.read(first, last, part, self._wanted.counts)
                    place += last - first
                    room.require_open()
                yield self._chunk(buffer, rows, start)
            yield None

    def _blocks(self, epoch: int, rows: int) -> Blocks:
        size = self._block_rows
        count = -(-rows // size)
        if not self.shuffles:
            return Blocks(np.arange(count), size, rows)
        return Blocks(random.block_order(self._wanted.seed, epoch, count), size, rows)

    def _gathered(self, room: Room[Buffer]) -> Generator[Chunk | None]:
        """Fill chunk by chunk with pieces."""
        pieces = Pieces(self._items, self._wanted.steps, self._wanted.counts)
        try:
            for _ in self._wanted.numbers():
                yield from self._gathered_once(pieces, room)
                yield None
        finally:
            if self._wanted.steps is None:  # else the next fit goes on with them
                self._items.close()

    def _gathered_once(self, pieces: Pieces, room: Room[Buffer]) -> Iterator[Chunk]:
        """Fill chunk by chunk with the pieces of an epoch."""
        taken, most = 0, self.rows if self.rows is not None else math.inf
        while taken < most:
            buffer = room.take()
            room_left = int(min(self._chunk_rows, most - taken))
            rows = pieces.fill(cut(buffer, 0, room_left), room_left, room)
            if rows:
                yield self._chunk(buffer, rows, taken)
            taken += rows
            if rows < room_left:
                break
        if not taken:
            raise ValueError("x: expected rows in each epoch, got none")
        if not rows:
            room.give_back(buffer)

    def _chunk(self, buffer: Buffer, rows: int, start: int) -> Chunk:
        parts = cut(buffer, 0, rows)
        return Chunk(self._wanted.rows_of(parts, f"the rows from {start} on"), buffer)


class Blocks:
    """The blocks of an epoch, one behind the other.

    Parameters
    ----------
    order : ndarray of int
        Numbers of the blocks.
    size : int
        Rows of a block; the last one may have fewer.
    rows : int
        Rows of all of them.
    """

    def __init__(self, order: Array, size: int, rows: int) -> None:
        self._first = order * size
        self._last = np.minimum(self._first + size, rows)
        self._ends = np.cumsum(self._last - self._first)

    def pieces(self, start: int, stop: int, most: int) -> Iterator[tuple[int, int]]:
        """Go through what stands at places [start, stop): begin and end of runs of `most` rows."""
        for first, last in self._runs(start, stop):
            for at in range(first, last, most):
                yield at, min(at + most, last)

    def _runs(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Go through the parts of blocks at places [start, stop): first row and end of each."""
        for block in range(int(np.searchsorted(self._ends, start, side="right")), len(self._ends)):
            last, end = int(self._last[block]), int(self._ends[block])
            if end - (last - int(self._first[block])) >= stop:
                return
            begin = max(start, end - (last - int(self._first[block])))
            yield last - (end - begin), last - max(0, end - stop)


class Pieces:
    """Pieces of any number of rows, cut to fit.

    Parameters
    ----------
    items : Items
        Yields them.
    steps : int or None
        Batches of an epoch, if it does not end with the pieces.
    counts : Counts
        How many inputs and outputs the network has.
    """

    def __init__(self, items: Items, steps: int | None, counts: Counts) -> None:
        self._items, self._steps, self._counts = items, steps, counts
        self._rest: Parts = {}  # of the last piece, with so many rows
        self._left = 0

    def fill(self, into: Parts, rows: int, room: Room[Buffer]) -> int:
        """Fill arrays with rows; return how many there were, fewer than asked for at an end."""
        filled = 0
        while filled < rows:
            room.require_open()
            try:
                if not self._left:
                    self._next()
            except StopIteration:
                break
            count = min(self._left, rows - filled)
            copy_rows(cut(self._rest, 0, count), cut(into, filled, filled + count), "a piece")
            self._rest, self._left = cut(self._rest, count, None), self._left - count
            filled += count
        return filled

    def _next(self) -> None:
        item = self._items.next() if self._steps is None else self._items.next_for(self._steps)
        self._rest = arrays_of(item, self._counts)
        self._left = len(next(iter(self._rest.values())))


def cut(parts: Parts, start: int, stop: int | None) -> Parts:
    """Return some rows of each array."""
    return {name: array[start:stop] for name, array in parts.items()}


def new_buffer(kinds: Kinds, rows: int) -> Buffer:
    """Return memory for so many rows."""
    return {name: np.empty((rows, *kind.shape), kind.dtype) for name, kind in kinds.items()}


def _source(x: Any, y: Any, sample_weight: Any) -> Any:
    """Return where rows come from."""
    given = spread(x, y, sample_weight)
    if len(given) > 1 or sources.is_sliced(x) or isinstance(x, list | tuple | str):
        return sources.Columns(given)
    if hasattr(x, "__len__") and hasattr(x, "__getitem__"):
        return sources.RowByRow(x)
    if callable(x) or hasattr(x, "__iter__"):
        return Items(x)
    raise TypeError(f"x: expected rows or what yields them, got {type(x).__name__}")


def _is_shuffled(shuffle: Any) -> bool:
    if isinstance(shuffle, str):
        validate.choice("shuffle", shuffle, ["block"])
        return True
    return validate.flag("shuffle", shuffle)


def _rows_or_none(argument: str, value: Any) -> int | None:
    return None if value is None else validate.integer(argument, value, 1)
