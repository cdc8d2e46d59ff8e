"""The derivative of the loss with respect to one weight or bias, as a chain of factors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastbp.insight import contributions, factor, routes, update
from fastbp.insight.contributions import Contributions
from fastbp.insight.document import (
    Block,
    Cell,
    Equation,
    Equations,
    Heading,
    Shown,
    Table,
    sentence,
)
from fastbp.insight.expression import Derivative, Expression, Number, Symbol, product
from fastbp.insight.factor import Factor
from fastbp.insight.formulas import A, L, X, Y, Z
from fastbp.insight.layer_trace import LayerTrace
from fastbp.insight.place import Place

if TYPE_CHECKING:
    from fastbp.insight.trace import Trace

# Samples that the chain of a batch shows.
MOST_SAMPLES = 20


class Chain(Shown):
    """What one weight or bias does to the loss of one sample, factor by factor.

    `print` shows it as a textbook would.

    Attributes
    ----------
    parameter : str
        What it is about, as in "dense_1.weights[0, 1]".
    sample : int
        The number of the sample.
    factors : tuple of Factor
        Their product is the derivative; the first one belongs to the loss.
    contributions : tuple of Contributions
        Where the first factor is a sum over several units, or over several ways that lead on: its
        parts; a second time by the outputs of the network, where these are not the same.
    product : float
        dL/dw of the sample's own loss.
    share : float
        What the sample counts in the loss of the batch.
    penalty : float
        The derivative of what the weight or bias costs, which is that of the batch; 0 without.
    gradient : float
        The derivative of the batch's loss: the sum over the samples of share times product, and
        the penalty.
    value : float
        The weight or bias.
    new_value : float or None
        What the optimizer's next step makes of it, and its constraint; None where there is none.
    """

    def __init__(self, trace: Trace, place: Place, sample: int) -> None:
        layer = trace.layers[place.layer]
        self._trace, self._place, self._digits = trace, place, trace.digits
        self.parameter = place.name
        self.sample = sample
        self.contributions: tuple[Contributions, ...] = ()
        self.factors = (*self._down_to(place.layer, Z, place.unit), self._own(layer))
        self.product = math.prod(each.value for each in self.factors)
        self.share = float(layer.share[sample])
        self.penalty, self.gradient = place.penalty_gradient(layer), place.gradient(layer)
        self.value, self.new_value = place.values(layer)

    def _own(self, layer: LayerTrace) -> Factor:
        """Return dz/dw or dz/db, the last factor."""
        derivative = Derivative(Z, self._place.letter)
        if self._place.role == "biases":
            return Factor(derivative, 1.0, note="the bias is added as it is")
        value = float(layer.inputs[self.sample, self._place.index[0]])
        return Factor(derivative, value, X, note=f"x is {self._place.input}")

    def _down_to(self, index: int, letter: Symbol, unit: int) -> Iterator[Factor]:
        """Yield the factors from the loss down to what layer `index` makes a unit of.

        That is the net input, which has this letter; or what it reads, if it has no weights.
        """
        trace, sample = self._trace, self.sample
        layer = trace.layers[index]
        if layer.output_gradient is None:
            (end,) = (end for end in trace.ends_of(layer) if end.is_fused)
            yield factor.of_loss(end, unit, sample, Derivative(L, letter))
        elif layer.loss_gradient is not None:
            found = contributions.through_loss_and_output(layer, letter, unit, sample)
            yield self._sum_of(found)
        elif layer.slope is None:
            found = contributions.through_softmax(layer, letter, self._letter(index), unit, sample)
            yield self._sum_of(found)
        else:
            out = self._letter(index)
            yield from self._from_above(trace.value_of(index), out, unit)
            yield factor.of_layer(layer, unit, sample, out, letter)

    def _from_above(self, value: int, letter: Symbol, unit: int) -> Iterator[Factor]:
        """Yield the factors from the loss down to a unit of a value that layers or losses read."""
        trace, sample = self._trace, self.sample
        first, *others = routes.ways(trace, value)
        if others:
            found = contributions.through_ways(trace, (first, *others), letter, unit, sample)
            yield self._sum_of(found, *self._by_outputs(value, letter, unit))
        elif first.end is not None:
            yield factor.of_loss(first.end, unit, sample, Derivative(L, letter))
        elif (reader := trace.layers[first.layer]).weights is None:
            yield from self._down_to(first.layer, letter, reader.place_of(first.start + unit))
        else:
            out = self._letter(first.layer)
            found = contributions.through_units(reader, letter, out, unit, sample)
            behind = trace.value_of(first.layer)
            by_outputs = routes.has_weights_behind(trace, behind)
            yield self._sum_of(
                found, *(self._by_outputs(value, letter, unit) if by_outputs else ())
            )

    def _by_outputs(self, value: int, letter: Symbol, unit: int) -> Iterator[Contributions]:
        """Yield what a unit does by way of each output."""
        yield contributions.through_outputs(self._trace, value, letter, unit, self.sample)

    def _sum_of(self, *found: Contributions) -> Factor:
        """Return a factor that is a sum, and keep its parts."""
        self.contributions = found
        first = found[0]
        return Factor(first.of, first.total, first.formula, note=f"over the {first.through}")

    def _letter(self, index: int) -> Symbol:
        """Return the letter of a layer's output: y for that of the network."""
        layer = self._trace.layers[index]
        if self._trace.ends_of(layer):
            return Y
        return A if index == self._place.layer else Symbol("a", layer.name)

    def _blocks(self) -> Iterator[Block]:
        place, n = self._place, len(self._trace.losses)
        whole = Derivative(L, place.letter)
        of_sample = f", sample {self.sample}" if n > 1 else ""
        yield Heading(3, f"{self.parameter}, {place.meaning}{of_sample}")
        yield Equations((Equation((whole, self.derivatives)),))
        for each in self.contributions:
            yield sentence(each.of, f" comes through the {each.through}:")
            yield each.table()
        values = product(*(each.value for each in self.factors))
        total = Equation((whole, values, Number(self.product)))
        yield Equations((*(each.equation for each in self.factors), total))
        if n > 1 or self.share != 1:
            yield sentence("In the loss of the batch the sample counts ", Number(self.share), ".")
        yield from update.of(self._trace, place)

    @property
    def derivatives(self) -> Expression:
        """The chain in letters."""
        return product(*(each.derivative for each in self.factors))


