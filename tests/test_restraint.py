"""Regularizers and constraints, as users meet them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_check import check_gradients

import fastbp
from fastbp import LBFGS, SGD, Adam, Callback, Dense, constraints, regularizers
from fastbp.constraints import MaxNorm, NonNeg
from fastbp.losses import SquaredError
from fastbp.regularizers import L1, L1L2, L2

ROWS, INPUTS = 24, 5
RNG = np.random.default_rng(8)
X, Y = RNG.normal(size=(ROWS, INPUTS)), RNG.normal(size=(ROWS, 3))
HELD = [
    Dense(6, "tanh", weights_regularizer=L1L2(0.02, 0.03), bias_regularizer="l1"),
    Dense(3, weights_regularizer=0.1),
]
FREE = [Dense(6, "tanh"), Dense(3)]


def make(Network: Any, layers: list[Any], **given: Any) -> Any:
    fields = {"input_shape": INPUTS, "loss": "squared_error", "dtype": "float64", "seed": 3}
    net = Network(layers, **fields | given)
    net.parameters[:] = np.random.default_rng(1).normal(size=net.n_parameters)
    return net


def cost(net: Any) -> float:
    """Return the penalty of HELD."""
    (w, v), b = (net.layers[i].weights for i in (0, 1)), net.layers[0].biases
    sizes = 0.02 * abs(w).sum() + 0.01 * abs(b).sum()
    return float(sizes + 0.03 * (w**2).sum() + 0.1 * (v**2).sum())


def pair(Network: Any, **given: Any) -> tuple[Any, Any]:
    """Return a network with penalties, and one without."""
    return make(Network, HELD, **given), make(Network, FREE, **given)


# -- what users write


@pytest.mark.parametrize(
    ("given", "meant"),
    [("l1", L1(0.01)), ("l2", L2(0.01)), ("l1_l2", L1L2(0.0, 0.0)), (0.5, L2(0.5)), (0, L2(0)),
     (np.float32(0.5), L2(0.5)), (L1(0.3), L1(0.3)), (None, None)],
)  # fmt: skip
def test_regularizers_come_as_names_numbers_and_descriptions(given: Any, meant: Any) -> None:
    layer: Any = Dense(1, weights_regularizer=given, bias_regularizer=given)
    assert (layer.weights_regularizer, layer.bias_regularizer) == (meant, meant)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("max_norm", MaxNorm(2.0, axis=0)), ("non_neg", NonNeg()), (3, MaxNorm(3.0)), (None, None),
     (MaxNorm(0.5), MaxNorm(0.5))],
)  # fmt: skip
def test_constraints_come_as_names_numbers_and_descriptions(given: Any, meant: Any) -> None:
    layer: Any = Dense(1, weights_constraint=given, bias_constraint=given)
    assert (layer.weights_constraint, layer.bias_constraint) == (meant, meant)


# -- penalties


def test_every_loss_has_the_penalty_in_it(Network: Any) -> None:
    held, free = pair(Network, optimizer=SGD(0.0))
    expected = free.evaluate(X, Y)["loss"] + cost(held)
    fit = {"batch_size": ROWS, "shuffle": False, "validation_data": (X, Y), "verbose": 0}
    history = held.fit(X, Y, **fit)
    losses = [
        held.evaluate(X, Y)["loss"],
        held.loss_and_gradients(X, Y)[0],
        held.train_on_batch(X, Y)["loss"],
        *(history["loss"][0], history["val_loss"][0]),
        *held.fit(X, Y, batch_size=7, verbose=0)["loss"],  # each batch has it
    ]
    np.testing.assert_allclose(losses, expected, rtol=1e-14)


def test_the_penalty_counts_once_however_many_rows_are_evaluated(Network: Any) -> None:
    held, free = pair(Network)
    x, y = np.resize(X, (9000, INPUTS)), np.resize(Y, (9000, 3))
    difference = held.evaluate(x, y)["loss"] - free.evaluate(x, y)["loss"]
    np.testing.assert_allclose(difference, cost(held), rtol=1e-12)


@pytest.mark.parametrize("weights", [None, np.linspace(0, 4, ROWS)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_reduction_and_sample_weights_do_not_scale_the_penalty(
    reduction: Any, weights: Any, Network: Any
) -> None:
    held, free = pair(Network, loss=SquaredError(reduction))
    (loss, g), (free_loss, free_g) = (
        net.loss_and_gradients(X, Y, sample_weight=weights) for net in (held, free)
    )
    np.testing.assert_allclose(loss - free_loss, cost(held), rtol=1e-12)
    w, v = held.layers[0].weights, held.layers[1].weights
    b = held.layers[0].biases
    expected = [(0.02 * np.sign(w) + 0.06 * w).ravel(), (0.2 * v).ravel(), 0.01 * np.sign(b)]
    np.testing.assert_allclose(g - free_g, np.concatenate([*expected, np.zeros(3)]), atol=1e-13)


@pytest.mark.parametrize("weights", [None, np.linspace(0.5, 4, ROWS)])
def test_a_joint_mean_divides_the_penalty_too(weights: Any, Network: Any) -> None:
    """Batches of 24 rows in evaluation, and of 7, 7, 7 and 3 in training."""
    fields: dict[str, Any] = {"optimizer": SGD(0.0), "loss_weights": (2.0,)}
    held = make(Network, HELD, loss=SquaredError("joint_mean"), **fields)
    free = make(Network, FREE, **fields)
    own = np.ones(ROWS) if weights is None else weights
    (loss, g), (free_loss, free_g) = (
        net.loss_and_gradients(X, Y, sample_weight=weights) for net in (held, free)
    )
    g, free_g = g.copy(), free_g.copy()
    np.testing.assert_allclose(loss - free_loss, cost(held) / own.sum(), rtol=1e-12)
    summed = make(Network, HELD, loss=SquaredError("sum"), **fields)
    expected = summed.loss_and_gradients(X, Y, sample_weight=weights)[1] / own.sum()
    np.testing.assert_allclose(g, expected, atol=1e-13)
    evaluated = [net.evaluate(X, Y, sample_weight=weights)["loss"] for net in (held, free)]
    np.testing.assert_allclose(evaluated, [loss, free_loss], rtol=1e-13)
    losses = [
        net.fit(X, Y, sample_weight=weights, batch_size=7, shuffle=False, verbose=0)["loss"][0]
        for net in (held, free)
    ]
    parts = [own[at : at + 7] for at in range(0, ROWS, 7)]
    costs = sum(len(part) * cost(held) / part.sum() for part in parts) / ROWS
    np.testing.assert_allclose(losses[0] - losses[1], costs, rtol=1e-12)


def test_a_joint_mean_beside_several_outputs_is_refused_where_parameters_cost(Network: Any) -> None:
    x = fastbp.Input(3)
    held, free = (Dense(1, weights_regularizer=cost)(x) for cost in (0.1, None))
    given: dict[str, Any] = {"loss": SquaredError("joint_mean")}
    with pytest.raises(ValueError, match="loss: expected no joint mean beside several outputs"):
        Network(inputs=x, outputs=(held, free), **given)
    Network(inputs=x, outputs=(free, Dense(1)(x)), **given)


def test_a_joint_mean_explains_itself(Network: Any) -> None:
    net = make(Network, HELD, loss=SquaredError("joint_mean"), optimizer=SGD(0.1))
    loss, gradients = net.loss_and_gradients(X, Y)
    trace = net.explain(X, Y)
    np.testing.assert_allclose(trace.loss, loss, rtol=1e-13)
    first = net.layers[0].weights.size
    np.testing.assert_allclose(trace.layers[0].weights_gradient.ravel(), gradients[:first])


def test_a_joint_mean_of_accumulated_batches_is_that_of_one(Network: Any) -> None:
    nets = [make(Network, HELD, loss=SquaredError("joint_mean"), optimizer=SGD(0.1)) for _ in "ab"]
    options: dict[str, Any] = {"shuffle": False, "verbose": 0, "epochs": 3}
    nets[0].fit(X, Y, batch_size=ROWS, **options)
    nets[1].fit(X, Y, batch_size=8, gradient_accumulation_steps=3, **options)
    np.testing.assert_allclose(nets[1].parameters, nets[0].parameters, rtol=1e-12)


@pytest.mark.parametrize(("inputs", "hidden", "rows"), [(3, 2, 4), (9, 20, 70), (130, 130, 20)])
def test_gradients_with_penalties_agree_with_differences(
    inputs: int, hidden: int, rows: int, Network: Any
) -> None:
    layers = [
        Dense(hidden, "tanh", weights_regularizer=L1L2(1e-3, 1e-2), bias_regularizer=L1(0.1)),
        Dense(3, weights_regularizer="l1", bias_regularizer=0.2),
    ]
    net = make(Network, layers, input_shape=inputs)
    net.parameters[:] /= 10  # many outputs would be large numbers
    x, y = np.resize(X, (rows, inputs)), np.resize(Y, (rows, 3))
    places = np.linspace(0, net.n_parameters - 1, 60).astype(int)
    check_gradients(net, x, y, places=places)


def test_the_gradient_of_a_size_is_0_at_0(Network: Any) -> None:
    for zero in (0.0, -0.0):
        net = make(Network, [Dense(3, weights_regularizer=L1(9))])
        net.parameters[:] = zero
        _, g = net.loss_and_gradients(np.zeros((1, INPUTS)), np.zeros((1, 3)))
        np.testing.assert_array_equal(g, 0)


def test_frozen_parameters_cost_nothing(Network: Any) -> None:
    layers = [
        Dense(6, "tanh", trainable=False, weights_regularizer="l1", bias_regularizer="l2"),
        Dense(3, bias_trainable=False, bias_regularizer=0.1),
    ]
    net, free = make(Network, layers), make(Network, FREE)
    assert net.evaluate(X, Y) == free.evaluate(X, Y)
    net.loss_and_gradients(X, Y)
    assert not net.gradients[: INPUTS * 6].any()


def test_backward_has_no_penalty(Network: Any) -> None:
    held, free = pair(Network)
    for net in (held, free):
        net.backward(np.ones_like(net.forward(X)))
    np.testing.assert_array_equal(held.gradients, free.gradients)


def test_accumulated_gradients_have_the_penalty_once(Network: Any) -> None:
    whole, parts = (make(Network, HELD, optimizer=SGD(0.1)) for _ in range(2))
    fit = {"shuffle": False, "verbose": 0, "epochs": 2}
    losses = whole.fit(X, Y, batch_size=12, **fit)["loss"]
    in_parts = parts.fit(X, Y, batch_size=4, gradient_accumulation_steps=3, **fit)["loss"]
    np.testing.assert_allclose(in_parts, losses, rtol=1e-13)
    np.testing.assert_allclose(parts.parameters, whole.parameters, rtol=1e-12)


@pytest.mark.parametrize("clip", [{"clip_norm": 0.5}, {"clip_value": 0.05}])
@pytest.mark.parametrize("inputs", [INPUTS, 3000], ids=["small", "wide"])
def test_clipping_sees_the_gradient_with_the_penalty(clip: Any, inputs: int, Network: Any) -> None:
    """A loss of nothing but a penalty: all that is left of it is what clipping leaves."""
    layers = [Dense(6, weights_regularizer=L2(0.5)), Dense(3)]
    net = make(Network, layers, input_shape=inputs, optimizer=SGD(1.0, **clip))
    before = net.layers[0].weights.copy()
    for layer in net.layers:
        layer.biases[:] = 0
    net.fit(np.zeros((2, inputs)), np.zeros((2, 3)), verbose=0)
    shrinkage = 0.5 / np.linalg.norm(before)
    step = np.clip(before, -0.05, 0.05) if "clip_value" in clip else shrinkage * before
    np.testing.assert_allclose(net.layers[0].weights, before - step, atol=1e-14)


def test_a_fit_is_steps_from_the_gradients_of_the_penalised_loss(Network: Any) -> None:
    """Where the update follows a gradient that nobody sees, and where all are there first."""
    for layers, inputs in ((HELD, INPUTS), ([Dense(130, "relu", weights_regularizer="l1"),
                                             Dense(3, weights_regularizer=0.1)], 130)):  # fmt: skip
        fitted, stepped = (
            make(Network, layers, input_shape=inputs, optimizer=Adam(0.01)) for _ in range(2)
        )
        x = np.resize(X, (ROWS, inputs))
        fitted.fit(x, Y, epochs=3, batch_size=ROWS, shuffle=False, verbose=0)
        for _ in range(3):
            stepped.train_on_batch(x, Y)
        assert fitted.parameters.tobytes() == stepped.parameters.tobytes()


def test_l1_leaves_irrelevant_inputs_weights_of_about_0(Network: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 10))
    y = x[:, :2] @ [1.0, -2.0]
    weights = {}
    y += 0.5 * rng.normal(size=200)
    for regularizer in (L1(0.3), None):
        net = Network(
            [Dense(1, weights_regularizer=regularizer)], input_shape=10, loss="squared_error",
            optimizer=SGD(0.01), seed=1, dtype="float64",
        )  # fmt: skip
        net.fit(x, y, epochs=400, batch_size=200, verbose=0)
        weights[regularizer] = abs(net.layers[0].weights[:, 0])
    # A step of the penalty is 0.003: some such far a weight swings about 0.
    assert weights[L1(0.3)][2:].max() < 0.006 < 0.03 < weights[None][2:].max()
    assert weights[L1(0.3)][:2].min() > 0.7


def test_lbfgs_finds_the_ridge_solution(Network: Any) -> None:
    net = make(
        Network, [Dense(3, use_bias=False, weights_regularizer=0.3)], optimizer=LBFGS()
    )  # fmt: skip
    net.fit(X, Y, epochs=30, verbose=0)
    ridge = np.linalg.solve(X.T @ X / ROWS + 0.3 * np.eye(INPUTS), X.T @ Y / ROWS)
    np.testing.assert_allclose(net.layers[0].weights, ridge, atol=1e-6)


# -- constraints


class Norms(Callback):
    """The largest norm of a layer's units after each batch, and the least parameter."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        w = self.network.layers[0].weights.astype(float)
        norms = np.linalg.norm(w, axis=0)
        self.seen.append((float(norms.max()), float(w.min())))


