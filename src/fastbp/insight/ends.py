"""The outputs of a network, each with its loss and what that counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastbp
from fastbp.engine import each
from fastbp.graph import Graph
from fastbp.insight.layer_trace import Array, LayerTrace, quietly
from fastbp.insight.objective import Objective
from fastbp.insight.routes import origin
from fastbp.reference.losses import penalty_share, row_weights


@dataclass(frozen=True, eq=False)
class End:
    """An output of a network.

    Attributes
    ----------
    name : str
        The name of the layer that computes it.
    value : int
        Its number among the values.
    head : int or None
        The number of the layer that computes it, layers that flatten it apart; None for an input.
    is_fused : bool
        Whether its loss is differentiated together with the activation of that layer.
    objective : Objective
        Its loss with its targets.
    counts : ndarray, shape (n,)
        What its loss counts in the loss L of each sample: its weight, times what the row counts for
        this output beside what it counts in the batch.
    output : ndarray, shape (n, outputs)
        What it is.
    y : ndarray, shape (n, outputs)
        What its loss reads: the output, or the net input of its activation.
    """

    name: str
    value: int
    head: int | None
    is_fused: bool
    objective: Objective
    counts: Array
    output: Array
    y: Array

    @quietly
    def losses(self, y: Array) -> Array:
        """Return its part of the loss of each sample, shape (n,)."""
        return self.counts * self.objective.losses(y)

    @property
    @quietly
    def gradient(self) -> Array:
        """dL/dy of each sample."""
        return self.counts[:, None] * self.objective.gradient(self.y)

    @property
    @quietly
    def parts(self) -> Array | None:
        """Each number's part of its sample's loss; None for a loss that compares whole rows."""
        parts = self.objective.parts(self.y)
        return None if parts is None else self.counts[:, None] * parts


def shares(net: fastbp.Network, data: Any) -> tuple[Array, tuple[Array, ...]]:
    """Return what each sample counts in the batch, and each output's loss in that of a sample.

    Where outputs count samples differently each sample counts 1 / n.
    """
    outputs = net.plan.outputs
    given = (None,) * len(outputs) if data.weights is None else each(data.weights, len(outputs))
    own = []
    for output, weights in zip(outputs, given, strict=True):
        assert output.loss is not None
        own.append(row_weights(output.loss, np.ones(data.n) if weights is None else weights))
    if all(np.array_equal(other, own[0]) for other in own):
        return own[0], tuple(np.full(data.n, output.weight) for output in outputs)
    share = np.full(data.n, 1 / data.n)
    weighed = zip(outputs, own, strict=True)
    return share, tuple(output.weight * counted / share for output, counted in weighed)


def cost_share(net: fastbp.Network, data: Any) -> float:
    """Return what parameters' cost counts in the loss of the batch."""
    loss = net.plan.outputs[0].loss
    assert loss is not None
    weight = (
        data.n if data.weights is None else np.sum(each(data.weights, len(net.loss_weights))[0])
    )
    return penalty_share(loss, float(weight))


def ends(
    net: fastbp.Network,
    graph: Graph,
    data: Any,
    layers: Sequence[LayerTrace],
    values: Sequence[Array],
    counts: Sequence[Array],
) -> tuple[End, ...]:
    """Return the outputs of a network whose values are known.

    Parameters
    ----------
    net : Network
        The network.
    graph : Graph
        Who reads whom.
    data : Rows
        Checked rows of one batch.
    layers : sequence of LayerTrace
        What each layer did.
    values : sequence of ndarray
        Inputs, and what layers have computed.
    counts : sequence of ndarray, shape (n,)
        What each output's loss counts in that of a sample.
    """
    outputs, n_inputs = net.plan.outputs, len(graph.inputs)
    fused = {op.output for op in net.plan.ops if op.fused}
    found = []
    for number, output, given, count in zip(
        graph.outputs, outputs, each(data.y, len(outputs)), counts, strict=True
    ):
        made = origin(layers, n_inputs, number)
        head = next((value - n_inputs for value in (made, number) if value >= n_inputs), None)
        together = output.tensor in fused and head is not None
        y = layers[head].net_input if together and head is not None else values[number]
        assert output.loss is not None
        a = values[number]
        objective = Objective(output.loss, given, a.shape[1])
        found.append(End(output.name, number, head, together, objective, count, a, y))
    return tuple(found)
