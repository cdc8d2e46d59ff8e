"""The range test finds where descent on a quadratic diverges, and leaves the network alone."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import Concatenate, Dense, callbacks, reference
from fastbp.datasets import digits
from fastbp.insight import find_learning_rate

ROWS = 40


def quadratic(eigenvalues: Any, noise: float = 0.0, seed: int = 0) -> tuple[Any, Any]:
    """Return data for which the Hessian of half the mean squared error has these eigenvalues."""
    rng = np.random.default_rng(seed)
    n = len(eigenvalues)
    rows, _ = np.linalg.qr(rng.normal(size=(ROWS, n)))
    turn, _ = np.linalg.qr(rng.normal(size=(n, n)))
    x = rows * np.sqrt(ROWS * np.asarray(eigenvalues)) @ turn
    return x, x @ rng.normal(size=n) + noise * rng.normal(size=ROWS)


def build(inputs: int, Network: Any = fastbp.Network, **more: Any) -> Any:
    given = {"loss": "half_squared_error", "optimizer": fastbp.SGD(), "dtype": "float64", "seed": 1}
    return Network([Dense(1, use_bias=False)], input_shape=inputs, **(given | more))


def test_descent_diverges_above_2_over_the_largest_eigenvalue(Network: Any, dtype: str) -> None:
    """What the other tests take for granted, and that the data have the eigenvalues."""
    x, y = quadratic([3.0, 0.7, 0.02])
    for times, ends_lower in ((0.98, True), (1.02, False)):
        net = build(3, Network, dtype=dtype, optimizer=fastbp.SGD(times * 2 / 3))
        losses = net.fit(x, y, epochs=300, batch_size=ROWS, verbose=0)["loss"]
        assert (losses[-1] < losses[0]) == ends_lower


@pytest.mark.parametrize("shape", ["exponential", "linear"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_suggestion_lies_below_divergence_by_the_stated_factor(
    Network: Any, dtype: str, momentum: float, shape: str
) -> None:
    # Plain descent diverges above 2 / L, with momentum m above 2 (1 + m) / L (Polyak 1964).
    spread = np.random.default_rng(1)
    for seed in range(4):
        largest = 10 ** spread.uniform(-0.5, 2)
        eigenvalues = largest * 10 ** np.append(spread.uniform(-3, 0, seed), 0)
        x, y = quadratic(eigenvalues, noise=(1 + seed) / 10, seed=seed)
        limit = 2 * (1 + momentum) / largest
        between = {"low": limit / 1e3, "high": 4 * limit} if shape == "linear" else {"high": 100}
        net = build(seed + 1, Network, dtype=dtype, optimizer=fastbp.SGD(momentum=momentum))
        found = find_learning_rate(net, x, y, batch_size=ROWS, shape=shape, **between)
        assert limit / 30 <= found.suggestion < limit
        assert found.rose


def test_the_suggestion_trains(core: None) -> None:
    x, y = digits()
    layers = [Dense(32, "relu"), Dense(10, "softmax")]
    for optimizer in ("sgd", "adam", fastbp.SGD(momentum=0.9)):
        net = fastbp.Network(
            layers, input_shape=64, seed=0, metrics=["accuracy"],
            loss="sparse_categorical_crossentropy", optimizer=optimizer,
        )  # fmt: skip
        found = find_learning_rate(net, x / 16, y)
        assert len(found.metrics["accuracy"]) == len(found.rates)
        net.learning_rate = found.suggestion
        assert net.fit(x / 16, y, epochs=5, verbose=0)["accuracy"][-1] > 0.9


@pytest.mark.parametrize("high", [1e-2, 1e4])
def test_the_network_is_left_alone(Network: Any, dtype: str, high: float, standing: Any) -> None:
    """Also by a test that diverges, and with a memory and a schedule of its own."""
    x, y = quadratic([3.0, 0.7])
    rate = fastbp.schedules.Exponential(0.01, 0.9)
    net = build(2, Network, dtype=dtype, optimizer=fastbp.Adam(rate))
    net.fit(x, y, epochs=3, verbose=0)
    before, parameters = standing(net), net.parameters
    find_learning_rate(net, x, y, high=high)
    assert standing(net) == before
    assert net.parameters is parameters or np.shares_memory(net.parameters, parameters)


def test_a_network_without_sizes_stays_without(core: None) -> None:
    net = fastbp.Network([Dense(1)], loss="mse", optimizer="sgd")
    assert find_learning_rate(net, *quadratic([3.0, 0.7])).suggestion
    with pytest.raises(RuntimeError, match="expected known sizes"):
        _ = net.parameters


@pytest.mark.parametrize("shape", ["exponential", "linear"])
def test_rates_rise_from_low_to_high(Network: Any, shape: str) -> None:
    x, y = quadratic([1.0])
    found = find_learning_rate(build(1, Network), x, y, low=0.01, high=0.5, steps=20, shape=shape)
    space = {"exponential": np.geomspace, "linear": np.linspace}[shape]
    np.testing.assert_allclose(found.rates, space(0.01, 0.5, 20), rtol=1e-12)


def test_losses_are_those_of_steps_by_hand(Network: Any, dtype: str) -> None:
    x, y = quadratic([2.0, 0.5], noise=0.2)
    net = build(2, Network, dtype=dtype)
    found = find_learning_rate(net, x, y, batch_size=ROWS, low=0.01, high=0.8, steps=12)
    losses = []
    for rate in found.rates:
        net.learning_rate = rate
        losses.append(net.train_on_batch(x, y)["loss"])
    np.testing.assert_allclose(found.losses, losses, rtol=200 * np.finfo(dtype).eps)


def test_an_epoch_has_every_row_once(core: None) -> None:
    x = np.arange(10.0)[:, None]
    seen = []

    class Watched(reference.Network):
        def fit(self, source: Any, **more: Any) -> Any:
            batches = source()
            seen.extend(next(batches) for _ in range(8))
            return super().fit(source, **more)

    find_learning_rate(build(1, Watched), x, x[:, 0], batch_size=3, sample_weight=x[:, 0] + 1)
    for epoch in (seen[:4], seen[4:]):
        assert [len(batch[0]) for batch in epoch] == [3, 3, 3, 1]
        rows, targets, weights = (np.concatenate(parts) for parts in zip(*epoch, strict=True))
        assert sorted(targets) == list(range(10))
        np.testing.assert_array_equal(rows[:, 0], targets)
        np.testing.assert_array_equal(weights, targets + 1)
    assert not np.array_equal(seen[0][1], seen[4][1])


def test_rows_that_count_nothing_are_left_out(core: None) -> None:
    x, y = quadratic([3.0, 0.7])
    weights = np.arange(ROWS) % 3 == 0
    found = find_learning_rate(build(2), x, y, sample_weight=weights, batch_size=2)
    counted = find_learning_rate(build(2), x[weights], y[weights], batch_size=2)
    np.testing.assert_allclose(found.losses[:50], counted.losses[:50], rtol=1e-12)
    with pytest.raises(ValueError, match=r"sample_weight.*: expected weights with a finite sum"):
        find_learning_rate(build(2), x, y, sample_weight=0 * weights)


def test_divergence_ends_the_test_without_a_warning(Network: Any, dtype: str) -> None:
    x, y = quadratic([3.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_learning_rate(build(1, Network, dtype=dtype), x, y, high=1e30, steps=200)
    assert found.diverged
    assert found.rose
    assert len(found.rates) == len(found.losses) == len(found.smoothed) < 200
    assert np.isfinite(found.losses).all()
    assert "left the finite numbers" in str(found)


def test_the_same_seed_finds_the_same(Network: Any) -> None:
    x, y = quadratic([3.0, 0.7])
    first, second = (find_learning_rate(build(2, Network), x, y, batch_size=7) for _ in range(2))
    assert first.losses.tobytes() == second.losses.tobytes()


def test_a_loss_that_does_not_fall_gives_no_suggestion(Network: Any) -> None:
    x, y = quadratic([3.0])
    for low, high in ((2.0, 9.0), (1e-15, 1e-12)):
        found = find_learning_rate(build(1, Network), x, y, low=low, high=high)
        assert (found.edge, found.suggestion) == (None, None)
        assert "no suggestion" in str(found)
        assert "no suggestion" in repr(found)


class Told(reference.Network):
    """Reports losses that are given to it."""

    told: Any = ()

    def fit(self, *given: Any, callbacks: Any, **more: Any) -> Any:
        low, high = 1e-3, 1.0
        for step, loss in enumerate(self.told):
            rate = low * (high / low) ** (step / (len(self.told) - 1))
            callbacks[0].on_epoch_end(step, {"loss": float(loss), "learning_rate": rate})


@pytest.mark.parametrize(
    ("losses", "edge"),
    [
        ([*range(20, -1, -1), 0.1, 0.2, 0.4, 0.8, 1.6, 3, 6, 12, 20], 20),  # a valley: its bottom
        ([*range(20, -1, -1), 4, 8, 9, 9, 8, 7, 6, 5, 6, 8, 11, 15, 19, 20, 20, 20, 20], 20),
        ([*range(20, -1, -1), *[0] * 9, *range(1, 11)], 29),  # flat: its end
        ([*range(20, 0, -1), *[0] * 20], 20),  # it never rises: where the bottom begins
    ],
)
def test_the_edge_is_where_the_last_rise_begins(losses: Any, edge: int) -> None:
    net = build(1, Told)
    net.told = losses
    found = find_learning_rate(net, [[1.0]], [1.0], low=1e-3, high=1.0, steps=len(losses))
    # The median turns a corner up to two steps before or behind it.
    assert abs(int(np.searchsorted(found.rates, found.edge)) - edge) <= 2
    assert found.rose == (losses[-1] > 0)


def test_a_minimum_that_is_hit_exactly_is_not_taken_for_a_high_limit(Network: Any) -> None:
    """One weight, curvature 1: a step at a rate of 1 ends at the minimum, and all others there."""
    net = build(1, Network)
    net.set_parameters([0.0])
    rates = {"low": 1 / 32, "high": 4.0, "steps": 128, "shape": "linear"}
    found = find_learning_rate(net, [[1.0]], [1.0], **rates)
    assert found.losses[32:].max() == 0
    assert not found.rose
    assert found.edge == pytest.approx(33 / 32)


def test_a_loss_that_only_falls_says_that_higher_rates_may_do(Network: Any) -> None:
    x, y = quadratic([3.0])
    found = find_learning_rate(build(1, Network), x, y, batch_size=ROWS, high=0.01)
    assert not found.rose
    assert found.suggestion == pytest.approx(0.001)
    assert "higher ones may do as well" in str(found)


def test_streams_of_batches_are_taken_as_they_are(Network: Any) -> None:
    x, y = quadratic([3.0, 0.7])

    def batches() -> Any:
        return ((x[i : i + 10], y[i : i + 10]) for i in range(0, ROWS, 10))

    whole = find_learning_rate(build(2, Network), lambda: iter([(x, y)]))
    arrays = find_learning_rate(build(2, Network), x, y, batch_size=ROWS)
    np.testing.assert_array_equal(whole.losses, arrays.losses)
    assert find_learning_rate(build(2, Network), batches).suggestion is not None


def test_a_network_in_a_fit_is_refused_elsewhere_and_copied_within(core: None) -> None:
    x, y = quadratic([3.0, 0.7])
    found = []

    def batches() -> Any:
        with pytest.raises(RuntimeError, match=r"expected an idle network, got one .* in fit"):
            find_learning_rate(net, x, y)
        yield x, y

    net = build(2)
    net.fit(batches(), verbose=0)
    within = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: found.append(find_learning_rate(net, x, y))
    )
    net.fit(x, y, callbacks=[within], verbose=0)
    assert found[0].suggestion


def of_several(Network: Any, **more: Any) -> tuple[Any, Any, Any]:
    """Return a network of two inputs and outputs, and data for it."""
    a, b = fastbp.Input(2), fastbp.Input(1)
    h = Concatenate()([a, b])
    given = {"loss": "half_squared_error", "optimizer": "sgd", "dtype": "float64", "seed": 1}
    net = Network(inputs=(a, b), outputs=(Dense(1)(h), Dense(2)(a)), **(given | more))
    x, y = quadratic([3.0, 0.7, 0.2])
    return net, (x[:, :2], x[:, 2:]), (y, np.stack([y, -y], axis=1))


def test_several_inputs_and_outputs_come_as_tuples(Network: Any) -> None:
    net, x, y = of_several(Network)
    found = find_learning_rate(net, x, y, batch_size=ROWS, high=100)
    losses = []
    for rate in found.rates[:20]:
        net.learning_rate = rate
        losses.append(net.train_on_batch(x, y)["loss"])
    np.testing.assert_allclose(found.losses[:20], losses, rtol=1e-12)
    assert found.suggestion
    assert set(found.metrics) == {"dense_loss", "dense_1_loss"}


def test_weights_of_several_outputs_are_for_all_or_for_each(Network: Any) -> None:
    net, x, y = of_several(Network)
    weights = 1.0 + np.arange(ROWS) % 3

    def losses(sample_weight: Any, **more: Any) -> Any:
        return find_learning_rate(net, x, y, sample_weight=sample_weight, **more).losses

    both = losses(weights, batch_size=7)
    np.testing.assert_array_equal(both, losses((weights, weights), batch_size=7))
    np.testing.assert_array_equal(both, losses(tuple(weights), batch_size=7))
    assert not np.array_equal(both, losses((weights, None), batch_size=7))


@pytest.mark.parametrize(
    ("x", "y", "weights", "error", "match"),
    [
        (slice(0, 1), slice(2), None, ValueError, "x: expected a tuple of 2, one for each input"),
        (0, slice(2), None, TypeError, "x: expected a tuple of 2, one for each input, got ndarray"),
        (slice(2), 1, None, TypeError, "y: expected a tuple of 2, one for each output"),
        (slice(2), slice(2), (None,), ValueError, "sample_weight: expected a tuple of 2, one for"),
        (slice(2), slice(2), ([1.0], None), ValueError, r"sample_weight\[0\]: expected 40 rows"),
    ],
)
def test_tuples_that_do_not_fit_are_refused(
    x: Any, y: Any, weights: Any, error: Any, match: str
) -> None:
    net, inputs, targets = of_several(reference.Network)
    with pytest.raises(error, match=match):
        find_learning_rate(net, inputs[x], targets[y], sample_weight=weights)
    with pytest.raises(ValueError, match=r"x\[1\]: expected 40 rows as in x\[0\], got shape"):
        find_learning_rate(net, (inputs[0], inputs[1][1:]), targets)


X, Y = quadratic([3.0, 0.7])


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"low": 0}, ValueError, "low: expected a number above 0, got 0"),
        ({"low": 2, "high": 1}, ValueError, "low: expected a rate below high = 1, got 2"),
        ({"high": "a"}, TypeError, "high: expected a real number"),
        ({"steps": 9}, ValueError, "steps: expected an integer at least 10, got 9"),
        ({"shape": "cosine"}, ValueError, "shape: expected one of"),
        ({"batch_size": 0}, ValueError, "batch_size: expected an integer at least 1"),
        ({"y": Y[:-1]}, ValueError, "y: expected 40 rows as in x, got shape"),
        ({"sample_weight": [1.0]}, ValueError, "sample_weight: expected 40 rows"),
        ({"x": 3.0}, ValueError, "x: expected at least one row, got shape"),
        ({"x": X[:0], "y": Y[:0]}, ValueError, "x: expected at least one row"),
        ({"x": X * np.nan}, ValueError, "x: expected finite numbers"),
        ({"y": None}, TypeError, "x: expected arrays with y beside them, .* got ndarray alone"),
        ({"x": fastbp.Batches(X, Y), "y": None}, TypeError, "x: expected .* got Batches alone"),
    ],
)
def test_bad_input_is_refused(given: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        find_learning_rate(build(2, reference.Network), **({"x": X, "y": Y} | given))


@pytest.mark.parametrize("name", ["rprop", "lbfgs"])
def test_an_optimizer_with_steps_of_its_own_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="net: expected an optimizer that reads its learning rate"):
        find_learning_rate(build(2, reference.Network, optimizer=name), X, Y)


def test_the_picture_has_losses_edge_and_suggestion(core: None) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    found = find_learning_rate(build(2), X, Y)
    axes = found.plot(figure.subplots())
    raw, smooth, edge, suggestion = axes.lines
    np.testing.assert_array_equal(raw.get_ydata(), found.losses)
    np.testing.assert_array_equal(smooth.get_ydata(), found.smoothed)
    assert set(edge.get_xdata()) == {found.edge}
    assert set(suggestion.get_xdata()) == {found.suggestion}
    assert axes.get_xscale() == "log"
    line = find_learning_rate(build(2), X, Y, low=0.01, shape="linear")
    assert line.plot(figure.add_subplot()).get_xscale() == "linear"
