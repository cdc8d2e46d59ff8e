"""How streams end, well or not: what is closed, which thread is left, who is told what."""

from __future__ import annotations

import contextlib
import copy
import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fastbp import Batches, Dense, batches, prefetch, streams
from fastbp.callbacks import LambdaCallback, StopTraining

ROWS, SIZE = 60, 10
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(ROWS, 3)).astype("f4"), RNG.normal(size=(ROWS, 1)).astype("f4")


def make(Network: Any) -> Any:
    return Network([Dense(4, "tanh"), Dense(1)], input_shape=3, loss="squared_error", seed=1)


class Source:
    """A function that returns generators, and knows which of them are open."""

    def __init__(self, bad: Any = None, at: int = 3) -> None:
        self.bad, self.at, self.begun, self.open = bad, at, 0, 0

    def __call__(self) -> Iterator[Any]:
        self.begun += 1
        self.open += 1
        try:
            for number in range(ROWS // SIZE):
                rows = slice(number * SIZE, (number + 1) * SIZE)
                if number == self.at and isinstance(self.bad, Exception):
                    raise self.bad
                yield self.bad if number == self.at and self.bad else (X[rows], Y[rows])
        finally:
            self.open -= 1


STREAMS = {
    "as they are": lambda source: source,
    "inline": lambda source: Batches(source, batch_size=SIZE, buffer_rows=SIZE, prefetch=0),
    "thread": lambda source: Batches(source, batch_size=SIZE, buffer_rows=SIZE, prefetch=2),
}
BAD = {
    "an error": (KeyError("no such file"), KeyError, "no such file"),
    "another shape": ((X[:SIZE, :2], Y[:SIZE]), ValueError, r"shape \((rows, )?3,?\)"),
    "no targets": ((X[:SIZE],), ValueError, "expected"),
    "other counts": ((X[:SIZE], Y[:4]), ValueError, f"expected {SIZE} rows"),
    "no item": ("x", (TypeError, ValueError), "expected"),
    "NaN": ((np.full((SIZE, 3), np.nan), Y[:SIZE]), ValueError, "finite"),
}


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", STREAMS)
def test_what_goes_wrong_late_leaves_the_batches_before_and_closes_the_source(
    Network: Any, kind: str, bad: str
) -> None:
    item, error, message = BAD[bad]
    source, net, other = Source(item), make(Network), make(Network)
    with pytest.raises(error, match=message) as caught:
        net.fit(STREAMS[kind](source), shuffle=False)
    assert (source.begun, source.open) == (1, 0)
    other.fit(X[:30], Y[:30], batch_size=SIZE, shuffle=False)
    assert net.parameters.tobytes() == other.parameters.tobytes()
    net.fit(X, Y)
    assert caught.value is not None  # whoever keeps the error keeps nothing open


@pytest.mark.parametrize("at", [1, 5])  # behind a batch in the middle, or the last one
@pytest.mark.parametrize("error", [StopTraining(), KeyError("mine"), KeyboardInterrupt()])
@pytest.mark.parametrize("kind", STREAMS)
def test_a_fit_that_a_callback_ends_closes_the_source(
    Network: Any, kind: str, error: Any, at: int
) -> None:
    source, net = Source(), make(Network)

    def stop(batch: int, logs: Any) -> None:
        if batch == at:
            raise error

    with contextlib.suppress(KeyError, KeyboardInterrupt):
        net.fit(STREAMS[kind](source), epochs=3, callbacks=[LambdaCallback(on_batch_end=stop)])
    assert source.open == 0
    assert net.position.batches == at + 1


@pytest.mark.parametrize("kind", STREAMS)
def test_a_whole_fit_begins_the_source_once_an_epoch_and_closes_it(Network: Any, kind: str) -> None:
    source = Source()
    make(Network).fit(STREAMS[kind](source), epochs=3)
    assert (source.begun, source.open) == (3, 0)


@pytest.mark.parametrize("kind", STREAMS)
def test_what_goes_on_in_the_next_fit_stays_open(Network: Any, kind: str) -> None:
    source, net, other = Source(), make(Network), make(Network)
    stream = STREAMS[kind](source)
    for _ in range(4):  # the third ends where the source does
        net.fit(stream, steps_per_epoch=4, shuffle=False)
    if kind == "as they are":  # nobody keeps the place in a function
        assert (source.begun, source.open) == (4, 0)
        return
    assert (source.begun, source.open) == (3, 1)
    net.fit(stream, steps_per_epoch=2, shuffle=False)
    for _ in range(3):
        other.fit(X, Y, batch_size=SIZE, shuffle=False)
    assert net.parameters.tobytes() == other.parameters.tobytes()


@pytest.mark.parametrize("again", [False, True])
def test_what_an_ended_fit_still_waits_for_the_next_one_waits_for_too(
    Network: Any, again: bool, monkeypatch: Any
) -> None:
    monkeypatch.setattr(prefetch, "PATIENCE", 0.02)

    def slowly() -> Iterator[Any]:
        while True:
            time.sleep(0.1)
            yield X[:SIZE], Y[:SIZE]

    net = make(Network)
    stream = Batches(slowly if again else slowly(), batch_size=SIZE, buffer_rows=SIZE)
    net.fit(stream, steps_per_epoch=1, epochs=9, stop_at_loss=1e9)
    assert threading.active_count() == 2  # the first thread is still asking
    net.fit(stream, steps_per_epoch=1)
    assert net.position.steps == 2


def test_a_copy_of_a_stream_goes_on_by_itself(Network: Any) -> None:
    nets = make(Network), make(Network)
    stream = Batches(iter([(X, Y), (X, Y)]), batch_size=SIZE, buffer_rows=SIZE)
    nets[0].fit(stream, steps_per_epoch=6)
    other = copy.deepcopy(stream)
    for net, rest in zip(nets, (stream, other), strict=True):
        net.reset()
        net.fit(rest, steps_per_epoch=6)
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()


@pytest.mark.parametrize("kind", STREAMS)
def test_prediction_and_evaluation_close_the_source(Network: Any, kind: str) -> None:
    net = make(Network)
    source = Source()
    net.predict(STREAMS[kind](source))
    net.evaluate(STREAMS[kind](source))
    assert (source.begun, source.open) == (2, 0)
    source = Source(KeyError("late"))
    for use in (net.predict, net.evaluate):
        with pytest.raises(KeyError, match="late"):
            use(STREAMS[kind](source))
    assert source.open == 0


@pytest.mark.parametrize("kind", STREAMS)
def test_a_validation_that_fails_closes_both(Network: Any, kind: str) -> None:
    source, bad = Source(), Source(KeyError("of validation"))
    net, other = make(Network), make(Network)
    with pytest.raises(KeyError, match="of validation"):
        net.fit(
            STREAMS[kind](source), epochs=3, validation_data=STREAMS[kind](bad), shuffle=False
        )  # fmt: skip
    assert source.open == bad.open == 0
    other.fit(X, Y, batch_size=SIZE, shuffle=False)
    assert net.parameters.tobytes() == other.parameters.tobytes()


def test_an_interrupt_while_one_feed_ends_leaves_no_other() -> None:
    ended = []

    class Feed:
        def __init__(self, error: Any = None) -> None:
            self.error = error

        def close(self) -> None:
            ended.append(self)
            if self.error:
                raise self.error

    first, second = Feed(KeyboardInterrupt()), Feed()
    with pytest.raises(KeyboardInterrupt):
        streams.close(first, second)
    assert ended == [first, second]


def test_a_set_of_slow_rows_is_left_soon(Network: Any) -> None:
    asked = []

    class Slow:
        def __len__(self) -> int:
            return ROWS

        def __getitem__(self, i: int) -> Any:
            asked.append(i)
            time.sleep(0.01)
            return X[i], Y[i]

    def stop(batch: int, logs: Any) -> None:
        raise StopTraining

    stream = Batches(Slow(), batch_size=4, buffer_rows=4, block_rows=ROWS, shuffle=False)
    make(Network).fit(stream, callbacks=[LambdaCallback(on_batch_end=stop)])
    count = len(asked)
    time.sleep(0.05)
    assert len(asked) == count < ROWS


def test_one_stream_serves_two_fits_at_a_time_and_validation_beside(Network: Any) -> None:
    expected = make(Network)
    expected.fit(X, Y, batch_size=SIZE, epochs=4, shuffle=False)
    for stream in (
        Batches(Source(), batch_size=SIZE, buffer_rows=20, shuffle=False),
        Batches(X, Y, batch_size=SIZE, buffer_rows=20, shuffle=False),
        Source(),
    ):
        nets = [make(Network) for _ in range(2)]
        threads = [
            threading.Thread(
                target=net.fit,
                args=(stream,),
                kwargs={"epochs": 4, "validation_data": stream, "verbose": 0},
            )
            for net in nets
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {net.parameters.tobytes() for net in nets} == {expected.parameters.tobytes()}


def test_an_error_keeps_no_buffer_alive(Network: Any, monkeypatch: Any) -> None:
    """Not even until the garbage collector comes by: there may be no memory for as much again."""
    made = []

    def new_buffer(kinds: Any, rows: int) -> Any:
        buffer = original(kinds, rows)
        made.append(weakref.ref(buffer["x"]))
        return buffer

    original = batches.new_buffer
    monkeypatch.setattr(batches, "new_buffer", new_buffer)
    gc.collect()
    gc.disable()
    try:
        net = make(Network)
        fit_that_fails(net, Batches(failing, batch_size=SIZE, buffer_rows=SIZE))
        assert [reference() is None for reference in made] == [True, True]
    finally:
        gc.enable()


def failing() -> Iterator[Any]:
    yield X, Y
    raise KeyError("late")  # a new one: nobody else keeps it


def fit_that_fails(net: Any, stream: Any) -> None:
    try:
        net.fit(stream)
    except KeyError:
        return
    pytest.fail("expected an error")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_goes_on_with_its_parents_fit_is_told(Network: Any, monkeypatch: Any) -> None:
    """The thread stays in the parent; the child hears so, rather than wait for ever."""
    monkeypatch.setattr(prefetch, "LOOK_SECONDS", 0.05)
    net, here = make(Network), os.getpid()
    children: list[int] = []

    def fork(batch: int, logs: Any) -> None:
        if not children:
            children.append(os.fork())

    status = 0
    try:
        net.fit(
            Batches(X, Y, batch_size=SIZE, buffer_rows=SIZE),
            epochs=3,
            callbacks=[LambdaCallback(on_batch_end=fork)],
        )
    except RuntimeError as error:
        status = 7 if "not in this process" in str(error) else 1
    except BaseException:
        status = 2
    finally:
        if os.getpid() != here:
            os._exit(status)
    assert status == 0
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7


def fit_with(timer: threading.Timer, net: Any, stream: Any) -> None:
    timer.start()
    net.fit(stream, epochs=100_000, verbose=0)
    time.sleep(1)  # where the interrupt came so late


def require_no_thread() -> None:
    """One whose start was interrupted ends as soon as it runs, and nobody waits for it."""
    deadline = time.monotonic() + 5
    while any(thread.name == "fastbp" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("prefetch", [0, 1])
def test_interrupts_at_any_moment_leave_a_batch_boundary_and_no_thread(
    Network: Any, prefetch: int
) -> None:
    net = make(Network)
    stream = Batches(X, Y, batch_size=SIZE, buffer_rows=SIZE, prefetch=prefetch)
    for delay in np.linspace(0.004, 0.03, 12):
        timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            fit_with(timer, net, stream)
        timer.join()
        assert np.isfinite(net.parameters).all()
        require_no_thread()
    assert net.fit(stream, verbose=0).epochs == 1


def test_reading_leaves_no_warning_of_open_files(Network: Any, tmp_path: Any) -> None:
    """Warnings are errors in tests; those of a finalizer come when it runs."""
    np.save(tmp_path / "x.npy", X)

    def lines() -> Iterator[Any]:
        with open(tmp_path / "x.npy", "rb") as file:
            while file.read(8):
                yield X, Y

    net = make(Network)

    def stop(batch: int, logs: Any) -> None:
        raise StopTraining

    for stream in (
        lines,
        Batches(lines),
        Batches(lines, prefetch=0),
        Batches(tmp_path / "x.npy", Y),
    ):
        net.fit(stream, callbacks=[LambdaCallback(on_batch_end=stop)])
    gc.collect()
