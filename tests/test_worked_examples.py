"""Worked examples of textbooks, to the digits that the texts give.

A number is right if it is off by at most half a unit of the last digit given, or 1e-12. Where a
text is wrong, the exact value is tested.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from textbook import dense, given, network, train

import fastbp
from fastbp import Activation, Dense
from fastbp.losses import HalfSquaredError

COMPILED_IN_FULL = pytest.mark.parametrize(
    "Network", ["compiled", pytest.param("reference", marks=pytest.mark.thorough)], indirect=True
)


class TestOneNeuron:
    """Two inputs, sigmoid, 1/2 (t - y)^2."""

    x = np.array([[0.1, 0.3]])
    t = np.array([[0.03]])
    lr = 0.01

    @pytest.fixture
    def neuron(self, Network: type[fastbp.Network]) -> fastbp.Network:
        return network(Network, dense([[0.5], [0.2]], [1.83]), lr=self.lr)

    def error(self, net: fastbp.Network, weights: Any = None, bias: Any = None) -> float:
        """Return E, with these weights and this bias in place of its own."""
        twin = net.copy()
        if weights is not None:
            twin.layers[0].weights[:, 0] = weights
        if bias is not None:
            twin.layers[0].biases[:] = bias
        return twin.evaluate(self.x, self.t)["loss"]

    def by_gradient(self, net: fastbp.Network) -> tuple[np.ndarray, float]:
        """Return weights and bias after one step."""
        twin = net.copy()
        twin.train_on_batch(self.x, self.t)
        return twin.layers[0].weights[:, 0], twin.layers[0].biases[0]

    def by_delta_rule(self, net: fastbp.Network) -> tuple[np.ndarray, float]:
        """Return weights and bias after one step that leaves out the sigmoid's derivative."""
        ((error,),) = self.t - net.forward(self.x)
        layer = net.layers[0]
        return layer.weights[:, 0] + self.lr * error * self.x[0], layer.biases[0] + self.lr * error

    def test_forward(self, Network: type[fastbp.Network], neuron: fastbp.Network) -> None:
        linear = network(Network, dense([[0.5], [0.2]], [1.83], None))
        assert linear.predict(self.x)[0, 0] == given("1.940000000000")
        y = neuron.predict(self.x)[0, 0]
        assert [y, 1 - y] == given("0.874352143", "0.125647857")
        # The text gives 0.143703949 for e^-s = 1/y - 1 and leaves off what comes behind it.
        assert 1 / y - 1 == given("0.143703950")
        assert neuron.evaluate(self.x, self.t)["loss"] == given("0.356465271")

    def test_backward(self, Network: type[fastbp.Network], neuron: fastbp.Network) -> None:
        y = neuron.forward(self.x)
        assert (y - self.t)[0, 0] == given("0.844352143")
        sigmoid = network(Network, Activation("sigmoid"))
        sigmoid.forward([[1.94]])
        assert sigmoid.backward([[1.0]])[0, 0] == given("0.109860473")
        _, gradients = neuron.loss_and_gradients(self.x, self.t)
        # The text says ds/db = 0, and so dE/db = 0; ds/db is 1.
        assert gradients.tolist() == given("0.009276093", "0.027828278", "0.092760925582")
        assert neuron.layers[0].weights_gradient.tolist() == gradients[:2, None].tolist()
        neuron.forward(self.x)
        neuron.backward(y - self.t)
        assert neuron.gradients.tolist() == given("0.009276093", "0.027828278", "0.092760925582")

    def test_steps(self, neuron: fastbp.Network) -> None:
        weights, bias = self.by_gradient(neuron)
        assert weights.tolist() == given("0.49990723907", "0.1997217172")
        assert bias == given("1.829072390744")
        weights, bias = self.by_delta_rule(neuron)
        assert weights.tolist() == given("0.499155648", "0.1974669436")
        assert bias == given("1.821556479")

    def test_error_after_a_step(self, neuron: fastbp.Network) -> None:
        weights, bias = self.by_gradient(neuron)
        delta_weights, delta_bias = self.by_delta_rule(neuron)
        mixed = self.error(neuron, weights, delta_bias)
        assert mixed == given("0.355671346567")
        assert self.error(neuron) - mixed == given("0.00079392")
        assert self.error(neuron, weights) == given("0.356456666267")
        assert self.error(neuron, weights, bias) == given("0.356370590749")
        assert self.error(neuron, delta_weights, delta_bias) == given("0.355601243788")

    def test_a_fit_freezes_the_bias_where_asked_to(self, Network: type[fastbp.Network]) -> None:
        errors = []
        for trained in (False, True):
            layer = dense([[0.5], [0.2]], [1.83], bias_trainable=trained)
            net = network(Network, layer, lr=self.lr)
            train(net, self.x, self.t, 1)
            errors.append(net.evaluate(self.x, self.t)["loss"])
        assert errors == given("0.356456666267", "0.356370590749")

    def test_mix_from_rounded_weights(
        self, Network: type[fastbp.Network], neuron: fastbp.Network
    ) -> None:
        """The text goes on from the digits that it printed."""
        weights, bias = [[0.49990723907], [0.1997217172]], [1.821556479]
        linear = network(Network, dense(weights, bias, None))
        assert linear.predict(self.x)[0, 0] == given("1.931463718067")
        neuron.set_parameters({"dense.weights": weights, "dense.biases": bias})
        assert neuron.predict(self.x)[0, 0] == given("0.873411342830056")
        assert self.error(neuron) == given("0.35567134660719907")

    def test_what_one_more_on_a_weight_does(self, neuron: fastbp.Network) -> None:
        """The gradient speaks of small changes; one of 1 is not small."""
        before = self.error(neuron)
        _, gradients = neuron.loss_and_gradients(self.x, self.t)
        changes = [self.error(neuron, weights) - before for weights in ([1.5, 0.2], [0.5, 1.2])]
        assert gradients[:2].tolist() == given("0.009276", "0.027828")
        assert changes == given("0.008990", "0.025284")


