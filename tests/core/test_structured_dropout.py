"""Structured dropout: what a batch drops is not computed, and the answers are those of masks.

The masks are the reference's, for which there is nothing but masks; test_bits.py and
test_digests.py have rows for teams and instruction sets.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from engine_pair import Pair

import fastbp
from fastbp import random
from fastbp.engine import Position
from fastbp.layers import Activation, Dense, Dropout, Layer, Rescale
from fastbp.losses import HalfSquaredError
from fastbp.optimizers import SGD, Adam, AdamW, Optimizer

pytestmark = pytest.mark.usefixtures("core")

Dropped = partial(Dropout, structured=True)
# Each is (inputs, layers).
STACKS: dict[str, tuple[int, list[Layer]]] = {
    "between": (20, [Dense(40, "relu"), Dropped(0.5), Dense(30, "tanh"), Dropped(0.3), Dense(3)]),
    "of the input": (40, [Dropped(0.5), Dense(40, "relu"), Dropped(0.5), Dense(3)]),
    "behind a rescale": (40, [Rescale(0.5), Dropped(0.5), Dense(40, "relu")]),
    "behind activations": (20, [Dense(40), Activation("gelu"), Dropped(0.5), Dense(3)]),
    "before an activation": (20, [Dense(40), Dropped(0.5), Activation("sigmoid"), Dense(3)]),
    "around an activation": (
        20,
        [Dense(40), Dropped(0.3), Activation("sigmoid"), Dropped(0.5), Dense(30, "tanh")],
    ),
    "two in a row": (20, [Dense(40, "silu"), Dropped(0.5), Dropped(0.3), Dense(30, "tanh")]),
    "and a rescale": (20, [Dense(40, "elu"), Dropped(0.5), Rescale(2), Dropped(0.3), Dense(3)]),
    "beside plain": (20, [Dense(40, "tanh"), Dropout(0.3), Dropped(0.5), Dense(30, "tanh"),
                          Dropped(0.5), Dropout(0.3), Dense(3)]),
    "behind a softmax": (20, [Dense(40, "softmax"), Dropped(0.5), Dense(3)]),
    "of the output": (20, [Dense(40, "tanh"), Dropped(0.5)]),
    "alone": (20, [Dropped(0.5)]),
    "of narrow layers": (4, [Dense(5, "tanh"), Dropped(0.5), Dense(6, "tanh"), Dense(2)]),
    "of a few units": (30, [Dropped(0.3), Dense(15, "tanh"), Dropped(0.5), Dense(16, "tanh"),
                            Dropped(0.5), Dense(17, "tanh"), Dropped(0.5), Dense(2)]),
    "of none": (20, [Dropped(0), Dense(40, "tanh"), Dropped(0), Dense(3)]),
    "of all": (20, [Dense(40, "tanh"), Dropped(0.9999), Dense(30, "tanh"), Dense(3)]),
    "of frozen layers": (
        20,
        [Dense(40, "tanh", trainable=False), Dropped(0.5), Dense(30, "tanh", bias_trainable=False),
         Dropped(0.5), Dense(20, use_bias=False, trainable=False), Dropped(0.5), Dense(3)],
    ),
    "wide": (300, [Dropped(0.2), Dense(300, "relu"), Dropped(0.5), Dense(290, "tanh"),
                   Dropped(0.5), Dense(40, "gelu"), Dropped(0.5), Dense(9), Dropped(0.3),
                   Dense(3)]),
    "wide, of all": (
        130,
        [Dense(300, "relu"), Dropped(0.9999), Dense(130), Dropped(0.5), Dense(3)],
    ),
    "wide, frozen": (
        130,
        [Dense(300, "relu", bias_trainable=False), Dropped(0.5), Dense(130, trainable=False),
         Dropped(0.5), Dense(300, "tanh", use_bias=False), Dropped(0.9), Dense(3)],
    ),
}  # fmt: skip


THOROUGH = [pytest.param(rows, marks=pytest.mark.thorough) for rows in (9, 257, 600)]


@pytest.mark.parametrize("rows", [1, 70, *THOROUGH])
@pytest.mark.parametrize("name", STACKS)
def test_stacks_agree_with_masks(name: str, rows: int, dtype: str, n_threads: int) -> None:
    inputs, layers = STACKS[name]
    given = {"rows": rows, "dtype": dtype, "n_threads": n_threads, "scale": 1e-3}
    pair = Pair(layers, inputs, HalfSquaredError(), **given)
    pair.check()
    pair.check_passes(training=False)


RULES: dict[str, Optimizer] = {
    "sgd": SGD(0.05),
    "momentum": SGD(0.05, momentum=0.9),
    "adam": Adam(0.01),
    "adamw, clipped norm": AdamW(0.01, weight_decay=0.1, clip_norm=0.1),
}


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["of the input", "wide", "of narrow layers"])
def test_fits_agree_with_masks(name: str, rule: str, accumulate: int, n_threads: int) -> None:
    """What is dropped decays with a gradient of 0; the parts of a batch share its mask."""
    inputs, layers = STACKS[name]
    pair = Pair(layers, inputs, HalfSquaredError(), RULES[rule], rows=47, n_threads=n_threads)
    pair.fit(3, 10, accumulate=accumulate)
    pair.agree_by_tensor("parameter", lambda e: e.parameters, 1e-9)


def networks(before: int, units: int, dtype: str, n_threads: int) -> list[Any]:
    """Return a network that leaves out what it drops, and one that masks it.

    Behind an activation what is dropped is not known to be 0, whatever the activation.
    """
    found = []
    for passes in (Rescale(1.0), Activation("identity")):
        layers = [Dense(before, "tanh"), Dense(units, "gelu"), Dropped(0.5), passes,
                  Dense(27, "tanh"), Dense(4)]  # fmt: skip
        found.append(
            fastbp.Network(layers, input_shape=9, loss="huber", optimizer=Adam(0.01), dtype=dtype,
                           seed=3, n_threads=n_threads)
        )  # fmt: skip
    return found


# Blocks of 256 terms begin where they do in the whole layer: some have few units left, or none.
@pytest.mark.parametrize("units", [16, 33, 255, 256, 257, 600])
@pytest.mark.parametrize("before", [5, 130])
def test_what_is_left_out_and_what_is_masked_give_the_same_bits(
    before: int, units: int, dtype: str, n_threads: int
) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(150, 9)), rng.normal(size=(150, 4))
    found = []
    for net in networks(before, units, dtype, n_threads):
        losses = net.fit(x, y, epochs=2, batch_size=70, verbose=0)["loss"]
        # A zero may have another sign.
        outputs = [net.parameters, net.forward(x, training=True), net.backward(y), net.gradients]
        found.append([*losses, *(array + 0.0 for array in outputs)])
    for left_out, masked in zip(*found, strict=True):
        np.testing.assert_array_equal(left_out, masked)


def test_blocks_without_a_unit_give_the_same_bits(n_threads: int) -> None:
    """At a rate of 0.998 most blocks of 256 units have lost all."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 1030)), rng.normal(size=(30, 20))
    found = []
    for passes in (Rescale(1.0), Activation("identity")):
        layers = [Rescale(1.0), Dropped(0.998), passes, Dense(20)]
        net = fastbp.Network(layers, input_shape=1030, seed=1, n_threads=n_threads, loss="huber")
        found.append([net.forward(x, training=True), net.backward(y), net.gradients.copy()])
    kept = np.flatnonzero(random.keep_mask(1, 1, 0, (1, 1030), 0.998))
    assert 0 < len(set(kept // 256)) < 4
    for left_out, masked in zip(*found, strict=True):
        np.testing.assert_array_equal(left_out, masked)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("units", [1, 3, 4, 5, 130])
def test_all_rows_have_the_mask_of_a_dropouts_first_row(
    units: int, rate: float, dtype: str, n_threads: int
) -> None:
    seed, batch, rows = 2**40 + 3, 2**33 + 1, 300
    pair = Pair([Rescale(1.0), Dropped(rate)], units, dtype=dtype, n_threads=n_threads)
    kept = random.keep_mask(seed, 1, batch, (1, units), rate)
    for engine in pair.engines:
        engine.seed, engine.position = seed, Position(batches=batch)
        outputs = engine.forward(np.ones((rows, units), dtype), True, n_threads)
        np.testing.assert_array_equal(
            outputs, np.repeat(kept, rows, 0) * np.array(1 / (1 - rate), dtype)
        )


def test_weights_of_dropped_units_have_no_gradient(n_threads: int) -> None:
    layers = [Dense(200), Dropped(0.5), Dense(150, "tanh")]
    net = fastbp.Network(layers, input_shape=100, seed=2, loss="huber", n_threads=n_threads)
    net.gradients[:] = np.nan
    rng = np.random.default_rng(0)
    net.loss_and_gradients(rng.normal(size=(40, 100)), rng.normal(size=(40, 150)))
    first, last = net.layers[0], net.layers[2]
    kept = random.keep_mask(2, 1, 0, (1, 200), 0.5)[0]
    assert 60 < kept.sum() < 140
    for gradient in (first.weights_gradient, first.biases_gradient, last.weights_gradient.T):
        assert (gradient[..., kept] != 0).all()
        assert (gradient[..., ~kept] == 0).all()


def test_predictions_drop_nothing(n_threads: int) -> None:
    nets = []
    for rate in (0.0, 0.9):
        layers = [Dense(100, "tanh"), Dropped(rate), Dense(200)]
        nets.append(fastbp.Network(layers, input_shape=20, seed=2, n_threads=n_threads))
    x = np.random.default_rng(0).normal(size=(40, 20))
    np.testing.assert_array_equal(nets[0].predict(x), nets[1].predict(x))


def test_a_backward_pass_belongs_to_the_masks_of_its_forward_pass(n_threads: int) -> None:
    """Another pass may have come in between, with other masks."""
    pair = Pair([Dense(100, "tanh"), Dropped(0.5), Dense(200)], 20, HalfSquaredError(),
                n_threads=n_threads, rows=40)  # fmt: skip
    grad_output = np.random.default_rng(0).normal(size=(40, 200))
    for engine in pair.engines:
        engine.forward(pair.data.x, True, n_threads)
        engine.position = Position(batches=1)
        engine.loss_and_gradients(pair.data, (), False, n_threads)
        engine.position = Position()
    pair.agree("gradient", *pair.both(lambda e: e.backward(grad_output, False, n_threads)))
