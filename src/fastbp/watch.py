"""What a fit records of single steps: whose norms, whose outputs, and where the numbers go.

Engines fill a `Watch` by themselves, so that between two records, and at them, no callback runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastbp.activations import ELU, ActivationFunction, Custom, Identity, LeakyReLU, ReLU
from fastbp.plan import Op, Plan

if TYPE_CHECKING:
    import numpy.typing as npt

# Outputs below and above which a unit counts as saturated: there the slope of the logistic function
# is below 0.0475, a fifth of its largest, and that of the hyperbolic tangent below 0.0975.
LIMITS = {"sigmoid": (0.05, 0.95), "tanh": (-0.95, 0.95)}
# What is recorded of each layer, in the order in which it stands in a record.
QUANTITIES = "parameters", "gradients", "updates", "activations", "saturated", "dead"
# Records for which there is memory before it first has to grow.
FIRST_RECORDS = 256


class WatchedLayer(NamedTuple):
    """A layer with parameters, and what stands for it in a plan.

    Attributes
    ----------
    name : str
        As the network's summary has it.
    spans : tuple of (int, int)
        (start, stop) of its parameters in the flat vector.
    tensor : int
        Number of the tensor of its outputs, behind its activation; of the first call, if it is
        called several times.
    limits : (float, float) or None
        Outputs outside of them are saturated; None where the activation does not saturate.
    rectifies : bool
        Whether a unit whose outputs are all 0 has derivatives of 0, and so is dead.
    dropouts : tuple of int
        Places of the operations behind it that drop some of its units from a whole batch: those
        units do not count.
    """

    name: str
    spans: tuple[tuple[int, int], ...]
    tensor: int
    limits: tuple[float, float] | None
    rectifies: bool
    dropouts: tuple[int, ...]


@dataclass
class Watch:
    """Steps to record, and their records.

    Attributes
    ----------
    layers : tuple of WatchedLayer
        Whom to watch.
    every : int
        From one recorded step to the next.
    steps : int
        Steps that have been taken under this watch, in all fits.
    n : int
        Records that have been made.
    rows : ndarray of float64, shape (at least n, 2 + 6 * layers)
        The records: number of the step and loss of its batch, then each of `QUANTITIES` of every
        layer.
    """

    layers: tuple[WatchedLayer, ...]
    every: int
    steps: int = 0
    n: int = 0
    rows: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))

    def __post_init__(self) -> None:
        self.rows = np.empty((FIRST_RECORDS, 2 + len(QUANTITIES) * len(self.layers)))

    @property
    def due(self) -> int:
        """The number of the next step to be recorded: the first, and every n-th behind it."""
        return -(-self.steps // self.every) * self.every + 1

    def make_room(self) -> None:
        """See to it that there is memory for one more record."""
        if self.n == len(self.rows):
            self.rows = np.concatenate([self.rows, np.empty_like(self.rows)])


def watched_layers(plan: Plan) -> tuple[WatchedLayer, ...]:
    """Return the layers of a plan that have parameters, in order."""
    found: dict[int, WatchedLayer] = {}
    for op in plan.ops:
        if op.parameters and op.layer not in found:
            found[op.layer] = _watched(plan, op)
    return tuple(found.values())


def _watched(plan: Plan, op: Op) -> WatchedLayer:
    """Return the layer of an operation with parameters."""
    last = _activated(plan, op)
    f = last.activation
    own = (p for p in plan.parameters if p.layer == op.layer)
    return WatchedLayer(
        name=op.parameters[0].name.rpartition(".")[0],
        spans=tuple((p.start, p.stop) for p in own),
        tensor=last.output,
        limits=LIMITS.get(f.name),
        rectifies=_rectifies(f),
        dropouts=_dropouts_behind(plan, last),
    )


def _readers(plan: Plan, op: Op) -> list[Op]:
    """Return the operations that read what an operation writes; none, if the network returns it."""
    if any(output.tensor == op.output for output in plan.outputs):
        return []
    return [other for other in plan.ops if any(edge.tensor == op.output for edge in other.inputs)]


def _activated(plan: Plan, op: Op) -> Op:
    """Return the operation that ends a layer: an activation, if one alone reads a linear output.

    An activation that others read beside a loss is there twice, for the same values.
    """
    readers = _readers(plan, op)
    one = len(readers) == 1 or all(reader.layer == op.layer for reader in readers)
    if readers and one and op.activation == Identity() and _is_activation(readers[0]):
        return readers[0]
    return op


def _is_activation(op: Op) -> bool:
    return op.kind == "activation" or isinstance(op.activation, Custom)


def _rectifies(f: ActivationFunction) -> bool:
    """Whether an activation is 0, and its derivative too, for all z <= 0."""
    return isinstance(f, ReLU) or (isinstance(f, LeakyReLU | ELU) and f.parameter == 0)


def _dropouts_behind(plan: Plan, op: Op) -> tuple[int, ...]:
    """Return the places of the structured dropouts that the units of an output go through."""
    found: list[int] = []
    readers: list[Any] = _readers(plan, op)
    while len(readers) == 1 and readers[0].kind in (
        "activation",
        "dropout",
        "rescale",
        "structured_dropout",
    ):
        (op,) = readers
        if op.activation.name == "softmax":
            break
        if op.kind == "structured_dropout":
            found.append(plan.ops.index(op))
        readers = _readers(plan, op)
    return tuple(found)
