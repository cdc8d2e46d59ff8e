"""Layers that are called several times: one set of parameters, the sum of the gradients."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_pair import Pair
from graph_cases import CASES

import fastbp
from fastbp.layers import Activation, Add, Concatenate, Custom, Dense
from fastbp.losses import MeanSquaredError
from fastbp.optimizers import SGD

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)), RNG.normal(size=(40, 3))


def chain(steps: int, units: int = 6, shared: bool = True, **options: Any) -> tuple[Any, Any]:
    """Return input and output of some layers of one size, which are one layer if `shared`."""
    x = h = fastbp.Input(units)
    layer = Dense(units, "tanh", **options)
    for _ in range(steps):
        h = (layer if shared else Dense(units, "tanh", **options))(h)
    return x, h


def network(Network: Any, steps: int = 3, shared: bool = True, **options: Any) -> Any:
    x, h = chain(steps, shared=shared)
    given = {"loss": "mean_squared_error", "dtype": "float64", "seed": 1} | options
    return Network(inputs=x, outputs=Dense(3)(h), **given)


def test_parameters_are_there_once(Network: Any) -> None:
    net = network(Network)
    assert list(net.named_parameters()) == [
        "dense.weights", "dense_1.weights", "dense.biases", "dense_1.biases"
    ]  # fmt: skip
    assert net.n_parameters == 6 * 6 + 6 + 6 * 3 + 3
    assert [layer.name for layer in net.layers] == ["dense", "dense_1"]


def test_the_summary_counts_a_layer_once(Network: Any) -> None:
    lines = [line.split() for line in network(Network).summary().splitlines()]
    assert lines[2:6] == [
        ["dense", "(tanh)", "(6,)", "42", "42"],
        ["dense[1]", "(tanh)", "(6,)"],
        ["dense[2]", "(tanh)", "(6,)"],
        ["dense_1", "(identity)", "(3,)", "21", "21"],
    ]
    assert lines[-1][0] == "63"


@pytest.mark.parametrize("rows", [1, 40])
def test_the_gradient_is_the_sum_of_those_of_the_calls_last_call_first(
    rows: int, Network: Any, dtype: str
) -> None:
    """Bit for bit where each call has a single chain of rows."""
    net, apart = (network(Network, shared=shared, dtype=dtype) for shared in (True, False))
    own = {name.split(".")[1]: p for name, p in net.named_parameters().items() if "e." in name}
    for name, values in apart.named_parameters().items():
        role = name.split(".")[1]
        values[...] = own[role] if "_3" not in name else net.named_parameters()[f"dense_1.{role}"]
    losses = [each.loss_and_gradients(X[:rows], Y[:rows])[0] for each in (net, apart)]
    assert losses[0] == losses[1]
    for p in net.plan.parameters:
        whole = net.gradients[p.start : p.stop]
        names = [p.name] if p.layer else [f"dense{k}.{p.role}" for k in ("_2", "_1", "")]
        if p.layer:
            names = [f"dense_3.{p.role}"]
        places = {q.name: apart.gradients[q.start : q.stop] for q in apart.plan.parameters}
        total, *others = (places[name] for name in names)
        for other in others:
            total = total + other
        assert np.array_equal(whole, total), p.name


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize(
    ("case", "rows"), [("siamese", 9000), ("recurrent", 9000), ("wide recurrent", 600)]
)
def test_chains_of_more_rows_than_a_block_agree(case: str, rows: int, dtype: str) -> None:
    """A slot of 9,000 rows has 282 of them; a wide layer has one slot."""
    found = set()
    for n_threads in (1, 2, 3):
        pair = Pair(CASES[case].plan(dtype), rows=rows, n_threads=n_threads, metrics=(), scale=1)
        if n_threads == 1 and dtype == "float64":
            pair.check_batch()
        engine = pair.engines[0]
        engine.loss_and_gradients(pair.data, (), False, n_threads)
        found.add(engine.gradients.tobytes())
    assert len(found) == 1


@pytest.mark.usefixtures("core")
def test_the_smallest_networks_share_too() -> None:
    """Two layers of one unit would run in one kernel if they were two."""
    x, h = chain(2, units=1)
    pair = Pair(
        fastbp.Network(inputs=x, outputs=h, loss=MeanSquaredError(), dtype="float64").plan,
        optimizer=SGD(0.3), rows=4, metrics=(),
    )  # fmt: skip
    pair.fit(epochs=50, batch_size=4, shuffle=False)
    pair.agree_by_tensor("parameter", lambda e: e.parameters)


def test_regularizers_and_constraints_count_once(Network: Any) -> None:
    x, h = chain(3, weights_regularizer=fastbp.regularizers.L2(0.5), weights_constraint=0.7)
    net = Network(inputs=x, outputs=h, loss="mean_squared_error", dtype="float64", seed=1)
    plain = network(Network, 3)
    w = net.named_parameters()["dense.weights"]
    targets = RNG.normal(size=(40, 6))
    free = Network(inputs=(pair := chain(3))[0], outputs=pair[1], loss="mean_squared_error",
                   dtype="float64", seed=1)  # fmt: skip
    assert np.array_equal(free.parameters, net.parameters)
    cost = 0.5 * float((w**2).sum())
    assert net.evaluate(X, targets)["loss"] == pytest.approx(
        free.evaluate(X, targets)["loss"] + cost, rel=1e-13
    )
    net.train_on_batch(X, targets)
    assert np.linalg.norm(w, axis=0).max() <= 0.7 * (1 + 1e-15)
    assert len(net.plan.penalties) == len(net.plan.constrained) == 1
    assert not plain.plan.penalties


def test_saved_copied_and_pickled_networks_go_on_alike(Network: Any, tmp_path: Path) -> None:
    net = network(Network, optimizer="adam")
    net.fit(X, Y, epochs=2, batch_size=7, verbose=0)
    net.save(tmp_path / "net.safetensors")
    others = [
        Network.load(tmp_path / "net.safetensors"), net.copy(), copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
    ]  # fmt: skip
    for one in (net, *others):
        one.fit(X, Y, epochs=2, batch_size=7, verbose=0)
    assert all(np.array_equal(one.parameters, net.parameters) for one in others)
    assert all(one.summary() == net.summary() for one in others)
    single = net.copy(dtype="float32")
    np.testing.assert_allclose(single.predict(X), net.predict(X), rtol=1e-4, atol=1e-5)


def test_entries_of_a_list_are_layers_of_their_own(Network: Any) -> None:
    layer = Dense(6)
    assert len(Network([layer, layer], input_shape=6).layers) == 2


def factor() -> Custom:
    return Custom(
        lambda x, f: x * f,
        lambda x, y, dy, f: (dy * f, (dy * x).sum(axis=0)),
        parameters={"factors": ((6,), fastbp.initializers.Constant(1.5))},
    )


def test_custom_layers_share(Network: Any) -> None:
    x, scale, f = fastbp.Input(6), factor(), Activation(fastbp.activations.Custom(np.sin, np.cos))
    h = Concatenate()([scale(x), f(scale(f(scale(x))))])
    net = Network(inputs=x, outputs=Dense(3)(h), loss="mean_squared_error", dtype="float64", seed=2)
    assert [p.name for p in net.plan.parameters][-1] == "custom.factors"
    _, gradients = net.loss_and_gradients(X, Y)
    gradients = gradients.copy()
    for i in range(net.n_parameters):
        kept, losses = net.parameters[i], []
        for side in (1, -1):
            net.parameters[i] = kept + side * 2.0**-18
            losses.append(net.evaluate(X, Y)["loss"])
        net.parameters[i] = kept
        assert abs(gradients[i] - (losses[0] - losses[1]) * 2.0**17) < 1e-8
    before = net.parameters.copy()
    net.fit(X, Y, batch_size=40, verbose=0)
    assert (net.parameters[-6:] != before[-6:]).all()


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_engines_agree_on_shared_custom_layers(n_threads: int, dtype: str) -> None:
    x, scale, wide = fastbp.Input(6), factor(), Dense(6, "tanh")
    h = Add()([scale(wide(scale(x))), scale(x), wide(x)])
    net = fastbp.Network(inputs=x, outputs=h, loss=MeanSquaredError(), dtype=dtype)
    Pair(net.plan, rows=70, n_threads=n_threads, metrics=()).check()


def test_custom_layers_need_the_same_parameters_in_all_calls(Network: Any) -> None:
    a, b = fastbp.Input(4), fastbp.Input(5)
    layer = Custom(
        lambda x, w: x * w,
        lambda x, y, dy, w: (dy * w, (dy * x).sum(axis=0)),
        parameters=lambda shape: {"w": (shape, "zeros")},
    )
    message = r"custom expects rows of one shape .* got \(4,\) from input and \(5,\) from input_1"
    with pytest.raises(ValueError, match=message):
        Network(inputs=(a, b), outputs=(layer(a), layer(b)))
