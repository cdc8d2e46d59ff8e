"""Gradient descent as a textbook tells it: down a curve, from any start, at a rate of some size."""

from __future__ import annotations

import numpy as np
import pytest
from textbook import dense, network, train

import fastbp


class TestDescent:
    """E(w) = 1/2 (x w - t)^2, a parabola of curvature x^2: w - t/x shrinks by 1 - lr x^2 a step."""

    x = 2.0
    t = 6.0
    curvature = 4.0
    lowest = 3.0

    def start(self, Network: type[fastbp.Network], w: float, lr: float) -> fastbp.Network:
        return network(Network, dense([[w]], None, None), lr=lr)

    def descend(
        self, Network: type[fastbp.Network], w: float, factor: float, steps: int
    ) -> np.ndarray:
        """Return w - t/x at each step, at the rate that multiplies it by `factor`."""
        net = self.start(Network, w, (1 - factor) / self.curvature)
        history = train(net, [[self.x]], [[self.t]], steps, record_outputs=True)
        errors = (history.outputs[:, 0, 0] - self.t) / self.x
        expected = (w - self.lowest) * factor ** np.arange(steps)
        # Each step rounds w, of at most 10 + |error|; what it adds is multiplied by |factor|.
        size = 10 + np.abs(expected).max()
        limit = 8 * np.finfo(float).eps * size * np.cumsum(np.abs(factor) ** np.arange(steps))
        np.testing.assert_array_less(np.abs(errors - expected), limit + 1e-300)
        losses = (self.x * expected) ** 2 / 2
        np.testing.assert_allclose(
            history["loss"], losses, rtol=1e-12, atol=1e-12 * (losses[0] + losses[-1])
        )
        return errors

    @pytest.mark.parametrize("w", [-5.0, 0.0, 2.9, 10.0])
    def test_a_low_rate_crawls(self, Network: type[fastbp.Network], w: float) -> None:
        errors = self.descend(Network, w, 0.999, 100)
        assert np.abs(errors[-1]) > 0.9 * np.abs(errors[0])

    @pytest.mark.parametrize("w", [-5.0, 0.0, 2.9, 10.0])
    def test_a_good_rate_converges_from_any_start(
        self, Network: type[fastbp.Network], w: float
    ) -> None:
        errors = self.descend(Network, w, 0.5, 60)
        assert (np.sign(errors[:20]) == np.sign(w - self.lowest)).all()
        assert np.abs(errors[-1]) < 1e-14

    def test_one_over_the_curvature_arrives_in_one_step(
        self, Network: type[fastbp.Network]
    ) -> None:
        assert self.descend(Network, 10.0, 0.0, 3).tolist() == [7.0, 0.0, 0.0]

    def test_a_high_rate_oscillates_and_converges(self, Network: type[fastbp.Network]) -> None:
        errors = self.descend(Network, 10.0, -0.75, 60)
        assert (errors[1:] * errors[:-1] < 0).all()
        assert (np.abs(errors[1:]) < np.abs(errors[:-1])).all()

    def test_two_over_the_curvature_oscillates_for_ever(
        self, Network: type[fastbp.Network]
    ) -> None:
        assert self.descend(Network, 10.0, -1.0, 1000).tolist() == [7.0, -7.0] * 500

    def test_more_than_two_over_the_curvature_diverges(self, Network: type[fastbp.Network]) -> None:
        errors = self.descend(Network, 10.0, -1.25, 60)
        assert (np.abs(errors[1:]) > np.abs(errors[:-1])).all()
        net = self.start(Network, 10.0, 2.25 / self.curvature)
        with pytest.warns(fastbp.DivergenceWarning, match="diverged"):
            train(net, [[self.x]], [[self.t]], 10_000)
        # The last good snapshot is from after 1,024 steps, for |w| is then some 1e99.
        assert net.parameters[0] == pytest.approx(7 * 1.25**1024, rel=1e-9)

    @pytest.mark.parametrize("threshold", [1.0, 1e-6])
    def test_training_stops_under_a_threshold(
        self, Network: type[fastbp.Network], threshold: float
    ) -> None:
        """The loss falls to a quarter at each step, from 98."""
        net = self.start(Network, 10.0, 0.5 / self.curvature)
        history = train(net, [[self.x]], [[self.t]], 1000, stop_at_loss=threshold)
        steps = int(np.ceil(np.log(98 / threshold) / np.log(4)))
        assert history.epochs == len(history["loss"]) == steps + 1
        assert history["loss"][-1] <= threshold < history["loss"][-2]

    def test_a_threshold_that_is_not_reached_is_told(self, Network: type[fastbp.Network]) -> None:
        net = self.start(Network, 10.0, 0.5 / self.curvature)
        with pytest.warns(fastbp.ConvergenceWarning, match="above stop_at_loss=1e-06"):
            train(net, [[self.x]], [[self.t]], 10, stop_at_loss=1e-6)


def test_a_folded_bias_equals_a_separate_one(Network: type[fastbp.Network]) -> None:
    """A perceptron of three classes; the folded bias is the weight of a column of ones."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(50, 4)), rng.integers(0, 3, 50)
    with_ones = np.hstack([x, np.ones((50, 1))])
    weights = rng.normal(size=(5, 3))
    loss = "sparse_categorical_crossentropy"
    separate = network(Network, dense(weights[:4], weights[4], "softmax"), loss=loss, lr=0.5)
    folded = network(Network, dense(weights, None, "softmax"), loss=loss, lr=0.5)
    for steps in (0, 1, 100):
        if steps:
            train(separate, x, labels, steps)
            train(folded, with_ones, labels, steps)
        np.testing.assert_allclose(
            separate.predict(x), folded.predict(with_ones), rtol=0, atol=1e-12
        )
        a = separate.loss_and_gradients(x, labels)
        b = folded.loss_and_gradients(with_ones, labels)
        assert a[0] == pytest.approx(b[0], abs=1e-12)
        # The folded biases are the last row of the weights: both vectors have the same order.
        np.testing.assert_allclose(a[1], b[1], rtol=0, atol=1e-12)
        np.testing.assert_allclose(separate.parameters, folded.parameters, rtol=0, atol=1e-12)