class BatchChain(Shown):
    """What one weight or bias does to the loss of a batch: a chain for each sample, and their sum.

    `chain[sample]` is the chain of one sample.

    Attributes
    ----------
    parameter : str
        What it is about, as in "dense_1.weights[0, 1]".
    products : ndarray, shape (n,)
        dL/dw of each sample's own loss.
    share : ndarray, shape (n,)
        What each sample counts in the loss of the batch.
    penalty : float
        The derivative of what the weight or bias costs; 0 without.
    gradient : float
        The derivative of the batch's loss: the sum of share times product, and the penalty.
    value : float
        The weight or bias.
    new_value : float or None
        What the optimizer's next step makes of it, and its constraint; None where there is none.
    """

    def __init__(self, trace: Trace, place: Place) -> None:
        layer = trace.layers[place.layer]
        self._trace, self._place, self._digits = trace, place, trace.digits
        self.parameter = place.name
        self.products = place.products(layer)
        self.share = layer.share
        self.penalty, self.gradient = place.penalty_gradient(layer), place.gradient(layer)
        self.value, self.new_value = place.values(layer)

    def __len__(self) -> int:
        return len(self.products)

    def __getitem__(self, sample: int) -> Chain:
        return Chain(self._trace, self._place, range(len(self))[sample])

    def _blocks(self) -> Iterator[Block]:
        shown = [self[sample] for sample in range(min(len(self), MOST_SAMPLES))]
        names = [each.derivative for each in shown[0].factors]
        whole = Derivative(L, self._place.letter)
        yield Heading(3, f"{self.parameter}, {self._place.meaning}, {len(self)} samples")
        yield Equations((Equation((whole, product(*names))),))
        rows: list[tuple[Cell, ...]] = [
            (
                str(each.sample),
                *(factor.value for factor in each.factors),
                each.product,
                each.share,
                each.share * each.product,
            )
            for each in shown
        ]
        empty = (None,) * (len(names) + 2)
        parts = self.share * self.products
        if len(self) > MOST_SAMPLES:
            rest = parts[MOST_SAMPLES:]
            rows.append((f"{len(rest)} more", *empty, float(rest.sum())))
        rows.append(("sum", *empty, float(parts.sum())))
        yield Table(("sample", *names, whole, "share", "share of the gradient"), tuple(rows))
        yield from update.of(self._trace, self._place)
