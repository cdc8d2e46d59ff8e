"""Rows come in the order that a function gives, for each epoch anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Dense

RNG = np.random.default_rng(0)


def data(n: int) -> tuple[np.ndarray, np.ndarray]:
    return RNG.normal(size=(n, 3)), RNG.normal(size=(n, 2))


def make(Network: Any, *layers: Any, **given: Any) -> Any:
    options = {"input_shape": 3, "loss": "squared_error", "dtype": "float64", "seed": 1}
    return Network(layers or [Dense(4, "tanh"), Dense(2)], **options | given)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("n", [1, 2, 9, 200])
def test_an_epoch_is_one_over_rows_put_in_that_order(Network: Any, n: int, n_threads: int) -> None:
    x, y = data(n)
    orders = [RNG.permutation(n) for _ in range(3)]
    given, sorted_rows = (
        make(Network, optimizer=SGD(0.1, momentum=0.5), n_threads=n_threads) for _ in range(2)
    )
    history = given.fit(x, y, epochs=3, batch_size=4, shuffle=orders.__getitem__, verbose=0)
    losses = [
        sorted_rows.fit(x[order], y[order], batch_size=4, shuffle=False, verbose=0)["loss"][0]
        for order in orders
    ]
    assert history["loss"] == losses
    np.testing.assert_array_equal(given.parameters, sorted_rows.parameters)


def test_weights_go_with_their_rows_and_outputs_stay_at_theirs(Network: Any) -> None:
    x, y = data(11)
    weights, order = RNG.uniform(size=11), RNG.permutation(11)
    given, sorted_rows = (make(Network) for _ in range(2))
    fit: dict[str, Any] = {"batch_size": 4, "record_outputs": True, "verbose": 0}
    history = given.fit(x, y, sample_weight=weights, shuffle=lambda epoch: order, **fit)
    other = sorted_rows.fit(x[order], y[order], sample_weight=weights[order], shuffle=False, **fit)
    np.testing.assert_array_equal(history.outputs[0][order], other.outputs[0])


def test_a_single_small_layer_that_repeats_keeps_to_the_order(Network: Any) -> None:
    """One batch of few rows, which would else train in one kernel."""
    x, y = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 1))
    order = np.array([3, 1, 4, 0, 2])
    nets = [make(Network, Dense(1), optimizer=SGD(0.1)) for _ in range(2)]
    nets[0].fit(x, y, epochs=20, shuffle=lambda epoch: order, verbose=0)
    nets[1].fit(x[order], y[order], epochs=20, shuffle=False, verbose=0)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)


def test_a_row_may_come_twice_and_another_not_at_all(Network: Any) -> None:
    x, y = data(6)
    drawn = np.array([0, 0, 5, 5, 5, 1], np.uint8)
    nets = [make(Network) for _ in range(2)]
    nets[0].fit(x, y, shuffle=lambda epoch: drawn, verbose=0)
    nets[1].fit(x[drawn], y[drawn], shuffle=False, verbose=0)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)


def test_each_fit_asks_from_epoch_0_on_and_begins_an_epoch(Network: Any) -> None:
    x, y = data(8)
    asked: list[int] = []

    def order(epoch: int) -> np.ndarray:
        asked.append(epoch)
        return np.arange(8)

    class Stop(fastbp.Callback):
        def on_batch_end(self, batch: int, logs: Any) -> None:
            raise RuntimeError

    net = make(Network)
    with pytest.raises(RuntimeError):
        net.fit(x, y, batch_size=2, callbacks=[Stop()], shuffle=order, verbose=0)
    assert net.position.part.of_rows == 0
    net.fit(x, y, batch_size=2, epochs=2, shuffle=order, verbose=0)
    assert asked == [0, 0, 1]
    assert net.position.batches == 1 + 8


@pytest.mark.parametrize(
    ("order", "match"),
    [
        (np.arange(7), r"expected of the function whole numbers of shape \(8,\)"),
        (np.arange(8.0), "whole numbers"),
        (np.arange(1, 9), "numbers of rows from 0 to 7, got 1 to 8"),
        (np.arange(-1, 7), "got -1 to 6"),
    ],
)
def test_what_is_no_order_is_refused(Network: Any, order: Any, match: str) -> None:
    net = make(Network)
    before = net.parameters.copy()
    with pytest.raises(ValueError, match=match):
        net.fit(*data(8), shuffle=lambda epoch: order, verbose=0)
    np.testing.assert_array_equal(net.parameters, before)


def test_a_stream_has_no_such_order(Network: Any) -> None:
    with pytest.raises(ValueError, match="shuffle: expected a bool beside a stream"):
        make(Network).fit(iter([data(4)]), shuffle=lambda epoch: np.arange(4), verbose=0)