def follow(
    Network: Any, constraint: Any, units: int, inputs: int, **given: Any
) -> list[tuple[float, float]]:
    """Return what `Norms` sees of a fit."""
    layers = [Dense(units, "tanh", weights_constraint=constraint), Dense(3)]
    net = make(Network, layers, input_shape=inputs, optimizer=Adam(0.05), **given)
    net.layers[0].weights[:] *= 3
    norms = Norms()
    x, y = np.resize(X, (150, inputs)), np.resize(Y, (150, 3))
    net.fit(x, y, epochs=2, batch_size=40, verbose=0, callbacks=[norms])
    return norms.seen


SIZES = [(1, 1), (33, 17), (130, 130)]


@pytest.mark.parametrize(("units", "inputs"), SIZES)
def test_no_units_weights_exceed_a_maximum_norm_after_any_batch(
    units: int, inputs: int, Network: Any, dtype: str, n_threads: int
) -> None:
    seen = follow(Network, 0.7, units, inputs, dtype=dtype, n_threads=n_threads)
    assert len(seen) == 8
    # Factor and product are rounded once each; in float64, so are the terms of the norm here.
    assert max(norm for norm, _ in seen) <= 0.7 * (1 + 8 * np.finfo(dtype).eps)
    free = follow(Network, None, units, inputs, dtype=dtype)
    assert max(norm for norm, _ in free) > 0.7


