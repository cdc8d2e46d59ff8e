"""What streams are made of: items, the arrays in them, and how often one can go through them."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fastbp import data
from fastbp.engine import Array, Arrays, alone, indexed
from fastbp.tensors import Shape

Parts: TypeAlias = dict[str, Array]
"""Arrays by what errors call them: "x" and "y", or "x[0]" and "x[1]" of two inputs."""

NAMES = "x", "y", "sample_weight"


class Counts(NamedTuple):
    """How many inputs and outputs a network has."""

    inputs: int = 1
    outputs: int = 1


def arrays_of(item: Any, counts: Counts) -> Parts:
    """Return the arrays of an item that is a batch, which have as many rows each."""
    arrays = {name: data.real_array(name, part) for name, part in named(item, counts).items()}
    first = next(iter(arrays.values()))
    for name, array in arrays.items():
        if not array.ndim or len(array) != len(first):
            n = f"{len(first)} rows as in x" if first.ndim else "rows"
            raise ValueError(f"{name}: expected {n}, got shape {array.shape}")
    return arrays


def named(item: Any, counts: Counts, dimensions: int = 1) -> dict[str, Any]:
    """Return what an item holds, by name.

    Parameters
    ----------
    item : object
        x, (x, y) or (x, y, sample_weight), where what belongs to several is a tuple or a list.
    counts : Counts
        How many there are.
    dimensions : int
        What sample weights of one output have: 1 in a batch, 0 in a row.
    """
    x, y, weights = sides(item, counts.inputs)
    found = _each("x", x, counts.inputs, "input")
    if y is not None:
        found |= _each("y", y, counts.outputs, "output")
    if weights is not None:
        n = counts.outputs if data.is_for_each(weights, counts.outputs, dimensions) else 1
        found |= _each("sample_weight", weights, n, "output")
    return found


def sides(item: Any, n_inputs: int) -> tuple[Any, Any, Any]:
    """Return x, y and sample weights of an item, with None for what it lacks."""
    if not isinstance(item, tuple | list):
        return item, None, None
    if n_inputs > 1 and len(item) and not isinstance(item[0], tuple | list):
        return item, None, None  # inputs alone
    if not 1 <= len(item) <= len(NAMES):
        raise ValueError(
            f"x: expected items x, (x, y) or (x, y, sample_weight), got one of {len(item)} parts"
        )
    x, y, sample_weight = (*item, None, None)[:3]
    return x, y, sample_weight


def _each(argument: str, value: Any, count: int, what: str) -> dict[str, Any]:
    """Return what belongs to each of some inputs or outputs."""
    return _known(argument, data.entries(argument, value, count, what))


def _known(argument: str, values: tuple[Any, ...]) -> dict[str, Any]:
    """Return entries of an argument by name, without sample weights that are None."""
    given = zip(indexed(argument, len(values)), values, strict=True)
    return {name: own for name, own in given if own is not None or argument != "sample_weight"}


def spread(x: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Return arguments by name, with one for each entry of a tuple."""
    n_outputs = len(y) if isinstance(y, tuple) else 1
    if isinstance(sample_weight, tuple) and len(sample_weight) != n_outputs:
        n = len(sample_weight)
        raise ValueError(f"sample_weight: expected {n_outputs}, one for each output, got {n}")
    found: dict[str, Any] = {}
    for argument, value in zip(NAMES, (x, y, sample_weight), strict=True):
        if isinstance(value, tuple):
            found |= _known(argument, value)
        elif value is not None or argument == "x":
            found[argument] = value
    return found


def argument_of(name: str) -> str:
    """Return the argument that an array belongs to."""
    return name.partition("[")[0]


def together(parts: Mapping[str, Any], argument: str, count: int) -> Any:
    """Return what an argument of `fit` is by its parts, or None if it has none: the way back."""
    own = [name for name in parts if argument_of(name) == argument]
    if own in ([], [argument]):
        return parts.get(argument)
    names = indexed(argument, count)
    if not set(own) <= set(names) or (argument != "sample_weight" and len(own) < count):
        expected = f"a tuple of {count}" if count > 1 else "an array"
        raise ValueError(f"{argument}: expected {expected}, got {', '.join(own)}")
    return tuple([parts.get(name) for name in names])


def copy_rows(parts: Parts, into: Parts, where: str) -> None:
    """Copy arrays to where they belong, if they are of the kind that is kept there."""
    if parts.keys() != into.keys():
        expected, got = ", ".join(into), ", ".join(parts)
        raise ValueError(f"x: expected {expected} in {where} as before, got {got}")
    for name, part in parts.items():
        to = into[name]
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

    Notes
    -----
    A fit that ends does not wait for its thread, which may wait for the source. The next one that
    goes on with the same items then waits for both.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self.is_repeatable = callable(source) or iter(source) is not source
        self._items: Iterator[Any] | None = None
        self._ahead: list[Any] = []
        self._turn, self._process = threading.RLock(), os.getpid()

    def _in_turn(self) -> AbstractContextManager[Any]:
        """Return the lock of whoever goes on; a fork leaves its holder behind, and it with him."""
        if self._process != os.getpid():
            self._turn, self._process = threading.RLock(), os.getpid()
        return self._turn

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_turn": None, "_process": 0}  # a copy has a lock of its own

    def anew(self) -> Items:
        """Return the same items from the first on, if they can be gone through again."""
        return Items(self._source) if self.is_repeatable else self

    def close(self) -> None:
        """Let what was begun here end: a generator leaves its files now, and not some day."""
        if self.is_repeatable and isinstance(self._items, Generator):
            self._items.close()

    def input_shape(self) -> Shape:
        """Return the shape of one row of the only input."""
        with closing(self.anew()) as items:
            x, _, _ = sides(items.first(), 1)
        return data.real_array("x", x).shape[1:]

    def first(self, steps: int | None = None) -> Any:
        """Return the item that `next`, or `next_for` so many batches, returns again."""
        with self._in_turn():
            if not self._ahead:
                try:
                    self._ahead.append(self.next() if steps is None else self.next_for(steps))
                except StopIteration:
                    raise ValueError("x: expected batches of rows, got none at all") from None
            return self._ahead[0]

    def next(self) -> Any:
        """Return the next item; StopIteration at the end, behind which it begins anew."""
        with self._in_turn():
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

    def inputs(self, counts: Counts) -> Iterator[Arrays]:
        """Go through the inputs of all items, from the first on if that can be."""
        with closing(self.anew()) as items:
            items.first()  # raises an error if there is none
            while True:
                try:
                    x, _, _ = sides(items.next(), counts.inputs)
                except StopIteration:
                    return
                arrays = _each("x", x, counts.inputs, "input")
                yield alone(tuple([data.real_array(*named_one) for named_one in arrays.items()]))

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
            with self._in_turn():
                self.first()
                return self.next()

    def require_epochs(self, epochs: int | None, steps: int | None) -> None:
        """Refuse more epochs than there are of what can be gone through once."""
        if epochs != 1 and steps is None and not self.is_repeatable:
            raise ValueError(
                "x: expected what can be gone through again for each epoch, as a function that "
                "returns a generator, got what can be gone through once; or pass steps_per_epoch"
            )
