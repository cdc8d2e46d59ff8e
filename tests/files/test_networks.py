"""Networks in files: what comes back, what is refused, and that no code runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from forged_files import opened, packed, sealed, written
from graph_cases import CASES
from schedule_rows import ROWS

import fastbp
from fastbp import Adam, Dense, Dropout, Flatten, Rescale
from fastbp.activations import ACTIVATIONS, ELU
from fastbp.callbacks import LambdaCallback
from fastbp.constraints import MaxNorm, NonNeg
from fastbp.exceptions import FileFormatError
from fastbp.files import read_tensors, write_tensors
from fastbp.files.values import Decoder, Encoder, known_kinds
from fastbp.initializers import INITIALIZERS, Values
from fastbp.layers import Add, Concatenate
from fastbp.losses import LOSSES
from fastbp.metrics import METRICS
from fastbp.optimizers import LBFGS, OPTIMIZERS
from fastbp.regularizers import L1, L1L2, L2

RNG = np.random.default_rng(0)
COSINE = fastbp.schedules.Cosine(0.1, 50)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))


@pytest.fixture
def make(Network):
    def make(layers=None, **changes):
        options = {"input_shape": 3, "loss": "squared_error", "seed": 2**64 - 1, "metrics": ["r2"]}
        layers = layers or [Dense(4, "tanh"), Dropout(0.2), Dense(2)]
        return Network(layers, **options | changes)

    return make


@pytest.fixture
def saved(make, tmp_path):
    """A file of a network that has trained, as a header and data that `forged` puts together."""
    net = make(layers=[Dense(4, ELU(0.5), weights_initializer=RNG.normal(size=(3, 4))), Dense(2)])
    net.fit(X, Y, epochs=2)
    net.class_names, net.preprocessing = ("no", "yes"), {"mean": X.mean(0)}
    net.save(tmp_path / "saved")
    return opened((tmp_path / "saved").read_bytes())


TABLES = (ACTIVATIONS, INITIALIZERS, LOSSES, METRICS, OPTIMIZERS)
COSTLY = Dense(3, weights_regularizer=L1L2(0.1, 0.2), bias_constraint=MaxNorm(2.0))
DESCRIPTIONS = [
    *(kind() for table in TABLES for kind in table.values()),
    *(Dense(3, "relu"), Flatten(), Rescale(0.5), Adam(COSINE, clip_norm=1.0)),
    *(kind for kind in ROWS.values()),
    *(L1(0.1), L2(0.1), L1L2(0.1, 0.2), MaxNorm(2.0), NonNeg(), COSTLY),
    *(Dropout(0.5, structured=True), Add(), Concatenate(-1)),
]


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda d: type(d).__name__)
def test_every_description_comes_back_equal(description):
    tree = json.loads(json.dumps(Encoder().encode("it", description)))
    again = Decoder({}, {}).decode(tree)
    assert again == description
    assert hash(again) == hash(description)


def test_every_part_of_fastbp_has_a_kind_of_its_own():
    kinds = [type(each) for each in DESCRIPTIONS]
    found = known_kinds()
    assert set(kinds) <= set(found.values())
    assert {"layers.Dense", "optimizers.LBFGS", "schedules.Warmup", "losses.Huber"} <= found.keys()
    assert all(
        f"fastbp.{name}" == f"{kind.__module__}.{kind.__name__}" for name, kind in found.items()
    )


VALUES = [
    None, True, -(2**63), 2**64 - 1, 0.1, 5e-324, 1.7976931348623157e308, -0.0, "", "\u00fc\0\"\\",
    (), (1, ("a", None)), {}, {"dict": {"a": 1}, "array": "x", "float": "inf"},
    float("inf"), -float("inf"),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_value_comes_back_equal(value):
    tree = json.loads(json.dumps(Encoder().encode("it", value)))
    again = Decoder({}, {}).decode(tree)
    assert again == value
    assert repr(again) == repr(value)


def test_a_network_comes_back_as_it_was(make, Network, standing, tmp_path, dtype):
    net = make(dtype=dtype, optimizer=Adam(COSINE), n_threads=2)
    net.fit(X, Y, epochs=2, batch_size=7)
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    assert type(again) is Network
    assert standing(again) == standing(net)
    assert again.predict(X).tobytes() == net.predict(X).tobytes()
    assert (again.loss, again.optimizer, again.metrics) == (net.loss, net.optimizer, net.metrics)
    assert (again.dtype, again.n_threads, again.class_names) == (dtype, None, None)
    assert again.summary() == net.summary()
    assert again.learning_rate == net.learning_rate
    for each in (net, again):
        each.reset()
    assert standing(again) == standing(net)


def test_a_network_with_what_holds_its_parameters_comes_back(make, Network, standing, tmp_path):
    net = make(layers=[COSTLY, Dropout(0.5, structured=True), Dense(2)], optimizer="sgd")
    net.fit(X, Y)
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    for each in (net, again):
        each.fit(X, Y)
    assert standing(again) == standing(net)


@pytest.mark.parametrize("name", CASES)
def test_every_graph_comes_back_as_it_was(Network, standing, tmp_path, name):
    net = CASES[name].network(Network, optimizer="adam")
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    assert standing(again) == standing(net)
    assert again.plan == net.plan
    assert again.summary() == net.summary()


@pytest.mark.parametrize(
    ("connections", "message"),
    [
        ([[[0, [0]], [1, [3]]], [[5]], [2]], "connections: tensor"),
        ([[[2, [0]], [1, [1]]], [[5]], [2]], "connections: layer"),
        ([[[0, [0]], [1, [1]]], [[5]], [3]], "connections: output"),
        ([[[0, [0]]] * 10_001, [[5]], [1]], "at most 10000 calls of layers, got 10001"),
        ([[[0, [0] * 100_001]], [[5]], [1]], "at most 100000 tensors read"),
        ([[[0, [0]], [1, [1]]], [[5]], [2] * 1001], "at most 1000 outputs"),
        ([[[0, [0]], [1, [1]]], [[5]] * 1001, [2]], "at most 1000 inputs"),
        ([[[0, [0]], [1, [1]]], [[1] * 33], [2]], "at most 32 axes"),
        ([[[1, [0]], [0, [1]]], [[5]], [2]], "other arrays|in the order"),
        ([[], [[5]], [0]], "other arrays|in the order"),
        ([], "that fastbp can make"),
        (1, "that fastbp can make"),
    ],
)
def test_a_forged_graph_is_refused(Network, tmp_path, connections, message):
    x = fastbp.Input(5)
    Network(inputs=x, outputs=Dense(2)(Dense(3)(x))).save(tmp_path / "net")
    forge = setting("network", "connections", connections)
    path = written(tmp_path, forge(*opened((tmp_path / "net").read_bytes())))
    with pytest.raises(FileFormatError, match=message):
        Network.load(path)


def test_fastbp_load_makes_a_compiled_network(core, make, tmp_path):
    make().save(tmp_path / "net")
    assert type(fastbp.load(tmp_path / "net")) is fastbp.Network


def test_the_arrays_of_a_file_are_the_named_parameters(make, tmp_path):
    net = make()
    net.save(tmp_path / "net")
    found = read_tensors(tmp_path / "net").tensors
    assert found.pop("fastbp.optimizer_state").shape == (2, net.n_parameters)
    for name, array in net.named_parameters().items():
        np.testing.assert_array_equal(found.pop(name), array)
    assert found == {}


def test_class_names_and_preprocessing_go_along(make, Network, tmp_path):
    net = make()
    net.class_names = np.array(["a", "b"])
    net.preprocessing = {"mean": X.mean(0), "steps": ["centre", {"log": True}], "size": 3}
    for each in (net.copy(), net):
        each.save(tmp_path / "net")
        again = Network.load(tmp_path / "net")
        assert again.class_names == ("a", "b")
        np.testing.assert_array_equal(again.preprocessing.pop("mean"), X.mean(0))
        assert again.preprocessing == {"steps": ("centre", {"log": True}), "size": 3}
    net.class_names = [3, 5]
    net.preprocessing = None
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    assert (again.class_names, again.preprocessing) == ((3, 5), None)
    for name, wrong in (("class_names", "ab"), ("class_names", [0.5]), ("preprocessing", [1])):
        with pytest.raises(TypeError, match=rf"^{name}: expected"):
            setattr(net, name, wrong)


@pytest.mark.parametrize(
    ("units", "right", "wrong", "expected"),
    [
        ([3], [3], [0, 1, 2, 4], "3 names"),
        ([1], [1, 2], [0, 3], "1 or 2 names"),
        ([3, 1], [1, 2, 3], [4], "1 or 2 or 3 names"),
        ([2, 5], [2, 5], [1, 3, 4], "2 or 5 names"),
    ],
)
def test_class_names_are_as_many_as_an_output_has_or_two_of_one(
    Network, units, right, wrong, expected
):
    x = fastbp.Input(3)
    net = Network(inputs=x, outputs=[Dense(n)(x) for n in units])
    net.class_names = range(right[0])
    for count in wrong:
        with pytest.raises(ValueError, match=rf"^class_names: expected {expected}, got {count}"):
            net.class_names = range(count)
        assert net.class_names == tuple(range(right[0]))
    for count in right:
        net.class_names = range(count)
        assert net.class_names == tuple(range(count))


def test_class_names_are_counted_when_sizes_are_known(Network):
    net = Network([Dense(2)], loss="squared_error")
    net.class_names = ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"^class_names: expected 2 names, got 3"):
        net.fit(X, Y)
    net.class_names = ["a", "b"]
    net.fit(X, Y)


def test_a_network_without_sizes_comes_back_without(Network, standing, tmp_path):
    net = Network([Dense(2)], loss="squared_error", seed=5)
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    for each in (net, again):
        each.fit(X, Y)
    assert standing(again) == standing(net)


def test_a_network_without_parameters_comes_back(Network, tmp_path):
    Network([Rescale(0.5), Flatten()], input_shape=(2, 3)).save(tmp_path / "net")
    assert Network.load(tmp_path / "net").predict(np.ones((1, 2, 3))).tolist() == [[0.5] * 6]


def test_given_initial_values_come_back_for_a_reset(Network, tmp_path):
    weights = RNG.integers(-5, 5, (3, 2))
    net = Network([Dense(2, weights_initializer=weights)], input_shape=3)
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    again.parameters[:] = 0
    again.reset()
    np.testing.assert_array_equal(again.layers[0].weights, weights)
    found = again._descriptions[0].weights_initializer
    assert isinstance(found, Values)
    assert found.values.dtype == weights.dtype


# Parts that the program defines itself.


class Mine(ELU):
    """A part of the program's own."""