@pytest.mark.parametrize(("units", "inputs"), SIZES)
def test_no_weight_is_negative_after_any_batch(
    units: int, inputs: int, Network: Any, dtype: str, n_threads: int
) -> None:
    seen = follow(Network, "non_neg", units, inputs, dtype=dtype, n_threads=n_threads)
    assert min(least for _, least in seen) >= 0
    free = follow(Network, None, units, inputs, dtype=dtype)
    assert units == 1 or min(least for _, least in free) < 0


def test_a_maximum_norm_leaves_what_is_within_it(Network: Any) -> None:
    net = make(Network, [Dense(3, weights_constraint=1.5)], optimizer=SGD(0.0))
    net.layers[0].weights[:, 0] = 0.1
    net.layers[0].weights[:, 1:] *= 10
    before = net.layers[0].weights.copy()
    net.step()
    after = net.layers[0].weights
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    norms = np.linalg.norm(before[:, 1:], axis=0)
    np.testing.assert_allclose(after[:, 1:], before[:, 1:] * 1.5 / norms, rtol=1e-15)


def test_the_axis_says_whose_norm_it_is(Network: Any) -> None:
    net = make(
        Network, [Dense(4, weights_constraint=MaxNorm(0.1, axis=1), bias_constraint=0.05)],
        optimizer=SGD(0.1), input_shape=INPUTS,
    )  # fmt: skip
    net.fit(X, np.resize(Y, (ROWS, 4)), verbose=0)
    layer = net.layers[0]
    np.testing.assert_allclose(np.linalg.norm(layer.weights, axis=1), 0.1, rtol=1e-15)
    assert np.linalg.norm(layer.weights, axis=0).max() > 0.1
    np.testing.assert_allclose(np.linalg.norm(layer.biases), 0.05, rtol=1e-15)


