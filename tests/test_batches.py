"""Streams in place of arrays: the same training, whatever brings the rows."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
import traceback

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastbp
from fastbp import Batches, Dense, Dropout, random, schedules
from fastbp.batches import Blocks
from fastbp.callbacks import LambdaCallback, StopTraining

ROWS, INPUTS, CLASSES = 203, 5, 3


def make(Network, **options):
    layers = [Dense(8, activation="tanh"), Dropout(0.2), Dense(CLASSES, activation="softmax")]
    made_of = {"input_shape": INPUTS, "loss": "sparse_categorical_crossentropy", "seed": 3}
    return Network(layers, **made_of | options)


def task(rows=ROWS):
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, INPUTS)).astype("f4"), rng.integers(0, CLASSES, rows)


def pieces(x, y, size):
    return ((x[i : i + size], y[i : i + size]) for i in range(0, len(x), size))


def bits(net):
    return net.parameters.tobytes(), net._engine.position


def assert_same_history(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


class Rows:
    """A set of rows, as PyTorch has them."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class Sequence:
    """Batches by their number, as Keras has them."""

    def __init__(self, x, y, size=20):
        self.parts, self.asked, self.ends = list(pieces(x, y, size)), [], 0

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, i):
        self.asked.append(i)
        return self.parts[i]

    def on_epoch_end(self):
        self.ends += 1


def in_files(x, y, folder):
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    return folder / "x.npy", folder / "y.npy"


def mapped(x, y, folder):
    np.save(folder / "large.npy", np.concatenate([x[:7], x, x[:9]]))
    return np.load(folder / "large.npy", mmap_mode="r")[7 : 7 + len(x)], y


SOURCES = {
    "arrays": lambda x, y, folder: (x, y),
    "other layouts": lambda x, y, folder: (x[::-1][::-1], y.astype(">i2")),
    "files": in_files,
    "part of a mapped file": mapped,
    "parts": lambda x, y, folder: ([x[:50], x[50:51], x[51:]], [y[:120], y[120:]]),
    "set of rows": lambda x, y, folder: (Rows(x, y),),
    "pieces": lambda x, y, folder: (lambda: pieces(x, y, 33),),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_batches_in_order_train_as_arrays_do(Network, kind, tmp_path):
    x, y = task()
    batches = Batches(*SOURCES[kind](x, y, tmp_path), batch_size=16, shuffle=False, buffer_rows=40)
    net, other = make(Network), make(Network)
    history = net.fit(batches, epochs=2)
    assert_same_history(history, other.fit(x, y, batch_size=16, epochs=2, shuffle=False))
    assert bits(net) == bits(other)


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 48, 49])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_one_block_and_one_buffer_are_the_order_of_arrays(Network, rows, accumulate):
    x, y = task(rows)
    options = {"epochs": 3, "gradient_accumulation_steps": accumulate}
    batches = Batches(x, y, batch_size=16, block_rows=rows, buffer_rows=rows)
    net, other = make(Network), make(Network)
    history = net.fit(batches, **options)
    assert_same_history(history, other.fit(x, y, batch_size=16, **options))
    assert bits(net) == bits(other)


