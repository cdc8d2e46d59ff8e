"""A trace of a graph has the numbers of a step, by every way from a weight to the loss."""

from __future__ import annotations

import contextlib
import itertools
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
from fastbp.losses import MeanSquaredError

# Both sides are float64 and add up to a few hundred products of numbers about 1.
CLOSE = {"rtol": 1e-10, "atol": 1e-12}
SHOWN = ["two inputs", "straight", "output inside", "flat and not"]


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
                expected = getattr(by_name[layer.layer], f"{role}_gradient")
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
def test_graphs_have_the_numbers_of_the_engine(core: None, name: str) -> None:
    trace = check(*of_case(CASES[name]))
    check_chains(trace)
    assert str(trace)


@pytest.mark.parametrize("seed", range(6))
def test_graphs_drawn_at_random_have_the_numbers_of_the_engine(core: None, seed: int) -> None:
    check_chains(check(*of_case(grown(seed))))


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(6, 150))
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
    assert names == ["dense", "activation", "dense_1", "activation[1]"]


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


def test_what_is_joined_by_pieces_is_known_by_its_place(core: None) -> None:
    net, x, y = of_case(CASES["flat and not"])
    layer = net.explain(x, y)["concatenate_1"]
    assert layer.pieces == 6
    places = [layer.place_of(number) for number in range(36)]
    assert places != sorted(places)
    np.testing.assert_array_equal(layer.net_input[:, places], layer.inputs)


def test_a_chain_may_count_otherwise_than_once(core: None) -> None:
    x = Input(2)
    case = Case(x, Dense(2, "tanh")(Dense(2)(x)), (MeanSquaredError(),), (2.0,))
    trace = check(*of_case(case))
    check_chains(trace)
    assert "2 * mean_squared_error: L = " in str(trace)
    assert "mean_squared_error, which counts 2" in str(trace.chain("dense_1", bias=0, sample=0))


def test_interpretations_hold_in_graphs(core: None) -> None:
    told = branches().explain(X, Y).interpret("dense", weight=(0, 1))
    _, predicted, actual = told.checks[-1]
    assert actual == pytest.approx(predicted, rel=0.01)


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


def small(seed: int) -> Any:
    """Return a trace of a graph of few units, drawn at random."""
    rng = np.random.default_rng(seed)
    inputs = [Input(int(rng.integers(1, 3))) for _ in range(rng.integers(1, 3))]
    tensors: list[Any] = list(inputs)
    for _ in range(rng.integers(2, 6)):
        x, other = (tensors[rng.integers(len(tensors))] for _ in range(2))
        alike = x.shape == other.shape
        made = Add()([x, other]) if alike and rng.random() < 0.4 else Dense(2, "tanh")(x)
        tensors.append(Flatten()(made) if rng.random() < 0.2 else made)
    read = Concatenate()([*inputs, tensors[-1]])
    outputs = Dense(1)(read), tensors[int(rng.integers(1, len(tensors)))]
    return explained(Case(inputs, outputs, (MeanSquaredError(),) * 2, (1.0, 0.5)))


def explained(case: Case) -> fastbp.insight.Trace:
    net, x, y = of_case(case, reference.Network, rows=1)
    return net.explain(x, y)


def distance(centre: Any, start: Any, end: Any) -> float:
    """Return how near a line from one point to another comes to a third."""
    way = end - start
    share = np.clip((centre - start) @ way / (way @ way), 0, 1)
    return float(np.linalg.norm(start + share * way - centre))


class TestPictures:
    @pytest.fixture
    def axes(self) -> Any:
        return pytest.importorskip("matplotlib.figure").Figure().subplots()

    def test_a_graph_has_its_numbers(self, axes: Any) -> None:
        trace = branches().explain(X, Y)
        assert trace.plot(axes=axes) is axes
        words = [text.get_text() for text in axes.texts]
        figure = fastbp.insight.picture.figure
        for layer in trace.layers:
            assert layer.name in words
            for value in (*layer.output[0], *(() if layer.weights is None else layer.weights.flat)):
                assert figure(float(value)) in words
        assert "input" in words
        assert {"t = 0.2", "t = 0.1", "t = 0.4"} <= set(words)
        assert f"L\n{figure(trace.loss)}" in words

    def test_no_line_crosses_a_unit(self, axes: Any) -> None:
        drawn = 0
        for seed in range(14):
            axes.clear()
            with contextlib.suppress(ValueError):  # too many units below each other
                small(seed).plot(axes=axes)
                drawn += 1
            centres = [np.array(patch.center) for patch in axes.patches]
            radius = max((patch.radius for patch in axes.patches), default=0)
            for line in axes.lines:
                start, end = line.get_xydata()
                for centre in centres:
                    belongs = any(np.allclose(point, centre) for point in (start, end))
                    assert belongs or distance(centre, start, end) > 1.5 * radius
            for first, second in itertools.combinations(centres, 2):
                assert np.linalg.norm(first - second) > 3 * radius
        assert drawn > 7

    def test_a_page_has_the_picture_of_a_small_graph(self) -> None:
        pytest.importorskip("matplotlib")
        assert branches().explain(X, Y).to_html().count("<svg") == 1

    def test_a_graph_that_is_too_high_is_refused_with_the_limit(self) -> None:
        x = Input(2)
        layers = [Dense(2)(x) for _ in range(5)]
        trace = explained(Case(x, Dense(1)(Add()(layers))))
        with pytest.raises(ValueError, match="plot: expected at most 8 units below"):
            trace.plot()
