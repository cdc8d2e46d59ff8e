"""A network as a file: what it is made of, its parameters, and where its training stands."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from fastbp import arguments, optimizers, validate
from fastbp._version import __version__
from fastbp.engine import Array, EpochPart, Position, alone
from fastbp.exceptions import FileFormatError
from fastbp.files import strict_json
from fastbp.files.tensors import Contents, naming, read_tensors, write_tensors
from fastbp.files.values import Decoder, Encoder
from fastbp.graph import traced
from fastbp.lowering import lower_graph
from fastbp.parameters import require
from fastbp.schedules import Schedule
from fastbp.tensors import Input, Tensor

if TYPE_CHECKING:
    from fastbp.state import NetworkState

    Kind = TypeVar("Kind", bound=NetworkState)

FORMAT, VERSION = "fastbp.network", "1"
# The optimizer's memory: a row for each thing that it remembers of each parameter.
STATE = "fastbp.optimizer_state"
# What a network consists of, by the names of its state and of the file.
PARTS = {
    "_descriptions": "layers",
    "input_shape": "input_shape",
    "_graph": "connections",
    "_losses": "loss",
    "_loss_weights": "loss_weights",
    "_optimizer": "optimizer",
    "_metrics": "metrics",
    "_dtype": "dtype",
    "_class_names": "class_names",
    "_preprocessing": "preprocessing",
}
TRAINING = {"_seed", "trained"}
SUMS = ("loss_sum", "right_sum")
LEFT_OUT = {"_n_threads"}  # belongs to the machine
# Lowering takes the square of their number of steps.
MOST_LAYERS = 10_000


def save(network: NetworkState, path: str | os.PathLike[str]) -> None:
    """Write a network to a file; see `Network.save`."""
    state = network.__getstate__()
    if unknown := state.keys() - PARTS.keys() - TRAINING - LEFT_OUT:
        raise TypeError(
            f"network: expected a Network as fastbp has it, got a {type(network).__name__} with "
            f"{', '.join(sorted(unknown))}, for which its file has no place"
        )
    encoder = Encoder()
    state["_losses"] = alone(state["_losses"])
    if graph := state["_graph"]:
        state["_graph"] = tuple(graph)[1:]  # beside the layers
    parts = {name: encoder.encode(name, state[key]) for key, name in PARTS.items()}
    trained = state["trained"]
    tensors = trained["parameters"] | {STATE: trained["state"]} if trained else {}
    if shared := tensors.keys() & encoder.arrays.keys():
        raise ValueError(f"network: expected another name for {shared.pop()!r}")
    training = {"seed": state["_seed"], "position": trained and _plain(trained["position"])}
    metadata = {
        "format": FORMAT,
        "format_version": VERSION,
        "written_by": f"fastbp {__version__}",
        "network": strict_json.write("network", parts),
        "training": strict_json.write("training", training),
    }
    write_tensors(path, tensors | encoder.arrays, metadata)


def load(
    path: str | os.PathLike[str],
    network: type[Kind],
    custom_objects: Mapping[str, Any] | None = None,
) -> Kind:
    """Return the network in a file; see `Network.load`."""
    contents = read_tensors(path)
    with naming(path):
        try:
            return _Reader(contents, custom_objects or {}).network(network)
        except (FileFormatError, ImportError, MemoryError):
            raise
        except Exception as error:  # of all that the parts of a network refuse
            raise FileFormatError(f"expected a network that fastbp can make: {error}") from error


class _Reader:
    """Makes a network from the contents of a file."""

    def __init__(self, contents: Contents, custom_objects: Mapping[str, Any]) -> None:
        metadata = contents.metadata
        _require_version(metadata)
        expected = {"format", "format_version", "written_by", "network", "training"}
        if metadata.keys() != expected or not contents.verified:
            raise FileFormatError(f"expected a digest and {', '.join(sorted(expected))}")
        self.tensors = dict(contents.tensors)
        self.state = self.tensors.pop(STATE, None)
        self.parts = _object("network", metadata["network"], set(PARTS.values()))
        self.training = _object("training", metadata["training"], {"seed", "position"})
        self.custom_objects = custom_objects

    def network(self, kind: type[Kind]) -> Kind:
        """Return the network; nothing is drawn or laid out before all sizes are found right."""
        arrays = {name: self.tensors[name] for name in _array_names(self.parts)}
        decoder = Decoder(arrays, self.custom_objects)
        parts = {name: decoder.decode(tree) for name, tree in self.parts.items()}
        if not isinstance(parts["layers"], tuple) or len(parts["layers"]) > MOST_LAYERS:
            raise FileFormatError(f"layers: expected a list of at most {MOST_LAYERS}")
        parameters = {n: each for n, each in self.tensors.items() if n not in arrays}
        connections = parts.pop("connections")
        input_shape = _input_shape(parts.pop("input_shape"))
        class_names, preprocessing = parts.pop("class_names"), parts.pop("preprocessing")
        if isinstance(parts["loss"], tuple) and not any(parts["loss"]):
            parts["loss"] = None  # of all outputs
        if connections is not None:
            layers = parts.pop("layers")
            parts["inputs"], parts["outputs"] = _tensors(layers, *connections)
            self._require_sizes(parts, parameters)
        made = kind(**parts, seed=self.training["seed"])
        if connections is not None and tuple(made._graph or ())[1:] != connections:
            raise FileFormatError("connections: expected layers in the order in which they run")
        made.class_names, made.preprocessing = class_names, preprocessing
        n_losses = 1 if connections is None else len(made.plan.loss_weights)
        trained = self._trained(parameters, made.optimizer, n_losses)
        if (input_shape is None) != (trained is None):
            raise FileFormatError("input_shape: expected beside parameters, and there alone")
        made.__setstate__(made.__getstate__() | {"input_shape": input_shape, "trained": trained})
        return made

    def _require_sizes(self, parts: dict[str, Any], parameters: dict[str, Array]) -> None:
        """Refuse a graph of other sizes than its arrays have, before a network is made of it."""
        graph = traced(parts["inputs"], parts["outputs"])
        n = len(graph.outputs)
        plan = lower_graph(graph, arguments.dtype(parts["dtype"]), (None,) * n, (1.0,) * n)
        if self.state is None:
            raise FileFormatError(f"expected an array {STATE!r}")
        require(plan, parameters, self.state, optimizers.resolve(parts["optimizer"]))

    def _trained(
        self, parameters: dict[str, Array], optimizer: Any, n_losses: int
    ) -> dict[str, Any] | None:
        tree = self.training["position"]
        if tree is None and self.state is None and not parameters:
            return None
        position = _position(tree, n_losses)
        if isinstance(optimizer.learning_rate, Schedule):
            _require_order("schedule_steps", position.schedule_steps, position.steps)
            _require_order("schedule_epochs", position.schedule_epochs, position.epochs)
        if self.state is None:
            raise FileFormatError(f"expected an array {STATE!r}")
        return {"parameters": parameters, "state": self.state, "position": position}


def _require_version(metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise FileFormatError(
            f"expected a network saved by fastbp, got a file of arrays; fastbp.files.read_tensors "
            f"reads those, got format {metadata.get('format', 'none')[:80]!r}"
        )
    version = metadata.get("format_version", "none")
    if version != VERSION:
        raise FileFormatError(
            f"expected format version {VERSION}, got {version[:80]!r}, written by "
            f"{metadata.get('written_by', 'another program')[:80]}; this is fastbp {__version__}"
        )


def _object(what: str, text: str, keys: set[str]) -> dict[str, Any]:
    tree = strict_json.read(what, text)
    if not isinstance(tree, dict) or tree.keys() != keys:
        raise FileFormatError(f"{what}: expected an object with {', '.join(sorted(keys))}")
    return tree


def _array_names(tree: Any) -> set[str]:
    """Return the names of the arrays that a tree of JSON refers to."""
    names: set[str] = set()
    trees = [tree]
    while trees:
        each = trees.pop()
        if isinstance(each, dict):
            if each.keys() == {"array"} and isinstance(each["array"], str):
                names.add(each["array"])
            trees += each.values()
        elif isinstance(each, list):
            trees += each
    return names


def _input_shape(shape: Any) -> tuple[int, ...] | None:
    if shape is None:
        return None
    if not isinstance(shape, tuple) or not shape:
        raise FileFormatError("input_shape: expected a list of sizes")
    return tuple(validate.integer("input_shape", size, 1) for size in shape)


def _tensors(layers: tuple[Any, ...], nodes: Any, inputs: Any, outputs: Any) -> tuple[Any, Any]:
    """Call layers on tensors; return those of the inputs and of the outputs of a network."""
    if len(nodes) > MOST_LAYERS:
        raise FileFormatError(f"connections: expected at most {MOST_LAYERS}, got {len(nodes)}")
    tensors: list[Tensor] = [Input(shape) for shape in inputs]
    given = tuple(tensors)
    for layer, read in nodes:
        called_on = [tensors[_number("tensor", number, len(tensors))] for number in read]
        called = layers[_number("layer", layer, len(layers))]
        tensors.append(called(called_on[0] if len(called_on) == 1 else called_on))
    return given, tuple(tensors[_number("output", k, len(tensors))] for k in outputs)


def _number(what: str, value: Any, count: int) -> int:
    return validate.integer(f"connections: {what}", value, 0, count - 1)


def _plain(position: Position) -> dict[str, Any]:
    return position._asdict() | {"part": position.part._asdict()}


def _position(tree: Any, n_losses: int) -> Position:
    """Return a position whose numbers go together, for engines rely on it."""
    if not isinstance(tree, dict) or tree.keys() != set(Position._fields):
        raise FileFormatError(f"position: expected {', '.join(Position._fields)}")
    part = tree["part"]
    if not isinstance(part, dict) or part.keys() != set(EpochPart._fields):
        raise FileFormatError(f"position.part: expected {', '.join(EpochPart._fields)}")
    rows, of_rows = (_count(name, part[name]) for name in ("rows", "of_rows"))
    measured = _of_losses("measured", part, n_losses, _count)
    sums = {name: _of_losses(name, part, n_losses, validate.real) for name in SUMS}
    made = Position(
        **{name: _count(name, tree[name]) for name in Position._fields if name != "part"},
        part=EpochPart(rows, of_rows, alone(measured), **{k: alone(v) for k, v in sums.items()}),
    )
    _require_order("rows", rows, of_rows)
    for count in measured:
        _require_order("measured", count, rows)
    _require_order("rows", bool(made.part.rows), made.epochs)
    return made


def _of_losses(
    name: str, part: Mapping[str, Any], n_losses: int, read: Callable[[str, Any], Any]
) -> tuple[Any, ...]:
    """Return a number for each loss, which stand in a list where there are several."""
    values = part[name]
    if not part["rows"]:
        return (read(name, values),)
    values = (values,) if n_losses == 1 else values
    if not isinstance(values, list | tuple) or len(values) != n_losses:
        raise FileFormatError(f"position.part.{name}: expected {n_losses} numbers")
    return tuple(read(name, value) for value in values)


def _count(name: str, value: Any) -> int:
    return validate.integer(f"position.{name}", value, 0, 2**62)


def _require_order(name: str, smaller: int, larger: int) -> None:
    if smaller > larger:
        raise FileFormatError(f"position.{name}: expected at most {larger}, got {smaller}")
