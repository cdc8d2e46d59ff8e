"""Rows that come in streams: what is one, and batches as somebody yields them."""

from __future__ import annotations

import array
from collections.abc import Iterator, Mapping, Set
from typing import Any, Protocol

import numpy as np

from fastbp import random
from fastbp.batches import Batches
from fastbp.engine import Arrays, Feed, Rows
from fastbp.items import Counts, Items, sides
from fastbp.tensors import Shape
from fastbp.wanted import Wanted

# What NumPy makes an array of, and what nobody wants rows of, though one can go through it.
NO_STREAMS = (list, tuple, str, bytes, bytearray, memoryview, array.array, range, Mapping, Set)


class OpenFeed(Feed, Protocol):
    """A feed that may hold a thread, and ends it.

    Attributes
    ----------
    batch_size : int or None
        Of its batches; None: each chunk is one.
    shuffles : bool
        Whether the rows of a chunk are to be shuffled.
    """

    batch_size: int | None
    shuffles: bool

    def close(self) -> None:
        """Read no more."""


class Stream(Protocol):
    """Where feeds come from."""

    def input_shape(self) -> Shape:
        """Return the shape of one row of inputs."""

    def feed(self, wanted: Wanted) -> OpenFeed:
        """Return the rows as an engine takes them."""

    def inputs(self, counts: Counts) -> Iterator[Arrays]:
        """Go through the inputs alone, for a network of so many inputs and outputs."""


def find(x: Any, y: Any = None, sample_weight: Any = None) -> Stream | None:
    """Return `x` as a stream, or None if it is an array."""
    if not _is_stream(x, y):
        return None
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(
                f"{name}: expected None beside {type(x).__name__} as x, which brings its own"
            )
    return x if isinstance(x, Batches) else Yielded(x)


def _is_stream(x: Any, y: Any) -> bool:
    if isinstance(x, Batches) or hasattr(x, "__next__"):
        return True
    if hasattr(x, "shape") or hasattr(x, "__array__") or isinstance(x, NO_STREAMS):
        return False
    if callable(x):
        return True
    return y is None and (hasattr(x, "__iter__") or hasattr(x, "__getitem__"))


def close(first: Any, second: Any) -> None:
    """End what feeds hold; other data hold nothing."""
    try:
        _close(first)
    finally:  # an interrupt while one thread ends leaves no other
        _close(second)


def _close(part: Any) -> None:
    if part is not None and not isinstance(part, Rows):
        part.close()


class Yielded:
    """Batches of any size, as an iterable, a function that returns one, or a sequence gives them.

    Parameters
    ----------
    source : iterable, callable, or object with __len__ and __getitem__
        Its items are (x, y) or (x, y, sample_weight), each a tuple or a list for several.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self.is_sequence = hasattr(source, "__getitem__") and hasattr(source, "__len__")
        self._items = Items(self._in_order if self.is_sequence else source)

    def _in_order(self) -> Iterator[Any]:
        return (self._source[i] for i in range(len(self._source)))

    def input_shape(self) -> Shape:
        """Return the shape of one row of inputs."""
        return self._items.input_shape()

    def feed(self, wanted: Wanted) -> YieldedFeed:
        """Return the batches as an engine takes them."""
        if wanted.accumulate != 1:
            raise ValueError(
                "gradient_accumulation_steps: expected 1 beside batches that come as they are, got "
                f"{wanted.accumulate}; wrap them in fastbp.Batches"
            )
        if self.is_sequence:
            return SequenceFeed(self._source, wanted)
        self._items.require_epochs(wanted.epochs, wanted.steps)
        length = len(self._source) if hasattr(self._source, "__len__") else None
        items = self._items.anew() if wanted.steps is None else self._items
        return YieldedFeed(items, wanted, wanted.steps or length)

    def inputs(self, counts: Counts) -> Iterator[Arrays]:
        """Go through the inputs alone."""
        return self._items.inputs(counts)


class YieldedFeed:
    """Batches as they are yielded, on their way to an engine: `fastbp.engine.Feed`.

    Parameters
    ----------
    items : Items
        Yields them.
    wanted : Wanted
        What is wanted of them.
    batches : int or None
        How many an epoch has, where that is known.
    """

    rows: int | None = None
    batch_size: int | None = None
    shuffles = False

    def __init__(self, items: Items, wanted: Wanted, batches: int | None) -> None:
        self._items, self._wanted, self.batches = items, wanted, batches
        self._n_inputs = len(wanted.plan.inputs)
        self._batch = 0  # of the running epoch

    def take(self) -> Rows | None:
        """Return the next batch, or None at the end of an epoch."""
        try:
            item = self._next()
        except StopIteration:
            if not self._batch:
                raise ValueError("x: expected batches in each epoch, got none") from None
            self._batch = 0
            return None
        x, y, sample_weight = sides(item, self._n_inputs)
        rows = self._wanted.rows(x, y, sample_weight, f"batch {self._batch}")
        self._batch += 1
        return rows

    def _next(self) -> Any:
        """Return the next item of the running epoch; StopIteration at its end."""
        steps = self._wanted.steps
        if steps is None:
            return self._items.next()
        if self._batch == steps:
            raise StopIteration
        return self._items.next_for(steps)

    def close(self) -> None:
        """Read no more."""
        self._items.close()


class SequenceFeed(YieldedFeed):
    """Batches that can be had by their numbers: in training, in an order of its own each epoch.

    Parameters
    ----------
    source : object with __len__ and __getitem__
        Where they are; its `on_epoch_end`, if there is one, is called after each epoch.
    wanted : Wanted
        What is wanted of them.
    """

    def __init__(self, source: Any, wanted: Wanted) -> None:
        if wanted.steps is not None:
            raise ValueError(
                f"steps_per_epoch: expected None beside a sequence, got {wanted.steps}"
            )
        self._source, self._epoch = source, wanted.epoch
        super().__init__(Items(self._epoch_of_items), wanted, len(source))

    def _epoch_of_items(self) -> Iterator[Any]:
        n = len(self._source)
        order = np.arange(n)
        if self._wanted.shuffles:
            order = random.block_order(self._wanted.seed, self._epoch, n)
        self._epoch += 1
        for number in order:
            yield self._source[int(number)]
        end = getattr(self._source, "on_epoch_end", None)
        if self._wanted.trains and end is not None:
            end()
