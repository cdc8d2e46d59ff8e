"""A network's layers and who reads whom: from tensors, or from a list of layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from fastbp.layers import Layer, Source
from fastbp.tensors import Input, Shape, Tensor


class Node(NamedTuple):
    """A layer called on tensors.

    Attributes
    ----------
    layer : int
        Place of the layer in the graph's.
    inputs : tuple of int
        Numbers of the tensors.
    """

    layer: int
    inputs: tuple[int, ...]


class Graph(NamedTuple):
    """Layers, and who reads whom.

    Tensors are numbered: first the inputs, then what each node computes.

    Attributes
    ----------
    layers : tuple of Layer
        Each layer once.
    nodes : tuple of Node
        In an order in which each one's inputs come before it.
    inputs : tuple of tuple of int
        Shape of one row of each input.
    outputs : tuple of int
        Numbers of the tensors that the network returns.
    """

    layers: tuple[Layer, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[Shape, ...]
    outputs: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each tensor: of the input, or of the layer and its call, as dense, dense[1]."""
        names, calls = layer_names(self.layers), [0] * len(self.layers)
        found = list(numbered(["input"] * len(self.inputs)))
        for layer, _ in self.nodes:
            found.append(f"{names[layer]}[{calls[layer]}]" if calls[layer] else names[layer])
            calls[layer] += 1
        return tuple(found)

    @property
    def is_chain(self) -> bool:
        """Whether each layer reads the one before it, and the last is the only output."""
        reads = [node.inputs for node in self.nodes]
        return reads == [(i,) for i in range(len(reads))] and self.outputs == (len(reads),)

    def shapes(self) -> tuple[Shape, ...]:
        """Return the shape of one row of each tensor.

        Raises
        ------
        ValueError
            If a layer takes no rows of the shape that it is to read.
        """
        names, layers = self.names, layer_names(self.layers)
        if self.is_chain:  # its input is known by the argument that tells the shape
            names = "input_shape", *names[1:]
        shapes = list(self.inputs)
        for node in self.nodes:
            sources = tuple(Source(names[number], shapes[number]) for number in node.inputs)
            name = f"layers: {layers[node.layer]}"
            shapes.append(self.layers[node.layer].output_shape(name, sources))
        return tuple(shapes)


def numbered(names: list[str]) -> tuple[str, ...]:
    """Return the names, with a number from the second of a kind on: dense, dense_1, dense_2."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        found.append(f"{name}_{count}" if count else name)
    return tuple(found)


def layer_names(layers: tuple[Layer, ...]) -> tuple[str, ...]:
    """Name each layer after its kind: dense, dense_1, dense_2, and so on."""
    return numbered([layer.name for layer in layers])


def chain(layers: tuple[Layer, ...], input_shape: Shape) -> Graph:
    """Return the graph of layers that each read the one before."""
    nodes = tuple(Node(index, (index,)) for index in range(len(layers)))
    return Graph(layers, nodes, (input_shape,), (len(layers),))


def traced(inputs: Any, outputs: Any) -> Graph:
    """Return the graph that leads from `inputs` to `outputs`.

    Parameters
    ----------
    inputs : Input, or list or tuple of Input
        What the network is given.
    outputs : Tensor, or list or tuple of Tensor
        What it returns.

    Raises
    ------
    TypeError, ValueError
        If one of them is no such tensor or is there twice, outputs depend on themselves or on
        another input, or no output depends on one of the inputs.
    """
    given, wanted = _tensors("inputs", inputs, Input), _tensors("outputs", outputs, Tensor)
    numbers = {tensor: number for number, tensor in enumerate(given)}
    places: dict[int, int] = {}  # of layers, by identity
    layers: list[Layer] = []
    nodes: list[Node] = []
    for tensor in _in_order(wanted):
        if tensor.layer is None:
            if tensor not in numbers:
                raise ValueError(f"inputs: expected all that outputs depend on, got no {tensor!r}")
            continue
        if id(tensor.layer) not in places:
            places[id(tensor.layer)] = len(layers)
            layers.append(tensor.layer)
        read = tuple(numbers[source] for source in tensor.inputs)
        nodes.append(Node(places[id(tensor.layer)], read))
        numbers[tensor] = len(numbers)
    outputs = tuple(numbers[tensor] for tensor in wanted)
    used = {number for node in nodes for number in node.inputs} | set(outputs)
    for number, tensor in enumerate(given):
        if number not in used:
            place = f"inputs[{number}]" if len(given) > 1 else "inputs"
            raise ValueError(f"{place}: expected one that outputs depend on, got {tensor!r}")
    return Graph(tuple(layers), tuple(nodes), tuple(tensor.shape for tensor in given), outputs)


def _tensors(argument: str, value: Any, kind: type[Tensor]) -> tuple[Tensor, ...]:
    """Return one tensor, or a list or tuple of them, as a tuple."""
    given = tuple(value) if isinstance(value, list | tuple) else (value,)
    example = "fastbp.Input(4)" if kind is Input else "fastbp.Dense(4)(x)"
    if not given:
        raise ValueError(f"{argument}: expected at least one tensor, got none")
    for index, tensor in enumerate(given):
        place = f"{argument}[{index}]" if len(given) > 1 else argument
        if not isinstance(tensor, kind):
            got = tensor if isinstance(tensor, Tensor) else type(tensor).__name__
            raise TypeError(f"{place}: expected a tensor such as {example}, got {got}")
        if tensor in given[:index]:
            raise ValueError(f"{place}: expected each tensor once, got {tensor!r} again")
    return given


def _in_order(outputs: tuple[Tensor, ...]) -> Iterator[Tensor]:
    """Yield all that `outputs` depend on, each tensor behind what it reads.

    Depth first, in the order in which layers were given their inputs, without recursion: a network
    may be deeper than Python's stack.
    """
    done: set[Tensor] = set()
    for output in outputs:
        path = [(output, iter(output.inputs))]
        open_ones = {output}
        while path and output not in done:
            tensor, rest = path[-1]
            source = next((each for each in rest if each not in done), None)
            if source in open_ones:
                raise ValueError(f"outputs: expected a graph without cycles, got one at {source!r}")
            if source is not None:
                path.append((source, iter(source.inputs)))
                open_ones.add(source)
                continue
            path.pop()
            open_ones.remove(tensor)
            done.add(tensor)
            yield tensor
