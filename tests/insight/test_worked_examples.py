"""Every number of three worked examples comes out of `explain`, to the digits that are given.

Where a text is wrong, the exact value is tested; see the chapters in docs/.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from textbook import dense, given, network

import fastbp
from fastbp.insight import Chain, Trace


def values(chain: Any) -> list[float]:
    assert isinstance(chain, Chain)
    return [factor.value for factor in chain.factors]


class TestOneNeuron:
    x, t = [[0.1, 0.3]], [[0.03]]

    @pytest.fixture
    def neuron(self, Network: type[fastbp.Network]) -> fastbp.Network:
        return network(Network, dense([[0.5], [0.2]], [1.83]))

    @pytest.fixture
    def trace(self, neuron: fastbp.Network) -> Trace:
        return neuron.explain(self.x, self.t)

    def test_forward_and_loss(self, trace: Trace) -> None:
        assert trace["dense"].net_input[0, 0] == given("1.940000000000")
        y = trace.outputs[0, 0]
        assert [y, 1 - y] == given("0.874352143", "0.125647857")
        assert 1 / y - 1 == given("0.143703950")  # the text leaves off what comes behind ...949
        assert trace.loss == given("0.356465271")

    def test_chains(self, trace: Trace) -> None:
        expected = given("0.844352143", "0.109860473")
        chains = [trace.chain("dense", weight=(0, 0)), trace.chain("dense", weight=(1, 0))]
        assert [values(chain) for chain in chains] == [[*expected, 0.1], [*expected, 0.3]]
        assert [chain.product for chain in chains] == given("0.009276093", "0.027828278")
        # The text says that the net input does not depend on the bias.
        bias = trace.chain("dense", bias=0)
        assert values(bias) == [*expected, 1.0]
        assert bias.gradient == given("0.092760925582")

    def test_steps_and_their_losses(self, trace: Trace) -> None:
        layer = trace["dense"]
        new = layer.new_parameters
        assert new["weights"][:, 0].tolist() == given("0.49990723907", "0.1997217172")
        assert new["biases"][0] == given("1.829072390744")
        first = trace.chain("dense", weight=(0, 0)).factors[0]
        assert first.name == "dL/dy"
        delta_weights = layer.weights - trace.learning_rate * first.value * layer.inputs.T
        delta_biases = layer.biases - trace.learning_rate * first.value
        assert delta_weights[:, 0].tolist() == given("0.499155648", "0.1974669436")
        assert delta_biases[0] == given("1.821556479")
        mixed = trace.loss_at({"dense.weights": new["weights"], "dense.biases": delta_biases})
        assert mixed == given("0.355671346567")
        assert trace.loss - mixed == given("0.00079392")
        assert trace.loss_at({"dense.weights": new["weights"]}) == given("0.356456666267")
        assert trace.loss_after == given("0.356370590749")
        delta = {"dense.weights": delta_weights, "dense.biases": delta_biases}
        assert trace.loss_at(delta) == given("0.355601243788")

    def test_the_mix_of_rounded_numbers(self, neuron: fastbp.Network) -> None:
        weights, bias = [[0.49990723907], [0.1997217172]], [1.821556479]
        neuron.set_parameters({"dense.weights": weights, "dense.biases": bias})
        trace = neuron.explain(self.x, self.t)
        assert trace["dense"].net_input[0, 0] == given("1.931463718067")
        assert trace.outputs[0, 0] == given("0.873411342830056")
        assert trace.loss == given("0.35567134660719907")

    def test_what_one_more_on_a_weight_does(self, trace: Trace) -> None:
        told = [trace.interpret("dense", weight=(i, 0), change=1) for i in (0, 1)]
        assert [each.predicted for each in told] == given("0.009276", "0.027828")
        assert [each.actual for each in told] == given("0.008990", "0.025284")


class TwoLayers:
    x = [[0.05, 0.10]]

    @pytest.fixture
    def net(self, Network: type[fastbp.Network]) -> fastbp.Network:
        return self.build(Network)

    def build(self, Network: type[fastbp.Network], biases: bool = False) -> fastbp.Network:
        hidden = dense([[0.15, 0.25], [0.20, 0.30]], [0.35, 0.35], bias_trainable=biases)
        outputs = dense([[0.40, 0.50], [0.45, 0.55]], [0.60, 0.60], bias_trainable=biases)
        return network(Network, hidden, outputs, lr=0.5)

    @pytest.fixture
    def trace(self, net: fastbp.Network) -> Trace:
        return net.explain(self.x, self.t)

    def new(self, trace: Trace) -> list[float]:
        """Return w1 to w8 after the step: the text numbers them unit by unit."""
        steps = [layer.new_parameters["weights"].T.ravel() for layer in trace.layers]
        return np.concatenate(steps).tolist()

    def after(self, net: fastbp.Network, steps: int) -> Trace:
        net.fit(self.x, self.t, epochs=steps, batch_size=1, verbose=0)
        return net.explain(self.x, self.t)


class TestTwoLayers(TwoLayers):
    t = [[0.01, 0.99]]

    def test_forward_and_loss(self, trace: Trace) -> None:
        first, second = trace.layers
        assert first.net_input[0].tolist() == given("0.377500000000", "0.392500000000")
        assert first.output[0].tolist() == given("0.593269992", "0.596884378")
        assert second.net_input[0, 0] == given("1.105905967")
        assert trace.outputs[0].tolist() == given("0.75136507", "0.772928465")
        assert trace.output_losses[0].tolist() == given("0.274811083", "0.023560026")
        assert trace.loss == given("0.298371109")

    def test_the_chain_of_w5(self, trace: Trace) -> None:
        chain = trace.chain("dense_1", weight=(0, 0))
        assert values(chain) == given("0.74136507", "0.186815602", "0.593269992")
        assert chain.product == given("0.082167041")
        assert chain.contributions == ()
        assert trace["dense_1"].delta[0, 0] == given("0.138498562")

    def test_the_chain_of_w1(self, trace: Trace) -> None:
        chain = trace.chain("dense", weight=(0, 0))
        (through,) = chain.contributions
        # The text ends the second in 9: it multiplies rounded numbers.
        assert through.parts.tolist() == given("0.055399425", "-0.019049118")
        assert values(chain) == given("0.036350306", "0.241300709", "0.050000000000")
        assert chain.product == given("0.000438568")

    def test_a_step(self, trace: Trace) -> None:
        # The text prints 0.299 for w4.
        assert self.new(trace) == given(
            "0.149780716", "0.19956143", "0.24975114", "0.299502287",
            "0.35891648", "0.408666186", "0.511301270", "0.561370121",
        )  # fmt: skip
        assert trace.loss_after == given("0.291027773694")

    def test_the_printed_loss_after_a_step_comes_from_updated_weights(self, trace: Trace) -> None:
        first, second = trace.layers
        new = second.new_parameters["weights"]
        late = first.weights - 0.5 * first.inputs.T @ (second.delta @ new.T * first.slope)
        parameters = {"dense.weights": late, "dense_1.weights": new}
        assert trace.loss_at(parameters) == given("0.291027924")

    def test_biases_stay(self, trace: Trace) -> None:
        for layer, value in zip(trace.layers, (0.35, 0.6), strict=True):
            assert layer.new_parameters["biases"].tolist() == [value, value]
        assert "frozen" in str(trace.chain("dense", bias=1))

    def test_ten_thousand_steps(self, core: None) -> None:
        trace = self.after(self.build(fastbp.Network), 9_999)
        assert [trace.loss, trace.loss_after] == given("3.510854812e-5", "3.510187783e-5")
        last = self.after(self.build(fastbp.Network), 10_000)
        assert last.outputs[0].tolist() == given("0.015913620", "0.984064274")

    def test_ten_thousand_steps_with_biases(self, core: None) -> None:
        net = self.build(fastbp.Network, biases=True)
        assert net.explain(self.x, self.t).loss_after == given("0.280471446791")
        assert self.after(net, 10_000).loss == given("2.4476e-6")


class TestAnotherTarget(TwoLayers):
    t = [[0.01, 0.22]]

    def test_a_step(self, trace: Trace) -> None:
        assert trace.loss == given("0.427676027")
        new = self.new(trace)
        assert new[0] == given("0.149373091")
        # The text prints 0.3595 for w5, and 0.511 and 0.561, which belong to 0.99, for w7 and w8.
        assert [new[4], *new[6:]] == given("0.358916", "0.471213204", "0.521037826")
        assert trace.loss_after == given("0.417487109")

    def test_ten_thousand_steps(self, core: None) -> None:
        trace = self.after(self.build(fastbp.Network), 10_000)
        assert trace.loss == given("1.8318e-5")
