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
from fastbp.files.header import MOST_AXES
from fastbp.files.tensors import TensorFile, opened, write_tensors
from fastbp.files.values import Decoder, Encoder
from fastbp.graph import chain, traced
from fastbp.lowering import lower_graph
from fastbp.parameters import require
from fastbp.schedules import Schedule
from fastbp.tensors import Input, Shape, Tensor

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
# Of some, lowering takes the square of their number of steps: a small file is soon refused or read.
MOST = {
    "layers": 10_000,
    "calls of layers": 10_000,
    "tensors read": 100_000,
    "inputs": 1000,
    "outputs": 1000,
    "axes": MOST_AXES,
}


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
    if excess := _excess(state["_descriptions"], state["_graph"], state["input_shape"]):
        raise ValueError(f"network: {excess}")
    try:
        parts = {name: encoder.encode(name, state[key]) for key, name in PARTS.items()}
    except RecursionError:
        raise ValueError("network: expected less deeply nested values") from None
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
    given = _custom_objects(custom_objects)
    with opened(path) as file:
        try:
            return _Reader(file, given).network(network)
        except (FileFormatError, ImportError, MemoryError, OSError):
            raise
        except Exception as error:  # of all that the parts of a network refuse
            raise FileFormatError(f"expected a network that fastbp can make: {error}") from error


class _Reader:
    """Makes a network from a file, of which no array is read before it is known to belong there."""

    def __init__(self, file: TensorFile, custom_objects: Mapping[str, Any]) -> None:
        metadata = file.metadata
        _require_version(metadata)
        expected = {"format", "format_version", "written_by", "network", "training"}
        if metadata.keys() != expected or not file.has_digest:
            raise FileFormatError(f"expected a digest and {', '.join(sorted(expected))}")
        self.file = file
        self.parts = _object("network", metadata["network"], set(PARTS.values()))
        self.training = _object("training", metadata["training"], {"seed", "position"})
        self.custom_objects = custom_objects

    def network(self, kind: type[Kind]) -> Kind:
        """Return the network; nothing is drawn or laid out before all sizes are found right."""
        named = _array_names(self.parts) & self.file.forms.keys()
        decoder = Decoder(self.file.read(named), self.custom_objects)
        parts = {name: decoder.decode(tree) for name, tree in self.parts.items()}
        connections = parts.pop("connections")
        input_shape = _input_shape(parts.pop("input_shape"))
        if not isinstance(parts["layers"], tuple):
            raise FileFormatError("layers: expected a list")
        if excess := _excess(parts["layers"], connections, input_shape):
            raise FileFormatError(excess)
        class_names, preprocessing = parts.pop("class_names"), parts.pop("preprocessing")
        if isinstance(parts["loss"], tuple) and not any(parts["loss"]):
            parts["loss"] = None  # of all outputs
        if connections is not None:
            parts["inputs"], parts["outputs"] = _tensors(parts.pop("layers"), *connections)
        others = [name for name in self.file.forms if name not in named]
        self._require_forms(parts, input_shape, others)
        arrays = self.file.read(others)
        self.file.require_whole()
        made = kind(**parts, seed=self.training["seed"])
        if connections is not None and tuple(made._graph or ())[1:] != connections:
            raise FileFormatError("connections: expected layers in the order in which they run")
        made.class_names, made.preprocessing = class_names, preprocessing
        n_losses = 1 if connections is None else len(made.plan.loss_weights)
        trained = self._trained(arrays, made.optimizer, n_losses)
        made.__setstate__(made.__getstate__() | {"input_shape": input_shape, "trained": trained})
        return made

    def _require_forms(
        self, parts: dict[str, Any], input_shape: Shape | None, names: list[str]
    ) -> None:
        """Refuse other arrays than a network of these parts has, before one of them is read."""
        if (input_shape is None) != (not names):
            raise FileFormatError("input_shape: expected beside parameters, and there alone")
        if "inputs" in parts:
            graph = traced(parts["inputs"], parts["outputs"])
        elif input_shape:
            graph = chain(arguments.layer_list(parts["layers"]), input_shape)
        else:
            return
        n = len(graph.outputs)
        plan = lower_graph(graph, arguments.dtype(parts["dtype"]), (None,) * n, (1.0,) * n)
        forms = {name: self.file.forms[name] for name in names}
        if (state := forms.pop(STATE, None)) is None:
            raise FileFormatError(f"expected an array {STATE!r}")
        require(plan, forms, state, optimizers.resolve(parts["optimizer"]))

    def _trained(
        self, arrays: dict[str, Array], optimizer: Any, n_losses: int
    ) -> dict[str, Any] | None:
        tree = self.training["position"]
        if tree is None and not arrays:
            return None
        position = _position(tree, n_losses)
        if isinstance(optimizer.learning_rate, Schedule):
            _require_order("schedule_steps", position.schedule_steps, position.steps)
            _require_order("schedule_epochs", position.schedule_epochs, position.epochs)
        if STATE not in arrays:
            raise FileFormatError(f"expected an array {STATE!r}")
        return {"state": arrays.pop(STATE), "parameters": arrays, "position": position}


def _excess(layers: tuple[Any, ...], connections: Any, input_shape: Shape | None) -> str:
    """Return what a network has more of than a file may tell of, or nothing."""
    nodes, inputs, outputs = connections or ((), (), ())
    counts = {
        "layers": len(layers),
        "calls of layers": len(nodes),
        "tensors read": sum(len(read) for _, read in nodes),
        "inputs": len(inputs),
        "outputs": len(outputs),
        "axes": max(map(len, (input_shape or (), *inputs))),
    }
    excesses = (what for what, count in counts.items() if count > MOST[what])
    what = next(excesses, None)
    return f"expected at most {MOST[what]} {what}, got {counts[what]}" if what else ""


def _custom_objects(value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if not isinstance(value, Mapping | None):
        raise TypeError(f"custom_objects: expected a mapping, got {type(value).__name__} {value!r}")
    return value or {}


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
    """Return the names of the arrays that a tree of JSON refers to, each in one place.

    Some parts copy their array: named in many places, one would take the memory of many.
    """
    names: set[str] = set()
    trees = [tree]
    while trees:
        each = trees.pop()
        if isinstance(each, dict):
            if each.keys() == {"array"} and isinstance(name := each["array"], str):
                if name in names:
                    raise FileFormatError(f"expected each array in one place, got {name!r} twice")
                names.add(name)
            trees += each.values()
        elif isinstance(each, list):
            trees += each
    return names


def _input_shape(shape: Any) -> Shape | None:
    if shape is None:
        return None
    if not isinstance(shape, tuple) or not shape:
        raise FileFormatError("input_shape: expected a list of sizes")
    return tuple(validate.integer("input_shape", size, 1) for size in shape)


def _tensors(layers: tuple[Any, ...], nodes: Any, inputs: Any, outputs: Any) -> tuple[Any, Any]:
    """Call layers on tensors; return those of the inputs and of the outputs of a network."""
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
