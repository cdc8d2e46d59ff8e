"""Everything that happens to a batch on its way through a network and back, laid open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import fastbp
from fastbp import random, validate
from fastbp.engine import alone, each
from fastbp.graph import Graph
from fastbp.insight import document, page, picture, place, tables, update
from fastbp.insight.chain import BatchChain, Chain
from fastbp.insight.document import Block
from fastbp.insight.ends import End, cost_share, ends, shares
from fastbp.insight.interpretation import Interpretation
from fastbp.insight.layer_trace import Array, LayerTrace, by_layer, quietly
from fastbp.insight.propagation import backward, forward, leave
from fastbp.insight.report import Report, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Trace(Report):
    """What `net.explain(x, y)` returns: one step of back-propagation with every number in it.

    The numbers are float64, whatever the network's dtype is, from its parameters as they stood.
    They are those of training: dropout is on, with the masks of the network's next batch. The
    derivatives of a sample are those of its own loss; `shares` are what these count in the batch.

    ``print(trace)`` shows tables, ``trace["dense_1"]`` has one layer's numbers as arrays. What
    belongs to several inputs or outputs is a tuple.

    Attributes
    ----------
    layers : tuple of LayerTrace
        What each layer did, each behind those that it reads.
    ends : tuple of End
        The outputs, each with its loss.
    inputs : ndarray, shape (n, inputs)
        The samples.
    outputs : ndarray, shape (n, outputs)
        What the network made of them.
    targets : ndarray, shape (n, outputs)
        What it should have made of them; of a class number, 1 for the class.
    losses : ndarray, shape (n,)
        The loss L of each sample: of several outputs the sum of theirs, each times its weight.
    shares : ndarray, shape (n,)
        What each counts in the batch: 1 / n for a mean, by sample and class weights where there
        are any. Where outputs weigh samples differently it is 1 / n, and the rest is in `losses`.
    loss : float
        The loss of the batch: `samples_loss`, the sum of shares times losses, and `penalty`.
    samples_loss : float
        The part of the samples.
    penalty : float
        What trainable parameters cost, by their regularizers.
    loss_after : float or None
        The same after the optimizer's next step, with the same dropout masks; None where it takes
        none.
    output_losses : ndarray, shape (n, outputs), or None
        Each output's part of its sample's loss; None for a loss that compares whole rows.
    objective : Objective
        The loss with its targets; `loss_function` is the loss alone.
    optimizer : Optimizer
        The optimizer; `learning_rate` is that of its next step.
    learning_rate : float
        The rate of the next step.
    why_no_step : str
        Why there is no step, if there is none.
    digits : int
        Significant digits that are printed: 9, or 6 for a network of float32.
    """

    @quietly
    def __init__(self, net: fastbp.Network, graph: Graph, data: Any, engine: Any) -> None:
        """Take a step of a network apart.

        Parameters
        ----------
        net : Network
            The network; it is left alone.
        graph : Graph
            Its layers, and who reads whom.
        data : Rows
            Checked rows of one batch.
        engine : EngineProtocol
            Its engine, which tells where training stands.
        """
        self.optimizer, self.learning_rate = net.optimizer, net.learning_rate
        self.digits = self._digits = 9 if net.dtype == "float64" else 6
        self.graph = graph
        self.shares, counts = shares(net, data)

        def factors(number: int, rate: float, shape: tuple[int, int]) -> Array:
            kept = random.keep_mask(net.seed, number, engine.position.batches, shape, rate)
            return kept / (1 - rate)

        given = each(data.x, self.n_inputs)
        self._given = tuple(rows.astype(np.float64) for rows in given)
        self.layers = forward(net, graph, self._given, self.shares, cost_share(net, data), factors)
        values = (*self._given, *(layer.output for layer in self.layers))
        self.ends = ends(net, graph, data, self.layers, values, counts)
        self.losses = sum((end.losses(end.y) for end in self.ends), np.zeros(data.n))
        self.samples_loss = float(self.shares @ self.losses)
        self.penalty = sum(layer.penalty() for layer in by_layer(self.layers))
        self.loss = self.samples_loss + self.penalty
        self.layers = self._back()
        self.why_no_step = self._step(engine)
        self.loss_after = None if self.why_no_step else self.loss_at(self._new_parameters())

    def _back(self) -> tuple[LayerTrace, ...]:
        """Return the layers with what comes back to them."""
        outputs, net_inputs = dict[int, Array](), dict[int, Array]()
        for end in self.ends:
            leave(net_inputs if end.is_fused else outputs, end.value, end.gradient)
        return backward(self.layers, self.n_inputs, outputs, net_inputs)

    @property
    def n_inputs(self) -> int:
        """How many inputs the network has."""
        return len(self.graph.inputs)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all values: of the inputs, and of the layers."""
        return (*self.graph.names[: self.n_inputs], *(layer.name for layer in self.layers))

    def value_of(self, layer: int) -> int:
        """Return the number of the value that a layer computes."""
        return self.n_inputs + layer

    def width(self, value: int) -> int:
        """Return how many numbers a row of a value has."""
        return self.value(value).shape[1]

    @property
    def head(self) -> LayerTrace:
        """The layer that computes the first output, but for those that flatten it."""
        number = self.ends[0].head
        return self.layers[-1 if number is None else number]

    def ends_of(self, layer: LayerTrace) -> list[End]:
        """Return the outputs that a layer computes."""
        return [e for e in self.ends if e.head is not None and self.layers[e.head] is layer]

    @property
    def inputs(self) -> Any:
        """The samples."""
        return alone(self._given)

    @property
    def outputs(self) -> Any:
        """What the network made of them."""
        return alone(tuple(self.value(end.value) for end in self.ends))

    def value(self, number: int) -> Array:
        """Return a value by its number."""
        if number < self.n_inputs:
            return self._given[number]
        return self.layers[number - self.n_inputs].output

    @property
    def objective(self) -> Any:
        """The loss with its targets."""
        return alone(tuple(end.objective for end in self.ends))

    @property
    def loss_function(self) -> Any:
        """The loss."""
        return alone(tuple(end.objective.loss for end in self.ends))

    @property
    def targets(self) -> Any:
        """What it should have made of them, one number for each output."""
        return alone(tuple(end.objective.targets for end in self.ends))

    @property
    def output_losses(self) -> Any:
        """Each output's part of its sample's loss; None for a loss that compares whole rows."""
        return alone(tuple(end.parts for end in self.ends))

    def _step(self, engine: Any) -> str:
        """Take the next step of the network, or return why it can't be taken."""
        if self.optimizer.evaluates:
            name = type(self.optimizer).__name__
            return f"{name} takes its steps in fit(), each after several evaluations of the loss"
        gradients = {
            f"{layer.layer}.{role}": layer.gradient(role)
            for layer in by_layer(self.layers)
            for role, trainable in layer.trainable.items()
            if trainable
        }
        finite = all(np.isfinite(each).all() for each in gradients.values())
        if not (finite and np.isfinite(self.loss)):
            return "the loss or its gradient is not finite"
        stepped = update.stepped(engine, gradients)
        self.layers = tuple(layer.after(stepped) for layer in self.layers)
        return ""

    def _new_parameters(self) -> dict[str, Array]:
        return {
            f"{layer.layer}.{role}": values
            for layer in by_layer(self.layers)
            for role, values in layer.new_parameters.items()
        }

    @quietly
    def loss_at(self, parameters: Mapping[str, Any]) -> float:
        """Return the loss of the batch with other parameters, computed anew.

        Parameters
        ----------
        parameters : mapping of str to array_like
            Some parameters by name, as in "dense_1.weights"; the others are as they stand.

        Returns
        -------
        float
            The loss, with the same dropout masks.

        Raises
        ------
        TypeError, ValueError
            If a name is unknown or a shape is wrong.
        """
        given = self._checked(parameters)
        values, net_inputs = list(self._given), []
        penalty = sum(each.penalty(self._own(each, given)) for each in by_layer(self.layers))
        for layer in self.layers:
            changed = self._own(layer, given)
            x = [values[number] for number in layer.reads]
            z, a = layer.run(np.concatenate(x, axis=1), changed)
            net_inputs.append(z)
            values.append(a)
        read = (
            net_inputs[end.head] if end.is_fused and end.head is not None else values[end.value]
            for end in self.ends
        )
        losses = [end.losses(y) for end, y in zip(self.ends, read, strict=True)]
        return float(self.shares @ sum(losses)) + penalty

    def _own(self, layer: LayerTrace, given: dict[tuple[str, str], Array]) -> dict[str, Array]:
        """Return those of some parameters that a layer has."""
        return {role: values for (name, role), values in given.items() if name == layer.layer}

    def _checked(self, parameters: Mapping[str, Any]) -> dict[tuple[str, str], Array]:
        """Return parameters by layer and role."""
        known = {
            f"{each.layer}.{role}": (each, role)
            for each in by_layer(self.layers)
            for role in each.parameters
        }
        checked = {}
        for name, values in parameters.items():
            layer, role = known[validate.choice("parameters", name, known)]
            shape = layer.parameters[role].shape
            array = np.asarray(values, np.float64)
            if array.shape != shape:
                raise ValueError(f"parameters[{name!r}]: expected shape {shape}, got {array.shape}")
            checked[layer.layer, role] = array
        return checked

    def __getitem__(self, layer: str) -> LayerTrace:
        names = {each.name: each for each in self.layers}
        return names[validate.choice("layer", layer, names)]

    def chain(
        self,
        layer: str,
        *,
        weight: tuple[int, int] | None = None,
        bias: int | None = None,
        sample: int | None = None,
    ) -> Chain | BatchChain:
        """Return the derivative chain of one weight or bias; `print` shows it.

        Parameters
        ----------
        layer : str
            The layer's name, as in "dense_1".
        weight : (int, int), optional
            Input and unit: where the weight stands in the layer's `weights`.
        bias : int, optional
            The unit, for its bias.
        sample : int, optional
            The sample; left out, all of them, where there are several.

        Returns
        -------
        Chain or BatchChain
            The chain of one sample; or those of all, and what they add up to.

        Raises
        ------
        TypeError, ValueError
            If there is no such layer, weight, bias or sample.
        """
        found = place.find(self, layer, weight, bias)
        if sample is None and len(self.losses) > 1:
            return BatchChain(self, found)
        return Chain(self, found, self.sample_number(sample))

    def interpret(
        self,
        layer: str,
        *,
        weight: tuple[int, int] | None = None,
        bias: int | None = None,
        change: float = 0.1,
    ) -> Interpretation:
        """Return what sign and size of one derivative mean, checked; `print` shows it in words.

        Parameters
        ----------
        layer, weight, bias
            As for `chain`.
        change : float, default 0.1
            The change of the weight or bias for which the loss is predicted and computed anew; and
            for a tenth and a hundredth of it.

        Returns
        -------
        Interpretation
            Predicted and true change of the loss, and what to make of them.
        """
        return Interpretation(self, place.find(self, layer, weight, bias), change)

    def table(self, layer: str | None = None, sample: int | None = None) -> str:
        """Return tables of one layer, or all, and one sample, each cut after 20 rows.

        Parameters
        ----------
        layer : str, optional
            The layer's name; left out, all layers.
        sample : int, optional
            The sample; left out, the first.

        Returns
        -------
        str
            What `print` shows of a trace that is small enough to be shown whole.
        """
        chosen = self.layers if layer is None else (self[layer],)
        return document.as_text(tables.part(self, chosen, self.sample_number(sample)), self.digits)

    def _summary(self) -> str:
        names = ", ".join(layer.name for layer in self.layers)
        return f"trace of {len(self.losses)} samples through {names}: loss {self.loss:g}"

    def _blocks(self) -> Iterator[Block]:
        return tables.whole(self)

    def to_markdown(self, layer: str | None = None, sample: int | None = None) -> str:
        """Return a page in Markdown that shows every step, with formulas between dollars.

        Parameters
        ----------
        layer : str, optional
            One layer; left out, all of them.
        sample : int, optional
            One sample; left out, all of them.

        Raises
        ------
        ValueError
            If that is too much for a page.
        """
        return document.as_markdown(self._page("to_markdown", layer, sample), self.digits)

    def to_html(self, layer: str | None = None, sample: int | None = None) -> str:
        """Return a page in HTML that shows every step; browsers set its formulas by themselves.

        It has a picture of the network, where that is small and matplotlib is installed.

        Parameters
        ----------
        layer, sample
            As for `to_markdown`.

        Raises
        ------
        ValueError
            If that is too much for a page.
        """
        blocks = self._page("to_html", layer, sample)
        return document.as_html(blocks, self.digits, page.title(self))

    def plot(self, sample: int | None = None, axes: Axes | None = None) -> Axes:
        """Draw a small network as a graph: forward in blue, backward in red.

        In a unit stands its output, above it its net input and bias, below it delta; above a line
        its weight, below it dL/dw of the sample's own loss.

        Parameters
        ----------
        sample : int, optional
            The sample; left out, the first.
        axes : matplotlib.axes.Axes, optional
            Where to draw; left out, in a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            Where it was drawn.

        Raises
        ------
        ValueError
            If the network is too large.
        ImportError
            If matplotlib is not installed.
        """
        number = self.sample_number(sample)
        if reason := picture.refusal(self):
            raise ValueError(f"plot: {reason}; print(trace.table(layer, sample)) has no such limit")
        if axes is None:
            axes = new_axes("trace.plot()", picture.size(self))
        picture.draw(self, axes, number)
        return axes

    def _page(self, method: str, layer: str | None, sample: int | None) -> list[Block]:
        layers = self.layers if layer is None else (self[layer],)
        samples = range(len(self.losses)) if sample is None else [self.sample_number(sample)]
        needed = tables.rows_needed(layers, len(samples))
        if needed > tables.MOST_ROWS:
            raise ValueError(
                f"{method}: expected at most {tables.MOST_ROWS} units and parameters on a page, "
                f"counted for each sample, got {needed:,}; pass layer= and sample= to choose, "
                f"or ask for table(layer, sample) or chain(layer, weight=(input, unit))"
            )
        return list(page.of_samples(self, layers, samples))

    def sample_number(self, sample: int | None) -> int:
        """Return the number of a sample, 0 for None."""
        return validate.integer("sample", 0 if sample is None else sample, 0, len(self.losses) - 1)
