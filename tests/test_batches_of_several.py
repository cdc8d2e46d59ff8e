"""Streams of several inputs and outputs: the same bits as from arrays in the same order."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import Batches, Dense

ROWS, SIZE = 53, 8


def network(Network: Any, **options: Any) -> Any:
    """Return a network of two inputs, one of them a picture, and two outputs, one of labels."""
    a, b = fastbp.Input(4), fastbp.Input((2, 2))
    h = fastbp.Concatenate()([Dense(5, "tanh")(a), fastbp.Dropout(0.2)(fastbp.Flatten()(b))])
    made_of = {
        "loss": ("sparse_categorical_crossentropy", "squared_error"),
        "metrics": ("accuracy", "mean_absolute_error"),
        "seed": 1,
    }
    return Network(
        inputs=(a, b), outputs=(Dense(3, "softmax")(h), Dense(1)(h)), **made_of, **options
    )


def task(weights: str = "none") -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS, 4)).astype("f4"), rng.integers(0, 255, (ROWS, 2, 2), np.uint8)
    y = rng.integers(0, 3, ROWS), rng.normal(size=(ROWS, 1))
    own = rng.uniform(0.5, 2, ROWS)
    return x, y, {"none": None, "one": own, "each": (own, own[::-1].copy()), "some": (own, None)}[
        weights
    ]  # fmt: skip


def cut(data: Any, rows: Any) -> Any:
    """Return some rows of what may be an array, None or a tuple of these."""
    if isinstance(data, tuple):
        return tuple(cut(own, rows) for own in data)
    return None if data is None else data[rows]


def item(data: Any, rows: Any) -> Any:
    """Return a batch, with sample weights if there are any."""
    return cut(data if data[2] is not None else data[:2], rows)


def pieces(data: Any, size: int) -> Any:
    return (item(data, slice(at, at + size)) for at in range(0, ROWS, size))


class Sequence:
    """Items by their number: batches of so many rows, or rows."""

    def __init__(self, data: Any, size: int) -> None:
        self.data, self.size = data, size

    def __len__(self) -> int:
        return -(-ROWS // (self.size or 1))

    def __getitem__(self, i: int) -> Any:
        return item(self.data, slice(i * self.size, (i + 1) * self.size) if self.size else i)


def in_files(data: Any, folder: Any, mapped: bool) -> Any:
    """Return the same data as paths, or as mapped files."""
    if isinstance(data, tuple):
        return tuple(in_files(own, folder, mapped) for own in data)
    if data is None:
        return None
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    np.save(path, data)
    return np.load(path, mmap_mode="r") if mapped else path


def in_parts(data: Any) -> Any:
    if isinstance(data, tuple):
        return tuple(map(in_parts, data))
    return None if data is None else [data[:20], data[20:]]


STREAMS: dict[str, Any] = {
    "generator": lambda data, folder: lambda: pieces(data, SIZE),
    "lists": lambda data, folder: (
        lambda: (
            [list(part) if isinstance(part, tuple) else part for part in one]
            for one in pieces(data, SIZE)
        )
    ),
    "sequence": lambda data, folder: Sequence(data, SIZE),
    "arrays": lambda data, folder: Batches(*data, batch_size=SIZE, shuffle=False),
    "files": lambda data, folder: Batches(
        *in_files(data, folder, False), batch_size=SIZE, shuffle=False, buffer_rows=16
    ),
    "mapped": lambda data, folder: Batches(
        *in_files(data, folder, True), batch_size=SIZE, shuffle=False, buffer_rows=16
    ),
    "parts": lambda data, folder: Batches(*in_parts(data), batch_size=SIZE, shuffle=False),
    "rows": lambda data, folder: Batches(Sequence(data, 0), batch_size=SIZE, shuffle=False),
    "pieces": lambda data, folder: Batches(
        lambda: pieces(data, 7), batch_size=SIZE, shuffle=False, buffer_rows=16
    ),
}


def assert_same(net: Any, other: Any, history: Any, expected: Any) -> None:
    assert net.parameters.tobytes() == other.parameters.tobytes()
    assert history.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(history[name], expected[name])


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        *itertools.product(STREAMS, ["none", "some"]),
        *itertools.product(["generator", "arrays", "rows"], ["one", "each"]),
    ],
)
def test_a_stream_trains_as_arrays_do(Network: Any, kind: str, weights: str, tmp_path: Any) -> None:
    data = task(weights)
    net, other = network(Network), network(Network)
    stream = STREAMS[kind](data, tmp_path)
    history = net.fit(stream, epochs=2, shuffle=False)
    expected = other.fit(
        *data[:2], sample_weight=data[2], epochs=2, batch_size=SIZE, shuffle=False
    )  # fmt: skip
    assert_same(net, other, history, expected)


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_is_evaluated_and_predicted_as_arrays_are(
    Network: Any, kind: str, tmp_path: Any
) -> None:
    x, y, _ = data = task()
    net = network(Network)
    stream = STREAMS[kind](data, tmp_path)
    for name, value in net.evaluate(x, y).items():
        assert net.evaluate(stream)[name] == pytest.approx(value, rel=1e-12)
    for of_stream, at_once in zip(net.predict(stream), net.predict(x), strict=True):
        assert of_stream.tobytes() == at_once.tobytes()


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_validates_as_arrays_do(Network: Any, kind: str, tmp_path: Any) -> None:
    x, y, weights = data = task("some")
    net, other = network(Network), network(Network)
    options = {"epochs": 2, "batch_size": SIZE}
    history = net.fit(x, y, validation_data=STREAMS[kind](data, tmp_path), **options)
    expected = other.fit(x, y, validation_data=(x, y, weights), **options)
    assert net.parameters.tobytes() == other.parameters.tobytes()
    for name in expected:
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-12)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_one_block_and_one_buffer_are_the_order_of_arrays(
    Network: Any, n_threads: int, accumulate: int
) -> None:
    data = task("each")
    options = {"epochs": 3, "gradient_accumulation_steps": accumulate}
    net, other = (network(Network, n_threads=n_threads) for _ in range(2))
    stream = Batches(*data, batch_size=SIZE, block_rows=ROWS, buffer_rows=ROWS)
    weights = {0: 2.0, 2: 0.5}
    history = net.fit(stream, class_weight=(weights, None), **options)
    expected = other.fit(
        *data[:2], sample_weight=data[2], batch_size=SIZE, class_weight=(weights, None), **options
    )  # fmt: skip
    assert_same(net, other, history, expected)


def test_the_order_of_blocks_is_that_of_one_input(Network: Any) -> None:
    """The same rows and numbers of bytes, once as two inputs and once as one."""
    x = np.random.default_rng(0).normal(size=(ROWS, 6)).astype("f4")
    y = x @ np.ones((6, 1), "f4")
    parameters = []
    for given in ((x[:, :2], x[:, 2:]), x):
        inputs = tuple(fastbp.Input(own.shape[1]) for own in each(given))
        joined = fastbp.Concatenate()(inputs) if len(inputs) > 1 else inputs[0]
        net = Network(inputs=inputs, outputs=Dense(1)(joined), loss="squared_error", seed=4)
        net.fit(Batches(given, y, batch_size=4, block_rows=5, buffer_rows=12), epochs=2)
        parameters.append(net.parameters.tobytes())
    assert parameters[0] == parameters[1]


def each(given: Any) -> tuple[Any, ...]:
    return given if isinstance(given, tuple) else (given,)


@pytest.mark.parametrize("several", ["inputs", "outputs"])
def test_several_stand_beside_one(Network: Any, several: str) -> None:
    rng = np.random.default_rng(0)
    x, y = (tuple(rng.normal(size=(2, ROWS, 3)).astype("f4")) for _ in range(2))
    x, y = (x, y[0]) if several == "inputs" else (x[0], y)
    inputs = tuple(fastbp.Input(3) for _ in each(x))
    joined = fastbp.Add()(inputs) if len(inputs) > 1 else inputs[0]
    outputs = tuple(Dense(3)(joined) for _ in each(y))
    nets = [Network(inputs=inputs, outputs=outputs, loss="squared_error", seed=2) for _ in range(3)]
    nets[0].fit(x, y, batch_size=SIZE, shuffle=False)
    nets[1].fit(Batches(x, y, batch_size=SIZE, shuffle=False))
    nets[2].fit(pieces((x, y, None), SIZE))
    assert len({net.parameters.tobytes() for net in nets}) == 1


def test_items_of_a_prediction_are_inputs_alone_or_stand_before_their_targets(Network: Any) -> None:
    x = task()[0]
    net = network(Network)
    expected = net.predict(x)
    halves = slice(30), slice(30, None)
    streams = [
        Batches(x),
        (cut(x, rows) for rows in halves),
        ((cut(x, rows),) for rows in halves),
        ([list(cut(x, rows)), "no targets"] for rows in halves),
        Batches(lambda: (cut(x, rows) for rows in halves)),
    ]
    for stream in streams:
        for found, own in zip(net.predict(stream), expected, strict=True):
            assert found.tobytes() == own.tobytes()


def test_a_row_that_is_not_finite_is_told_by_its_input(Network: Any) -> None:
    x, y, _ = task()
    x[0][30, 1] = np.nan
    net, other = network(Network), network(Network)
    with pytest.raises(ValueError, match=r"^x\[0\]: expected finite numbers"):
        net.fit(Batches(x, y, batch_size=SIZE, shuffle=False))
    other.fit(cut(x, slice(24)), cut(y, slice(24)), batch_size=SIZE, shuffle=False)
    assert net.parameters.tobytes() == other.parameters.tobytes()


X, Y, W = task("each")
REFUSED: dict[str, tuple[Any, str]] = {
    "one for two": (
        lambda net: net.fit(Batches(X[0], Y)),
        "x of the rows from 0 on: expected a tuple of 2, one for each input, got ndarray",
    ),
    "three for two": (
        lambda net: net.fit(Batches((*X, X[0]), Y)),
        r"x: expected a tuple of 2, got x\[0\], x\[1\], x\[2\]",
    ),
    "one target": (
        lambda net: net.fit(lambda: iter([(X, Y[0])])),
        "y of batch 0: expected a tuple of 2, one for each output, got ndarray",
    ),
    "no targets": (lambda net: net.fit(Batches(X)), "y: expected targets beside x"),
    "inputs for a batch": (lambda net: net.fit(iter([X])), "y: expected targets beside x"),
    "wrong shape": (
        lambda net: net.fit(iter([((X[0], X[1][:, :1]), Y)])),
        r"x\[1\] of batch 0: expected shape \(rows, 2, 2\), got \(53, 1, 2\)",
    ),
    "counts": (
        lambda net: net.fit(iter([(X, (Y[0], Y[1][:5]))])),
        r"y\[1\] of batch 0: expected 53 rows as in x, got 5",
    ),
    "labels": (
        lambda net: net.fit(iter([(X, (Y[0] + 3, Y[1]))])),
        r"y\[0\] of batch 0: expected whole class numbers",
    ),
    "weights": (
        lambda net: net.fit(iter([(X, Y, (W[0], -W[1]))])),
        r"sample_weight\[1\] of batch 0: expected finite weights",
    ),
    "kinds": (
        lambda net: net.fit(Batches(lambda: iter([(X, Y), (X, (Y[0], Y[1][:, 0]))]))),
        r"y\[1\]: expected rows of shape \(1,\) as before",
    ),
    "weights that come late": (
        lambda net: net.fit(Batches(lambda: iter([(X, Y), (X, Y, W)]))),
        r"x: expected x\[0\], x\[1\], y\[0\], y\[1\] in a piece as before, got .*sample_weight",
    ),
    "validation": (
        lambda net: net.fit(X, Y, validation_data=lambda: iter([(X, (Y[0], Y[1][:, :0]))])),
        r"validation_data: y\[1\] of batch 0: expected shape",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_right_is_refused_and_nothing_changes(Network: Any, case: str) -> None:
    act, message = REFUSED[case]
    net = network(Network)
    before = net.parameters.tobytes()
    with pytest.raises((TypeError, ValueError), match=message):
        act(net)
    if case != "validation":  # which is looked at behind the first epoch
        assert net.parameters.tobytes() == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Batches((X[0], X[1][:5]), Y), r"x[1]: expected 53 rows as in x, got 5"),
        (lambda: Batches(X, (Y[0], None)), r"y[1]: expected an array of real numbers"),
        (lambda: Batches(X, Y, W[:1]), "sample_weight: expected 2, one for each output, got 1"),
        (lambda: Batches((), Y), "x: expected at least one row, got none"),
        (lambda: Batches((X[0], "no such file.npy"), Y), "no such file.npy"),
    ],
)
def test_arguments_of_batches_are_checked(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError, OSError), match=re.escape(message)):
        make()


def test_one_input_is_no_tuple(Network: Any) -> None:
    net = Network([Dense(1)], input_shape=4, loss="squared_error")
    with pytest.raises(ValueError, match=r"x: expected an array, got x\[0\], x\[1\]"):
        net.fit(Batches((X[0], X[0]), Y[1]))
    with pytest.raises(ValueError, match=r"x: expected an array, got x\[0\], x\[1\]"):
        Network([Dense(1)], loss="squared_error").fit(Batches((X[0], X[0]), Y[1]))
    net.fit(Batches((X[0],), (Y[1],)))


def test_an_epoch_of_steps_goes_on_where_the_last_one_ended(Network: Any) -> None:
    data = task("each")
    net, other = network(Network), network(Network)
    stream = pieces(data, SIZE)
    for _ in range(2):
        net.fit(stream, steps_per_epoch=3)
    other.fit(itertools.islice(pieces(data, SIZE), 6), epochs=2, steps_per_epoch=3)
    assert net.parameters.tobytes() == other.parameters.tobytes()
