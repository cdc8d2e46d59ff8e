"""What is printed, typeset and drawn of a trace holds its numbers; what is too large is refused."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import Activation, Dense, Dropout, Flatten, Rescale, reference
from fastbp.insight import Trace
from fastbp.regularizers import L1L2


def explained(layers: Any, rows: int = 1, inputs: int = 2, **more: Any) -> Trace:
    given = {"loss": "half_squared_error", "optimizer": "sgd", "dtype": "float64", "seed": 0}
    net = reference.Network(layers, input_shape=inputs, **(given | more))
    rng = np.random.default_rng(0)
    outputs = net.plan.output_shape
    return net.explain(rng.normal(size=(rows, inputs)), rng.normal(size=(rows, *outputs)))


SMALL = [Dense(2, "sigmoid"), Dense(2, "tanh")]
HELD = [
    Dense(2, "sigmoid", weights_regularizer=L1L2(0.1, 0.2), weights_constraint=0.8),
    Dropout(0.5, structured=True),
    Dense(2, "tanh", bias_regularizer=0.3, bias_constraint="non_neg"),
]
MIXED = [Rescale(2), Dense(3, "relu"), Dropout(0.4), Dense(2), Activation("softmax"), Flatten()]


def numbers(text: str) -> set[str]:
    return set(re.findall(r"-?\d+\.\d+", text.replace("\u2212", "-")))


@pytest.mark.parametrize("layers", [SMALL, HELD])
def test_print_shows_every_number_of_a_small_trace(layers: Any) -> None:
    trace = explained(layers, rows=2)
    shown = numbers(str(trace))
    for layer in trace.layers:
        values = [layer.net_input, layer.output, layer.slope, layer.output_gradient, layer.delta]
        for role in layer.parameters:
            values += [layer.gradient(role), layer.samples_gradient(role)]
            values += [layer.penalty_gradient(role), layer.parameters[role]]
        for array in (*values, *layer.new_parameters.values(), layer.inputs):
            for value in array.ravel():
                assert abs(value) in (0, 1) or f"{value:.9g}" in shown
    assert {f"{trace.loss:.9g}", f"{trace.loss_after:.9g}"} <= shown
    if layers is HELD:
        parts = trace.samples_loss, trace.penalty, *(layer.penalty() for layer in trace.layers)
        assert {f"{part:.9g}" for part in parts if part} <= shown


def test_lines_are_short_enough_to_read() -> None:
    for layers in (SMALL, MIXED):
        assert max(map(len, str(explained(layers)).splitlines())) < 110


def test_a_large_trace_prints_an_overview_and_says_how_to_choose() -> None:
    trace = explained([Dense(300, "relu"), Dense(10)], rows=50, inputs=64)
    text = str(trace)
    assert len(text.splitlines()) < 15
    assert "more than 200" in text
    assert "trace.table('dense_1', sample=0)" in text
    table = trace.table("dense", sample=3)
    assert "19,480 more" in table
    assert f"{trace['dense'].net_input[3, 0]:.9g}" in table
    assert len(table.splitlines()) < 90


@pytest.mark.parametrize("method", ["to_markdown", "to_html"])
def test_a_page_that_would_be_too_long_is_refused_with_the_limit(method: str) -> None:
    trace = explained([Dense(30, "relu"), Dense(10)], rows=3, inputs=8)
    expected = rf"{method}: expected at most 200 units and parameters .* got [\d,]+; pass layer="
    with pytest.raises(ValueError, match=expected):
        getattr(trace, method)()
    assert "dense_1" in getattr(explained([Dense(9), Dense(3)], rows=9), method)("dense_1", 8)


@pytest.mark.parametrize("layers", [SMALL, HELD, MIXED, [Flatten()], [Activation("gelu")]], ids=str)
def test_pages_are_well_formed(layers: Any) -> None:
    trace = explained(layers, rows=2)
    page = trace.to_html()
    assert page.startswith("<!DOCTYPE html>")
    ET.fromstring(page.removeprefix("<!DOCTYPE html>\n").replace("\u00a0", " "))
    assert not re.search(r"src=|href=\"http|@import|url\(", page.partition("<body>")[0])
    markdown = trace.to_markdown()
    assert markdown.count("$$") % 2 == 0
    assert markdown.count(r"\left(") == markdown.count(r"\right)")
    assert markdown.count("{") == markdown.count("}")


def test_pages_hold_the_chain_of_every_parameter() -> None:
    trace = explained(SMALL)
    for page in (trace.to_markdown(), trace.to_html()):
        shown = numbers(re.sub(r"</mn>|<[^>]+>", "", page.replace("<mo>\u2212</mo><mn>", "-")))
        for layer in trace.layers:
            for value in (*layer.weights_gradient.ravel(), *layer.output_gradient.ravel()):
                assert f"{abs(value):.9g}" in {each.lstrip("-") for each in shown}


def test_chains_and_interpretations_have_markdown_and_html() -> None:
    trace = explained(SMALL, rows=3)
    for shown in (
        trace,
        trace.chain("dense", weight=(0, 1)),
        trace.chain("dense", bias=1, sample=2),
        trace.interpret("dense_1", weight=(0, 0)),
    ):
        ET.fromstring(f"<div>{shown._repr_html_()}</div>")
        if shown is not trace:
            assert r"\frac{\partial L}" in shown.to_markdown()


def test_a_chain_reads_as_in_a_textbook() -> None:
    weights = {"weights_initializer": [[0.5], [0.2]], "bias_initializer": [1.83]}
    net = reference.Network(
        [Dense(1, "sigmoid", **weights)],
        input_shape=2,
        loss="half_squared_error",
        optimizer=fastbp.SGD(0.01),
        dtype="float64",
    )
    lines = str(net.explain([[0.1, 0.3]], [[0.03]]).chain("dense", weight=(1, 0))).splitlines()
    assert lines[0] == "dense.weights[1, 0], from input 1 to unit 0 of dense"
    assert lines[2] == "  dL/dw = dL/dy * dy/dz * dz/dw"
    assert lines[4].startswith("  dL/dy = y - t = 0.874352143 - 0.03 = 0.844352143 ")
    assert lines[5].startswith("  dy/dz = y * (1 - y) = 0.874352143 * (1 - 0.874352143) = 0.10986")
    assert lines[6].startswith("  dz/dw = x = 0.3 ")
    assert lines[7] == "  dL/dw = 0.844352143 * 0.109860473 * 0.3 = 0.0278282777"
    assert lines[9].startswith("  w_new = w - eta * dL/dw = 0.2 - 0.01 * 0.0278282777 = 0.1997217")


def test_a_chain_goes_on_with_penalty_step_and_constraint() -> None:
    held = {"weights_regularizer": L1L2(0.1, 0.2), "weights_constraint": 0.5}
    net = reference.Network(
        [Dense(1, weights_initializer=[[0.5], [-1.0]], **held)],
        input_shape=2,
        loss="half_squared_error",
        optimizer=fastbp.SGD(0.1),
    )
    trace = net.explain([[1.0, 2.0]], [[0.5]])  # y is -1.5, so that dL/dw is -2 and -4
    lines = str(trace.chain("dense", weight=(1, 0))).splitlines()[-4:]
    shown, notes = zip(*(re.split("   +", line.strip()) for line in lines), strict=True)
    assert shown == (
        "dR/dw  = l1 * sign(w) + 2 * l2 * w = 0.1 * sign(-1) + 2 * 0.2 * (-1) = -0.5",
        "dJ/dw  = dL/dw + dR/dw = -4 + (-0.5) = -4.5",
        "w_step = w - eta * dJ/dw = -1 - 0.1 * (-4.5) = -0.55",
        "w_new  = w_step * min(1, max_value / norm) = (-0.55) * min(1, 0.5 / 0.866833) = -0.317247",
    )
    assert notes == (
        "penalty, l1_l2",
        "of the batch",
        "eta: the learning rate",
        "max_norm, norm of the weights to unit 0 of dense",
    )


def test_penalties_stand_beside_the_loss() -> None:
    trace = explained(HELD)
    total = f"J = L + R = {trace.samples_loss:.9g} + {trace.penalty:.9g} = {trace.loss:.9g}"
    assert total in re.sub(" +", " ", str(trace))
    assert "half_squared_error and penalties: J = " in str(trace)
    assert "R_dense.weights  = l1 * sum_k abs(w_k) + l2 * sum_k w_k^2 = 0.1 * " in str(trace)
    markdown = trace.to_markdown()
    assert total in markdown.replace("&", "")
    assert r"R_{\text{dense.weights}} &= l1 \cdot \sum_{k}" in markdown
    assert "Then dense.weights, MaxNorm(max_value=0.8, axis=0): w <- w min(1, " in markdown
    assert "predicted change of J" in str(trace.interpret("dense_1", bias=0))
    assert "predicted change of L" in str(explained(SMALL).interpret("dense_1", bias=0))


def test_a_table_names_the_constraint_that_a_parameter_meets() -> None:
    layer = Dense(1, weights_initializer=[[0.01], [1.0]], weights_constraint="non_neg")
    net = reference.Network([layer], input_shape=2, loss="mse", optimizer="sgd", dtype="float64")
    rows = str(net.explain([[1.0, 1.0]], [[-9.0]])).splitlines()[-3:]
    assert [row.rpartition(" ")[2] == "non_neg" for row in rows] == [True, False, False]


def test_a_chain_of_many_samples_and_units_is_cut_and_still_adds_up() -> None:
    trace = explained([Dense(2, "tanh"), Dense(40)], rows=60)
    chain = trace.chain("dense", weight=(0, 1))
    assert len(chain) == 60
    assert "40 more" in str(chain)
    assert f"{chain.gradient:.9g}" in str(chain)
    assert chain[59].sample == 59
    np.testing.assert_allclose(chain.share @ chain.products, chain.gradient, rtol=1e-12)
    assert "20 more" in str(chain[0])
    with pytest.raises(IndexError):
        chain[60]


def test_a_deep_chain_shows_the_networks_outputs_too() -> None:
    chain = explained([Dense(2, "tanh"), Dense(3, "tanh"), Dense(2)]).chain("dense", bias=0)
    assert [each.through for each in chain.contributions] == [
        "units k of dense_1",
        "outputs k of the network",
    ]
    assert [len(each.parts) for each in chain.contributions] == [3, 2]


def test_the_rule_of_an_optimizer_stands_below_its_step() -> None:
    chain = str(explained(SMALL, optimizer="adam").chain("dense", bias=0))
    assert "adam: m <- beta_1 m" in chain
    assert "eta" not in chain.partition("adam:")[0]


class TestInterpretation:
    def test_it_tells_sign_size_and_how_far_the_prediction_holds(self) -> None:
        trace = explained(SMALL)
        told = trace.interpret("dense_1", bias=0, change=0.5)
        assert told.predicted == told.gradient * 0.5
        changed = trace["dense_1"].biases + np.array([0.5, 0])
        assert told.actual == trace.loss_at({"dense_1.biases": changed}) - trace.loss
        # With a tenth of the change, the share by which a straight line is off shrinks to a tenth.
        off = [abs(actual / predicted - 1) for _, predicted, actual in told.checks]
        assert off[2] == pytest.approx(off[1] / 10, rel=0.1)
        sign = "positive" if told.gradient > 0 else "negative"
        assert f"Sign: {sign}." in str(told)

    def test_a_derivative_of_0_is_told_its_reason(self) -> None:
        net = reference.Network([Dense(1, "relu"), Dense(1)], input_shape=1, loss="mse", seed=0)
        net.parameters[:] = [1, 1, -5, 0]
        told = str(net.explain([[1.0]], [[1.0]]).interpret("dense", weight=(0, 0)))
        assert "for da/dz (relu) is 0" in told
        assert "The loss did not change." in told
        assert "nan" not in told

    def test_the_largest_derivative_is_known_as_such(self) -> None:
        trace = explained([Dense(1)], inputs=1)
        told = [str(trace.interpret("dense", **at)) for at in ({"weight": (0, 0)}, {"bias": 0})]
        assert sorted("none is larger" in each for each in told) == [False, True]

    def test_a_change_of_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="change: expected a number other than 0"):
            explained(SMALL).interpret("dense", bias=0, change=0)


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"layer": "dens", "bias": 0}, ValueError, "layer: expected one of .*did you mean 'dense'"),
    ({"layer": "rescale", "bias": 0}, ValueError, "layer: expected one of 'dense', 'dense_1'"),
    ({"layer": "dense"}, ValueError, "weight: expected either weight= or bias=, got neither"),
    ({"layer": "dense", "weight": (0, 0), "bias": 0}, ValueError, "got both"),
    (
        {"layer": "dense", "weight": 3},
        ValueError,
        r"weight: expected a pair \(input, unit\), got 3",
    ),
    ({"layer": "dense", "weight": (0, 3)}, ValueError, r"weight\[1\]: .* in \[0, 2\], got 3"),
    ({"layer": "dense", "weight": (0.5, 0)}, TypeError, r"weight\[0\]: expected an integer"),
    ({"layer": "dense", "bias": -1}, ValueError, r"bias: .* in \[0, 2\], got -1"),
    (
        {"layer": "dense_1", "bias": 0},
        ValueError,
        "bias: expected a layer with biases, got dense_1",
    ),
    ({"layer": "dense", "bias": 0, "sample": 1}, ValueError, r"sample: .* in \[0, 0\], got 1"),
]


@pytest.mark.parametrize(("given", "error", "message"), BAD, ids=[str(given) for given, *_ in BAD])
def test_what_is_not_there_is_refused(given: Any, error: Any, message: str) -> None:
    trace = explained([Rescale(2), Dense(3, "tanh"), Dense(2, use_bias=False)])
    with pytest.raises(error, match=message):
        trace.chain(**given)


def test_loss_at_refuses_unknown_names_and_wrong_shapes() -> None:
    trace = explained(SMALL)
    with pytest.raises(ValueError, match=r"parameters: expected one of .* got 'dense.weight'"):
        trace.loss_at({"dense.weight": 1})
    with pytest.raises(ValueError, match=r"expected shape \(2,\), got \(3,\)"):
        trace.loss_at({"dense.biases": [1, 2, 3]})
    with pytest.raises(ValueError, match="layer: expected one of"):
        trace["dense_2"]


def test_explain_refuses_what_fit_refuses() -> None:
    net = reference.Network([Dense(2)], input_shape=3)
    with pytest.raises(ValueError, match="loss: expected a loss"):
        net.explain(np.ones((1, 3)), np.ones((1, 2)))
    net = reference.Network([Dense(2)], input_shape=3, loss="mse")
    with pytest.raises(ValueError, match=r"x: expected shape \(rows, 3\), got \(3,\)"):
        net.explain([1, 2, 3], [[1, 2]])
    with pytest.raises(ValueError, match="y: expected finite"):
        net.explain([[1, 2, 3]], [[1, np.nan]])
    with pytest.raises(RuntimeError, match="expected known sizes"):
        reference.Network([Dense(2)], loss="mse").explain([[1.0]], [[1, 2]])


def test_a_network_that_diverged_is_explained_without_a_step() -> None:
    net = reference.Network([Dense(1)], input_shape=1, loss="mse", dtype="float64")
    net.parameters[:] = 1e200
    trace = net.explain([[1e200]], [[0.0]])
    assert trace.loss == np.inf
    assert "no step: the loss or its gradient is not finite" in str(trace)


class TestPicture:
    @pytest.fixture(autouse=True)
    def axes(self) -> Any:
        figures = pytest.importorskip("matplotlib.figure")
        return figures.Figure().subplots()

    def words(self, axes: Any) -> list[str]:
        return [text.get_text().replace("\u2212", "-") for text in axes.texts]

    def test_values_stand_at_units_and_lines(self, axes: Any) -> None:
        trace = explained(SMALL, rows=2)
        assert trace.plot(sample=1, axes=axes) is axes
        words = self.words(axes)
        for layer in trace.layers:
            contributions = np.outer(layer.inputs[1], layer.delta[1])
            for value in (*layer.weights.ravel(), *contributions.ravel(), *layer.output[1]):
                assert f"{value:.3g}" in words
            for delta in layer.delta[1]:
                assert f"$\\delta$ = {delta:.3g}" in words
        # Four units and two inputs, and the loss; each line of weights, and those to the loss.
        assert (len(axes.patches), len(axes.lines)) == (7, 4 + 4 + 2)

    def test_forward_and_backward_have_colours_of_their_own(self, axes: Any) -> None:
        trace = explained(SMALL)
        trace.plot(axes=axes)
        colours: dict[str, set[str]] = {}
        for text, word in zip(axes.texts, self.words(axes), strict=True):
            colours.setdefault(text.get_color(), set()).add(word)
        (forward,) = [
            c for c, words in colours.items() if f"{trace['dense'].weights[0, 0]:.3g}" in words
        ]
        (backward,) = [c for c, words in colours.items() if any("delta" in word for word in words)]
        assert forward != backward

    def test_every_layer_can_be_drawn(self, axes: Any) -> None:
        explained(MIXED).plot(axes=axes)
        named = self.words(axes)
        assert {"input", "rescale", "dense", "dropout", "dense_1", "activation"} <= set(named)

    @pytest.mark.parametrize("layers", [[Dense(5)], [Dense(1)] * 7], ids=["wide", "deep"])
    def test_a_network_that_is_too_large_is_refused_with_the_limit(self, layers: Any) -> None:
        with pytest.raises(ValueError, match=r"plot: expected at most 4 units and 12 weights"):
            explained(layers).plot()

    def test_the_page_of_a_small_network_has_a_picture_always_the_same(self) -> None:
        trace = explained(SMALL)
        page = trace.to_html()
        assert page.count("<svg") == 1
        assert page == trace.to_html()
        assert "<svg" not in trace.to_html("dense")