def scale():
    """Do nothing: a function of the program's own."""


def test_parts_of_the_program_are_found_among_custom_objects_alone():
    given = {"Mine": Mine, "scale": scale}
    for name, value in {"Mine": Mine(0.5), "scale": scale}.items():
        tree = json.loads(json.dumps(Encoder().encode("it", value)))
        assert Decoder({}, given).decode(tree) == value
        with pytest.raises(FileFormatError, match=f"expected '{name}', .* in custom_objects"):
            Decoder({}, {"other": len}).decode(tree)


def test_a_network_with_a_part_of_the_program_comes_back(Network, tmp_path):
    net = Network([Dense(2, Mine(0.25))], input_shape=3, seed=0)
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net", custom_objects={"Mine": Mine})
    assert again.predict(X).tobytes() == net.predict(X).tobytes()
    with pytest.raises(FileFormatError, match=f"^{tmp_path / 'net'}: expected 'Mine'"):
        Network.load(tmp_path / "net")
    with pytest.raises(TypeError, match=r"^custom_objects: expected a mapping, got list"):
        Network.load(tmp_path / "net", custom_objects=[Mine])


@pytest.mark.parametrize(
    "wrong", [lambda x: x, object(), {1: 2}, 2**64, {"a": [1j]}, np.array(["x"])]
)
def test_what_a_file_can_not_hold_is_refused_by_name(make, tmp_path, wrong):
    net = make()
    net._preprocessing = {"step": wrong}
    with pytest.raises((TypeError, ValueError), match=r"preprocessing\['step'\]|tensors\["):
        net.save(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_values_that_hold_themselves_are_refused(make, tmp_path):
    net = make()
    net.preprocessing = {"steps": (steps := [])}
    steps.append(steps)
    with pytest.raises(ValueError, match=r"^network: expected less deeply nested values"):
        net.save(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_class_with_more_in_it_is_refused(Network, tmp_path):
    class Larger(Network):
        pass

    net = Larger([Dense(2)], input_shape=3)
    net.save(tmp_path / "net")
    net.more = 3
    with pytest.raises(TypeError, match="Larger with more, for which"):
        net.save(tmp_path / "net")


def test_a_network_that_trains_in_another_thread_is_not_saved(make, tmp_path):
    net = make()

    def save_elsewhere(epoch, logs):
        import threading

        def save():
            with pytest.raises(RuntimeError, match="expected an idle network"):
                net.save(tmp_path / "net")

        thread = threading.Thread(target=save)
        thread.start()
        thread.join()

    net.fit(X, Y, callbacks=[LambdaCallback(on_epoch_end=save_elsewhere)])
    assert list(tmp_path.iterdir()) == []


# Files that are not right.


def changed(change):
    """Return a forgery: a change of the tree of a part, sealed again."""

    def forge(header, data):
        metadata = header["__metadata__"]
        trees = {name: json.loads(metadata[name]) for name in ("network", "training")}
        change(header, metadata, trees)
        metadata.update({name: json.dumps(tree) for name, tree in trees.items()})
        return sealed(header, data)

    return forge


def setting(*path):
    """Return a forgery that sets one value."""
    *path, last, value = path

    def change(header, metadata, trees):
        tree: Any = {"header": header, "metadata": metadata, **trees}
        for key in path:
            tree = tree[key]
        tree[last] = value

    return changed(change)


DENSE = "network", "layers", 0, "layers.Dense"
FORGED = {
    "another format": (setting("metadata", "format", "pt"), "a file of arrays"),
    "a newer version": (setting("metadata", "format_version", "2"), "format version 1, got '2'"),
    "more metadata": (setting("metadata", "x", "y"), "expected a digest and format"),
    "a training that is a list": (setting("metadata", "training", "[]"), ""),
    "more of a network": (setting("network", "x", 1), "network: expected an object"),
    "an unknown part": (setting(*DENSE[:3], {"layers.Dense2": {}}), "that this fastbp has"),
    "a class of Python": (setting(*DENSE[:3], {"os.system": {"command": "true"}}), "this fastbp"),
    "a base class": (setting(*DENSE[:3], {"layers.Layer": {}}), "Layer"),
    "a function": (setting(*DENSE, "activation", {"custom": "eval"}), "in custom_objects"),
    "two kinds": (setting(*DENSE[:3], {"a": {}, "b": {}}), "one key"),
    "a field of the wrong type": (setting(*DENSE, "units", "4"), "units: expected an integer"),
    "an unknown field": (setting(*DENSE, "unit", 4), "unit"),
    "an array that is not there": (
        setting(*DENSE, "weights_initializer", {"array": "x"}),
        "",
    ),
    "layers that are none": (setting("network", "layers", None), "layers: expected"),
    "no layers": (setting("network", "layers", []), "at least one layer"),
    "too many layers": (
        setting("network", "layers", [{"layers.Flatten": {}}] * 10_001),
        "at most 10000",
    ),
    "a number as a layer": (setting("network", "layers", [1]), r"layers\[0\]"),
    "huge layers": (setting(*DENSE, "units", 2**62), "address space|array of shape"),
    "another number of units": (setting(*DENSE, "units", 5), "other arrays|array of shape"),
    "another dtype": (setting("network", "dtype", "float64"), "expected arrays of float64"),
    "an unknown dtype": (setting("network", "dtype", "float16"), "dtype: expected"),
    "another input": (setting("network", "input_shape", [4]), "other arrays|array of shape"),
    "no input": (setting("network", "input_shape", None), "input_shape: expected beside"),
    "an input of none": (setting("network", "input_shape", []), "input_shape"),
    "an input of 33 axes": (setting("network", "input_shape", [1] * 33), "at most 32 axes"),
    "an input of 0": (setting("network", "input_shape", [0]), "input_shape"),
    "another optimizer": (
        setting("network", "optimizer", {"optimizers.SGD": {}}),
        "state: expected other arrays",
    ),
    "an optimizer of the largest memory": (
        setting("network", "optimizer", {"optimizers.LBFGS": {"history": 2**62}}),
        "state: expected other arrays",
    ),
    "an optimizer that is a layer": (
        setting("network", "optimizer", {"layers.Flatten": {}}),
        "optimizer: expected",
    ),
    "a loss that does not fit": (
        setting("network", "loss", {"losses.CategoricalCrossentropy": {}}),
        "expects probabilities",
    ),
    "a seed of 65 bits": (setting("training", "seed", 2**64), "64 bits"),
    "a seed below 0": (setting("training", "seed", -1), "seed"),
    "no position": (setting("training", "position", None), "position: expected"),
    "steps below 0": (setting("training", "position", "steps", -1), "position.steps"),
    "steps of a fraction": (setting("training", "position", "steps", 0.5), "position.steps"),
    "steps past 62 bits": (setting("training", "position", "steps", 2**63), "position.steps"),
    "more rows than there are": (
        setting("training", "position", "part", {
            "rows": 21, "of_rows": 20, "measured": 1, "loss_sum": 0.0, "right_sum": 0.0,
        }),
        "position.rows: expected at most 20",
    ),
    "a part without a field": (setting("training", "position", "part", {}), "position.part"),
    "class names of other classes": (
        setting("network", "class_names", ["a", "b", "c"]),
        "class_names: expected 2 names, got 3",
    ),
    "class names of objects": (setting("network", "class_names", [None]), "class_names"),
    "preprocessing in a list": (
        setting("network", "preprocessing", [{"array": "fastbp.arrays.1"}]),
        "preprocessing: expected a mapping",
    ),
    "a parameter of another name": (
        changed(lambda header, *_: header.update(other=header.pop("dense.biases"))),
        "other arrays",
    ),
    "a parameter of another shape": (
        setting("header", "dense.weights", "shape", [4, 3]),
        "other arrays",
    ),
    "a parameter of another kind": (
        setting("header", "dense.weights", "dtype", "I32"),
        "expected arrays of float32, got int32",
    ),
    "no state": (
        changed(lambda header, *_: header.update(x=header.pop("fastbp.optimizer_state"))),
        "expected an array 'fastbp.optimizer_state'",
    ),
    "deep JSON": (setting("metadata", "network", "[" * 100_000), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_what_a_forger_seals_is_refused(Network, saved, tmp_path, name):
    forge, message = FORGED[name]
    header, data = saved
    if name == "deep JSON":
        header["__metadata__"]["network"] = "[" * 100_000
        path = written(tmp_path, sealed(header, data))
    elif name.startswith("a training that"):
        header["__metadata__"]["training"] = "[]"
        path = written(tmp_path, sealed(header, data))
    else:
        path = written(tmp_path, forge(header, data))
    with pytest.raises(FileFormatError, match=rf"^{path}: ") as caught:
        Network.load(path)
    assert caught.match(message)


def test_schedules_are_refused_a_time_before_their_begin(make, Network, tmp_path):
    net = make(optimizer=Adam(COSINE))
    net.save(tmp_path / "net")
    forge = setting("training", "position", "schedule_steps", 3)
    path = written(tmp_path, forge(*opened((tmp_path / "net").read_bytes())))
    with pytest.raises(FileFormatError, match="schedule_steps: expected at most 0, got 3"):
        Network.load(path)


def test_arrays_alone_are_no_network(Network, tmp_path):
    write_tensors(tmp_path / "net", {"a": np.zeros(3)})
    with pytest.raises(FileFormatError, match=r"read_tensors reads those, got format .none"):
        Network.load(tmp_path / "net")


def test_a_file_without_a_digest_is_no_network(Network, saved, tmp_path):
    header, data = saved
    del header["__metadata__"]["fastbp.sha256"]
    text = json.dumps(header).encode()
    path = written(tmp_path, len(text).to_bytes(8, "little") + text + data)
    with pytest.raises(FileFormatError, match="expected a digest"):
        Network.load(path)


HUGE = 2**38  # bytes of an array; in a file with a hole, they take no room on a disk


def with_a_hole(path, header, data):
    """Write a file with one array more, of zeros that are nowhere."""
    header["huge"] = {
        "dtype": "F32",
        "shape": [HUGE // 4],
        "data_offsets": [len(data), len(data) + HUGE],
    }
    raw = packed(header, data)
    path.write_bytes(raw)
    os.truncate(path, len(raw) + HUGE)
    return path


def test_an_array_that_is_none_of_a_network_is_never_read(Network, saved, tmp_path):
    """Be the file a network's or not: the arrays that are read are those that it explains."""
    files = {"got a file of arrays": ({}, b""), "expected other arrays": saved}
    for message, (header, data) in files.items():
        path = with_a_hole(tmp_path / "net", header, data)
        tracemalloc.start()
        with pytest.raises(FileFormatError, match=message):
            Network.load(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()


def test_an_array_has_one_place_alone(Network, saved, tmp_path):
    """Each part that has it copies it: thousands of places would take thousands of its bytes."""
    header, data = saved
    tree = json.loads(header["__metadata__"]["network"])
    forge = setting("network", "layers", tree["layers"][:1] * 2)
    with pytest.raises(FileFormatError, match=r"one place, got 'fastbp.arrays.0' twice"):
        Network.load(written(tmp_path, forge(header, data)))


X1 = fastbp.Input(1)
MANY = {
    "layers": lambda: {"layers": [Flatten()] * 10_001, "input_shape": 1},
    "outputs": lambda: {"inputs": X1, "outputs": [Rescale(0.5)(X1) for _ in range(1001)]},
    "inputs": lambda: (lambda x: {"inputs": x, "outputs": Add()(x)})(
        [fastbp.Input(1) for _ in range(1001)]
    ),
    "tensors read": lambda: {"inputs": X1, "outputs": Add()([X1] * 100_001)},
    "axes": lambda: {"layers": [Flatten()], "input_shape": (1,) * 33},
}


@pytest.mark.parametrize("what", MANY)
def test_a_network_that_no_file_may_tell_of_is_not_saved(tmp_path, what):
    net = fastbp.reference.Network(**MANY[what]())
    with pytest.raises(ValueError, match=rf"^network: expected at most \d+ {what}, got \d+"):
        net.save(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_an_lbfgs_of_a_long_history_has_its_states_counted_without_a_list():
    assert LBFGS(history=2**40).n_states == 2**41


def test_loading_opens_one_file_and_runs_no_code(tmp_path):
    """An audit hook sees what Python opens, imports, compiles and runs."""
    program = f"""
import sys
import numpy as np
import fastbp.reference
from fastbp import Dense, Adam
net = fastbp.reference.Network([Dense(3, "relu"), Dense(1)], input_shape=2, loss="squared_error")
net.fit(np.ones((4, 2)), np.ones((4, 1)))
path = {str(tmp_path / "net")!r}
net.save(path)
fastbp.reference.Network.load(path)  # which imports what is needed
events = []
def hook(event, arguments):
    if event.split(".")[0] in ("open", "import", "exec", "compile", "os", "subprocess", "pickle",
                               "socket", "marshal", "ctypes", "shutil", "tempfile"):
        events.append((event, arguments[0] if arguments else None))
sys.addaudithook(hook)
fastbp.reference.Network.load(path)
seen = list(events)
print(seen)
"""
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    events = eval(done.stdout)
    assert {name for name, _ in events} == {"open"}
    paths = [what for _, what in events if not isinstance(what, int)]
    assert paths == [str(tmp_path / "net")]
