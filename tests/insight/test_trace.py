"""A trace has the numbers of the step that the network takes: those of both engines."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from loss_cases import draw_targets, pairs
from update_rules import RULES

import fastbp
from fastbp import Activation, Dense, Dropout, Flatten, Rescale
from fastbp.constraints import MaxNorm
from fastbp.losses import LOSSES, CrossEntropy, Loss
from fastbp.optimizers import LBFGS
from fastbp.regularizers import L1, L1L2

# Both sides are float64 and add a few dozen products of numbers about 1.
CLOSE = {"rtol": 1e-11, "atol": 1e-13}


def build(Network: type[fastbp.Network], layers: Any, inputs: Any = 4, **more: Any) -> Any:
    given = {"loss": "half_squared_error", "optimizer": "sgd", "dtype": "float64", "seed": 3}
    net = Network(layers, input_shape=inputs, **(given | more))
    rng = np.random.default_rng(0)
    net.parameters[:] = rng.normal(0, 0.7, net.n_parameters)
    return net


def inputs(rows: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(rows, *shape))


def check(net: Any, x: np.ndarray, y: Any, **weights: Any) -> fastbp.insight.Trace:
    """Assert that loss, gradients, outputs, the next step and every chain agree with the engine."""
    trace = net.explain(x, y, **weights)
    twin = net.copy()
    np.testing.assert_allclose(
        trace.outputs, twin.forward(x, training=True).reshape(len(x), -1), **CLOSE
    )
    if trace.output_losses is not None:
        np.testing.assert_allclose(trace.output_losses.sum(axis=1), trace.losses, **CLOSE)
    assert (trace.output_losses is None) == (net.loss.probability == "softmax")
    loss, _ = twin.loss_and_gradients(x, y, **weights)
    np.testing.assert_allclose(trace.loss, loss, **CLOSE)
    for layer, bound in zip(trace.layers, twin.layers, strict=True):
        for role in layer.parameters:
            expected = getattr(bound, f"{role}_gradient")
            if layer.trainable[role]:
                np.testing.assert_allclose(layer.gradient(role), expected, **CLOSE)
    if not net.optimizer.evaluates:
        twin.step()
        for name, values in twin.named_parameters().items():
            layer, role = name.split(".")
            np.testing.assert_allclose(trace[layer].new_parameters[role], values, **CLOSE)
        moved = net.copy()
        moved.set_parameters(twin.parameters)
        loss, _ = moved.loss_and_gradients(x, y, **weights)
        np.testing.assert_allclose(trace.loss_after, loss, **CLOSE)
    check_chains(trace)
    return trace


def check_chains(trace: fastbp.insight.Trace) -> None:
    """Assert that the product of each chain is x delta, and the parts of each sum add up."""
    for layer in trace.layers:
        for role, values in layer.parameters.items():
            for index in list(np.ndindex(values.shape))[:6]:
                at = {"weight": index} if role == "weights" else {"bias": index[0]}
                for sample in range(min(len(trace.losses), 2)):
                    chain = trace.chain(layer.name, sample=sample, **at)
                    x = layer.inputs[sample, index[0]] if role == "weights" else 1
                    expected = x * layer.delta[sample, index[-1]]
                    np.testing.assert_allclose(chain.product, expected, **CLOSE)
                    assert math.prod(f.value for f in chain.factors) == chain.product
                    totals = [each.total for each in chain.contributions]
                    np.testing.assert_allclose(
                        totals, [chain.factors[0].value] * len(totals), **CLOSE
                    )
                    np.testing.assert_allclose(chain.gradient, layer.gradient(role)[index], **CLOSE)
                    assert str(chain)


@pytest.mark.parametrize(("activation", "kind", "options"), pairs())
def test_every_activation_with_every_loss(
    core: None, activation: str, kind: type[Loss], options: Any
) -> None:
    net = build(fastbp.Network, [Dense(3, activation), Dense(3, activation)], loss=kind(**options))
    t = draw_targets(net.loss, np.random.default_rng(2), 3, 3)
    check(net, inputs(3, 4), t)


HELD = [
    Dense(16, "tanh", weights_regularizer=L1L2(0.1, 0.2), weights_constraint=0.8),
    Dropout(0.4, structured=True),
    Dense(3, weights_regularizer=0.1, bias_regularizer="l1", bias_constraint="non_neg"),
]
STACKS: dict[str, Any] = {
    "dropout": [Dense(6, "tanh"), Dropout(0.4), Dense(3, "sigmoid")],
    "dropout twice": [Dropout(0.3), Dense(8), Dropout(0.5), Dense(2), Dropout(0.2)],
    "rescale": [Rescale(0.5), Dense(4, "tanh"), Rescale(-1.5), Dense(2)],
    "flatten": [Flatten(), Dense(3, "relu"), Flatten(), Dense(2), Flatten()],
    "activations": [Dense(3), Activation("silu"), Activation("elu"), Dense(2), Activation("gelu")],
    "softmax in between": [Dense(4, "softmax"), Dense(3, "tanh"), Activation("softmax")],
    "softmax behind a layer": [Dense(3, "tanh"), Rescale(2), Activation("softmax"), Rescale(3)],
    "three hidden layers": [Dense(3, "tanh"), Dense(4, "silu"), Dense(3, "relu"), Dense(2)],
    "factors behind hidden layers": [
        Dense(3, "tanh"),
        Dense(4),
        Rescale(2),
        Dropout(0.3),
        Dense(2),
    ],
    "no biases": [Dense(4, "softplus", use_bias=False), Dense(2, use_bias=False)],
    "frozen": [Dense(4, "tanh", trainable=False), Dense(2, bias_trainable=False)],
    "l1": [Dense(4, "tanh", weights_regularizer="l1", bias_regularizer=L1(0.2)), Dense(2)],
    "l2": [Dense(4, "tanh", weights_regularizer=0.3), Dense(2, bias_regularizer="l2")],
    "l1 and l2": [Dense(4, "tanh", weights_regularizer=L1L2(0.1, 0.2)), Dense(2)],
    "what is frozen costs nothing": [
        Dense(4, "tanh", trainable=False, weights_regularizer=0.3, weights_constraint="non_neg"),
        Dense(2, bias_trainable=False, bias_regularizer=0.3, weights_regularizer=L1L2()),
    ],
    "norms of units": [Dense(4, "tanh", weights_constraint=0.8, bias_constraint=0.5), Dense(2)],
    "norms of inputs": [Dense(4, "tanh", weights_constraint=MaxNorm(0.8, axis=1)), Dense(2)],
    "not negative": [Dense(4, weights_constraint="non_neg", bias_constraint="non_neg"), Dense(2)],
    "structured dropout": [Dense(16, "tanh"), Dropout(0.4, structured=True), Dense(2)],
    "structured dropout around a layer": [
        Dense(16, "tanh"),
        Dropout(0.5, structured=True),
        Dense(24, "silu"),
        Dropout(0.25, structured=True),
        Rescale(2),
        Dense(2),
    ],
    "all of these": HELD,
    "no parameters": [Rescale(2), Activation("tanh")],
    "flatten alone": [Flatten()],
}


@pytest.mark.parametrize("stack", STACKS)
def test_stacks(Network: type[fastbp.Network], stack: str) -> None:
    shape = (2, 2) if stack.startswith("flatten") else (4,)
    net = build(Network, STACKS[stack], shape)
    x = inputs(3, *shape)
    check(net, x, net.predict(x) + inputs(3, *net.plan.output_shape))


@pytest.mark.parametrize("own_layer", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in LOSSES.values() if kind.probability])
def test_probabilities_fused_with_their_loss(core: None, kind: Any, own_layer: bool) -> None:
    f = kind.probability
    last = [Dense(3), Activation(f)] if own_layer else [Dense(3, f)]
    more = {"label_smoothing": 0.2} if issubclass(kind, CrossEntropy) else {}
    net = build(fastbp.Network, [Dense(4, "tanh"), *last, Flatten()], loss=kind(**more))
    t = draw_targets(net.loss, np.random.default_rng(2), 5, 3)
    trace = check(net, inputs(5, 4), t)
    assert trace.head.output_gradient is None


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_weights_of_samples_and_classes_and_labels_to_ignore(core: None, reduction: Any) -> None:
    loss = fastbp.losses.SparseCategoricalCrossentropy(reduction, ignore_label=-7)
    net = build(fastbp.Network, [Dense(4, "tanh"), Dense(3, "softmax")], loss=loss)
    y, weights = np.array([0, 2, -7, 1, 1]), np.array([0.5, 1, 2, 0, 3])
    trace = check(net, inputs(5, 4), y, sample_weight=weights, class_weight={1: 4.0})
    expected = np.array([0.5, 1, 0, 0, 12])
    expected /= expected.sum() if reduction == "mean" else 1
    np.testing.assert_allclose(trace.shares, expected, **CLOSE)
    assert trace.losses[2] == 0


@pytest.mark.parametrize("rule", RULES)
def test_the_step_of_every_optimizer_with_what_it_remembers(core: None, rule: str) -> None:
    held = {"weights_regularizer": 0.02, "bias_constraint": 0.5}
    net = build(fastbp.Network, [Dense(3, "tanh", **held), Dense(2)], optimizer=RULES[rule])
    x, y = inputs(4, 4), inputs(4, 2)
    for _ in range(3):
        check(net, x, y)
        net.train_on_batch(x, y)


def test_a_structured_mask_is_that_of_the_first_row_for_all(core: None) -> None:
    net = build(fastbp.Network, [Dropout(0.4, structured=True), Dense(2)], 16)
    factor = net.explain(inputs(3, 16), inputs(3, 2))["dropout"].factor
    by_row = build(fastbp.Network, [Dropout(0.4), Dense(2)], 16)
    first = by_row.explain(inputs(3, 16), inputs(3, 2))["dropout"].factor[:1]
    np.testing.assert_array_equal(factor, first)
    assert set(factor.ravel()) == {0, 1 / 0.6}


def test_a_parameter_is_shown_before_and_after_its_constraint(core: None) -> None:
    net = build(fastbp.Network, [Dense(2, weights_constraint=0.5, bias_constraint="non_neg")])
    free = build(fastbp.Network, [Dense(2)])
    x, y = inputs(3, 4), inputs(3, 2)
    held, expected = net.explain(x, y)["dense"], free.explain(x, y)["dense"].new_parameters
    for role, values in expected.items():
        np.testing.assert_array_equal(held.stepped[role], values)
    norms = np.linalg.norm(held.new_parameters["weights"], axis=0)
    np.testing.assert_allclose(norms, 0.5, **CLOSE)
    np.testing.assert_array_equal(held.new_parameters["biases"], expected["biases"].clip(0))


def test_an_interpretation_counts_the_penalty(core: None) -> None:
    """Of a weight that has an L2 alone, as its unit is dropped, the loss is a parabola."""
    net = build(fastbp.Network, HELD)
    trace = net.explain(inputs(3, 4), inputs(3, 3))
    unit = int(np.flatnonzero(np.ravel(trace["dropout"].factor) == 0)[0])
    told, w = trace.interpret("dense", weight=(1, unit)), trace["dense"].weights[1, unit]
    gradient = 0.1 * np.sign(w) + 0.4 * w
    np.testing.assert_allclose(told.gradient, gradient, **CLOSE)
    for change, predicted, actual in told.checks:
        np.testing.assert_allclose(predicted, gradient * change, **CLOSE)
        rise = 0.1 * (abs(w + change) - abs(w)) + 0.2 * ((w + change) ** 2 - w**2)
        np.testing.assert_allclose(actual, rise, rtol=0, atol=1e-13)


def test_lbfgs_has_no_step(core: None) -> None:
    net = build(fastbp.Network, [Dense(2)], optimizer=LBFGS())
    trace = check(net, inputs(2, 4), inputs(2, 2))
    assert trace.loss_after is None
    assert trace["dense"].new_parameters == {}
    assert "no step: LBFGS takes its steps in fit()" in str(trace.chain("dense", bias=0))
    assert "no step" in str(trace)


def test_the_rate_of_a_schedule_is_that_of_the_next_step(core: None) -> None:
    rate = fastbp.schedules.Exponential(0.5, 0.5, 1)
    net = build(fastbp.Network, [Dense(2)], optimizer=fastbp.SGD(rate))
    x, y = inputs(2, 4), inputs(2, 2)
    net.train_on_batch(x, y)
    assert check(net, x, y).learning_rate == 0.25


def test_the_network_is_left_alone(core: None, standing: Any) -> None:
    net = build(fastbp.Network, [Dense(3, "tanh"), Dropout(0.5), Dense(2)], optimizer="adam")
    x, y = inputs(4, 4), inputs(4, 2)
    net.train_on_batch(x, y)
    before, gradients = standing(net), net.gradients.copy()
    net.explain(x, y)
    assert standing(net) == before
    np.testing.assert_array_equal(net.gradients, gradients)
    # And a trace stays what it is when the network goes on.
    trace = net.explain(x, y)
    text = str(trace)
    net.fit(x, y, epochs=3, verbose=0)
    assert str(trace) == text


def test_a_network_of_float32_is_explained_in_float64(core: None) -> None:
    held = {"weights_regularizer": L1L2(0.1, 0.2), "weights_constraint": "non_neg"}
    layers = [Dense(3, "tanh", **held), Dense(2, bias_regularizer=0.1)]
    net = build(fastbp.Network, layers, dtype="float32")
    x, y = inputs(4, 4), inputs(4, 2)
    trace = net.explain(x, y)
    assert trace.outputs.dtype == np.float64
    loss, gradients = net.loss_and_gradients(x, y)
    # Three products deep, of numbers about 1.
    np.testing.assert_allclose(trace.loss, loss, rtol=1e-5)
    np.testing.assert_allclose(trace["dense_1"].biases_gradient, gradients[-2:], rtol=1e-5)


def test_the_loss_after_a_step_is_the_networks(core: None) -> None:
    net = build(fastbp.Network, [Dense(3, "tanh"), Dense(2)], optimizer="adam")
    x, y = inputs(4, 4), inputs(4, 2)
    after = net.explain(x, y).loss_after
    net.train_on_batch(x, y)
    assert after == pytest.approx(net.evaluate(x, y)["loss"], rel=1e-13)


def test_other_parameters_have_the_loss_that_the_network_would_have(core: None) -> None:
    net = build(fastbp.Network, [Dense(3, "tanh"), Dense(2)])
    x, y = inputs(4, 4), inputs(4, 2)
    trace, new = net.explain(x, y), {"dense.weights": np.ones((4, 3)), "dense_1.biases": [1, 2]}
    loss = trace.loss_at(new)
    net.set_parameters(new)
    assert loss == pytest.approx(net.evaluate(x, y)["loss"], rel=1e-13)


def test_a_callback_may_ask_for_an_explanation(core: None) -> None:
    net = build(fastbp.Network, [Dense(2)])
    x, y = inputs(4, 4), inputs(4, 2)
    losses = []

    class Explaining(fastbp.Callback):
        def on_epoch_end(self, epoch: int, values: Any) -> None:
            losses.append(self.network.explain(x, y).loss)

    history = net.fit(x, y, epochs=3, batch_size=4, callbacks=[Explaining()], verbose=0)
    np.testing.assert_allclose(losses[:-1], history["loss"][1:], rtol=1e-12)


def test_an_operation_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    net = build(fastbp.reference.Network, [Dense(2)])
    monkeypatch.setattr(fastbp.insight.propagation, "KINDS", ("rescale",))
    with pytest.raises(
        ValueError, match=r"explain: expected Dense, Activation, .* layers, got dense"
    ):
        net.explain(inputs(1, 4), inputs(1, 2))


def test_a_copy_in_another_precision_stands_where_the_network_does(core: None) -> None:
    net = build(fastbp.Network, [Dense(3, "tanh"), Dense(2)], optimizer="adam", dtype="float32")
    x, y = inputs(4, 4), inputs(4, 2)
    net.train_on_batch(x, y)
    twin = net.copy(dtype="float64")
    assert (twin.dtype, net.copy().dtype, net.dtype) == ("float64", "float32", "float32")
    np.testing.assert_array_equal(twin.parameters, net.parameters)
    # The next step, with what Adam remembers, is the same to rounding.
    for each in (net, twin):
        each.train_on_batch(x, y)
    np.testing.assert_allclose(twin.parameters, net.parameters, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"dtype: expected one of 'float32', 'float64'"):
        net.copy(dtype="float16")


def test_a_mapped_file_with_a_nan_is_refused(Network: type[fastbp.Network], tmp_path: Any) -> None:
    np.save(tmp_path / "x.npy", np.array([[1.0, 2.0, np.nan]]))
    net = build(Network, [Dense(2)], 3)
    with pytest.raises(ValueError, match=r"^x: expected finite numbers"):
        net.explain(np.load(tmp_path / "x.npy", mmap_mode="r"), np.ones((1, 2)))
