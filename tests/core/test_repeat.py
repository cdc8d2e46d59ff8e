"""Fits of the smallest networks, which run many epochs in one kernel: no bit differs.

A fit that is visited after each batch takes the general path, one batch at a time; so do the
instruction sets of test_digests.py with theirs.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
from typing import Any

import numpy as np
import pytest
from fits_in_one_kernel import BY_BATCH, SIGMOIDS, WAYS, data, fits

import fastbp
from fastbp.activations import ACTIVATIONS, ELU, LeakyReLU
from fastbp.engine import Progress
from fastbp.layers import Dense, Layer
from fastbp.losses import LOSSES, BinaryCrossentropy, CrossEntropy, Loss, Poisson
from fastbp.optimizers import SGD, Adam

pytestmark = pytest.mark.usefixtures("core")

ROW_LANES = {"float32": 16, "float64": 8}
FUNCTIONS = [f for f in ACTIVATIONS if f != "softmax"] + [LeakyReLU(0.1), ELU(0.3)]
ELEMENTWISE = [kind for kind in LOSSES.values() if kind.probability != "softmax"]


def check(*args: Any, **fields: Any) -> None:
    repeated, general = fits(*args, **fields)
    assert repeated == general


def networks() -> list[list[Layer]]:
    """One unit, and a hidden layer before it, with every activation in either place."""
    units: list[list[Layer]] = [[Dense(1, f)] for f in FUNCTIONS]
    units += [[Dense(3, f), Dense(1, "sigmoid")] for f in FUNCTIONS]
    return units + [[Dense(3, "sigmoid"), Dense(1, f)] for f in FUNCTIONS]


@pytest.mark.parametrize("rows", ["1", "half", "most", "all"])
def test_every_activation_has_the_bits_of_the_general_path(rows: str, dtype: str, isa: str) -> None:
    lanes = ROW_LANES[dtype]
    n = {"1": 1, "half": lanes // 2 - 1, "most": lanes - 1, "all": lanes}[rows]
    for layers in networks():
        check(layers, n, 3, dtype=dtype)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_every_loss_has_the_bits_of_the_general_path(
    kind: type[Loss], reduction: str, dtype: str, isa: str
) -> None:
    """The kernel's own and those that it leaves to the general path."""
    losses = [kind(reduction)]
    if issubclass(kind, CrossEntropy):
        losses.append(kind(reduction, from_logits=True))
        losses.append(kind(reduction, label_smoothing=0.2))
    if kind is Poisson:
        losses.append(kind(reduction, log_input=True))
    for loss, rows in itertools.product(losses, (1, 2, 3, 5, 8)):
        last = "identity" if getattr(loss, "from_logits", False) else "sigmoid"
        for hidden in ([], [Dense(2, "tanh")]):
            check([*hidden, Dense(1, last)], rows, 2, dtype=dtype, loss=loss)


@pytest.mark.parametrize("use_bias", [True, False])
def test_every_size_has_the_bits_of_the_general_path(use_bias: bool, dtype: str, isa: str) -> None:
    lanes = ROW_LANES[dtype]
    for rows, inputs, units in itertools.product(
        range(1, lanes + 1), (1, 2, lanes - 1), (0, 1, lanes - 1)
    ):
        hidden = [Dense(units, "tanh", use_bias=use_bias)] if units else []
        check([*hidden, Dense(1, "tanh", use_bias=use_bias)], rows, inputs, dtype=dtype)


@pytest.mark.parametrize(
    "layers",
    [
        [Dense(2, "tanh", trainable=False), Dense(1)],
        [Dense(2, "tanh", bias_trainable=False), Dense(1, trainable=False)],
        [Dense(2, "gelu"), Dense(1, bias_trainable=False)],
        [Dense(1, "silu", bias_trainable=False)],
    ],
)
def test_frozen_parameters_stay(layers: list[Layer], dtype: str, isa: str) -> None:
    check(layers, 4, 2, dtype=dtype)


def test_zeros_of_either_sign_have_the_bits_of_the_general_path(dtype: str, isa: str) -> None:
    """A product that underflows is -0, which the sum over rows turns into +0, or does not."""
    tiny = 1.2 * float(np.finfo(dtype).tiny)
    signs = [1.0], [-1.0], [1.0, -1.0], [0.0, 1.0, -0.0]
    for rows, sign, start in itertools.product(range(1, 9), signs, (0.0, -0.0, tiny)):
        x = tiny * np.resize(sign, (rows, 1))
        found = []
        for way in WAYS:
            net = fastbp.Network(
                [Dense(1)], input_shape=1, dtype=dtype, seed=0, loss="squared_error",
                optimizer=SGD(0.5),
            )  # fmt: skip
            net.parameters[:] = start
            net.fit(
                x, np.full(rows, 0.3), epochs=2, batch_size=rows, shuffle=False, verbose=0,
                **way,
            )  # fmt: skip
            found.append(net.parameters.tobytes())
        assert found[0] == found[1] == found[2]


def test_a_record_goes_on_where_its_memory_grew() -> None:
    """Room for 64 outputs and the curves of an epoch is made for some thousand epochs at first."""
    x = np.linspace(-1, 1, 8)[:, None]
    found = []
    for way in ({}, BY_BATCH):
        net = fastbp.Network([Dense(1, "tanh")], input_shape=1, loss="huber", seed=3,
                             dtype="float64", optimizer="sgd")  # fmt: skip
        fit = {"epochs": 50_000, "batch_size": 8, "shuffle": False, "verbose": 0}
        found.append(net.fit(x, x[:, 0] ** 2, record_outputs=True, **fit, **way))
    assert len(found[0].outputs) == 50_000
    np.testing.assert_array_equal(found[0].outputs, found[1].outputs)
    assert found[0] == found[1]


