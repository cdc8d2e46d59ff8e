"""Promise 1: the same bits on every instruction set, for any number of threads, run after run.

test_digests.py holds trained networks to recorded bits on every instruction set.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import update_rules
from hypothesis import given, settings
from hypothesis import strategies as st

import fastbp
from fastbp import constraints
from fastbp.layers import Activation, Dense, Dropout, Layer, Rescale
from fastbp.optimizers import SGD, Adam, AdamW

pytestmark = pytest.mark.usefixtures("core")

TEAMS = [1, 2, 3, 8]  # the last more than there are cores, or slots of rows
NETWORKS: dict[str, tuple[int, list[Layer]]] = {
    "narrow": (2, [Dense(2, "tanh"), Dense(1, "sigmoid")]),
    "one to one": (1, [Dense(1)]),
    "tiles": (9, [Dense(17, "relu"), Dense(33, "gelu"), Dense(5)]),
    "chains": (257, [Dense(9, "silu"), Dense(300, "elu"), Dense(3)]),
    "softmax": (7, [Dense(19, "softmax"), Dense(21, "tanh"), Dense(18, "softmax")]),
    "wide": (130, [Dense(130, "relu"), Dense(10, "softmax")]),
    "wide outputs": (129, [Dense(130)]),
    "blocks": (20, [Dense(300, "relu"), Dense(520, "tanh"), Dense(3)]),
    "wide and narrow": (3, [Dense(5, "tanh"), Dense(129), Dense(128, "relu"), Dense(2), Dense(2)]),
    "dropout": (6, [Rescale(0.5), Dropout(0.2), Dense(20, "softplus"), Dropout(0.5), Dense(4)]),
    "structured dropout": (
        20,
        [Dropout(0.2, structured=True), Dense(40, "silu"), Dropout(0.5, structured=True), Dense(4)],
    ),
    "wide structured dropout": (
        9,
        [Dense(150, "relu"), Dropout(0.5, structured=True), Dense(130, "tanh"),
         Dropout(0.5, structured=True), Dense(40), Dropout(0.5, structured=True), Dense(3)],
    ),
    "activations": (20, [Activation("softmax"), Dense(3), Activation("leaky_relu")]),
    "restrained": (
        6,
        [Dense(20, "tanh", weights_regularizer="l1", bias_regularizer=0.1, bias_constraint=0.3),
         Dense(7, weights_regularizer=0.1, weights_constraint=0.7), Dense(3, bias_constraint=0.1)],
    ),
    "wide, restrained": (
        130,
        [Dense(130, "relu", weights_regularizer=0.001, weights_constraint=0.9, bias_constraint=0.1),
         Dense(40, weights_regularizer="l1", weights_constraint="non_neg"),
         Dense(3, weights_constraint=constraints.MaxNorm(0.1, axis=1), bias_regularizer="l2")],
    ),
    "frozen": (20, [Dense(30, "tanh", trainable=False), Dense(9, bias_trainable=False), Dense(3)]),
}  # fmt: skip


def make(name: str, dtype: str, n_threads: int | None = 1, optimizer: Any = None) -> fastbp.Network:
    inputs, layers = NETWORKS[name]
    return fastbp.Network(
        layers, input_shape=inputs, loss="huber", optimizer=optimizer or Adam(0.01), dtype=dtype,
        seed=5, n_threads=n_threads,
    )  # fmt: skip


def data(net: fastbp.Network, rows: int) -> tuple[Any, Any, Any]:
    """Return inputs, targets and sample weights."""
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(rows, n)) for n in (*net.plan.input_shape, *net.plan.output_shape))
    return x, y, rng.uniform(0, 2, rows)


def digest(*arrays: Any) -> str:
    """Return a digest of the bits of some arrays or numbers."""
    return hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in arrays)).hexdigest()


def everything(net: fastbp.Network, rows: int, epochs: int = 2, batch_size: int = 70) -> str:
    """Return a digest of what a network answers and becomes."""
    x, y, weights = data(net, rows)
    given = {"epochs": epochs, "batch_size": batch_size, "sample_weight": weights, "verbose": 0}
    parts = [*net.loss_and_gradients(x, y)]
    parts += net.fit(x, y, **given)["loss"]
    parts += [net.parameters.copy(), *net.evaluate(x, y).values(), net.predict(x)]
    parts += [net.forward(x, training=True), net.backward(y), net.gradients.copy()]
    return digest(*parts)


# A team shares out the columns of a layer of 300 up to 75 rows, of one of 520 up to 130.
@pytest.mark.parametrize("rows", [1, 7, 75, 76, 130, 131, 600])
@pytest.mark.parametrize("name", ["chains", "blocks"])
def test_products_have_the_same_bits_however_a_team_shares_them_out(
    name: str, rows: int, dtype: str
) -> None:
    found = set()
    for n_threads in TEAMS:
        net = make(name, dtype, n_threads)
        x, y, weights = data(net, rows)
        parts = [net.forward(x), net.backward(y), net.gradients.copy()]
        parts += [*net.loss_and_gradients(x, y, sample_weight=weights)]
        net.fit(x, y, batch_size=rows, epochs=2, verbose=0)
        assert np.array_equal(parts[0], make(name, dtype, 1).predict(x))
        found.add(digest(*parts, net.parameters))
    assert len(found) == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_instruction_sets_teams_and_runs_give_the_same_bits(
    name: str, dtype: str, tables_and_teams: Any
) -> None:
    found = {}
    for isa, n_threads in tables_and_teams():
        found[isa, n_threads, len(found)] = everything(make(name, dtype, n_threads), 150)
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("rule", update_rules.RULES)
def test_every_rule_has_the_same_bits_everywhere(
    rule: str, dtype: str, tables_and_teams: Any
) -> None:
    found = {}
    for isa, n_threads in tables_and_teams():
        net = make("wide and narrow", dtype, n_threads, update_rules.RULES[rule])
        found[isa, n_threads, len(found)] = trained(net)
    assert len(set(found.values())) == 1, found


def trained(net: fastbp.Network, **options: Any) -> str:
    """Return a digest of a network and its curve after a few updates."""
    x, y, weights = data(net, 20)
    given = {"batch_size": 10, "epochs": 2, "sample_weight": weights, "verbose": 0} | options
    curve = net.fit(x, y, **given)["loss"]
    return digest(curve, net.parameters)


@pytest.mark.parametrize(
    "name", ["narrow", "tiles", "wide and narrow", "frozen", "wide structured dropout"]
)
def test_an_update_that_waits_for_the_norm_equals_one_behind_the_gradient(
    name: str, dtype: str, n_threads: int
) -> None:
    found = {
        trained(make(name, dtype, n_threads, AdamW(0.01, clip_norm=clip_norm)))
        for clip_norm in (None, 1e9)
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    "name",
    ["narrow", "dropout", "wide and narrow", "structured dropout", "wide structured dropout"],
)
def test_accumulated_gradients_have_the_same_bits_for_any_team(name: str, dtype: str) -> None:
    given = {"gradient_accumulation_steps": 3, "batch_size": 3}
    found = {n: trained(make(name, dtype, n, SGD(0.1, clip_norm=0.1)), **given) for n in TEAMS}
    assert len(set(found.values())) == 1, found


def test_subnormal_numbers_count_as_zero(dtype: str, n_threads: int, isa: str) -> None:
    """Products of numbers near the root of the smallest normal number are on both sides of it."""
    smallest = np.finfo(dtype).tiny
    layers = [Dense(50, use_bias=False)]
    net = fastbp.Network(layers, input_shape=1, dtype=dtype, seed=0, n_threads=n_threads)
    root = np.sqrt(float(smallest))
    x = (root * np.linspace(-2, 2, 40)[:, None]).astype(dtype)
    net.parameters[:] = root * np.linspace(0.1, 2, 50)
    products = x * net.parameters
    counted = np.where(np.abs(products) < smallest, 0, products)
    assert (counted != products).any()
    np.testing.assert_array_equal(net.predict(x), counted)
    np.testing.assert_array_equal(net.forward(x), counted)
    # So do those that come in.
    x = np.full((5, 1), smallest / 2)
    net.parameters[:] = 1 / smallest
    np.testing.assert_array_equal(net.predict(x), np.zeros((5, 50)))


@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65, 300, 511, 512, 2100])
@pytest.mark.parametrize("name", ["narrow", "tiles", "wide and narrow", "wide outputs", "dropout"])
def test_gradients_have_the_same_bits_for_any_number_of_threads(
    name: str, rows: int, dtype: str
) -> None:
    found = set()
    for n_threads in (*TEAMS, None):
        net = make(name, dtype, n_threads)
        x, y, weights = data(net, rows)
        loss, gradients = net.loss_and_gradients(x, y, sample_weight=weights)
        found.add((loss, digest(gradients)))
    assert len(found) == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_a_row_is_predicted_alike_alone_and_in_any_batch(
    name: str, dtype: str, n_threads: int, isa: str
) -> None:
    net = make(name, dtype, n_threads)
    x = data(net, 70)[0].astype(dtype)
    whole = net.predict(x)
    for row in range(len(x)):
        assert net.predict(x[row : row + 1]).tobytes() == whole[row].tobytes()
    for part in (slice(0, 4), slice(1, 7), slice(3, 20), slice(5, 69), slice(None, None, -1)):
        assert net.predict(x[part]).tobytes() == whole[part].tobytes()
        assert net.forward(x[part]).tobytes() == whole[part].tobytes()
    assert net(x).tobytes() == whole.tobytes()
    assert net(x[9]).tobytes() == whole[9].tobytes()


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 300),
    st.lists(
        st.tuples(st.integers(1, 300), st.sampled_from(["relu", "softmax", "gelu", "tanh"])),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.integers(0, 99), min_size=1, max_size=40),
    st.sampled_from(["float32", "float64"]),
)
def test_a_row_is_predicted_alike_whatever_the_network(
    inputs: int, units: list[tuple[int, str]], rows: list[int], dtype: str
) -> None:
    layers = [Dense(n, activation) for n, activation in units]
    net = fastbp.Network(layers, input_shape=inputs, dtype=dtype, seed=0, n_threads=1)
    x = np.random.default_rng(1).normal(size=(100, inputs)).astype(dtype)
    whole = net.predict(x)
    assert net.predict(x[rows]).tobytes() == whole[rows].tobytes()
    for row in rows[:3]:
        assert net(x[row]).tobytes() == whole[row].tobytes()


@pytest.mark.parametrize("optimizer", [SGD(0.01, 0.9, True), Adam(0.01)], ids=["sgd", "adam"])
@pytest.mark.parametrize("name", ["narrow", "dropout", "wide and narrow"])
def test_twice_5_epochs_equal_once_10(
    name: str, optimizer: Any, dtype: str, n_threads: int
) -> None:
    once, twice = (make(name, dtype, n_threads, optimizer) for _ in range(2))
    x, y, weights = data(once, 100)
    given = {"batch_size": 30, "sample_weight": weights, "verbose": 0}
    whole = once.fit(x, y, epochs=10, **given)["loss"]
    parts = [twice.fit(x, y, epochs=5, **given)["loss"] for _ in range(2)]
    assert whole == parts[0] + parts[1]
    assert once.parameters.tobytes() == twice.parameters.tobytes()


@pytest.mark.parametrize("name", ["narrow", "tiles", "wide"])
def test_a_fit_is_its_batches_one_by_one(name: str, dtype: str, n_threads: int) -> None:
    fitted, stepped = (make(name, dtype, n_threads) for _ in range(2))
    x, y, weights = data(fitted, 100)
    fitted.fit(x, y, epochs=1, batch_size=45, shuffle=False, sample_weight=weights, verbose=0)
    for part in (slice(0, 45), slice(45, 90), slice(90, 100)):
        stepped.train_on_batch(x[part], y[part], sample_weight=weights[part])
    assert fitted.parameters.tobytes() == stepped.parameters.tobytes()


def test_threads_may_change_between_fits(dtype: str) -> None:
    found = set()
    for teams in ((1, 1, 1), (3, 1, 2), (2, None, 8)):
        net = make("tiles", dtype)
        x, y, _ = data(net, 200)
        for n_threads in teams:
            net.n_threads = n_threads
            net.fit(x, y, epochs=1, batch_size=130, verbose=0)
        found.add(digest(net.parameters))
    assert len(found) == 1