class TestEightyThousandSteps:
    """Two inputs, sigmoid, no bias, (p - t)^2."""

    x = np.array([[0.1, 0.4]])
    t = np.array([[0.7]])
    steps = 80_000
    starts = (
        np.random.RandomState(0).rand(2),
        (0.0, 0.0),
        (0.0, 1.0),
        (1.0, 0.0),
        (1.0, 1.0),
        (0.3, 0.6),
    )

    def start(self, Network: type[fastbp.Network], weights: Any) -> fastbp.Network:
        return network(Network, dense(np.reshape(weights, (2, 1))), loss="squared_error")

    def test_gradient_is_twice_the_error(self, Network: type[fastbp.Network]) -> None:
        net = self.start(Network, self.starts[0])
        p = net.forward(self.x)
        net.backward(2 * (p - self.t))
        by_hand = net.gradients.copy()
        np.testing.assert_allclose(
            net.loss_and_gradients(self.x, self.t)[1], by_hand, rtol=0, atol=1e-15
        )

    @COMPILED_IN_FULL
    def test_first_start(self, Network: type[fastbp.Network]) -> None:
        net = self.start(Network, self.starts[0])
        history = train(net, self.x, self.t, self.steps, record_outputs=True)
        assert history.outputs.shape == (self.steps, 1, 1)
        # The last forward pass comes before the last update.
        assert history.outputs[-1, 0, 0] == given("0.69999948996878891")
        assert net.predict(self.x)[0, 0] == given("0.6999994900453")
        errors = (history.outputs[:, 0, 0] - 0.7) ** 2
        np.testing.assert_allclose(history["loss"], errors, rtol=0, atol=1e-15)
        assert (np.diff(errors) < 0).all()

    @COMPILED_IN_FULL
    @pytest.mark.parametrize("start", range(len(starts)))
    def test_every_start_ends_in_the_same_place(
        self, Network: type[fastbp.Network], start: int
    ) -> None:
        net = self.start(Network, self.starts[start])
        train(net, self.x, self.t, self.steps)
        # From 0.69999924 to 0.69999963, and from 1.4e-13 to 5.7e-13, to the digits given.
        assert 0.699999235 <= net.predict(self.x)[0, 0] <= 0.699999635
        assert 1.35e-13 <= net.evaluate(self.x, self.t)["loss"] <= 5.75e-13

    def test_first_steps_are_those_of_the_loop(self, Network: type[fastbp.Network]) -> None:
        net = self.start(Network, self.starts[0])
        train(net, self.x, self.t, 500)
        w = np.array(self.starts[0])
        for _ in range(500):
            p = 1 / (1 + np.exp(-(self.x[0] @ w)))
            w -= 0.01 * 2 * (p - 0.7) * p * (1 - p) * self.x[0]
        np.testing.assert_allclose(net.parameters, w, rtol=0, atol=1e-12)


class TwoTwoTwo:
    """Two inputs, two hidden and two output units, sigmoid twice, 1/2 sum (t - o)^2."""

    x = np.array([[0.05, 0.10]])
    hidden = ([[0.15, 0.25], [0.20, 0.30]], [0.35, 0.35])
    outputs = ([[0.40, 0.50], [0.45, 0.55]], [0.60, 0.60])

    def build(self, Network: type[fastbp.Network], biases: bool = False) -> fastbp.Network:
        layers = [dense(*given, bias_trainable=biases) for given in (self.hidden, self.outputs)]
        return network(Network, *layers, lr=0.5)

    @staticmethod
    def weights(net: fastbp.Network) -> list[float]:
        """Return w1 to w8: the text numbers them unit by unit."""
        return [w for layer in net.layers for w in layer.weights.T.ravel().tolist()]


