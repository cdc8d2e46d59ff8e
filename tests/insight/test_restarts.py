"""Of several starts the best is kept, and all are told of."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import Dense, initializers, reference
from fastbp.insight import restarts

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
Y = np.array([0, 1, 1, 0])
# An output on the wrong side of one half costs at least that.
WRONG = 1 / 8


def build(Network: Any = fastbp.Network, **more: Any) -> Any:
    start = initializers.Uniform(0, 1)
    layers = [
        Dense(units, "sigmoid", weights_initializer=start, bias_initializer=start)
        for units in (2, 1)
    ]
    given = {
        "loss": fastbp.losses.HalfSquaredError(reduction="sum"),
        "optimizer": fastbp.SGD(0.1),
        "dtype": "float64",
        "seed": 0,
    }
    return Network(layers, input_shape=2, **(given | more))


def test_some_starts_on_exclusive_or_stay_stuck(core: None) -> None:
    found = restarts(build(), X, Y, n=100, epochs=10_000, shuffle=False)
    stuck = (found.losses > WRONG).sum()
    assert 5 <= stuck <= 35  # of other draws 21; the standard deviation is 4
    assert ((found.best.predict(X)[:, 0] > 0.5) == Y).all()
    # The stuck ones stand in few places: most where two rows are right and two at one half.
    assert (abs(found.losses - 0.25) < 0.02).sum() > stuck / 2
    assert "100 starts" in str(found)


def test_21_of_100_of_the_legacy_draws_stay_stuck(core: None) -> None:
    """Draws of NumPy's legacy generator, in the order W1, b1, W2, b2, by seed."""
    losses = []
    for seed in range(100):
        draw, net = np.random.RandomState(seed), build()
        w1, b1, w2, b2 = (draw.rand(*shape) for shape in ((2, 2), (1, 2), (2, 1), (1, 1)))
        net.set_parameters(np.concatenate([part.ravel() for part in (w1, w2, b1, b2)]))
        net.fit(X, Y, epochs=10_000, shuffle=False, verbose=0)
        losses.append(net.evaluate(X, Y)["loss"])
    stuck = np.flatnonzero(np.array(losses) > WRONG)
    assert len(stuck) == 21
    assert stuck[:4].tolist() == [11, 14, 17, 21]
    # The mean squared error is half the loss: four rows, each half its square.
    assert np.median(losses) / 2 == pytest.approx(0.00383, abs=5e-6)
    assert max(losses) / 2 == pytest.approx(0.2495, abs=5e-5)


def test_each_start_is_a_fit_of_a_network_of_that_seed(
    Network: Any, dtype: str, standing: Any
) -> None:
    found = restarts(build(Network, dtype=dtype, seed=5), X, Y, n=3, epochs=20, batch_size=3)
    assert found.seeds.tolist() == [5, 6, 7]
    nets = [build(Network, dtype=dtype, seed=seed) for seed in (5, 6, 7)]
    for net in nets:
        net.fit(X, Y, epochs=20, batch_size=3, verbose=0)
    losses = [net.evaluate(X, Y)["loss"] for net in nets]
    assert found.losses.tolist() == losses
    assert standing(found.best) == standing(nets[int(np.argmin(losses))])
    assert type(found.best) is Network


def test_the_network_is_left_alone(Network: Any, dtype: str, standing: Any) -> None:
    net = build(Network, dtype=dtype, optimizer="adam")
    net.fit(X, Y, epochs=3, verbose=0)
    before = standing(net)
    found = restarts(net, X, Y, n=2, epochs=5)
    assert standing(net) == before
    assert not np.shares_memory(found.best.parameters, net.parameters)


def test_seeds_go_round(core: None) -> None:
    found = restarts(build(seed=2**64 - 1), X, Y, n=2)
    assert found.seeds.tolist() == [2**64 - 1, 0]


