"""Promise 2: the compiled engine and the reference give the same answers.

max|a - b| / max|b| of every tensor is at most 1e-12 in float64 and 1e-5 in float32, for outputs,
losses, gradients and one update from identical gradients; engine_pair.py compares.
test_training.py has the hundred steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_pair import Pair
from loss_cases import PROBABILITIES, pairs
from update_rules import RULES

from fastbp.activations import ACTIVATIONS, ELU, LeakyReLU
from fastbp.constraints import MaxNorm
from fastbp.engine import Position, Rows
from fastbp.layers import Activation, Dense, Dropout, Flatten, Layer, Rescale
from fastbp.losses import (
    LOSSES,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CrossEntropy,
    HalfSquaredError,
    Hinge,
    Huber,
    KLDivergence,
    Loss,
    MeanSquaredError,
    Poisson,
    Quantile,
    SparseCategoricalCrossentropy,
    SquaredError,
)
from fastbp.optimizers import SGD, NAdam, Optimizer
from fastbp.reference import engine as reference_engine
from fastbp.reference import optimizers as rules
from fastbp.reference import propagation, restraint
from fastbp.regularizers import L1, L1L2

pytestmark = pytest.mark.usefixtures("core")

CONSTANTS = {"leaky_relu, slope 0.01": LeakyReLU(0.01), "elu, alpha 0.3": ELU(0.3)}
SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33]  # about register tiles and row lanes
TERMS = [255, 256, 257]  # about the longest chain of multiply-adds
ROWS = [1, 3, 4, 5, 63, 64, 65, 128, 129, 255, 257, 600]  # about tiles, slots and chains


def thorough(*values: int) -> list[Any]:
    return [pytest.param(value, marks=pytest.mark.thorough) for value in values]


def stack(activation: Any, as_layer: bool) -> list[Layer]:
    """Two layers with an activation each, in a Dense or behind it."""
    if as_layer:
        return [Dense(6), Activation(activation), Dense(4), Activation(activation)]
    return [Dense(6, activation), Dense(4, activation)]


@pytest.mark.parametrize("as_layer", [False, True], ids=["dense", "activation"])
@pytest.mark.parametrize("activation", [*ACTIVATIONS, *CONSTANTS])
def test_activations_agree(activation: str, as_layer: bool, dtype: str, n_threads: int) -> None:
    layers = stack(CONSTANTS.get(activation, activation), as_layer)
    Pair(layers, 5, MeanSquaredError(), dtype=dtype, n_threads=n_threads).check()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_agree_up_to_1e4(activation: str, dtype: str) -> None:
    sizes = [0, 1e-30, 1e-8, 1e-3, 0.3, 0.7, 2, 6, 13, 40, 90, 300, 710, 1e4]
    z = np.array([[sign * size, 1.0] for size in sizes for sign in (1, -1)], dtype)
    pair = Pair([Activation(activation)], 2, dtype=dtype)
    outputs = pair.both(lambda e: e.forward(z, False, None))
    grad_output = np.array([[2, 0]] * len(z), dtype)
    slopes = pair.both(lambda e: e.backward(grad_output, False, None))
    for compiled, reference in (outputs, slopes):
        # Of the slope 1 - a^2, next to a = 1, only digits of the 1 remain.
        np.testing.assert_allclose(compiled, reference, rtol=pair.limit, atol=pair.limit)


def check_loss(activation: str, loss: Any, weighted: bool, dtype: str, n_threads: int) -> None:
    layers = [Dense(6, "tanh"), Dense(4, activation)]
    given = {"rows": 7, "weighted": weighted, "dtype": dtype, "n_threads": n_threads}
    both = Pair(layers, 5, loss, **given)
    both.check_evaluation()
    both.check_batch()


@pytest.mark.parametrize(("activation", "kind", "options"), pairs())
def test_losses_after_every_activation_agree(
    activation: str, kind: Any, options: Any, dtype: str
) -> None:
    check_loss(activation, kind(**options), False, dtype, 1)


# Each of the three with each of the others; all with all of them in the thorough test below.
@pytest.mark.parametrize(
    ("reduction", "weighted", "n_threads"),
    [
        ("mean", False, 1),
        ("mean", True, 2),
        ("mean", False, 3),
        ("sum", True, 1),
        ("sum", False, 2),
        ("sum", True, 3),
    ],
)
@pytest.mark.parametrize(
    ("activation", "kind", "options"),
    [pair for pair in pairs() if pair.values[0] in ("identity", "softplus", *PROBABILITIES)],
)
def test_losses_agree_for_reductions_and_sample_weights(
    activation: str,
    kind: Any,
    options: Any,
    reduction: str,
    weighted: bool,
    dtype: str,
    n_threads: int,
) -> None:
    check_loss(activation, kind(reduction, **options), weighted, dtype, n_threads)


@pytest.mark.thorough
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("activation", "kind", "options"), pairs())
def test_losses_agree_in_all_combinations(
    activation: str, kind: Any, options: Any, reduction: str, weighted: bool,
    dtype: str, n_threads: int,
) -> None:  # fmt: skip
    check_loss(activation, kind(reduction, **options), weighted, dtype, n_threads)


def test_huber_agrees_on_both_sides_of_its_delta(dtype: str) -> None:
    pair = Pair([Dense(3)], 4, Huber(delta=0.3), rows=20, dtype=dtype)
    compiled, _ = pair.both(lambda e: e.forward(pair.data.x, False, None))
    sizes = np.abs(compiled - pair.data.y)
    assert sizes.min() < 0.3 < sizes.max()
    pair.check()


SMOOTHED = [kind for kind in LOSSES.values() if issubclass(kind, CrossEntropy)]


@pytest.mark.parametrize("outputs", [1, 3, 8, 17, 33])
@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("kind", SMOOTHED)
def test_smoothed_labels_agree(
    kind: Any, from_logits: bool, outputs: int, dtype: str, n_threads: int
) -> None:
    loss = kind(from_logits=from_logits, label_smoothing=0.3)
    last = Dense(outputs, None if from_logits else kind.probability)
    both = Pair([Dense(6, "tanh"), last], 5, loss, weighted=True, dtype=dtype, n_threads=n_threads)
    # With one class the loss is 0 but for rounding.
    both.scale = 1.0 if outputs == 1 else 0.0
    both.check()


@pytest.mark.parametrize("outputs", [1, 3, 8, 17, 33])
@pytest.mark.parametrize(
    ("last", "loss"),
    [
        ("softmax", KLDivergence()),
        ("softplus", Poisson()),
        ("identity", Poisson(log_input=True)),
        ("identity", Hinge()),
        ("identity", Quantile(quantile=0.9)),
    ],
)
def test_losses_of_all_sizes_agree(last: str, loss: Loss, outputs: int, dtype: str) -> None:
    both = Pair([Dense(6, "tanh"), Dense(outputs, last)], 5, loss, rows=20, dtype=dtype)
    both.scale = 1.0 if outputs == 1 else 0.0
    both.check()


def test_hinge_losses_agree_for_both_numbers_that_say_no(dtype: str) -> None:
    values = []
    for no in (-1, 0):
        pair = Pair([Dense(3)], 4, Hinge(), rows=20, dtype=dtype)
        pair.data = pair.data._replace(y=np.where(pair.data.y > 0, 1, no).astype(np.int8))
        pair.check()
        values.append(pair.engines[0].evaluate(pair.data, pair.metrics, 1))
    assert values[0] == values[1]


@pytest.mark.parametrize("loss", [Poisson(), KLDivergence()])
def test_targets_and_rates_of_0_agree(loss: Loss, dtype: str) -> None:
    """0 log 0 is 0, and a rate of 0 is taken for one of 1e-7."""
    last = "relu" if isinstance(loss, Poisson) else "softmax"
    pair = Pair([Dense(3, last)], 3, loss, rows=3, dtype=dtype)
    pair.data = Rows(pair.data.x, np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], dtype))
    for engine in pair.engines:
        engine.parameters[:] = 0
    pair.check()


@pytest.mark.parametrize(
    "loss", [BinaryCrossentropy(), CategoricalCrossentropy(), SparseCategoricalCrossentropy()]
)
def test_cross_entropies_agree_up_to_1e4(loss: Any, dtype: str) -> None:
    z = np.array([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [-1e4, -1e4], [90, -20], [0, 0]], dtype)
    y = np.array([0, 0, 1, 0, 0, 1], np.int32)
    if not loss.labels:
        y = np.eye(2, dtype=dtype)[y]
    pair = Pair([Dense(2, loss.probability, use_bias=False)], 2, loss, dtype=dtype)
    for engine in pair.engines:
        engine.parameters[:] = np.eye(2).ravel()
    for row in range(len(z)):
        pair.data = Rows(z[row : row + 1], y[row : row + 1])
        pair.check()


@pytest.mark.parametrize("units", SIZES)
@pytest.mark.parametrize("rule", RULES)
def test_updates_from_identical_gradients_agree(rule: str, units: int, dtype: str) -> None:
    pair = Pair([Dense(units), Dense(3, bias_trainable=False)], 3, optimizer=RULES[rule],
                     dtype=dtype)  # fmt: skip
    pair.check_update(steps=4)


@pytest.mark.parametrize("steps", [0, 50, 60, 10**6])
@pytest.mark.parametrize("momentum_decay", [0, 1e-6, 0.004, 0.9, 30, 1e6])
def test_momenta_of_nadam_agree_at_any_step(momentum_decay: float, steps: int) -> None:
    """Where powers of 0.96 are near 1 and where they vanish, and so for the product of momenta."""
    for beta_1 in (0.5, 0.9, 0.999):
        optimizer = NAdam(0.01, beta_1, momentum_decay=momentum_decay)
        pair = Pair([Dense(3)], 2, optimizer=optimizer)
        for engine in pair.engines:
            engine.position = Position(steps=steps)
        pair.check_update(steps=2)


STACKS: dict[str, list[Layer]] = {
    "dropout": [Dense(6, "tanh"), Dropout(0.4), Dense(4, "sigmoid")],
    "dropout of the input": [Dropout(0.3), Dense(4, "tanh")],
    "dropout of the output": [Dense(4, "tanh"), Dropout(0.3)],
    "dropout of nothing": [Dropout(0), Dense(4, "tanh")],
    "rescale": [Rescale(0.5), Dense(6, "tanh"), Rescale(-1.5), Dense(4)],
    "flatten": [Flatten(), Dense(4, "silu"), Flatten()],
    "softmax in between": [Dense(6, "softmax"), Dense(4, "tanh")],
    "softmax layer": [Dense(6), Activation("softmax"), Dense(4), Activation("gelu")],
    "no biases": [Dense(6, "softplus", use_bias=False), Dense(4, use_bias=False)],
    "frozen first layer": [Dense(6, "tanh", trainable=False), Dense(4, "tanh")],
    "frozen middle layer": [Dense(6, "tanh"), Dense(5, "elu", trainable=False), Dense(4)],
    "frozen biases": [Dense(6, "tanh", bias_trainable=False), Dense(4, bias_trainable=False)],
    "frozen last layer": [Dense(20, "gelu"), Dense(20, "relu"), Dense(4, trainable=False)],
    "all frozen": [Dense(4, trainable=False)],
    "no parameters": [Rescale(2), Activation("tanh"), Dropout(0.5), Activation("gelu")],
    "no layers": [],
    "penalties": [
        Dense(6, "tanh", weights_regularizer=L1L2(0.03, 0.02), bias_regularizer=0.1),
        Dense(5, "tanh", trainable=False, weights_regularizer=9, bias_regularizer=9),
        Dense(4, weights_regularizer="l1", bias_trainable=False, bias_regularizer=9),
    ],
    "constraints": [
        Dense(17, "tanh", weights_constraint=1.0, bias_constraint=0.9),
        Dense(6, weights_constraint=MaxNorm(0.8, axis=1), bias_constraint="non_neg"),
        Dense(33, weights_constraint="non_neg"),
        Dense(4, trainable=False, weights_constraint=1e-3, bias_constraint="non_neg"),
    ],
    "deep": [Dense(n, "tanh") for n in (9, 17, 5, 33, 2, 8, 3)],
}


@pytest.mark.parametrize("rows", [5, 70])
@pytest.mark.parametrize("name", STACKS)
def test_stacks_agree(name: str, rows: int, dtype: str, n_threads: int) -> None:
    given = {"rows": rows, "dtype": dtype, "n_threads": n_threads}
    pair = Pair(STACKS[name], 5, HalfSquaredError(), **given)
    pair.check()
    pair.check_passes(training=False)
    pair.check_update()


@pytest.mark.parametrize("kind", ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32",
                                  "int64", "uint64", "float32", "float64"])  # fmt: skip
def test_rows_of_any_real_type_agree(kind: str, dtype: str, n_threads: int) -> None:
    """Pixels go in as they are; so do rows that lie apart, targets too."""
    layers = [Rescale(1 / 255), Dense(4, "tanh"), Dense(2)]
    pair = Pair(layers, 6, MeanSquaredError(), dtype=dtype, n_threads=n_threads)
    given = np.random.default_rng(0).integers(0, 256, (20, 8)).astype(kind)
    pair.data = Rows(given[::2, :6], given[1::2, 3:5])
    pair.check()


def tiles() -> list[tuple[int, int, int]]:
    """(rows, inputs, outputs): each size in each place, among odd ones."""
    sizes = SIZES + TERMS
    found = [(5, n, 9) for n in sizes] + [(6, 9, n) for n in sizes]
    found += [(n, inputs, outputs) for n in ROWS for inputs, outputs in ((17, 9), (7, 5), (20, 3))]
    return found


def check_layer(rows: int, inputs: int, outputs: int, **given: Any) -> None:
    # The layer behind brings a delta that is not the loss's.
    layers = [Dense(outputs, "tanh"), Dense(2)]
    Pair(layers, inputs, SquaredError(), rows=rows, **given).check()


@pytest.mark.parametrize(("rows", "inputs", "outputs"), tiles())
def test_layers_of_all_sizes_agree(rows: int, inputs: int, outputs: int, dtype: str) -> None:
    for n_threads in (1, 2, 3):
        check_layer(rows, inputs, outputs, dtype=dtype, n_threads=n_threads)


@pytest.mark.thorough
@pytest.mark.parametrize("inputs", SIZES + TERMS)
@pytest.mark.parametrize("rows", [1, 2, 4, 5, 31, 64, 65, 129, 257])
def test_layers_agree_in_all_combinations_of_sizes(
    rows: int, inputs: int, dtype: str, n_threads: int
) -> None:
    # Among so many, some tensors are small differences of numbers of size 1, with their error.
    given = {"dtype": dtype, "n_threads": n_threads, "scale": 1.0 if dtype == "float32" else 0.0}
    for outputs in SIZES + TERMS:
        check_layer(rows, inputs, outputs, **given)


WIDE: dict[str, tuple[int, list[Layer]]] = {
    "wide": (130, [Dense(130, "tanh")]),
    "wide and narrow": (3, [Dense(130), Dense(130, "tanh"), Dense(3), Dense(5, "elu"), Dense(2)]),
    "narrow first": (5, [Dense(3, "tanh"), Dense(7), Dense(129), Dense(128, "relu"), Dense(2)]),
    "two wide": (257, [Dense(65, "silu"), Dense(257), Dense(9)]),
    "frozen wide": (4, [Dense(130), Dense(130, "tanh", trainable=False), Dense(3)]),
    "frozen parts": (
        130,
        [Dense(130, bias_trainable=False), Dense(5, trainable=False), Dense(5), Dense(6)],
    ),
    "no biases": (130, [Dense(130, "tanh", use_bias=False), Dense(2, use_bias=False)]),
    "dropout": (130, [Dropout(0.2), Dense(130, "relu"), Dropout(0.5), Dense(3, "softmax")]),
    "just not wide": (128, [Dense(128, "tanh"), Dense(2)]),
    "penalties": (
        130,
        [Dense(130, "tanh", weights_regularizer=0.01, bias_regularizer=L1(0.1)),
         Dense(3, weights_regularizer=L1L2(0.01, 0.2), bias_regularizer="l2")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("rows", [5, 65, 257, *thorough(1, 4, 64, 128, 129, 256, 600)])
@pytest.mark.parametrize("name", WIDE)
def test_wide_layers_agree(name: str, rows: int, dtype: str, n_threads: int) -> None:
    inputs, layers = WIDE[name]
    given = {"rows": rows, "dtype": dtype, "n_threads": n_threads}
    Pair(layers, inputs, HalfSquaredError(), **given).check()


RESTRAINED: dict[str, list[Layer]] = {
    "max_norm": [Dense(130, "relu", weights_constraint=1.0, bias_constraint=0.5), Dense(3)],
    "max_norm of inputs": [Dense(130, "relu", weights_constraint=MaxNorm(1.0, axis=1)), Dense(3)],
    "non_neg": [Dense(130, weights_constraint="non_neg", bias_constraint="non_neg"), Dense(3)],
    "max_norm of many inputs": [Dense(2, weights_constraint=1.0)],
    "max_norm of many units": [Dense(4099, weights_constraint=MaxNorm(2, axis=1))],
}


@pytest.mark.parametrize("name", RESTRAINED)
def test_constrained_layers_agree(name: str, dtype: str, n_threads: int) -> None:
    """Through the updates of a fit; norms of more than 4,096 elements too."""
    inputs = {"max_norm of many inputs": 4099, "max_norm of many units": 3}.get(name, 131)
    pair = Pair(RESTRAINED[name], inputs, MeanSquaredError(), SGD(0.05), dtype=dtype,
                rows=20, n_threads=n_threads)  # fmt: skip
    before = pair.engines[0].parameters.copy()
    pair.fit(epochs=1, batch_size=10)
    pair.agree_by_tensor("parameter", lambda e: e.parameters, 10 * pair.limit)
    free = Pair([Dense(layer.units, layer.activation) for layer in RESTRAINED[name]], inputs,
                MeanSquaredError(), SGD(0.05), dtype=dtype, rows=20)  # fmt: skip
    free.engines[0].parameters[:] = before
    free.fit(epochs=1, batch_size=10)
    assert (free.engines[0].parameters != pair.engines[0].parameters).any()


@pytest.mark.parametrize("planted", ["penalty", "add_penalty_gradient", "max_norm", "non_neg"])
def test_an_error_of_one_in_a_billion_in_a_restraint_is_found(
    planted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [
        Dense(6, weights_regularizer="l1", bias_regularizer="l2", weights_constraint=0.5),
        Dense(3, weights_regularizer=0.1, weights_constraint="non_neg"),
    ]
    pair = Pair(layers, 3, SquaredError())

    def check() -> None:
        pair.check_batch()
        pair.check_update()

    def wrong(*given: Any) -> Any:
        if planted == "add_penalty_gradient":
            return right(given[0], given[1] * (1 + 1e-9), *given[2:])
        return right(*given) * (1 + 1e-9)

    check()
    if planted in restraint.CONSTRAINTS:
        right: Any = restraint.CONSTRAINTS[planted]
        monkeypatch.setitem(restraint.CONSTRAINTS, planted, wrong)
    else:
        right = getattr(restraint, planted)
        monkeypatch.setattr(reference_engine, planted, wrong)
    with pytest.raises(AssertionError):
        check()


@pytest.mark.parametrize("layers", [[Dense(3, "tanh"), Dense(2)], [Dense(20, "tanh"), Dense(17)]])
@pytest.mark.parametrize("rows", [2049, 9000, *thorough(2048, 4097)])
def test_batches_of_many_rows_agree(layers: list[Layer], rows: int, dtype: str) -> None:
    """From 2,048 rows on slots grow, from 8,192 on each has more than one chain."""
    Pair(layers, 5, MeanSquaredError(), rows=rows, dtype=dtype, n_threads=2).check()


@pytest.mark.parametrize("planted", ["net_input", "input_delta", "weights_gradient",
                                     "biases_gradient"])  # fmt: skip
def test_an_error_of_one_in_a_billion_between_the_engines_is_found(
    planted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair([Dense(4, "tanh"), Dense(3, "tanh")], 3, SquaredError())
    pair.check()
    right = getattr(propagation, planted)
    monkeypatch.setattr(propagation, planted, lambda *given: right(*given) * (1 + 1e-9))
    with pytest.raises(AssertionError):
        pair.check()


@pytest.mark.parametrize("rule", RULES)
def test_an_error_of_one_in_a_billion_in_an_update_is_found(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizer: Optimizer = RULES[rule]
    right = rules.OPTIMIZERS[optimizer.name]

    def wrong(o: Any, p: Any, g: Any, state: Any, t: int) -> Any:
        after, state = right(o, p, g, state, t)
        return p + (1 + 1e-9) * (after - p), state

    monkeypatch.setitem(rules.OPTIMIZERS, optimizer.name, wrong)
    with pytest.raises(AssertionError):
        Pair([Dense(3)], 2, optimizer=optimizer).check_update(steps=4)