class TestTwoTwoTwo(TwoTwoTwo):
    """With targets 0.01 and 0.99."""

    t = np.array([[0.01, 0.99]])

    def test_forward(self, Network: type[fastbp.Network]) -> None:
        net_h = network(Network, dense(*self.hidden, None)).predict(self.x)
        assert net_h[0].tolist() == given("0.377500000000", "0.392500000000")
        a1 = network(Network, dense(*self.hidden)).predict(self.x)
        assert a1[0].tolist() == given("0.593269992", "0.596884378")
        net_o = network(Network, dense(*self.outputs, None)).predict(a1)
        assert net_o[0, 0] == given("1.105905967")
        net = self.build(Network)
        a2 = net.predict(self.x)
        assert a2[0].tolist() == given("0.75136507", "0.772928465")
        errors = (a2 - self.t)[0] ** 2 / 2
        assert errors.tolist() == given("0.274811083", "0.023560026")
        assert net.evaluate(self.x, self.t)["loss"] == given("0.298371109")

    def test_backward(self, Network: type[fastbp.Network]) -> None:
        first, second = (network(Network, dense(*given)) for given in (self.hidden, self.outputs))
        a1 = first.forward(self.x)
        error = second.forward(a1) - self.t
        assert error[0, 0] == given("0.74136507")
        hidden = [second.backward(error * only)[0] for only in ([1, 0], [0, 1], [1, 1])]
        # The text ends the second in 9: it multiplies rounded numbers.
        assert [da[0] for da in hidden] == given("0.055399425", "-0.019049118", "0.036350306")
        assert second.layers[0].weights_gradient[0, 0] == given("0.082167041")
        delta = second.layers[0].biases_gradient[0]  # a bias's input is 1
        assert delta == given("0.138498562")
        assert delta / error[0, 0] == given("0.186815602")
        first.backward([[1.0, 0.0]])
        assert first.layers[0].biases_gradient[0] == given("0.241300709")
        first.backward(hidden[2][None])
        assert first.layers[0].weights_gradient[0, 0] == given("0.000438568")

    def test_gradients_of_the_whole(self, Network: type[fastbp.Network]) -> None:
        net = self.build(Network)
        net.loss_and_gradients(self.x, self.t)
        assert net.layers[0].weights_gradient[0, 0] == given("0.000438568")
        assert net.layers[1].weights_gradient[0, 0] == given("0.082167041")
        assert not net.layers[0].biases_gradient.any()
        assert not net.layers[1].biases_gradient.any()

    def test_one_step(self, Network: type[fastbp.Network]) -> None:
        net = self.build(Network)
        train(net, self.x, self.t, 1)
        new = self.weights(net)
        # The text prints 0.299 for w4.
        assert new[:4] == given("0.149780716", "0.19956143", "0.24975114", "0.299502287")
        assert new[4:] == given("0.35891648", "0.408666186", "0.511301270", "0.561370121")
        assert net.evaluate(self.x, self.t)["loss"] == given("0.291027773694")

    def test_the_printed_error_after_a_step_comes_from_updated_weights(
        self, Network: type[fastbp.Network]
    ) -> None:
        """The text's hidden delta has gone through W2 after its update; ours goes before."""
        net = self.build(Network)
        net.loss_and_gradients(self.x, self.t)
        a1 = network(Network, dense(*self.hidden)).predict(self.x)
        delta = net.layers[1].weights_gradient[:1] / a1[0, 0]
        net.step()
        through_new = network(Network, dense(net.layers[1].weights, None, None))
        through_new.forward(a1)
        first = network(Network, dense(*self.hidden, bias_trainable=False), lr=0.5)
        first.forward(self.x)
        first.backward(through_new.backward(delta))
        first.step()
        net.layers[0].weights[:] = first.layers[0].weights
        assert net.evaluate(self.x, self.t)["loss"] == given("0.291027924")

    def test_ten_thousand_steps(self, Network: type[fastbp.Network]) -> None:
        net = self.build(Network)
        history = train(net, self.x, self.t, 10_000)
        assert history["loss"][1] == given("0.291027773694")
        # An epoch's loss is from before its update: the text's last one is that after 9,999.
        assert history["loss"][9_999] == given("3.510854812e-5")
        assert net.evaluate(self.x, self.t)["loss"] == given("3.510187783e-5")
        assert net.predict(self.x)[0].tolist() == given("0.015913620", "0.984064274")
        assert [layer.biases.tolist() for layer in net.layers] == [[0.35, 0.35], [0.6, 0.6]]

    @COMPILED_IN_FULL
    def test_ten_thousand_steps_with_biases(self, Network: type[fastbp.Network]) -> None:
        net = self.build(Network, biases=True)
        history = train(net, self.x, self.t, 10_000)
        assert history["loss"][1] == given("0.280471446791")
        assert net.evaluate(self.x, self.t)["loss"] == given("2.4476e-6")


