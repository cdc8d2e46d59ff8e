"""What a network wants of a stream, and how arrays of one become rows of that network."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

from fastbp import data
from fastbp.engine import Rows
from fastbp.items import NAMES, Counts, Parts, together
from fastbp.plan import Plan


class Wanted(NamedTuple):
    """What a network wants of a stream.

    Attributes
    ----------
    plan : Plan
        Gives the shapes, dtype and loss that rows must fit.
    seed : int
        Key of the orders.
    epoch : int
        Number of the first epoch, counted from the last reset.
    epochs : int or None
        How many; None: as many as are taken.
    trains : bool
        Whether rows are cut into batches for updates.
    shuffles : bool
        Whether they may come in another order than their own.
    accumulate : int
        Batches for each update.
    steps : int or None
        Updates of an epoch, where rows go on without end.
    class_weight : mapping, array_like or None
        As in `fit`.
    name : str
        What errors call the stream, if not its parts by themselves.
    """

    plan: Plan
    seed: int = 0
    epoch: int = 0
    epochs: int | None = 1
    trains: bool = False
    shuffles: bool = False
    accumulate: int = 1
    steps: int | None = None
    class_weight: Any = None
    name: str = ""

    def numbers(self) -> Iterator[int]:
        """Go through the numbers of the epochs."""
        if self.epochs is None:
            return itertools.count(self.epoch)
        return iter(range(self.epoch, self.epoch + self.epochs))

    @property
    def counts(self) -> Counts:
        """How many inputs and outputs there are."""
        return Counts(len(self.plan.inputs), len(self.plan.outputs))

    def rows_of(self, parts: Parts, where: str) -> Rows:
        """Return arrays that have names as an engine takes them."""
        n_inputs, n_outputs = self.counts
        x, y = together(parts, "x", n_inputs), together(parts, "y", n_outputs)
        return self.rows(x, y, together(parts, "sample_weight", n_outputs), where)

    def rows(self, x: Any, y: Any, sample_weight: Any, where: str) -> Rows:
        """Return arrays as an engine takes them; it looks for NaN and infinity as it goes."""
        if y is None:
            raise ValueError(f"y: expected targets beside x, got none in {where}")
        x_name, y_name, weight_name = (f"{self.name}{name} of {where}" for name in NAMES)
        names = (x_name, y_name, weight_name)
        rows = data.rows(self.plan, x, y, sample_weight, names=names, whole=False)
        return data.weighed(rows, self.class_weight, self.plan, False)
