"""A trace of a graph has the numbers of both engines, by every way from a weight to the loss."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from graph_cases import CASES, Case, grown
from loss_cases import draw_targets

import fastbp
from fastbp import Activation, Add, Concatenate, Dense, Flatten, Input, reference
from fastbp.engine import alone, each

# Both sides are float64 and add up to a few hundred products of numbers about 1.
CLOSE = {"rtol": 1e-10, "atol": 1e-12}
SHOWN = [
    "two inputs",
    "two outputs",
    "straight",
    "twice",
    "output inside",
    "flat and not",
    "frozen",
]


def of_case(case: Case, Network: Any = fastbp.Network, rows: int = 3) -> tuple[Any, Any, Any]:
    """Return a network with parameters drawn, its inputs and its targets."""
    net = case.network(Network, dtype="float64", seed=1, optimizer="sgd")
    rng = np.random.default_rng(2)
    net.parameters[:] = rng.normal(0, 0.4, net.n_parameters)
    x = tuple(rng.normal(size=(rows, *shape)) for shape in net.plan.inputs)
    y = tuple(
        t if output.loss.labels else t.reshape(rows, *output.shape)
        for output in net.plan.outputs
        for t in [draw_targets(output.loss, rng, rows, math.prod(output.shape))]
    )
    return net, alone(x), alone(y)


def check(net: Any, x: Any, y: Any, **weights: Any) -> fastbp.insight.Trace:
    """Assert that outputs, loss, gradients and the next step agree with the engine."""
    trace, twin = net.explain(x, y, **weights), net.copy()
    outputs = each(twin.forward(x, training=True), len(net.plan.outputs))
    for own, expected in zip(each(trace.outputs, len(outputs)), outputs, strict=True):
        np.testing.assert_allclose(own, expected.reshape(len(own), -1), **CLOSE)
    loss, _ = twin.loss_and_gradients(x, y, **weights)
    np.testing.assert_allclose(trace.loss, loss, **CLOSE)
    np.testing.assert_allclose(trace.shares @ trace.losses, trace.samples_loss, **CLOSE)
    by_name = {layer.name: layer for layer in twin.layers}
    for layer in trace.layers:
        for role in layer.parameters:
            if layer.trainable[role]:
                expected = getattr(by_name[layer.name], f"{role}_gradient")
                np.testing.assert_allclose(layer.gradient(role), expected, **CLOSE)
    twin.step()
    for name, values in twin.named_parameters().items():
        layer, role = name.split(".")
        np.testing.assert_allclose(trace[layer].new_parameters[role], values, **CLOSE)
    moved = net.copy()
    moved.set_parameters(twin.parameters)
    loss, _ = moved.loss_and_gradients(x, y, **weights)
    np.testing.assert_allclose(trace.loss_after, loss, **CLOSE)
    return trace


def check_chains(trace: fastbp.insight.Trace, most: int = 4) -> None:
    """Assert that the product of each chain is x delta, and the parts of each sum add up to it."""
    sample = len(trace.losses) - 1
    for layer in trace.layers:
        for role, values in layer.parameters.items():
            for index in list(np.ndindex(values.shape))[:: max(1, values.size // most)]:
                at = {"weight": index} if role == "weights" else {"bias": index[0]}
                chain = trace.chain(layer.name, sample=sample, **at)
                x = layer.inputs[sample, index[0]] if role == "weights" else 1
                np.testing.assert_allclose(
                    chain.product, x * layer.delta[sample, index[-1]], **CLOSE
                )
                assert math.prod(f.value for f in chain.factors) == chain.product
                for found in chain.contributions:
                    np.testing.assert_allclose(found.total, chain.factors[0].value, **CLOSE)
                assert str(chain)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("wide", "deep")])
def test_graphs_have_the_numbers_of_the_engines(Network: Any, name: str) -> None:
    trace = check(*of_case(CASES[name], Network))
    check_chains(trace)
    assert str(trace)


@pytest.mark.parametrize("seed", range(12))
def test_graphs_drawn_at_random_have_the_numbers_of_the_engine(core: None, seed: int) -> None:
    check_chains(check(*of_case(grown(seed))))


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(12, 150))
def test_many_graphs_have_the_numbers_of_the_engine(core: None, seed: int) -> None:
    check_chains(check(*of_case(grown(seed))), most=20)


def test_outputs_may_weigh_samples_differently(core: None) -> None:
    net, x, y = of_case(CASES["two outputs"], rows=5)
    trace = check(net, x, y, sample_weight=([1.0, 2, 0, 1, 5], None), class_weight=({1: 3.0}, None))
    np.testing.assert_allclose(trace.shares, 0.2)
    check_chains(trace)
    np.testing.assert_allclose(check(net, x, y, sample_weight=[1.0, 2, 0, 1, 5]).shares.sum(), 1)


def branches(**more: Any) -> Any:
    """Return a network whose hidden units are read by two layers, a sum and a loss."""
    x = Input(2)
    h = Dense(2, "tanh")(x)
    a, b = Dense(2, "sigmoid")(h), Dense(2)(h)
    outputs = Dense(1)(Concatenate()([Add()([h, a]), b])), h
    given = {"loss": "half_squared_error", "loss_weights": (1, 0.5), "optimizer": "sgd"}
    net = fastbp.Network(inputs=x, outputs=outputs, dtype="float64", seed=1, **(given | more))
    net.parameters[:] = np.random.default_rng(0).normal(0, 0.7, net.n_parameters)
    return net


X, Y = np.array([[0.5, -0.3]]), (np.array([[0.2]]), np.array([[0.1, 0.4]]))


def test_what_several_read_has_a_part_of_each(core: None) -> None:
    trace = check(branches(), X, Y)
    ways, outputs = trace.chain("dense", weight=(0, 1)).contributions
    assert ways.names == ("dense_1", "add", "dense_2", "the loss of dense")
    expected = [
        trace["dense_1"].input_gradient[0, 1],
        trace["add"].input_gradient[0, 1],
        trace["dense_2"].input_gradient[0, 1],
        0.5 * (trace["dense"].output[0, 1] - 0.4),
    ]
    np.testing.assert_allclose(ways.parts, expected, **CLOSE)
    assert outputs.names == ("dense_3[0]", "dense[0]", "dense[1]")
    for name in ways.names:
        assert f"\n  {name} " in str(trace.chain("dense", weight=(0, 1)))


def test_a_chain_goes_through_what_joins(core: None) -> None:
    """From a weight of dense_1 by the sum and the concatenation to a unit of dense_3."""
    trace = branches().explain(X, Y)
    chain = trace.chain("dense_1", weight=(0, 1))
    names = [factor.name for factor in chain.factors]
    assert names == ["dL/da_concatenate", "da_concatenate/da_add", "da_add/da", "da/dz", "dz/dw"]
    assert "concatenate hands it on as it is" in str(chain)
    (through,) = chain.contributions
    np.testing.assert_allclose(
        through.parts, trace["dense_3"].weights[1] * trace["dense_3"].delta[0], **CLOSE
    )
    # A unit of dense_2 has another place in the concatenation.
    (through,) = trace.chain("dense_2", bias=1).contributions
    np.testing.assert_allclose(
        through.parts, trace["dense_3"].weights[3] * trace["dense_3"].delta[0], **CLOSE
    )


def test_a_value_that_one_layer_reads_twice_has_two_ways(core: None) -> None:
    x = Input(2)
    h = Dense(2, "tanh")(x)
    outputs = Add()([h, h, x])
    net = fastbp.Network(inputs=x, outputs=outputs, loss="mse", dtype="float64", optimizer="sgd")
    trace = check(net, X, np.ones((1, 2)))
    check_chains(trace)
    (ways, by_outputs) = trace.chain("dense", bias=0).contributions
    assert ways.names == ("add, input 0", "add, input 1")
    assert by_outputs.names == ()


def test_a_layer_without_parameters_may_be_called_twice(core: None) -> None:
    x, f = Input(2), Activation("tanh")
    h = f(Dense(2)(x))
    outputs = f(Dense(2)(h))
    net = fastbp.Network(inputs=x, outputs=outputs, loss="mse", dtype="float64", optimizer="sgd")
    trace = check(net, X, np.ones((1, 2)))
    check_chains(trace)
    names = [layer.name for layer in trace.layers]
    assert names == ["dense", "activation", "dense_1", "activation (call 2)"]


def test_weights_are_named_after_what_they_read(core: None) -> None:
    net, x, y = of_case(CASES["two inputs"])
    trace = net.explain(x, y)
    assert "from input 1 of input to unit 0 of dense" in str(trace.chain("dense", weight=(1, 0)))
    chain = trace.chain("dense_1", weight=(7, 0), sample=0)
    assert "from unit 7 of concatenate to unit 0 of dense_1" in str(chain)


@pytest.mark.parametrize("name", SHOWN)
def test_a_graph_has_tables_and_pages(core: None, name: str) -> None:
    net, x, y = of_case(CASES[name], rows=1)
    trace = net.explain(x, y)
    assert trace.table()
    for layer in trace.layers:
        text = trace.table(layer.name)
        assert f"{layer.name}: " in text
        assert ", from " in text
    names = [
        layer.name for layer in trace.layers if layer.weights is None or layer.weights.size < 90
    ]
    for page in (trace.to_markdown(name) for name in names):
        assert all(end.name in page for end in trace.ends)


def test_a_page_of_a_graph_is_well_formed(core: None) -> None:
    trace = branches().explain(X, Y)
    page = trace.to_html()
    ET.fromstring(page.removeprefix("<!DOCTYPE html>\n").replace("\u00a0", " "))
    assert "through dense_1, add, dense_2, the loss of dense" in page
    assert "from the loss" not in page
    assert "from dense and dense_1" in page
    assert r"\left(" in trace.to_markdown()


def test_interpretations_hold_in_graphs(core: None) -> None:
    told = branches().explain(X, Y).interpret("dense", weight=(0, 1))
    _, predicted, actual = told.checks[-1]
    assert actual == pytest.approx(predicted, rel=0.01)


def test_a_layer_with_parameters_that_is_called_twice_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, x, y = of_case(CASES["diamond"], reference.Network)
    graph = net._connections(())
    again = graph._replace(nodes=(*graph.nodes[:2], graph.nodes[1], *graph.nodes[3:]))
    monkeypatch.setattr(net, "_graph", again)
    with pytest.raises(
        ValueError, match=r"^explain: expected each layer with parameters to be cal"
    ):
        net.explain(x, y)


def test_bad_data_for_several_is_refused(core: None, tmp_path: Any) -> None:
    net, x, y = of_case(CASES["two outputs"])
    with pytest.raises(TypeError, match=r"^y: expected a tuple of 2, one for each output"):
        net.explain(x, y[0])
    with pytest.raises(ValueError, match=r"^y\[1\]: expected "):
        net.explain(x, (y[0], y[1][:2]))
    np.save(tmp_path / "y.npy", np.full(y[1].shape, np.nan))
    with pytest.raises(ValueError, match=r"^y\[1\]: expected finite numbers"):
        net.explain(x, (y[0], np.load(tmp_path / "y.npy", mmap_mode="r")))
    with pytest.raises(ValueError, match="layer: expected one of"):
        net.explain(x, y).chain("add", bias=0)


def test_a_flattened_output_has_the_layer_before_it_as_its_head(core: None) -> None:
    x = Input((2, 2))
    y = Flatten()(Activation("tanh")(x))
    net = fastbp.Network(inputs=x, outputs=(y, Dense(2)(y)), loss="mse", dtype="float64")
    rows = np.ones((2, 2, 2))
    trace = net.explain(rows, (np.ones((2, 4)), np.ones((2, 2))))
    assert [trace.layers[end.head].name for end in trace.ends] == ["activation", "dense"]
    check_chains(trace)