@pytest.mark.parametrize("update", ["fit", "train_on_batch", "step", "accumulated"])
def test_every_update_projects_and_nothing_else_does(update: str, Network: Any) -> None:
    net = make(Network, [Dense(3, weights_constraint=0.1)], optimizer=SGD(1e-3))
    before = net.parameters.copy()
    net.loss_and_gradients(X, Y)
    net.evaluate(X, Y)
    net.predict(X)
    np.testing.assert_array_equal(net.parameters, before)  # initial values may break a constraint
    {
        "fit": lambda: net.fit(X, Y, verbose=0),
        "train_on_batch": lambda: net.train_on_batch(X, Y),
        "step": net.step,
        "accumulated": lambda: net.fit(
            X, Y, batch_size=5, gradient_accumulation_steps=2, verbose=0
        ),
    }[update]()
    assert np.linalg.norm(net.layers[0].weights, axis=0).max() <= 0.1 * (1 + 1e-15)


def test_frozen_parameters_are_not_projected(Network: Any) -> None:
    layers = [Dense(3, trainable=False, weights_constraint="non_neg", bias_constraint=1e-3)]
    net = make(Network, layers)
    before = net.parameters.copy()
    net.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(net.parameters, before)


def test_a_constraint_does_not_hide_a_parameter_that_is_no_number(Network: Any) -> None:
    for constraint in ("non_neg", 0.5):
        net = make(Network, [Dense(3, weights_constraint=constraint)])
        net.gradients[4] = np.nan
        net.step()
        assert np.isnan(net.parameters[4])


