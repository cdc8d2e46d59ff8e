"""Damaged files: every flipped bit and every cut is found; what a forger makes of a file is refused
or is a network."""

from __future__ import annotations

import copy
import json
import os
import random
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from forged_files import opened, sealed

import fastbp.reference
from fastbp import Adam, Dense, schedules
from fastbp.exceptions import FileFormatError
from fastbp.reference import Network


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The bytes of a small file, with something of everything."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 2)), rng.normal(size=(6, 1))
    layers = [Dense(2, "elu", weights_initializer=np.eye(2)), Dense(1)]
    rate = schedules.Warmup(schedules.Piecewise([0.1, 0.01], [2]), 2)
    net = Network(layers, input_shape=2, loss="huber", optimizer=Adam(rate), seed=0)
    net.fit(x, y)
    net.class_names, net.preprocessing = ["a"], {"mean": x.mean(0), "limit": float("inf")}
    path = tmp_path_factory.mktemp("small") / "net"
    net.save(path)
    return path.read_bytes()


@pytest.fixture
def path():
    """A file in memory, so that writing it thousands of times is soon done."""
    descriptor = os.memfd_create("net")
    yield Path(f"/proc/self/fd/{descriptor}")
    os.close(descriptor)


def loads(path, raw):
    """Whether a file is one; anything but FileFormatError fails the test."""
    path.write_bytes(raw)
    try:
        Network.load(path)
    except FileFormatError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
        return False
    return True


def test_every_cut_is_found(small, path):
    assert loads(path, small)
    found = [loads(path, small[:length]) for length in range(len(small))]
    assert not any(found)


@pytest.mark.parametrize(
    "bits", [pytest.param(range(8), marks=pytest.mark.thorough, id="all"), pytest.param(None)]
)
def test_every_flipped_bit_is_found(small, path, bits):
    """One bit of each byte, or all of them."""
    for place in range(len(small)):
        for bit in bits or [place % 8]:
            raw = bytearray(small)
            raw[place] ^= 1 << bit
            assert not loads(path, bytes(raw)), (place, bit)


ODD = [b'"', b"{", b"[" * 50, b"9" * 30, b"\xff\xfe", b"\0", b"NaN", b'"dtype":']


def damaged(rng, raw):
    """Return a file in which bytes are changed, lost, doubled, exchanged or added."""
    place, length = rng.randrange(len(raw)), rng.choice([1, 2, 8, 64])
    piece = raw[place : place + length]
    other = rng.randrange(len(raw))
    return rng.choice(
        [
            raw[:place] + rng.randbytes(len(piece)) + raw[place + length :],
            raw[:place] + raw[place + length :],
            raw[:place] + piece + raw[place:],
            raw[:other] + piece + raw[other:],
            raw[:place] + rng.choice(ODD) + raw[place:],
            raw + rng.randbytes(length),
            rng.randrange(2**64).to_bytes(8, "little") + raw[8:],
            rng.randrange(len(raw)).to_bytes(8, "little") + raw[8:],
        ]
    )  # fmt: skip


@pytest.mark.parametrize("count", [1500, pytest.param(100_000, marks=pytest.mark.thorough)])
def test_damage_of_any_kind_is_found(small, path, count):
    rng = random.Random(0)
    for _ in range(count):
        raw = damaged(rng, small)
        assert loads(path, raw) == (raw == small)


NASTY = [
    None, True, False, -1, 0, 1, 2, 3, 2**31, 2**32 + 1, 2**53, 2**62, 2**63 - 1, 2**64 - 1,
    -(2**63), 0.5, -0.0, 1e308, 5e-324, "", "nan", "layers.Dense", "\0", "x" * 5000, [], {},
    [[]] * 100,
    [2**62] * 4, {"float": "nan"}, {"float": "inf"}, {"array": "dense.weights"},
    {"array": "fastbp.arrays.0"}, {"layers.Dense": {"units": 2**60}}, {"layers.Layer": {}},
    {"layers.Dropout": {"rate": 0.5}}, {"initializers.Values": {"values": [1, 2]}},
    {"optimizers.LBFGS": {"history": 2**60}}, {"schedules.Warmup": {"after": 1, "length": 1e-300}},
    {"losses.Loss": {}}, {"dict": {"a": 1}}, {"custom": "eval"}, {"custom.Network": {}},
    {"metrics.TopKAccuracy": {"k": 2**62}}, {"description.Description": {}},
]  # fmt: skip


