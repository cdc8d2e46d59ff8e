"""Gradients of the reference engine against central differences, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from loss_cases import last_activation, pairs

from fastbp.activations import ACTIVATIONS
from fastbp.engine import Array, Rows
from fastbp.layers import Activation, Dense, Dropout, Flatten, Layer, Rescale
from fastbp.losses import LOSSES, CrossEntropy, Huber, Loss, Poisson
from fastbp.reference import Engine, propagation
from fastbp.regularizers import L1L2

STEP = 1e-5
# A central difference is wrong by STEP^2 |L'''| / 6 and by the rounding of L, eps |L| / STEP: with
# |L| and |L'''| up to about 10, each is below 1e-9.
TOLERANCE = 1e-8


def central_differences(function: Callable[[], float], at: Array) -> Array:
    """Return the gradient of `function` with respect to the flat array `at`, moved in place."""
    gradient = np.empty_like(at)
    for i, value in enumerate(at.tolist()):
        at[i] = value + STEP
        above = function()
        at[i] = value - STEP
        gradient[i] = (above - function()) / (2 * STEP)
        at[i] = value
    return gradient


def check_parameters(engine: Engine, data: Rows) -> None:
    """Assert that the gradients of the trainable parameters are right, and all others 0."""
    differences = central_differences(
        lambda: engine.loss_and_gradients(data, (), False, None)["loss"], engine.parameters
    )
    for parameter in engine.plan.parameters:
        if not parameter.trainable:
            differences[parameter.start : parameter.stop] = 0
    engine.loss_and_gradients(data, (), False, None)
    scale = np.abs(differences).max(initial=1)
    np.testing.assert_allclose(engine.gradients, differences, rtol=0, atol=TOLERANCE * scale)


def check_inputs(engine: Engine, x: Array, training: bool = False) -> None:
    """Assert that backward gives the gradient of sum(g y) with respect to inputs and parameters."""
    weights = np.random.default_rng(2).normal(size=(len(x), engine.plan.tensors[-1]))
    weights = weights[:, : engine.plan.tensors[engine.plan.output]].copy()

    def function() -> float:
        return float((weights * engine.forward(x, training, None)).sum())

    with_x = central_differences(function, x.reshape(-1)).reshape(x.shape)
    with_parameters = central_differences(function, engine.parameters)
    function()
    dx = engine.backward(weights, False, None)
    np.testing.assert_allclose(dx, with_x, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(engine.gradients, with_parameters, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("activation", "kind", "options"), pairs())
def test_gradients_agree_with_differences(
    activation: str, kind: type[Loss], options: Any, make_engine: Any, make_rows: Any
) -> None:
    engine = make_engine([Dense(3, activation), Dense(3, activation)], 4, kind(**options))
    if kind is Poisson:
        engine.parameters[-3:] += 2  # near a rate of 0 the logarithm bends too much for differences
    check_parameters(engine, make_rows(engine, 5))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_gradients_agree_with_differences_under_sample_weights(
    loss: type[Loss], reduction: Any, make_engine: Any, make_rows: Any
) -> None:
    engine = make_engine([Dense(3, "tanh"), Dense(2, last_activation(loss))], 3, loss(reduction))
    check_parameters(engine, make_rows(engine, 6, weighted=True))


SMOOTHED = [kind for kind in LOSSES.values() if issubclass(kind, CrossEntropy)]


@pytest.mark.parametrize("kind", SMOOTHED)
def test_gradients_agree_with_differences_under_label_smoothing(
    kind: type[CrossEntropy], make_engine: Any, make_rows: Any
) -> None:
    layers = [Dense(3, "tanh"), Dense(3, kind.probability)]
    engine = make_engine(layers, 3, kind(label_smoothing=0.3))
    check_parameters(engine, make_rows(engine, 6, weighted=True))


def test_gradients_agree_with_differences_on_both_sides_of_hubers_delta(
    make_engine: Any, make_rows: Any
) -> None:
    engine = make_engine([Dense(3)], 3, Huber(delta=0.3))
    data = make_rows(engine, 8)
    sizes = np.abs(engine.forward(data.x, False, None) - data.y)
    assert sizes.min() < 0.3 < sizes.max()
    check_parameters(engine, data)


STACKS: dict[str, list[Layer]] = {
    "dropout": [Dense(6, "tanh"), Dropout(0.4), Dense(3, "sigmoid")],
    "dropout of the input": [Dropout(0.3), Dense(3, "tanh")],
    "dropout of the output": [Dense(4, "tanh"), Dropout(0.3)],
    "structured dropout": [Dense(9, "tanh"), Dropout(0.4, structured=True), Dense(3, "sigmoid")],
    "rescale": [Rescale(0.5), Dense(4, "tanh"), Rescale(-1.5), Dense(2)],
    "flatten": [Flatten(), Dense(2, "silu"), Flatten()],
    "softmax in between": [Dense(4, "softmax"), Dense(3, "tanh")],
    "softmax layer": [Dense(4), Activation("softmax"), Dense(2), Activation("gelu")],
    "no biases": [Dense(4, "softplus", use_bias=False), Dense(2, use_bias=False)],
    "frozen first layer": [Dense(4, "tanh", trainable=False), Dense(2, "tanh")],
    "frozen middle layer": [Dense(4, "tanh"), Dense(3, "elu", trainable=False), Dense(2)],
    "frozen biases": [Dense(4, "tanh", bias_trainable=False), Dense(2, bias_trainable=False)],
    "all frozen": [Dense(2, trainable=False)],
    "penalties": [
        Dense(4, "tanh", weights_regularizer=L1L2(0.03, 0.2), bias_regularizer=0.1),
        Dense(3, "tanh", trainable=False, weights_regularizer=9),
        Dense(2, weights_regularizer="l1", bias_regularizer="l2"),
    ],
    "no parameters": [Rescale(2), Activation("tanh")],
    "no layers": [],
}


@pytest.mark.parametrize("name", STACKS)
def test_gradients_of_stacks_agree_with_differences(
    name: str, make_engine: Any, make_rows: Any
) -> None:
    engine = make_engine(STACKS[name], 3, LOSSES["half_squared_error"]())
    check_parameters(engine, make_rows(engine, 5))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_input_gradients_agree_with_differences(
    activation: str, make_engine: Any, make_rows: Any
) -> None:
    engine = make_engine([Dense(4, activation), Activation(activation), Dense(2)], 3)
    check_inputs(engine, make_rows(engine, 4).x)


@pytest.mark.parametrize("training", [False, True])
def test_input_gradients_agree_with_differences_through_dropout(
    training: bool, make_engine: Any, make_rows: Any
) -> None:
    layers = [Rescale(0.7), Dropout(0.4), Dense(4, "tanh"), Dropout(0.4)]
    engine = make_engine(layers, 3)
    check_inputs(engine, make_rows(engine, 4).x, training)


@pytest.mark.parametrize(
    "planted", ["net_input", "input_delta", "weights_gradient", "biases_gradient"]
)
def test_differences_find_an_error_of_one_in_a_million(
    planted: str, make_engine: Any, make_rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine([Dense(4, "tanh"), Dense(3, "tanh")], 3, LOSSES["squared_error"]())
    data = make_rows(engine, 5)
    check_parameters(engine, data)
    right = getattr(propagation, planted)
    monkeypatch.setattr(propagation, planted, lambda *given: right(*given) * (1 + 1e-6))
    with pytest.raises(AssertionError):
        check_parameters(engine, data)


def test_gradients_are_overwritten_or_added_to(make_engine: Any, make_rows: Any) -> None:
    engine = make_engine([Dense(3, "tanh")], 4, LOSSES["squared_error"]())
    data = make_rows(engine, 5)
    live = engine.gradients
    engine.loss_and_gradients(data, (), False, None)
    once = live.copy()
    engine.loss_and_gradients(data, (), True, None)
    np.testing.assert_array_equal(live, 2 * once)
    grad_output = 2 * (engine.forward(data.x, False, None) - data.y) / len(data.x)
    engine.backward(grad_output, True, None)
    np.testing.assert_allclose(live, 3 * once, rtol=1e-12)
    engine.backward(grad_output, False, None)
    np.testing.assert_allclose(live, once, rtol=1e-12)


def test_backward_needs_a_forward(make_engine: Any) -> None:
    engine = make_engine([Dense(1)], 1)
    with pytest.raises(RuntimeError, match=r"^backward: expected a forward pass"):
        engine.backward(np.ones((1, 1)), False, None)


def test_backward_does_not_see_what_becomes_of_the_callers_arrays(make_engine: Any) -> None:
    x = np.ones((2, 3))
    gradients = []
    for spoil in (False, True):
        engine = make_engine([Dense(3, "sigmoid")], 3)
        y = engine.forward(x, False, None)
        if spoil:
            x[:], y[:] = 9, 9
        engine.backward(np.ones((2, 3)), False, None)
        gradients.append(engine.gradients)
    np.testing.assert_array_equal(gradients[0], gradients[1])
