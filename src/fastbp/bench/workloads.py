"""What a row of the benchmarks is: a dense network, its data, and how often it runs.

`rows` holds the rows themselves, `data` makes their arrays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Self

import numpy.typing as npt

Array = npt.NDArray[Any]
Weights = list[tuple[Array, Array | None]]
"""Weights (inputs, outputs) and biases (outputs,), or None without biases, of each layer."""
Data = Literal["neuron", "corners", "digits", "images", "random labels", "random targets"]
"""What a training learns: see `fastbp.bench.data.training_data`."""
SHORT = 5  # a short form has one part in so many of the whole


@dataclass(frozen=True, kw_only=True)
class Workload(ABC):
    """A dense network and how often it runs.

    Attributes
    ----------
    name : str
        Short name, as "W3".
    label : str
        What stands beside the name in a picture.
    title : str
        The work in full.
    sizes : tuple of int
        Units of each layer, inputs first.
    activations : tuple of str
        Activation of each layer after the inputs.
    rows : int
        Rows of the data.
    unit : str
        What the reported time is the time of.
    dtype : {"float32", "float64"}
        Precision of data, parameters and arithmetic.
    use_bias : bool
        Whether layers have biases.
    """

    name: str
    label: str
    title: str
    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    rows: int
    unit: str
    dtype: Literal["float32", "float64"] = "float32"
    use_bias: bool = True

    @property
    @abstractmethod
    def units(self) -> float:
        """How many of `unit` one timed run holds."""

    @abstractmethod
    def short(self) -> Self:
        """Return a form whose run takes a fifth of the time."""

    @property
    def products(self) -> list[int]:
        """Weights of each layer: the multiplications of one row's product with them."""
        return [inputs * outputs for inputs, outputs in pairwise(self.sizes)]

    @property
    def operations(self) -> int:
        """Additions and multiplications in the products of all rows, forward."""
        return 2 * self.rows * sum(self.products)


@dataclass(frozen=True, kw_only=True)
class Training(Workload):
    """A training, continued run after run.

    Attributes
    ----------
    data : str
        What is learned: see `fastbp.bench.data.training_data`.
    loss, reduction : str
        Loss of a row as fastbp names it, and how the rows of a batch are combined.
    optimizer, learning_rate : str, float
        "sgd" (without momentum) or "adam" (beta 0.9 and 0.999, epsilon 1e-7).
    batch_size, epochs : int
        Rows of a batch, and epochs of one timed run.
    dropout : float
        Rate of the dropout behind each hidden layer.
    shuffle : bool
        Whether each epoch takes the rows in a new random order.
    """

    data: Data
    loss: str
    reduction: Literal["mean", "sum"] = "mean"
    optimizer: Literal["sgd", "adam"]
    learning_rate: float
    batch_size: int
    epochs: int
    dropout: float = 0.0
    shuffle: bool = True

    @property
    def steps(self) -> int:
        """Updates of one timed run; the last batch of an epoch may be smaller."""
        return self.epochs * -(-self.rows // self.batch_size)

    @property
    def units(self) -> float:
        """How many of `unit` one timed run holds."""
        count, _, unit = self.unit.rpartition(" ")
        done = self.steps if unit.startswith("step") else self.epochs
        return done / int(count.replace(",", "") or 1)

    @property
    def operations(self) -> int:
        """Additions and multiplications in the products of an epoch.

        Each layer has three, forward, weight gradient and input gradient, but the first needs no
        gradient of its inputs.
        """
        return 2 * self.rows * (3 * sum(self.products) - self.products[0])

    def short(self) -> Self:
        """Return the same with a fifth of the epochs, for those who have little time."""
        return replace(self, epochs=max(1, self.epochs // SHORT))

    def reduced(self) -> Training:
        """Return a short form without chance, for comparing what programs compute."""
        batch_size = min(self.batch_size, 64)
        return replace(
            self,
            rows=min(self.rows, 5 * batch_size // 2),
            batch_size=batch_size,
            epochs=min(self.epochs, 5),
            dropout=0.0,
            shuffle=False,
        )


@dataclass(frozen=True, kw_only=True)
class Prediction(Workload):
    """A prediction of `rows` rows, called from Python.

    Attributes
    ----------
    calls : int
        Calls of one timed run.
    """

    calls: int

    @property
    def units(self) -> float:
        """How many of `unit` one timed run holds."""
        return self.calls

    def short(self) -> Self:
        """Return the same with a fifth of the calls."""
        return replace(self, calls=max(1, self.calls // SHORT))