class TestTwoTwoTwoWithAnotherTarget(TwoTwoTwo):
    """With targets 0.01 and 0.22."""

    t = np.array([[0.01, 0.22]])

    def test_one_step(self, Network: type[fastbp.Network]) -> None:
        net = self.build(Network)
        assert net.evaluate(self.x, self.t)["loss"] == given("0.427676027")
        train(net, self.x, self.t, 1)
        new = self.weights(net)
        assert new[0] == given("0.149373091")
        # The text prints 0.3595 for w5, and for w7 and w8 0.511 and 0.561, which belong to 0.99.
        assert [new[4], *new[6:]] == given("0.358916", "0.471213204", "0.521037826")
        assert net.evaluate(self.x, self.t)["loss"] == given("0.417487109")

    @COMPILED_IN_FULL
    def test_ten_thousand_steps(self, Network: type[fastbp.Network]) -> None:
        net = self.build(Network)
        train(net, self.x, self.t, 10_000)
        assert net.evaluate(self.x, self.t)["loss"] == given("1.8318e-5")


class TestXor:
    """2-2-1, sigmoid twice, 1/2 (y - t)^2, gradients summed over the four rows."""

    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    t = np.array([0, 1, 1, 0])
    epochs = 10_000

    def start(self, Network: type[fastbp.Network], seed: int) -> fastbp.Network:
        draws = np.random.RandomState(seed)
        (hidden, hidden_biases), (output, output_biases) = (
            (draws.rand(n_in, n_out), draws.rand(1, n_out)[0]) for n_in, n_out in ((2, 2), (2, 1))
        )
        layers = dense(hidden, hidden_biases), dense(output, output_biases)
        return network(Network, *layers, loss=HalfSquaredError(reduction="sum"), lr=0.1)

    def mean_squared_error(self, net: fastbp.Network) -> float:
        return float(((net.predict(self.x)[:, 0] - self.t) ** 2).mean())

    def test_gradients_are_summed(self, Network: type[fastbp.Network]) -> None:
        net = self.start(Network, 0)
        whole = net.loss_and_gradients(self.x, self.t)[1].copy()
        for row in range(4):
            one = slice(row, row + 1)
            net.loss_and_gradients(self.x[one], self.t[one], accumulate=row > 0)
        np.testing.assert_allclose(net.gradients, whole, rtol=0, atol=1e-15)

    def test_first_start(self, Network: type[fastbp.Network]) -> None:
        net = self.start(Network, 0)
        history = train(net, self.x, self.t, self.epochs, record_outputs=True)
        assert history.outputs[-1, :, 0].tolist() == given(
            ".05770383", ".9470198", ".9469948", ".05712647"
        )
        assert net.predict(self.x)[:, 0].tolist() == given(
            ".05769844", ".94702524", ".94700024", ".05712028"
        )
        assert self.mean_squared_error(net) == given(".00305178")

    @COMPILED_IN_FULL
    def test_79_of_100_starts_solve_it(self, Network: type[fastbp.Network]) -> None:
        """Gradient descent finds a minimum nearby, which need not be the lowest."""
        errors, solved = [], []
        for seed in range(100):
            net = self.start(Network, seed)
            train(net, self.x, self.t, self.epochs)
            errors.append(self.mean_squared_error(net))
            solved.append(((net.predict(self.x)[:, 0] > 0.5) == self.t).all())
        stuck = np.flatnonzero(np.logical_not(solved))
        assert (len(stuck), *stuck[:4].tolist()) == (21, 11, 14, 17, 21)
        assert np.median(errors) == given(".00383")
        assert max(errors) == given(".2495")


@pytest.mark.parametrize(
    ("inputs", "units", "parameters"),
    [(10, [6], 66), (10, [6, 4, 1], 66 + 28 + 5), (784, [128, 10], 101_770)],
)
def test_number_of_parameters(
    Network: type[fastbp.Network], inputs: int, units: list[int], parameters: int
) -> None:
    net = Network([Dense(n) for n in units], input_shape=inputs)
    assert net.n_parameters == parameters == net.parameters.size
    assert f"{parameters:,} parameters" in net.summary()


def test_a_single_linear_neuron(Network: type[fastbp.Network]) -> None:
    assert network(Network, dense([[0.5]], [1], None)).predict([[4]]).tolist() == [[3.0]]
