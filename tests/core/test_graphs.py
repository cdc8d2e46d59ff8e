"""Networks that are no chains, in the compiled engine: the reference's answers, the same bits."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from engine_pair import Pair, draw_rows
from graph_cases import CASES, deep

import fastbp
from fastbp.engine import each
from fastbp.lowering import lower
from fastbp.metrics import Accuracy, MeanSquaredError
from fastbp.optimizers import SGD, Adam

pytestmark = pytest.mark.usefixtures("core")

TEAMS = [1, 2, 3, 8]


def metrics(plan: Any) -> tuple[Any, ...]:
    """Return accuracy of each output, and a metric of all of them."""
    many = len(plan.outputs)
    return tuple((Accuracy(),) for _ in range(many)) if many > 1 else (Accuracy(),)


@pytest.mark.parametrize("rows", [1, 9, 70])
@pytest.mark.parametrize("name", CASES)
def test_graphs_agree(name: str, rows: int, dtype: str, n_threads: int) -> None:
    plan = CASES[name].plan(dtype)
    # Values that pass through many additions have the error of the largest of them.
    Pair(
        plan, rows=rows, weighted=rows > 1, n_threads=n_threads, metrics=metrics(plan), scale=1
    ).check()


@pytest.mark.parametrize("name", CASES)
def test_graphs_agree_after_a_hundred_steps(name: str) -> None:
    plan = CASES[name].plan("float64")
    pair = Pair(plan, optimizer=SGD(0.01), rows=20, weighted=True, metrics=metrics(plan))
    records = pair.fit(epochs=20, batch_size=4)
    for key, curve in records[0].curves.items():
        pair.agree(key, np.array(curve), np.array(records[1].curves[key]), 1e-9)
    pair.agree_by_tensor("parameter", lambda e: e.parameters, 1e-9)


def everything(name: str, dtype: str, n_threads: int | None) -> str:
    """Return a digest of what a network answers and becomes."""
    case = CASES[name]
    net = case.network(dtype=dtype, optimizer=Adam(0.01), seed=5, n_threads=n_threads)
    n_inputs, n_outputs = len(net.plan.inputs), len(net.plan.outputs)
    data = draw_rows(net.plan, 150, True, 0)
    x = tuple(
        rows.reshape(-1, *shape)
        for rows, shape in zip(each(data.x, n_inputs), net.plan.inputs, strict=True)
    )
    y = tuple(
        t if t.ndim == 1 else t.reshape(-1, *output.shape)
        for t, output in zip(each(data.y, n_outputs), net.plan.outputs, strict=True)
    )
    x, y = (arrays if len(arrays) > 1 else arrays[0] for arrays in (x, y))
    loss, gradients = net.loss_and_gradients(x, y, sample_weight=data.weights)
    parts = [loss, gradients.copy()]
    history = net.fit(
        x, y, epochs=2, batch_size=70, sample_weight=data.weights, validation_data=(x, y),
        verbose=0,
    )  # fmt: skip
    parts += [value for curve in history.values() for value in curve]
    parts += [net.parameters.copy(), *each(net.predict(x), n_outputs)]
    outputs = net.forward(x, training=True)
    parts += [*each(outputs, n_outputs), *each(net.backward(outputs), n_inputs), net.gradients]
    return hashlib.sha256(b"".join(np.asarray(part).tobytes() for part in parts)).hexdigest()


@pytest.mark.parametrize("name", CASES)
def test_instruction_sets_and_teams_give_the_same_bits(
    name: str, dtype: str, tables_and_teams: Any
) -> None:
    found = {}
    for isa, n_threads in tables_and_teams():
        found[isa, n_threads, len(found)] = everything(name, dtype, n_threads)
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("name", ["narrow residual", "residual", "wide", "long terms"])
@pytest.mark.parametrize("rows", [1, 6, 75, 131, 300])
def test_gradients_that_are_added_have_the_same_bits_in_every_way_of_a_batch(
    name: str, rows: int, dtype: str
) -> None:
    """Both ways of an input gradient, in lanes and not, by rows and by columns of a team."""
    plan = CASES[name].plan(dtype)
    found = set()
    for n_threads in TEAMS:
        pair = Pair(plan, rows=rows, n_threads=n_threads)
        engine = pair.engines[0]
        engine.loss_and_gradients(pair.data, (), False, n_threads)
        found.add(engine.gradients.tobytes())
    assert len(found) == 1


def test_a_chain_of_tensors_has_the_bits_of_a_list_of_layers(dtype: str) -> None:
    layers = [fastbp.Dense(20, "relu"), fastbp.Dropout(0.3), fastbp.Dense(3)]
    x = tensor = fastbp.Input(6)
    for layer in layers:
        tensor = layer(tensor)
    given = {"loss": "huber", "dtype": dtype, "seed": 3}
    nets = [
        fastbp.Network(layers, input_shape=6, **given),
        fastbp.Network(inputs=x, outputs=tensor, **given),
    ]
    assert nets[0].plan == nets[1].plan
    rows, targets = np.random.default_rng(0).normal(size=(2, 40, 6))
    for net in nets:
        net.fit(rows, targets[:, :3], epochs=2, verbose=0)
    assert np.array_equal(nets[0].parameters, nets[1].parameters)
    assert nets[0].summary() == nets[1].summary().replace("input_shape", "input")


def test_a_graph_may_be_deeper_than_pythons_stack() -> None:
    net = deep(2000).network(seed=1)
    assert len(net.plan.ops) == 6002
    x = np.random.default_rng(0).normal(size=(3, 4))
    assert np.isfinite(net.predict(x)).all()


def test_metrics_of_all_outputs_are_those_of_each(dtype: str) -> None:
    case = CASES["two outputs"]
    net = case.network(dtype=dtype, metrics=("accuracy", [MeanSquaredError(), "r2"]), seed=2)
    data = draw_rows(net.plan, 30, False, 0)
    values = net.evaluate(data.x, data.y)
    assert list(values) == [
        "loss", "dense_1_loss", "dense_3_loss", "dense_1_accuracy", "dense_3_mean_squared_error",
        "dense_3_r2",
    ]  # fmt: skip
    assert values["loss"] == 0.7 * values["dense_1_loss"] + 1.5 * values["dense_3_loss"]
    labels, numbers = net.predict(data.x)
    assert values["dense_1_accuracy"] == np.mean(labels.argmax(axis=1) == data.y[0])
    error = np.mean((numbers.astype(np.float64) - data.y[1]) ** 2)
    assert abs(values["dense_3_mean_squared_error"] - error) < 1e-12


def test_edges_of_a_chain_add_nothing() -> None:
    plan = lower((fastbp.Dense(3), fastbp.Dense(2)), (4,), "float64", None)
    assert [edge for op in plan.ops for edge in op.inputs] == [(0, False, False), (1, True, False)]