def places(tree, found):
    """Collect where a tree can be changed: pairs of an object or list and a key."""
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        found.append((tree, key))
        if isinstance(tree[key], dict | list):
            places(tree[key], found)
    return found


def change(rng, trees):
    """Change a tree in one place."""
    container, key = rng.choice(places(trees, []))
    kind = rng.randrange(5)
    if kind == 0 and container is not trees:
        del container[key]
    elif kind == 1:
        other, at = rng.choice(places(trees, []))
        container[key] = json.loads(json.dumps(other[at]))
    elif kind == 2 and isinstance(container, list):
        container.insert(key, copy.deepcopy(rng.choice(NASTY)))
    elif kind == 3 and isinstance(container, dict) and container is not trees:
        container[rng.choice(["x", "dtype", "units", "layers.Flatten"])] = container.pop(key)
    else:
        container[key] = copy.deepcopy(rng.choice(NASTY))


def forged(rng, raw):
    """Return a file with another structure and the digest that belongs to it."""
    header, data = opened(raw)
    metadata = header.pop("__metadata__")
    trees = {name: json.loads(metadata[name]) for name in ("network", "training")}
    trees |= {"header": header}
    for _ in range(rng.choice([1, 1, 2, 5])):
        change(rng, trees)
    header = trees["header"] if isinstance(trees["header"], dict) else {}
    for name in ("network", "training"):
        metadata[name] = json.dumps(trees[name])
    return sealed(header | {"__metadata__": metadata}, data)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("count", [150, pytest.param(50_000, marks=pytest.mark.thorough)])
def test_what_a_forger_makes_is_refused_or_a_network_in_little_memory(small, path, count):
    rng = random.Random(1)
    outcomes = Counter()
    tracemalloc.start()
    for _ in range(count):
        raw = forged(rng, small)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        outcomes[loads(path, raw)] += 1
        assert tracemalloc.get_traced_memory()[1] - before < 2_000_000 + 100 * len(raw)
    tracemalloc.stop()
    print(f"refused {outcomes[False]}, networks {outcomes[True]}")
    assert outcomes[False] > outcomes[True] > count // 100


def test_a_file_that_changes_while_it_is_read_is_refused(small, path, monkeypatch):
    path.write_bytes(small)
    read = fastbp.files.tensors._read

    def grow(file, entry):
        with path.open("ab") as other:
            other.write(b"\0")
        return read(file, entry)

    monkeypatch.setattr(fastbp.files.tensors, "_read", grow)
    with pytest.raises(FileFormatError, match="stays as it is"):
        Network.load(path)


def test_a_graph_of_huge_layers_is_refused_before_one_is_made(tmp_path):
    path = tmp_path / "net"
    x = fastbp.Input(4)
    net = Network(inputs=x, outputs=Dense(3)(Dense(5)(x)), loss="huber", seed=0)
    net.save(path)
    header, data = opened(path.read_bytes())
    tree = header["__metadata__"]["network"]
    assert '"units":5' in tree.replace(" ", "")
    header["__metadata__"]["network"] = tree.replace('"units":5', '"units":4000').replace(
        '"units": 5', '"units": 4000'
    )
    raw = sealed(header, data)
    tracemalloc.start()
    assert not loads(path, raw)
    assert tracemalloc.get_traced_memory()[1] < 100_000  # of weights it would be 64,000
    tracemalloc.stop()
