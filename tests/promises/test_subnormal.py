"""Subnormal numbers count as zero inside the compiled engine, and cost nothing."""

from __future__ import annotations

import time

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Adam, Dense, Dropout, Rescale, data

pytestmark = [pytest.mark.promise(23), pytest.mark.usefixtures("core")]

SUBNORMAL = {"float32": 1e-40, "float64": 1e-310}
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(150, 20)), rng.normal(size=(150, 3))

# Units of the hidden layer: rows in the lanes, slots of rows, and tiles of weights.
WIDTHS = {"narrow": (3, 4, 3), "medium": (20, 70, 3), "wide": (20, 900, 3)}


@pytest.fixture(params=fastbp._core.available_isas() if hasattr(fastbp, "_core") else [])
def isa(request):
    """Networks made in the test run on each instruction set."""
    fastbp._core.choose_isa(request.param)
    yield request.param
    fastbp._core.choose_isa()


def make(dtype, width="medium", optimizer="sgd", **options):
    inputs, units, outputs = WIDTHS[width]
    layers = [Dense(units, activation="tanh"), Dropout(0.2), Dense(outputs)]
    return fastbp.Network(
        layers, input_shape=inputs, loss="squared_error", optimizer=optimizer, dtype=dtype, seed=0,
        **options,
    )  # fmt: skip


def pair(dtype, *args, **options):
    """Two networks, where a third of the parameters is subnormal, or zero of the same sign."""
    nets = [make(dtype, *args, **options) for _ in range(2)]
    small = np.random.default_rng(1).random(nets[0].n_parameters) < 1 / 3
    signs = np.sign(nets[0].parameters[small]) + (nets[0].parameters[small] == 0)
    for net, size in zip(nets, (SUBNORMAL[dtype], 0.0), strict=True):
        net.parameters[small] = np.copysign(size, signs)
    assert (np.abs(nets[0].parameters[small]) > 0).all()
    return nets


@pytest.mark.parametrize("width", WIDTHS)
def test_subnormal_parameters_predict_as_zeros(isa, dtype, width):
    subnormal, zeros = pair(dtype, width)
    inputs, _, outputs = WIDTHS[width]
    x, y = X[:, :inputs], Y[:, :outputs]
    for ask in (
        lambda net: net.predict(x).tobytes(),
        lambda net: net(x[0].astype(dtype)).tobytes(),
        lambda net: net.forward(x).tobytes(),
        lambda net: net.evaluate(x, y),
        lambda net: net.loss_and_gradients(x, y)[1].tobytes(),
    ):
        assert ask(subnormal) == ask(zeros)


@pytest.mark.parametrize("value", [1, -1])
def test_a_network_of_subnormal_parameters_answers_zero(isa, dtype, value):
    net = make(dtype)
    net.parameters[...] = value * SUBNORMAL[dtype]
    assert not net.predict(X * 1e30).any()
    assert not net(X[0].astype(dtype)).any()


@pytest.mark.parametrize("source", ["float32", "float64"])
def test_subnormal_inputs_and_targets_count_as_zeros(isa, dtype, source):
    """Those too that become subnormal when they are converted."""
    ones = [Dense(20, weights_initializer=np.eye(20) * 1e30), Rescale(1e-30)]
    net = fastbp.Network(ones, input_shape=20, loss="mean_absolute_error", dtype=dtype)
    x = np.full((5, 20), SUBNORMAL[min(dtype, source)], source)
    assert x.all()
    assert not net.predict(x).any()
    assert net.evaluate(x, x) == {"loss": 0.0}
    assert net.evaluate(np.zeros((5, 20)), x) == {"loss": 0.0}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("optimizer", [SGD(0.01), SGD(0.01, momentum=0.9, nesterov=True), Adam()])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_training_from_subnormal_parameters_gives_the_bits_of_training_from_zeros(
    isa, dtype, width, optimizer, n_threads
):
    subnormal, zeros = pair(dtype, width, optimizer, n_threads=n_threads)
    inputs, _, outputs = WIDTHS[width]
    x, y = X[:, :inputs], Y[:, :outputs]
    for net in (subnormal, zeros):
        net.fit(x, y, epochs=2, batch_size=70)
        net.train_on_batch(x, y)
    assert subnormal.parameters.tobytes() == zeros.parameters.tobytes()
    assert subnormal._engine.state.tobytes() == zeros._engine.state.tobytes()


def test_training_makes_no_subnormal_numbers(isa, dtype):
    """Momentum that fades away without a gradient reaches zero, not the subnormal numbers."""
    net = make(dtype, optimizer=SGD(1e-3, momentum=0.5))
    net.fit(X, Y, batch_size=150)
    net.gradients[...] = 0
    for _ in range(1200):
        net.step()
    assert not net._engine.state.any()


@pytest.mark.thorough
def test_subnormal_parameters_cost_nothing(isa, dtype):
    nets = pair(dtype, "wide")
    rows = data.inputs(nets[0].plan, np.tile(X, (20, 1)))
    seconds = [[], []]
    for _ in range(15):
        for net, each in zip(nets, seconds, strict=True):
            start = time.perf_counter()
            net.predict(rows)
            each.append(time.perf_counter() - start)
    assert min(seconds[0]) < 1.3 * min(seconds[1])