def test_the_order_of_blocks_depends_on_seed_and_epoch_alone(Network):
    x, y = task()
    trained = set()
    for prefetch, n_threads, part in itertools.product([0, 1, 3], [1, 2], [1, 2]):
        net = make(Network, n_threads=n_threads)
        for _ in range(2 // part):
            net.fit(
                Batches(x, y, batch_size=8, block_rows=7, buffer_rows=20, prefetch=prefetch),
                epochs=part,
            )
        trained.add(bits(net))
    assert len(trained) == 1


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(("block", "buffer"), [(7, 24), (1, 8), (50, 16), (300, 40)])
def test_rows_of_a_buffer_are_sorted_by_the_words_of_their_places(
    Network, n_threads, block, buffer
):
    x, y = task()
    net, other = (make(Network, n_threads=n_threads, dtype="float64") for _ in range(2))
    net.fit(Batches(x, y, batch_size=8, block_rows=block, buffer_rows=buffer), epochs=2)
    for epoch in range(2):
        blocks = random.block_order(3, epoch, -(-ROWS // block))
        rows = np.concatenate([np.arange(ROWS)[b * block : (b + 1) * block] for b in blocks])
        words = random._long_words(3, random.ROW_ORDER_STREAM, epoch, ROWS)
        order = [
            rows[start : start + buffer][np.argsort(words[start : start + buffer])]
            for start in range(0, ROWS, buffer)
        ]
        rows = np.concatenate(order)
        other.fit(x[rows], y[rows], batch_size=8, shuffle=False)
    assert bits(net) == bits(other)


def seen(Network, batches, epochs, **options):
    """Return the rows of each batch as a training with a rate of 0 meets them, by their labels."""
    met = []

    class Net(Network):
        """Looks at what is fed."""

        def _feed_of_fit(self, stream, wanted):
            feed = super()._feed_of_fit(stream, wanted)
            take = feed.take

            def watched():
                rows = take()
                met.append(None if rows is None else rows.x[:, 0].copy())
                return rows

            feed.take = watched
            return feed

    make(Net, **options).fit(batches, epochs=epochs)
    return met


def test_blocks_come_whole_and_in_another_order_each_epoch(Network):
    x, y = task(100)
    x[:] = np.arange(100)[:, None]
    met = seen(Network, Batches(x, y, batch_size=5, block_rows=10, buffer_rows=20), 2)
    assert [i for i, rows in enumerate(met) if rows is None] == [5, 11]
    first, second = np.concatenate(met[:5]), np.concatenate(met[6:11])
    for epoch, order in enumerate((first, second)):
        assert sorted(order) == list(range(100))
        blocks = order.reshape(10, 10)
        assert (np.diff(blocks) == 1).all()  # the engine shuffles a buffer's rows
        assert (blocks[:, 0] // 10 == random.block_order(3, epoch, 10)).all()
    assert (first != second).any()


@given(
    size=st.integers(1, 9),
    rows=st.integers(1, 40),
    window=st.integers(1, 15),
    most=st.integers(1, 9),
    seed=st.integers(0, 9),
)
def test_pieces_of_blocks_are_all_rows_once(size, rows, window, most, seed):
    order = np.random.default_rng(seed).permutation(-(-rows // size))
    blocks = Blocks(order, size, rows)
    expected = np.concatenate([np.arange(rows)[b * size : (b + 1) * size] for b in order])
    for start in range(0, rows, window):
        stop = min(start + window, rows)
        found = [np.arange(first, last) for first, last in blocks.pieces(start, stop, most)]
        assert max(map(len, found)) <= most
        np.testing.assert_array_equal(np.concatenate(found), expected[start:stop])


def test_schedules_callbacks_and_metrics_meet_one_epoch(Network):
    x, y = task()
    calls = []

    def watch(*arguments):
        calls[-1].append(arguments)

    options = {
        "epochs": 4,
        "validation_freq": 2,
        "validation_data": (x, y),
        "verbose": 0,
    }
    rate = schedules.Cosine(0.01, 4, per="epoch")
    nets = [
        make(Network, metrics=["accuracy", "auc"], optimizer=fastbp.Adam(rate)) for _ in range(2)
    ]
    histories = []
    for net, data in zip(
        nets, [(x, y), (Batches(x, y, shuffle=False, buffer_rows=64),)], strict=True
    ):
        calls.append([])
        callback = LambdaCallback(
            on_epoch_begin=watch, on_batch_end=watch, on_epoch_end=lambda epoch, logs: watch(epoch)
        )
        if len(data) == 1:
            options["validation_data"] = Batches(x, y, buffer_rows=4096)
        histories.append(net.fit(*data, shuffle=False, callbacks=[callback], **options))
    assert_same_history(*histories)
    assert calls[0] == calls[1]
    assert bits(nets[0]) == bits(nets[1])


@pytest.mark.parametrize("buffer_rows", [50, 4096])
def test_evaluate_and_predict_take_streams(Network, buffer_rows):
    x, y = task()
    net = make(Network, metrics=["accuracy", "confusion_matrix"])
    batches = Batches(x, y, buffer_rows=buffer_rows)
    here, there = net.evaluate(batches), net.evaluate(x, y)
    assert here["loss"] == pytest.approx(there["loss"], rel=1e-12)
    assert here["accuracy"] == there["accuracy"]
    np.testing.assert_array_equal(here["confusion_matrix"], there["confusion_matrix"])
    for stream in (batches, Batches(x), iter([x[:9], x[9:]]), lambda: pieces(x, y, 10)):
        assert net.predict(stream).tobytes() == net.predict(x).tobytes()


@pytest.mark.parametrize("wrap", [lambda f: f, lambda f: list_like(f), lambda f: f()])
def test_batches_are_taken_as_they_are_yielded(Network, wrap):
    x, y = task()
    net, other = make(Network), make(Network)
    sizes = [16, 1, 60, 3, 123]
    cuts = [0, *itertools.accumulate(sizes)]

    def generator():
        for a, b in itertools.pairwise(cuts):
            yield x[a:b], y[a:b], np.full(b - a, 0.5)

    history = net.fit(wrap(generator), epochs=1)
    losses = [other.train_on_batch(x[a:b], y[a:b])["loss"] for a, b in itertools.pairwise(cuts)]
    assert net.parameters.tobytes() == other.parameters.tobytes()
    assert history["loss"][0] == pytest.approx(np.average(losses, weights=sizes), rel=1e-6)


class list_like:  # noqa: N801
    """Something to go through again and again."""

    def __init__(self, function):
        self.function = function

    def __iter__(self):
        return self.function()


def test_a_generator_goes_on_where_the_last_epoch_ended(Network):
    x, y = task(60)
    net, other = make(Network), make(Network)
    stream = pieces(x, y, 10)
    for _ in range(2):
        net.fit(stream, epochs=1, steps_per_epoch=3)
    other.fit(pieces(x, y, 10), epochs=2, steps_per_epoch=3)
    assert bits(net) == bits(other)
    assert next(stream, None) is None  # nothing was taken ahead, and all was taken
    other.fit(lambda: pieces(x, y, 10), epochs=5, steps_per_epoch=4)  # begins anew
    assert other._engine.position.batches == 26


def test_a_generator_that_ends_too_early_is_told_so(Network):
    net, other = make(Network), make(Network)
    with pytest.raises(ValueError, match="x: expected 9 batches in each epoch"):
        net.fit(pieces(*task(), 100), steps_per_epoch=9)
    other.fit(pieces(*task(), 100))
    assert bits(net) == bits(other)


def test_a_sequence_comes_in_an_order_of_its_own(Network):
    sequence = Sequence(*task())
    make(Network).fit(sequence, epochs=2)
    n = len(sequence)
    expected = [*random.block_order(3, 0, n), *random.block_order(3, 1, n)]
    assert sequence.asked[-2 * n :] == expected
    assert sequence.ends == 2
    sequence.asked.clear()
    make(Network).fit(sequence, shuffle=False)
    assert sequence.asked[-n:] == list(range(n))


def test_the_shape_of_a_row_is_taken_from_the_first_batch(Network):
    x, y = task()
    net, other = (make(Network, input_shape=None) for _ in range(2))
    net.fit(pieces(x, y, 32))
    other.fit(x, y, shuffle=False)
    assert bits(net) == bits(other)


def broken(at, error, x, y):
    for i, piece in enumerate(pieces(x, y, 10)):
        if i == at:
            raise error
        yield piece


@pytest.mark.parametrize("prefetch", [0, 1])
def test_what_a_source_raises_is_passed_on_with_its_place(Network, prefetch):
    x, y = task(80)
    net, other = make(Network), make(Network)
    pieces_of = Batches(
        lambda: broken(5, KeyError("no such file"), x, y),
        batch_size=10,
        buffer_rows=20,
        shuffle=False,
        prefetch=prefetch,
    )
    with pytest.raises(KeyError, match="no such file") as caught:
        net.fit(pieces_of)
    assert "broken" in [frame.name for frame in traceback.extract_tb(caught.tb)]
    other.fit(x[:40], y[:40], batch_size=10, shuffle=False)
    assert net.parameters.tobytes() == other.parameters.tobytes()
    net.fit(x, y)


@pytest.mark.parametrize("kind", ["generator", "batches", "file"])
def test_a_row_that_is_not_finite_leaves_the_network_at_the_batch_before(Network, kind, tmp_path):
    x, y = task(80)
    x[47, 2] = np.nan
    net, other = make(Network), make(Network)
    stream = {
        "generator": lambda: pieces(x, y, 10),
        "batches": Batches(x, y, batch_size=10, shuffle=False),
        "file": Batches(*mapped(x, y, tmp_path), batch_size=10, shuffle=False),
    }[kind]
    with pytest.raises(ValueError, match="finite"):
        net.fit(stream)
    other.fit(x[:40], y[:40], batch_size=10, shuffle=False)
    assert net.parameters.tobytes() == other.parameters.tobytes()


@pytest.mark.parametrize("batch", [0, 1])
def test_an_epoch_counts_from_its_first_update_on(Network, batch):
    """One that fails before it leaves the network as the epoch before did, to be begun again."""
    x, y = task(40)
    worse = x.copy()
    worse[10 * batch] = np.nan
    epochs = iter([x, worse])
    net, other = make(Network), make(Network)
    with pytest.raises(ValueError, match="finite"):
        net.fit(lambda: pieces(next(epochs), y, 10), epochs=2)
    other.fit(x, y, batch_size=10, shuffle=False)
    assert net._engine.position.epochs == 1 + batch
    if batch == 0:
        assert bits(net) == bits(other)
        assert net._engine.position == other._engine.position
        for each in net, other:
            each.fit(x, y, batch_size=10)  # shuffled by the number of the epoch
        assert bits(net) == bits(other)


def test_a_callback_that_stops_or_raises_ends_the_thread(Network):
    x, y = task()

    def act(error):
        def at_batch(batch, logs):
            if batch == 3:
                raise error

        return LambdaCallback(on_batch_end=at_batch)

    net = make(Network)
    batches = Batches(x, y, batch_size=4, buffer_rows=8, prefetch=3)
    net.fit(batches, epochs=9, callbacks=[act(StopTraining())])
    with pytest.raises(KeyboardInterrupt):
        net.fit(batches, epochs=9, callbacks=[act(KeyboardInterrupt())])
    assert net._engine.position.batches == 8
    net.fit(batches)


def test_buffers_are_all_the_memory_there_is(Network):
    x, y = task()
    alive = set()

    class Watched:
        shape, dtype = x.shape, x.dtype

        def __len__(self):
            return len(x)

        def __getitem__(self, rows):
            return x[rows]

    met = []

    def take(rows):
        alive.add(rows.x.__array_interface__["data"][0])
        met.append(len(rows.x))

    batches = Batches(Watched(), y, batch_size=4, buffer_rows=8, prefetch=2)
    net = make(Network)
    original = net._feed_of_fit

    def watched(stream, wanted):
        feed = original(stream, wanted)
        inner = feed.take

        def taken():
            rows = inner()
            if rows is not None:
                take(rows)
            return rows

        feed.take = taken
        return feed

    net._feed_of_fit = watched
    net.fit(batches, epochs=3)
    assert max(met) == 8
    assert len(alive) <= 3


@pytest.mark.parametrize("prefetch", [0, 1])
def test_an_interrupt_ends_a_fit_that_waits_for_rows(Network, prefetch):
    def slow():
        for piece in pieces(X, Y, 10):
            time.sleep(0.02)
            yield piece

    net = make(Network)
    timer = threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        net.fit(Batches(slow, batch_size=10, buffer_rows=20, prefetch=prefetch), epochs=99)
    assert time.monotonic() - began < 2
    timer.join()
    net.fit(X, Y)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_is_forked_in_a_callback_can_leave_and_train(Network):
    x, y = task()

    def at_batch(batch, logs):
        if batch == 5:
            child = os.fork()
            if not child:
                try:
                    net = make(Network)
                    net.fit(Batches(x, y, batch_size=4, buffer_rows=8))
                finally:
                    os._exit(0 if net._engine.position.epochs == 1 else 1)
            assert os.waitpid(child, 0)[1] == 0

    batches = Batches(x, y, batch_size=4, buffer_rows=8)
    make(Network).fit(batches, callbacks=[LambdaCallback(on_batch_end=at_batch)])


def test_a_file_that_becomes_shorter_is_an_error(Network, tmp_path):
    x, y = task()
    rows, _ = mapped(x, y, tmp_path)
    batches = Batches(rows, y, shuffle=False)
    os.truncate(tmp_path / "large.npy", 1000)
    with pytest.raises(ValueError, match=f"expected {ROWS} rows in .*, got fewer"):
        make(Network).fit(batches)


X, Y = task()
REFUSED = {
    "targets beside": (lambda net: net.fit(iter([]), Y), "y: expected None beside list_iterator"),
    "no targets": (lambda net: net.fit(Batches(X)), "y: expected targets beside x"),
    "nothing": (lambda net: net.fit(iter([])), "x: expected batches in each epoch, got none"),
    "no rows": (lambda net: net.fit(Batches(lambda: iter([]))), "x: expected batches of rows, got"),
    "once": (lambda net: net.fit(pieces(X, Y, 9), epochs=2), "gone through again.*steps_per_epoch"),
    "wrong shape": (
        lambda net: net.fit(iter([(X[:, :4], Y)])),
        r"x of batch 0: expected shape \(rows, 5\), got \(203, 4\)",
    ),
    "one row": (lambda net: net.fit(Rows(X, Y)), r"x: expected.*got shape|rows"),
    "counts": (
        lambda net: net.fit(iter([(X, Y[:5])])),
        "y of batch 0: expected 203 rows as in x, got 5",
    ),
    "four parts": (lambda net: net.fit(iter([(X, Y, Y, Y)])), "got one of 4 parts"),
    "labels": (lambda net: net.fit(iter([(X, Y + 3)])), "y of batch 0: expected whole class"),
    "batch_size": (
        lambda net: net.fit(Batches(X, Y), batch_size=3),
        "batch_size: expected None beside a stream, got 3",
    ),
    "split": (lambda net: net.fit(Batches(X, Y), validation_split=0.5), "validation_split"),
    "outputs": (lambda net: net.fit(Batches(X, Y), record_outputs=True), "record_outputs"),
    "steps of arrays": (lambda net: net.fit(X, Y, steps_per_epoch=3), "steps_per_epoch"),
    "steps of rows": (lambda net: net.fit(Batches(X, Y), steps_per_epoch=3), "beside 203 rows"),
    "accumulation": (
        lambda net: net.fit(pieces(X, Y, 9), gradient_accumulation_steps=2),
        "gradient_accumulation_steps",
    ),
    "validation once": (
        lambda net: net.fit(X, Y, validation_data=pieces(X, Y, 9)),
        "gone through again",
    ),
    "kinds": (
        lambda net: net.fit(Batches(lambda: iter([(X, Y), (X.astype(complex).real[:, :2], Y)]))),
        "rows of shape",
    ),
    "no inputs": (lambda net: net.predict(iter([])), "x: expected batches of rows, got none"),
    "out": (lambda net: net.predict(iter([X]), out=np.empty((ROWS, 3), "f4")), "out: expected"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_right_is_refused_and_nothing_changes(Network, case):
    act, message = REFUSED[case]
    net = make(Network)
    before = bits(net)
    with pytest.raises((TypeError, ValueError), match=message):
        act(net)
    assert bits(net)[0] == before[0]


@pytest.mark.parametrize(
    "make_batches",
    [
        lambda: Batches(X, Y[:3]),
        lambda: Batches(X[:0], Y[:0]),
        lambda: Batches(X, Y, batch_size=0),
        lambda: Batches(X, Y, shuffle="rows"),
        lambda: Batches(X, Y, prefetch=-1),
        lambda: Batches([X, X[:, :2]], Y),
        lambda: Batches(X.astype(complex), Y),
        lambda: Batches(3),
        lambda: Batches(lambda: iter([]), block_rows=3),
    ],
)
def test_arguments_of_batches_are_checked(make_batches):
    with pytest.raises((TypeError, ValueError)):
        make_batches()


@pytest.mark.parametrize("content", [b"", b"no array at all", None])
def test_a_file_without_rows_of_numbers_is_told_by_its_argument(content, tmp_path):
    path = tmp_path / "y.npy"
    np.save(path, np.array([None]), allow_pickle=True)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^y: expected the path of a .npy file of numbers, got /"):
        Batches(X, path)


def test_lbfgs_takes_no_stream(Network):
    with pytest.raises(ValueError, match="x: expected arrays beside LBFGS"):
        make(Network, optimizer=fastbp.LBFGS()).fit(Batches(X, Y))


@pytest.mark.parametrize("by", ["sample_weight", "class_weight", "ignore_label"])
@pytest.mark.parametrize("is_cut", [False, True])
def test_part_of_a_stream_may_count_nothing(Network, by, is_cut):
    x, labels, weight = X[:96], np.repeat([0, 1, 0], 32), None
    loss = fastbp.losses.SparseCategoricalCrossentropy(
        ignore_label=1 if by == "ignore_label" else None
    )
    if by == "sample_weight":
        weight = (labels == 0).astype(float)
    class_weight = {1: 0} if by == "class_weight" else None

    def parts():
        for rows in (slice(0, 32), slice(32, 64), slice(64, 96)):
            yield (
                (x[rows], labels[rows]) if weight is None else (x[rows], labels[rows], weight[rows])
            )

    nets = [Network([Dense(2, "softmax")], input_shape=5, loss=loss, seed=0) for _ in range(2)]
    stream = Batches(parts, batch_size=32, buffer_rows=32) if is_cut else parts
    nets[0].fit(stream, shuffle=False, class_weight=class_weight)
    nets[1].fit(x, labels, sample_weight=weight, class_weight=class_weight, shuffle=False)
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()
    found = nets[0].evaluate(stream, class_weight=class_weight)["loss"]
    whole = nets[1].evaluate(x, labels, sample_weight=weight, class_weight=class_weight)["loss"]
    assert found == pytest.approx(whole, rel=1e-6)


def test_class_weights_count_in_streams(Network):
    options = {"class_weight": {0: 2.0, 2: 0.5}, "epochs": 2, "shuffle": False}
    net, other = make(Network), make(Network)
    net.fit(Batches(X, Y, buffer_rows=64), **options)
    other.fit(X, Y, **options)
    assert bits(net) == bits(other)


def test_a_generator_begins_anew_wherever_another_pass_was_left(Network):
    x, y = task()
    net, calls = make(Network), []
    stream = Batches(lambda: pieces(x, y, 32), batch_size=32, buffer_rows=32, shuffle=False)
    given = net.fit(x, y, epochs=3, validation_data=stream)["val_loss"][-1]
    assert given == net.evaluate(stream)["loss"] == net.evaluate(x, y)["loss"]

    def stop(batch, logs):
        if batch == 2:
            raise StopTraining

    net.fit(stream, callbacks=[LambdaCallback(on_batch_end=stop)])
    net.fit(
        stream, callbacks=[LambdaCallback(on_batch_end=lambda batch, logs: calls.append(batch))]
    )
    assert calls == list(range(7))
    assert len(net.predict(stream)) == ROWS


def test_integers_that_would_wrap_are_refused(Network):
    x, y = np.full((4, INPUTS), 200, np.uint8), np.zeros(4, int)
    with pytest.raises(ValueError, match=r"^x: expected uint8 as before, got uint16"):
        make(Network).fit(Batches(lambda: iter([(x, y), (x.astype(np.uint16) + 100, y)])))


def test_a_mapped_file_is_read_even_if_another_has_its_name(Network, tmp_path):
    x, y = task()
    path = tmp_path / "x.npy"
    np.save(path, x)
    mapped = np.load(path, mmap_mode="r")
    np.save(tmp_path / "other.npy", 2 * x)
    os.replace(tmp_path / "other.npy", path)
    net = make(Network)
    assert net.evaluate(Batches(mapped, y)) == net.evaluate(x, y)
    path.unlink()
    assert net.evaluate(Batches(mapped, y)) == net.evaluate(x, y)


def test_a_team_goes_on_behind_a_validation_that_comes_in_chunks(core):
    x, y = task(4000)
    stream = Batches(x, y, batch_size=32, buffer_rows=64)
    nets = [make(fastbp.Network, n_threads=n) for n in (1, 3)]
    losses = [
        net.fit(x, y, epochs=20, batch_size=512, validation_data=stream)["val_loss"] for net in nets
    ]
    assert losses[0] == losses[1]