def test_lbfgs_is_refused_where_parameters_are_constrained(Network: Any) -> None:
    layers = [Dense(3, bias_constraint="non_neg")]
    with pytest.raises(ValueError, match=r"^optimizer: .*dense\.biases"):
        make(Network, layers, optimizer=LBFGS())
    net = make(Network, layers)
    with pytest.raises(ValueError, match=r"^optimizer: "):
        net.optimizer = "lbfgs"
    assert isinstance(net.optimizer, Adam)
    later = Network(layers, loss="squared_error", optimizer="lbfgs")
    with pytest.raises(ValueError, match=r"^optimizer: "):
        later.fit(X, Y, verbose=0)
    make(Network, [Dense(3, trainable=False, bias_constraint="non_neg")], optimizer=LBFGS())


def test_copies_go_on_with_the_same_restraints(Network: Any) -> None:
    layers = [Dense(3, weights_regularizer="l2", weights_constraint=0.5)]
    net = make(Network, layers)
    again = net.copy()
    for each in (net, again):
        each.fit(X, Y, verbose=0)
    assert net.parameters.tobytes() == again.parameters.tobytes()


def test_the_registries_name_every_kind() -> None:
    assert [*regularizers.REGULARIZERS] == ["l1", "l2", "l1_l2"]
    assert [*constraints.CONSTRAINTS] == ["max_norm", "non_neg"]


def test_a_penalty_counts_once_in_an_evaluation_of_chunks(Network: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 2))

    def chunks() -> Any:
        return ((x[i : i + 10], y[i : i + 10]) for i in (0, 10, 20))

    net = Network(
        [Dense(2, weights_regularizer=L2(0.5))], input_shape=4, loss="squared_error",
        dtype="float64", seed=1, optimizer=SGD(0.01),
    )  # fmt: skip
    history = net.fit(x, y, validation_data=chunks, verbose=0)
    whole = net.evaluate(x, y)["loss"]
    assert net.evaluate(chunks())["loss"] == pytest.approx(whole, rel=1e-12)
    assert history["val_loss"] == [pytest.approx(whole, rel=1e-12)]