def test_weights_count_in_the_losses(core: None) -> None:
    weights = [0.0, 1.0, 2.0, 3.0]
    found = restarts(build(), X, Y, n=3, sample_weight=weights, epochs=4)
    best = found.best.evaluate(X, Y, sample_weight=weights)["loss"]
    assert found.losses.min() == best != found.best.evaluate(X, Y)["loss"]


def test_streams_that_begin_anew_are_taken(core: None) -> None:
    given = {"n": 3, "epochs": 4}
    arrays = restarts(build(), X, Y, shuffle=False, **given)
    for stream in (lambda: iter([(X, Y)]), [(X, Y)].__iter__, fastbp.Batches(X, Y, shuffle=False)):
        np.testing.assert_allclose(restarts(build(), stream, **given).losses, arrays.losses)
    with pytest.raises(TypeError, match=r"x: expected .* gone through 6 times, got a generator"):
        restarts(build(), ((X, Y) for _ in range(99)), n=3)


def test_several_inputs_and_outputs_come_as_tuples(Network: Any) -> None:
    a, b = fastbp.Input(1), fastbp.Input(1)
    h = Dense(3, "tanh")(fastbp.Concatenate()([a, b]))
    outputs = Dense(1, "sigmoid")(h), Dense(2)(h)
    net = Network(inputs=(a, b), outputs=outputs, loss="mse", loss_weights=(1, 0.5), seed=3)
    x, y = (X[:, :1], X[:, 1:]), (Y, X - 1)
    found = restarts(net, x, y, n=3, epochs=5, sample_weight=(Y + 1, None))
    losses = []
    for seed in (3, 4, 5):
        net.reset(seed)
        net.fit(x, y, epochs=5, sample_weight=(Y + 1, None), verbose=0)
        losses.append(net.evaluate(x, y, sample_weight=(Y + 1, None))["loss"])
    np.testing.assert_array_equal(found.losses, losses)


class Unlucky(reference.Network):
    """Diverges from odd seeds."""

    odd = 1

    def fit(self, *given: Any, **more: Any) -> Any:
        if self.seed % 2 == self.odd:
            self.learning_rate = 1e200
        return super().fit(*given, **more)


def linear(Network: Any) -> Any:
    return Network([Dense(1)], input_shape=2, loss="mse", optimizer="sgd", seed=0)


def test_a_start_that_diverges_has_an_infinite_loss_and_gives_no_warning(core: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = restarts(linear(Unlucky), X, Y, n=4, epochs=30)
    assert np.isinf(found.losses).tolist() == [False, True, False, True]
    assert found.best.seed in (0, 2)
    assert "2 diverged" in str(found)
    with pytest.raises(ValueError, match="net: expected a start that does not diverge, got none"):
        restarts(linear(Unlucky).copy(), X * 1e30, Y, n=1, epochs=30)


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"n": 0}, ValueError, "n: expected an integer at least 1, got 0"),
        ({"n": 2.5}, TypeError, "n: expected an integer"),
        ({"epochs": 0}, ValueError, "epochs: expected an integer at least 1"),
        ({"y": Y[:2]}, ValueError, "y: expected"),
        ({"typo": 1}, TypeError, "typo"),
    ],
)
def test_bad_input_is_refused(given: Any, error: Any, match: str, standing: Any) -> None:
    net = build(reference.Network)
    before = standing(net)
    with pytest.raises(error, match=match):
        restarts(net, **({"x": X, "y": Y} | given))
    assert standing(net) == before


def test_a_network_in_a_fit_is_refused(core: None) -> None:
    net = build()

    def batches() -> Any:
        with pytest.raises(RuntimeError, match=r"expected an idle network, got one .* in fit"):
            restarts(net, X, Y)
        yield X, Y

    net.fit(batches(), verbose=0)


def test_the_picture_has_all_losses_in_rising_order(core: None) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    found = restarts(build(), X, Y, n=5, epochs=20)
    axes = found.plot(figure.subplots())
    losses, best = axes.lines
    np.testing.assert_array_equal(losses.get_ydata(), np.sort(found.losses))
    assert best.get_ydata()[0] == found.losses.min()
    assert axes.get_yscale() == "log"