LONG = SIGMOIDS


@pytest.mark.parametrize("epochs", [1, 2, 1023, 1024, 1025, 2500])
@pytest.mark.parametrize("rows", [1, 4])
def test_fits_of_any_length_have_the_bits_of_the_general_path(rows: int, epochs: int) -> None:
    check(LONG, rows, 2, fit={"epochs": epochs})


def test_a_loss_to_stop_at_ends_the_fit_at_the_same_epoch(dtype: str) -> None:
    losses = fits(LONG, 4, 2, dtype=dtype, fit={"epochs": 200})[0][0][0]["loss"]
    for goal in (losses[0], losses[57], np.nextafter(losses[57], 1), losses[-1]):
        check(LONG, 4, 2, dtype=dtype, fit={"epochs": 200, "stop_at_loss": goal})


@pytest.mark.filterwarnings("ignore::fastbp.DivergenceWarning")
@pytest.mark.parametrize("learning_rate", [3.0, 1e3, 1e30])
def test_divergence_goes_back_to_the_same_snapshot(learning_rate: float, dtype: str) -> None:
    fields = {"loss": LOSSES["squared_error"](), "optimizer": SGD(learning_rate), "dtype": dtype}
    for rows in (1, 4):
        check([Dense(2, "relu"), Dense(1)], rows, 2, fit={"epochs": 3000}, **fields)


@pytest.mark.filterwarnings("ignore::fastbp.DivergenceWarning")
def test_divergence_goes_back_to_the_last_epoch_of_1024_batches(dtype: str) -> None:
    """The weight grows by a constant factor, past all bounds after some 1,800 steps."""
    learning_rate = {"float32": 1.025, "float64": 1.11}[dtype]
    for way in WAYS:
        net = fastbp.Network(
            [Dense(1, use_bias=False)], input_shape=1, loss="squared_error", dtype=dtype, seed=0,
            optimizer=SGD(learning_rate),
        )  # fmt: skip
        history = net.fit([[1.0]], [0.0], epochs=5000, batch_size=1, verbose=0, **way)
        assert history.epochs == 1024
        assert net._engine.position.steps == 1024


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("optimizer", [SGD(0.1), SGD(0.1, 0.9), SGD(0.1, 0.9, True), Adam(0.01)])
def test_other_fits_have_the_bits_of_the_general_path(
    optimizer: Any, shuffle: bool, dtype: str
) -> None:
    for rows, batch_size in itertools.product((1, 2, 4, 17), (1, 3, 64)):
        fit = {"shuffle": shuffle, "batch_size": batch_size}
        check(LONG, rows, 2, dtype=dtype, optimizer=optimizer, fit=fit)
    check([Dense(2, "tanh"), Dense(2), Dense(1)], 4, 2, dtype=dtype, optimizer=optimizer)
    check([Dense(1)], 4, ROW_LANES[dtype], dtype=dtype, optimizer=optimizer)


def test_epochs_go_on_where_an_interrupt_left_them() -> None:
    """Twice some epochs are once as many, with a pause wherever it falls."""
    x, y = data(4, 2, BinaryCrossentropy())
    reports: list[Progress] = []

    class Interrupt(fastbp.Callback):
        def on_progress(self, progress: Progress) -> None:
            reports.append(progress)
            if len(reports) == 2:
                raise KeyboardInterrupt

    nets = [
        fastbp.Network(LONG, input_shape=2, loss="huber", optimizer="sgd", seed=3) for _ in range(2)
    ]
    fit = {"batch_size": 4, "shuffle": False}
    with pytest.raises(KeyboardInterrupt):
        nets[0].fit(x, y, epochs=10**9, callbacks=[Interrupt()], **fit)
    done = nets[0]._engine.position.epochs
    assert done == nets[0]._engine.position.steps == reports[-1].epoch > reports[0].epoch > 0
    history = nets[1].fit(x, y, epochs=done, verbose=0, **fit)
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()
    assert [report.loss for report in reports] == [
        history["loss"][report.epoch - 1] for report in reports
    ]
    nets[0].fit(x, y, epochs=5, verbose=0, **fit)
    nets[1].reset()
    nets[1].fit(x, y, epochs=done + 5, verbose=0, **fit)
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()


def test_a_signal_ends_a_fit_in_one_kernel_at_an_epoch() -> None:
    x, y = data(4, 2, BinaryCrossentropy())
    nets = [fastbp.Network(LONG, input_shape=2, loss="huber", seed=3) for _ in range(2)]
    fit = {"batch_size": 4, "shuffle": False, "verbose": 0}
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        nets[0].fit(x, y, epochs=10**9, **fit)
    done = nets[0]._engine.position
    assert 0 < done.epochs == done.steps == done.batches < 10**9
    nets[1].fit(x, y, epochs=done.epochs, **fit)
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()


def test_threads_asked_for_change_nothing() -> None:
    x, y = data(4, 2, BinaryCrossentropy())
    bits = set()
    for n_threads in (1, 3, None):
        net = fastbp.Network(LONG, input_shape=2, loss="huber", seed=3, n_threads=n_threads)
        net.fit(x, y, epochs=50, batch_size=4, shuffle=False)
        bits.add(net.parameters.tobytes())
    assert len(bits) == 1
