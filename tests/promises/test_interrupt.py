"""Ctrl-C ends a fit at once, at a batch boundary, and the network goes on from there."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import random
import signal
import sys
import threading
import time

import numpy as np
import pytest

import fastbp
from fastbp import Dense, Dropout, data
from fastbp.engine import Fit, Record, Rows
from fastbp.random import row_order

pytestmark = [
    pytest.mark.promise(6),
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals"),
]

# Inputs, units of the layers and rows of a batch: a step takes below a microsecond, some 0.1 ms and
# some milliseconds.
SIZES = {"tiny": ((3, 4, 2), 4), "medium": ((64, 128, 10), 32), "wide": ((784, 600, 200), 128)}
BATCHES = 7  # of an epoch, the last of one row


@pytest.fixture
def seconds(core):
    """What an interrupt may take. A fit looks at signals every 0.05 s, the rest is for a machine
    that has other work; under a sanitizer everything takes longer."""
    return 2.0 if "-fsanitize" in fastbp._core.build_info()["switches"] else 0.2


def make(Network, sizes, **options):
    inputs, *hidden, outputs = sizes
    layers = [Dense(units, activation="tanh") for units in hidden]
    made_of = {"input_shape": inputs, "loss": "mean_squared_error", "seed": 5}
    return Network([*layers, Dropout(0.1), Dense(outputs)], **made_of | options)


def task(sizes, rows):
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, sizes[0])), rng.normal(size=(rows, sizes[-1]))


def interrupted(act, delay):
    """Act until SIGINT, sent after `delay` seconds, raises KeyboardInterrupt; return how long that
    took."""
    sent = []

    def interrupt():
        time.sleep(delay)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    try:
        sender.start()
        while True:
            act()
    except KeyboardInterrupt:
        return time.monotonic() - sent[0]
    finally:
        sender.join()


def replayed(net, other, x, y, batch_size):
    """Train `other`, which is as `net` began, to the batch at which `net` stands, one by one."""
    position = net._engine.position
    epochs, batches = divmod(position.batches, BATCHES)
    if epochs:
        other.fit(x, y, batch_size=batch_size, epochs=epochs)
    order = row_order(other.seed, epochs, len(x))
    for start in range(0, batches * batch_size, batch_size):
        rows = order[start : start + batch_size]
        other.train_on_batch(x[rows], y[rows])
    assert position.steps == position.batches
    assert position.epochs in (epochs + bool(batches), epochs + 1)
    other._engine.position = position


@pytest.mark.repeats(3, 34)
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_sigint_ends_a_fit_at_a_batch_boundary(seconds, standing, size, n_threads, repeats):
    sizes, batch_size = SIZES[size]
    x, y = task(sizes, (BATCHES - 1) * batch_size + 1)
    rng = random.Random(f"{size} {n_threads}")
    waits = []

    def fit(net, epochs):
        return net.fit(x, y, batch_size=batch_size, epochs=epochs)

    # From 0.02 s on: the Python at the begin of a fit is interrupted in the next test.
    for _ in range(repeats):
        net, other = (make(fastbp.Network, sizes, n_threads=n_threads) for _ in range(2))
        waits.append(interrupted(lambda net=net: fit(net, 10**9), rng.uniform(0.02, 0.12)))
        replayed(net, other, x, y, batch_size)
        assert standing(net) == standing(other)
        assert fit(net, 2) == fit(other, 2)
        assert standing(net) == standing(other)
    # One stall of the machine is not the network's.
    assert sorted(waits)[-2] < seconds


# Data whose evaluation takes several times as long as an interrupt may.
ENDLESS = np.broadcast_to(task(SIZES["wide"][0], 1)[0], (200_000, 784))
NUMBERS = np.broadcast_to(task(SIZES["wide"][0], 1)[1], (200_000, 200))


@pytest.mark.repeats(3, 20)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_sigint_ends_a_fit_during_validation(seconds, standing, n_threads, repeats):
    sizes, batch_size = SIZES["wide"]
    x, y = task(sizes, 6 * batch_size + 1)
    rng = random.Random(n_threads)
    waits = []
    for _ in range(repeats):
        net, other = (make(fastbp.Network, sizes, n_threads=n_threads) for _ in range(2))
        rows = data.rows(net.plan, x, y)
        job = Fit(rows, 10**9, batch_size, True, validation=Rows(ENDLESS, NUMBERS))
        fit = functools.partial(net._engine.fit, job, Record())
        waits.append(interrupted(fit, rng.uniform(0.2, 0.5)))
        replayed(net, other, x, y, batch_size)
        assert standing(net) == standing(other)
    assert sorted(waits)[-2] < seconds


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_validation_with_pauses_is_an_evaluation(core, n_threads):
    sizes, batch_size = SIZES["wide"]
    net = make(fastbp.Network, sizes, n_threads=n_threads, metrics=["accuracy"])
    validation = ENDLESS[:30_000], NUMBERS[:30_000]
    history = net.fit(*task(sizes, batch_size), validation_data=validation, epochs=2)
    evaluated = net.evaluate(*validation)
    assert history["val_loss"][1] == evaluated["loss"] != history["val_loss"][0]
    assert history["val_accuracy"][1] == evaluated["accuracy"]


class Looks(fastbp.Callback):
    """Looks at the network, and sets its optimizer, wherever it may."""

    def look(self):
        self.network.predict(np.zeros((1, 3)))
        self.network.optimizer = self.network.optimizer

    def on_train_begin(self):
        self.look()

    def on_epoch_begin(self, epoch):
        self.look()

    def on_batch_end(self, batch, logs):
        self.look()

    def on_epoch_end(self, epoch, logs):
        self.look()

    def on_train_end(self, history):
        self.look()


def set_alarm(seconds):
    """Have SIGALRM come, again if it is lost; 0: no more.

    Threads of BLAS take a signal now and then, and Python's main thread may never hear of it.
    """
    signal.setitimer(signal.ITIMER_REAL, seconds, 1 if seconds else 0)


@contextlib.contextmanager
def alarms_that_interrupt():
    """Let SIGALRM raise KeyboardInterrupt, in no code of the tests' own tools.

    Inside a tracer, as that of coverage, it would leave the tracer's lock taken; inside a function
    that the garbage collector calls, as Hypothesis has one, it would be ignored.
    """

    def interrupt(*_):
        raise KeyboardInterrupt

    tracer, callbacks = sys.gettrace(), gc.callbacks[:]
    handler = signal.signal(signal.SIGALRM, interrupt)
    sys.settrace(None)
    gc.callbacks.clear()
    try:
        yield
    finally:
        set_alarm(0)
        signal.signal(signal.SIGALRM, handler)
        gc.callbacks[:] = callbacks
        sys.settrace(tracer)


@pytest.mark.repeats(200, 5000)
@pytest.mark.parametrize(
    ("method", "optimizer"),
    [
        ("fit", "adam"),
        ("fit with callbacks", "adam"),
        ("train_on_batch", "adam"),
        ("fit", "lbfgs"),
        ("fit with callbacks", "lbfgs"),
    ],
)
def test_an_interrupt_between_instructions_leaves_the_network_whole(
    Network, standing, method, optimizer, repeats
):
    """Short calls spend much of their time in Python, where a signal comes in anywhere.

    All is looked at within the except clause, while the frames of the interrupted call are alive.
    """
    sizes, batch_size = SIZES["tiny"]
    x, y = task(sizes, batch_size)
    options = {"batch_size": batch_size, "shuffle": False} if "fit" in method else {}
    if "callbacks" in method:
        options["callbacks"] = [Looks()]

    def train(net):
        getattr(net, method.split()[0])(x, y, **options)

    # Networks that were never interrupted, by batches trained.
    stands = [make(Network, sizes, optimizer=optimizer)]
    train(stands[0].copy())  # an import at the first fit would lose the interrupt that it meets
    rng = random.Random(method)
    with alarms_that_interrupt():
        for _ in range(repeats):
            net = make(Network, sizes, optimizer=optimizer)
            try:
                set_alarm(rng.uniform(1e-5, 2e-3))
                while True:
                    train(net)
            except KeyboardInterrupt:
                set_alarm(0)
                engine = net._engine
                while len(stands) <= engine.position.batches:
                    stands.append(stands[-1].copy())
                    train(stands[-1])
                expected = standing(stands[engine.position.batches])
                begun = engine.position.epochs - expected["position"].epochs
                assert begun in (0, 1)
                # An epoch may have begun without a batch, or not be over behind its only one.
                engine.position = engine.position._replace(
                    epochs=expected["position"].epochs, part=expected["position"].part
                )
                assert standing(net) == expected
                net.predict(x)
    # Nor is a lock of the standard library left behind, which logging has.
    other = threading.Thread(target=logging.getLogger, args=["another"], daemon=True)
    other.start()
    other.join(10)
    assert not other.is_alive()


@pytest.mark.repeats(3, 20)
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("method", ["predict", "evaluate", "all_finite"])
@pytest.mark.parametrize("size", ["tiny", "wide"])
def test_sigint_ends_a_long_look_at_the_network(seconds, method, size, n_threads, repeats):
    inputs, *_, outputs = SIZES[size][0]
    rows = 20_000_000 if size == "tiny" else 200_000
    net = make(fastbp.Network, SIZES[size][0], n_threads=n_threads)
    x, y = np.broadcast_to(np.float32(0.5), (rows, inputs)), np.zeros((rows, outputs), np.float32)
    look = functools.partial(net._engine.predict, x, y, n_threads)
    if method == "evaluate":
        look = functools.partial(net._engine.evaluate, Rows(x, y), (), n_threads)
    if method == "all_finite":  # read again and again, and converted
        x = np.broadcast_to(np.float64(0.5), (10 * rows, inputs))
        look = functools.partial(net._engine.all_finite, x, n_threads)
    rng = random.Random(f"{method} {size} {n_threads}")
    waits = [interrupted(look, rng.uniform(0.05, 0.3)) for _ in range(repeats)]
    net.step()
    assert sorted(waits)[-2] < seconds


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_a_prediction_with_pauses_is_that_of_its_parts(core, size, n_threads):
    sizes = SIZES[size][0]
    net = make(fastbp.Network, sizes, n_threads=n_threads)
    rows = {"tiny": 3_000_000, "medium": 300_000, "wide": 10_000}[size]
    x = np.resize(np.random.default_rng(0).random(7919, np.float32), (rows, sizes[0]))
    predicted = net.predict(x)
    for start in range(0, rows, rows // 7):
        part = slice(start, start + rows // 7)
        assert np.array_equal(net.predict(x[part]), predicted[part])


@pytest.mark.repeats(400, 5000)
@pytest.mark.parametrize("method", ["predict", "evaluate", "__call__"])
def test_an_interrupt_leaves_no_network_taken_by_who_read_it(Network, method, repeats):
    sizes, batch_size = SIZES["tiny"]
    x, y = task(sizes, batch_size)
    net, data = make(Network, sizes), (x, y)[: 1 + (method == "evaluate")]
    rng = random.Random(method)
    with alarms_that_interrupt():
        for _ in range(repeats):
            try:
                set_alarm(rng.uniform(1e-5, 1e-3))
                while True:
                    getattr(net, method)(*data)
            except KeyboardInterrupt:
                set_alarm(0)
                net.train_on_batch(x, y)
