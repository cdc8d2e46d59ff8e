"""The checker finds what is wrong, and leaves alone what is right or at a kink."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from graph_cases import CASES, Case
from loss_cases import draw_targets

import fastbp
from fastbp import Dense, Dropout, reference
from fastbp.engine import alone, each
from fastbp.insight import check_gradients
from fastbp.reference.activations import ACTIVATIONS
from fastbp.regularizers import L1, L1L2

X = np.random.default_rng(0).normal(size=(4, 3))
Y = np.random.default_rng(1).normal(size=(4, 2))


def build(layers: Any, Network: Any = reference.Network, **more: Any) -> Any:
    given = {"input_shape": 3, "loss": "mse", "dtype": "float64", "seed": 1}
    return Network(layers, **(given | more))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_right_gradients_pass(Network: type[fastbp.Network], dtype: str) -> None:
    layers = [Dense(4, "tanh"), Dropout(0.3), Dense(2, "gelu", bias_trainable=False)]
    report = check_gradients(build(layers, Network, dtype=dtype), X, Y)
    assert report.passed
    assert not report.kinks
    assert report.frozen == 2
    assert len(report.entries) == 3 * 4 + 4 + 4 * 2 + X.size
    assert max(entry.error for entry in report.entries) < 1e-6


def test_penalties_constraints_and_structured_dropout_pass(Network: type[fastbp.Network]) -> None:
    layers = [
        Dense(16, "tanh", weights_regularizer=L1L2(0.1, 0.2), weights_constraint=0.5),
        Dropout(0.4, structured=True),
        Dense(2, weights_regularizer=0.1, weights_constraint="non_neg"),
    ]
    report = check_gradients(build(layers, Network), X, Y)
    assert report.passed
    assert not report.kinks
    assert len(report.entries) == 3 * 16 + 16 + 16 * 2 + 2 + X.size


def test_a_wrong_derivative_of_a_penalty_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = reference.restraint.cost_gradient
    monkeypatch.setattr(reference.restraint, "cost_gradient", lambda *given: 1.001 * right(*given))
    net = build([Dense(3, "tanh"), Dense(2, weights_regularizer=0.3)])
    wrong = check_gradients(net, X, Y).wrong
    assert [entry.name.partition("[")[0] for entry in wrong] == ["dense_1.weights"] * 6


def test_weights_of_0_are_at_a_kink_of_their_penalty(Network: type[fastbp.Network]) -> None:
    held = {"bias_regularizer": L1(0.2), "bias_initializer": "zeros"}
    report = check_gradients(build([Dense(2, **held)], Network), X, Y)
    assert report.passed
    assert [entry.name for entry in report.kinks] == ["dense.biases[0]", "dense.biases[1]"]


def test_weights_count(core: None) -> None:
    net = build([Dense(3, "softmax")], loss="sparse_categorical_crossentropy")
    labels = np.array([0, 1, 2, 1])
    report = check_gradients(net, X, labels, sample_weight=[1, 2, 0, 3], class_weight=[1, 2, 3])
    assert report.passed


@pytest.mark.parametrize("size", [1e-4, 0.1, 1])
def test_a_wrong_derivative_is_found(monkeypatch: pytest.MonkeyPatch, size: float) -> None:
    right = ACTIVATIONS["tanh"]
    wrong = right._replace(backward=lambda *given: (1 + size) * right.backward(*given))
    monkeypatch.setitem(ACTIVATIONS, "tanh", wrong)
    report = check_gradients(build([Dense(4, "tanh"), Dense(2)]), X, Y)
    assert not report.passed
    assert not report.kinks
    # Every number before the tanh is wrong, and none behind it.
    assert {entry.name.partition("[")[0] for entry in report.wrong} == {
        "dense.weights",
        "dense.biases",
        "x",
    }
    assert "WRONG" in str(report)
    assert report.worst[0].verdict == "wrong"
    assert report.worst[0].error == pytest.approx(size / (1 + size), rel=1e-2)


def test_one_wrong_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Off(reference.Network):
        def loss_and_gradients(self, *given: Any, **more: Any) -> Any:
            loss, gradients = super().loss_and_gradients(*given, **more)
            gradients[4] += 1e-3
            return loss, gradients

    report = check_gradients(build([Dense(2, "tanh")], Off), X, Y)
    assert [entry.name for entry in report.wrong] == ["dense.weights[2, 0]"]


@pytest.mark.parametrize(
    ("activation", "loss"), [("relu", "mse"), ("leaky_relu", "mse"), ("identity", "mae")]
)
def test_a_kink_is_no_error(Network: type[fastbp.Network], activation: str, loss: str) -> None:
    """With parameters of 0 every net input is at 0, and so is every error of targets of 0."""
    layers = [Dense(2, activation, weights_initializer="zeros")]
    report = check_gradients(
        build(layers, Network, loss=loss), X, np.zeros((4, 2)) - (loss == "mse")
    )
    assert report.passed
    assert report.kinks
    assert "at a kink" in str(report)


@pytest.mark.parametrize("away", [3e-6, 3e-7])
def test_a_kink_nearer_than_the_step_is_recognised(core: None, away: float) -> None:
    net = build([Dense(1, "relu", weights_initializer=[[1.0]])], input_shape=1)
    report = check_gradients(net, [[away]], [[2.0]])
    assert report.passed
    assert len(report.kinks) >= 1


def test_several_kinks_at_one_place_are_no_error(Network: type[fastbp.Network]) -> None:
    """Of a row of zeros all units without biases are at 0; the slope is that of neither side."""
    net = build([Dense(8, "relu"), Dense(2)], Network)
    report = check_gradients(net, np.vstack([X, np.zeros(3)]), np.ones((5, 2)))
    assert report.passed
    assert {entry.name.partition("[")[0] for entry in report.kinks} == {"dense.biases", "x"}


def test_a_wrong_derivative_is_not_hidden_by_kinks(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ACTIVATIONS["relu"]
    wrong = right._replace(backward=lambda *given: 1.01 * right.backward(*given))
    monkeypatch.setitem(ACTIVATIONS, "relu", wrong)
    net = build([Dense(8, "relu"), Dense(2)])
    report = check_gradients(net, np.zeros((2, 3)), np.ones((2, 2)))
    assert {entry.name.partition("[")[0] for entry in report.wrong} == {"dense.biases", "x"}


def test_a_wrong_slope_at_a_kink_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ACTIVATIONS["relu"]
    wrong = right._replace(backward=lambda da, z, a, c: np.where(z > 0, da, 1.5 * da))
    monkeypatch.setitem(ACTIVATIONS, "relu", wrong)
    net = build([Dense(2, "relu", weights_initializer="zeros")])
    assert not check_gradients(net, X, np.ones((4, 2))).passed


def test_the_network_is_left_alone(core: None, standing: Any) -> None:
    net = build([Dense(2, "tanh")], fastbp.Network, dtype="float32")
    before, x = standing(net), X.copy()
    check_gradients(net, x, Y)
    assert standing(net) == before
    np.testing.assert_array_equal(x, X)


def test_bad_data_are_refused_as_by_fit(core: None) -> None:
    net = build([Dense(2)])
    with pytest.raises(ValueError, match=r"y: expected 4 rows as in x, got 3"):
        check_gradients(net, X, Y[:3])
    with pytest.raises(ValueError, match=r"x: expected finite numbers"):
        check_gradients(net, X * np.nan, Y)
    with pytest.raises(ValueError, match=r"loss: expected a loss"):
        check_gradients(build([Dense(2)], loss=None), X, Y)


def test_the_report_shows_the_worst_and_counts(core: None) -> None:
    text = str(check_gradients(build([Dense(2, "tanh")]), X, Y))
    assert "right" in text.splitlines()[0]
    assert "dense.weights" in text
    assert len(text.splitlines()) < 30


def of_graph(case: Case, Network: Any = reference.Network) -> tuple[Any, Any, Any]:
    """Return a network, its inputs and targets, each a tuple where there are several."""
    net = case.network(Network, dtype="float64", seed=1)
    rng = np.random.default_rng(2)
    x = tuple(rng.normal(size=(3, *shape)) for shape in net.plan.inputs)
    y = tuple(draw_targets(each.loss, rng, 3, math.prod(each.shape)) for each in net.plan.outputs)
    shaped = tuple(
        t if each.loss.labels else t.reshape(3, *each.shape)
        for t, each in zip(y, net.plan.outputs, strict=True)
    )
    return net, alone(x), alone(shaped)


@pytest.mark.parametrize("name", ["two inputs", "output inside", "flat and not", "dropped"])
def test_every_input_of_a_graph_is_checked(Network: type[fastbp.Network], name: str) -> None:
    net, x, y = of_graph(CASES[name], Network)
    report = check_gradients(net, x, y)
    assert report.passed
    inputs = each(x, len(net.plan.inputs))
    names = ["x"] if len(inputs) == 1 else [f"x[{number}]" for number in range(len(inputs))]
    entries = [entry.name for entry in report.entries]
    assert len(entries) == len(set(entries)) == net.n_parameters + sum(a.size for a in inputs)
    for place, rows in zip(names, inputs, strict=True):
        of_input = [entry for entry in entries if entry.startswith(f"{place}[")]
        assert of_input[-1] == f"{place}[{', '.join(str(n - 1) for n in rows.shape)}]"
        assert f"\n  {place} " in str(report)


def test_a_wrong_derivative_of_one_input_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = reference.propagation.parted

    def wrong(*given: Any) -> Any:
        first, second, *rest = right(*given)
        return [first, second * 1.001, *rest]

    monkeypatch.setattr(reference.propagation, "parted", wrong)
    net, x, y = of_graph(CASES["two inputs"])
    report = check_gradients(net, x, y)
    assert {entry.name.rpartition("[")[0] for entry in report.wrong} == {"x[1]"}
    with pytest.raises(TypeError, match="x: expected a tuple of 2, one for each input, got ndarr"):
        check_gradients(net, x[0], y)
