"""Layers called on tensors: what is a network, what is refused, and how it is shown."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_pair import draw_rows
from graph_cases import CASES

import fastbp
from fastbp import random
from fastbp.callbacks import EarlyStopping
from fastbp.engine import each
from fastbp.layers import Activation, Add, Concatenate, Dense, Flatten

RECORDED = Path(__file__).with_name("pytorch_graph.json")
X = np.random.default_rng(0).normal(size=(12, 4))


def two_outputs() -> tuple[Any, Any]:
    x = fastbp.Input(4)
    h = Dense(5, "tanh")(x)
    return x, (Dense(3, "softmax")(h), Dense(1)(h))


def network(Network: Any, **options: Any) -> Any:
    """Return a network of two inputs and two outputs."""
    a, b = fastbp.Input(4), fastbp.Input((2, 2))
    h = Concatenate()([Dense(5, "tanh")(a), Flatten()(b)])
    given = {
        "loss": ("sparse_categorical_crossentropy", "squared_error"),
        "loss_weights": (1, 0.25),
        "metrics": ("accuracy", "mean_absolute_error"),
        "dtype": "float64",
        "seed": 1,
    } | options
    return Network(inputs=(a, b), outputs=(Dense(3, "softmax")(h), Dense(1)(h)), **given)


def data(rows: int = 12) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, 4)), rng.normal(size=(rows, 2, 2))
    return x, (rng.integers(0, 3, rows), rng.normal(size=rows))


def test_a_tensor_has_the_shape_of_a_row_and_what_made_it() -> None:
    x = fastbp.Input((2, 3))
    y = Flatten()(x)
    assert (x.shape, x.layer, x.inputs) == ((2, 3), None, ())
    assert (y.shape, y.layer, y.inputs) == ((6,), Flatten(), (x,))
    assert fastbp.Input(4).shape == (4,)
    assert repr(x) == "Input(shape=(2, 3))"
    assert repr(y) == "<Tensor: rows of shape (6,) from flatten>"


def test_tensors_that_are_built_alike_are_different() -> None:
    x, layer = fastbp.Input(3), Dense(2)
    assert layer(x) != layer(x)
    assert x != fastbp.Input(3)
    assert len({x, fastbp.Input(3), layer(x), layer(x)}) == 4


def test_a_join_along_an_axis_counts_the_batch() -> None:
    a, b = fastbp.Input((2, 3)), fastbp.Input((4, 3))
    assert Concatenate(1)([a, b]).shape == (6, 3)
    assert Concatenate(-2)([a, b]).shape == (6, 3)
    assert Concatenate()((a, a)).shape == Concatenate(2)((a, a)).shape == (2, 6)


def test_values_are_those_of_the_formulas(Network: Any) -> None:
    a, b = fastbp.Input((2, 3)), fastbp.Input((2, 3))
    outputs = Add()([a, b, a]), Concatenate(1)([a, b]), Concatenate()([a, b])
    net = Network(inputs=[a, b], outputs=list(outputs), dtype="float64")
    x, y = np.random.default_rng(0).normal(size=(2, 5, 2, 3))
    found = net.predict((x, y))
    expected = x + y + x, np.concatenate([x, y], 1), np.concatenate([x, y], 2)
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)
    alone = net((x[0], y[0]))
    assert all(np.array_equal(one, other[0]) for one, other in zip(alone, expected, strict=True))
    out = tuple(np.empty_like(each) for each in expected)
    assert net.predict((x, y), out=out) is out
    assert all(np.array_equal(one, other) for one, other in zip(out, expected, strict=True))


def test_history_has_the_loss_and_metrics_of_each_output(Network: Any) -> None:
    net, (x, y) = network(Network), data()
    history = net.fit(x, y, epochs=3, batch_size=5, validation_split=0.25, verbose=0)
    names = [
        "loss", "dense_1_loss", "dense_2_loss", "dense_1_accuracy", "dense_2_mean_absolute_error",
    ]  # fmt: skip
    assert list(history) == [*names, *("val_" + name for name in names)]
    assert history.epochs == len(history["val_dense_2_loss"]) == 3
    for prefix in ("", "val_"):
        parts = np.array([history[prefix + name] for name in names[:3]])
        np.testing.assert_allclose(parts[0], parts[1] + 0.25 * parts[2], rtol=1e-14)
    values = net.evaluate(x, y)
    assert list(values) == names
    assert net.train_on_batch(x, y) == values


def test_outputs_are_recorded_for_each(Network: Any) -> None:
    net, (x, y) = network(Network), data(4)
    history = net.fit(x, y, epochs=3, batch_size=4, record_outputs=True, shuffle=False, verbose=0)
    assert [y.shape for y in history.outputs] == [(3, 4, 3), (3, 4, 1)]
    other = network(Network)
    other.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    for recorded, outputs in zip(history.outputs, other.predict(x), strict=True):
        np.testing.assert_allclose(recorded[2], outputs, rtol=1e-12)


def test_callbacks_find_the_values_of_each_output(Network: Any) -> None:
    net, (x, y) = network(Network), data()
    stop = EarlyStopping(monitor="val_dense_1_accuracy", patience=1)
    history = net.fit(x, y, epochs=9, validation_data=(x, y), callbacks=[stop], verbose=0)
    assert history.epochs <= 9
    with pytest.raises(ValueError, match="monitor: expected 'loss' or 'dense_1_loss'"):
        net.fit(x, y, callbacks=[EarlyStopping(monitor="dense_loss")], verbose=0)


def test_weights_count_for_all_outputs_or_for_each(Network: Any) -> None:
    net, (x, y) = network(Network), data()
    weights = np.random.default_rng(2).uniform(0, 2, 12)
    both = net.evaluate(x, y, sample_weight=weights)
    assert both == net.evaluate(x, y, sample_weight=(weights, weights))
    first = net.evaluate(x, y, sample_weight=[weights, None])
    assert first["dense_1_loss"] == both["dense_1_loss"]
    assert first["dense_2_loss"] == net.evaluate(x, y)["dense_2_loss"]
    classes = net.evaluate(x, y, class_weight=({0: 2.0, 1: 0.5}, None))
    by_row = np.array([2.0, 0.5, 1.0])[y[0]]
    assert classes == net.evaluate(x, y, sample_weight=(by_row, None))


def test_loss_weights_scale_gradients(Network: Any) -> None:
    x, (y, _) = two_outputs()
    targets = np.arange(12) % 3
    found = [
        Network(
            inputs=x, outputs=y, loss="sparse_categorical_crossentropy", loss_weights=weight,
            dtype="float64", seed=0,
        ).loss_and_gradients(X, targets)
        for weight in (1, 0.25)
    ]  # fmt: skip
    assert found[1][0] == 0.25 * found[0][0]
    np.testing.assert_allclose(found[1][1], 0.25 * found[0][1], rtol=1e-15)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("wide", "long terms")])
def test_gradients_are_those_of_central_differences(name: str, Network: Any) -> None:
    net = CASES[name].network(Network, dtype="float64", seed=4)
    rows = draw_rows(net.plan, 5, True, 1)
    n = len(net.plan.inputs)
    shaped = (
        a.reshape(-1, *shape) for a, shape in zip(each(rows.x, n), net.plan.inputs, strict=True)
    )
    x = tuple(shaped) if n > 1 else next(shaped)
    y = tuple(
        t if t.ndim == 1 else t.reshape(-1, *output.shape)
        for t, output in zip(each(rows.y, len(net.plan.outputs)), net.plan.outputs, strict=True)
    )
    y = y if len(y) > 1 else y[0]
    given = {"sample_weight": rows.weights}
    gradients = net.loss_and_gradients(x, y, **given)[1].copy()
    places = np.random.default_rng(0).permutation(net.n_parameters)[:25]
    frozen = {i for p in net.plan.parameters if not p.trainable for i in range(p.start, p.stop)}
    parameters, step = net.parameters, 2.0**-18
    for i in places:
        kept = parameters[i]
        losses = []
        for side in (1, -1):
            parameters[i] = kept + side * step
            losses.append(net.loss_and_gradients(x, y, **given)[0])
        parameters[i] = kept
        slope = 0 if i in frozen else (losses[0] - losses[1]) / (2 * step)
        # Third derivatives are of order 10 here; rounding is 1e-16 / step.
        assert abs(gradients[i] - slope) < 2e-9 + 1e-7 * abs(slope)


@pytest.mark.parametrize("name", ["two inputs", "twice", "flat and not", "output inside", "frozen"])
def test_backward_gives_the_gradient_of_each_input(name: str, Network: Any) -> None:
    net = CASES[name].network(Network, dtype="float64", seed=4)
    rng = np.random.default_rng(3)
    x = [rng.normal(size=(3, *shape)) for shape in net.plan.inputs]

    def given() -> Any:
        return tuple(x) if len(x) > 1 else x[0]

    count = len(net.plan.outputs)
    factors = tuple(rng.normal(size=y.shape) for y in each(net.forward(given()), count))
    slopes = each(net.backward(factors if count > 1 else factors[0]), len(x))

    def total() -> float:
        outputs = each(net.predict(given()), count)
        return sum(float((f * y).sum()) for f, y in zip(factors, outputs, strict=True))

    for rows, slope in zip(x, slopes, strict=True):
        assert slope.shape == rows.shape
        for i in np.ndindex(rows.shape):
            kept, values = rows[i], []
            for side in (1, -1):
                rows[i] = kept + side * 2.0**-18
                values.append(total())
            rows[i] = kept
            assert abs(slope[i] - (values[0] - values[1]) * 2.0**17) < 1e-7


def test_copies_and_pickles_go_on_alike(Network: Any) -> None:
    net, (x, y) = network(Network), data()
    net.fit(x, y, verbose=0)
    others = [net.copy(), pickle.loads(pickle.dumps(net)), copy.deepcopy(net)]
    for one in (net, *others):
        one.fit(x, y, epochs=2, verbose=0)
    assert all(np.array_equal(one.parameters, net.parameters) for one in others)


def test_lbfgs_trains_graphs(Network: Any) -> None:
    net, (x, y) = network(Network, optimizer="lbfgs"), data()
    history = net.fit(x, y, epochs=15, verbose=0)
    assert history["loss"][-1] < history["loss"][0]
    assert len(history["dense_2_loss"]) == len(history["dense_1_accuracy"]) == 15


def test_the_summary_shows_who_reads_whom(Network: Any) -> None:
    net = network(Network)
    lines = [line.split() for line in net.summary().splitlines()]
    assert lines[0] == ["layer", "reads", "output", "shape", "parameters", "trainable"]
    assert ["concatenate", "(-1)", "dense,", "flatten", "(9,)", "0", "0"] in lines
    assert ["input_1", "(2,", "2)"] in lines
    assert lines[-2] == ["outputs", "dense_1,", "dense_2,", "float64"]
    assert repr(net).startswith("<Network: 5 layers from 2 to 2 tensors, ")


def test_one_layer_without_parameters_may_be_called_twice(Network: Any) -> None:
    x, f = fastbp.Input(4), Activation("tanh")
    net = Network(inputs=x, outputs=(f(x), f(f(x))), dtype="float64")
    _, second = net.predict(X)
    np.testing.assert_allclose(second, np.tanh(np.tanh(X)), rtol=1e-12)
    assert len(net.layers) == 1
    assert [output.name for output in net.plan.outputs] == ["activation", "activation_1"]


def test_a_reset_draws_the_same_parameters(Network: Any) -> None:
    net, (x, y) = network(Network), data()
    before = net.parameters.copy()
    net.fit(x, y, verbose=0)
    net.reset()
    assert np.array_equal(net.parameters, before)


IN = fastbp.Input(4)
OUT = Dense(3)(IN)
CALLS = {
    "an array": (lambda: Dense(3)(X), TypeError, "dense: expected a tensor .* got ndarray"),
    "a list": (lambda: Dense(3)([IN]), TypeError, "dense: expected a tensor .* got list"),
    "images": (
        lambda: Dense(3)(fastbp.Input((2, 3))), ValueError,
        r"dense expects rows of shape \(inputs,\), got \(2, 3\) from input; put a fastbp.Flatten",
    ),
    "one to add": (lambda: Add()([IN]), ValueError, "add expects at least 2 tensors, got 1"),
    "a tensor to add": (lambda: Add()(IN), TypeError, "add: expected a list of tensors, got Input"),
    "an array to add": (lambda: Add()([IN, X]), TypeError, r"add: .* got ndarray at \[1\]"),
    "unequal": (
        lambda: Add()([IN, OUT]), ValueError,
        r"add expects rows of one shape, got \(4,\) from input and \(3,\) from dense",
    ),
    "other axes": (
        lambda: Concatenate()([fastbp.Input((2, 3)), fastbp.Input((3, 3))]), ValueError,
        r"concatenate expects rows of one shape but for axis -1, got \(2, 3\) from input and \(3,",
    ),
    "no such axis": (
        lambda: Concatenate(2)([IN, IN]), ValueError,
        r"concatenate expects rows with an axis 2, got \(4,\) from input",
    ),
    "the batch": (lambda: Concatenate(0), ValueError, "axis: expected an axis of rows, got 0"),
    "half an axis": (lambda: Concatenate(0.5), TypeError, "axis: expected an integer"),
    "no shape": (lambda: fastbp.Input(()), ValueError, "shape: expected at least one size"),
    "half a shape": (lambda: fastbp.Input(0.5), TypeError, "shape: expected an integer"),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_calls_that_make_no_tensor_are_refused(case: str) -> None:
    call, kind, message = CALLS[case]
    with pytest.raises(kind, match=message):
        call()


def cycle() -> Any:
    tensor = Dense(4)(IN)
    other = Dense(4)(tensor)
    vars(tensor)["inputs"] = (other,)
    return {"inputs": IN, "outputs": other}


SHARED, OTHER = Dense(4), fastbp.Input(7)
NETWORKS = {
    "nothing": (dict, TypeError, "layers: expected a list of layers, or inputs= and outputs"),
    "inputs alone": (lambda: {"inputs": IN}, TypeError, "layers: expected a list of layers, or"),
    "both": (
        lambda: {"layers": [Dense(2)], "inputs": IN, "outputs": OUT}, TypeError,
        "layers: expected a list of layers or inputs= and outputs=, got both",
    ),
    "a shape too": (
        lambda: {"inputs": IN, "outputs": OUT, "input_shape": 4}, ValueError,
        "input_shape: expected None beside inputs=, got 4",
    ),
    "a layer": (
        lambda: {"inputs": IN, "outputs": Dense(3)}, TypeError,
        "outputs: expected a tensor such as .* got Dense",
    ),
    "an array": (lambda: {"inputs": X, "outputs": OUT}, TypeError, "inputs: .* got ndarray"),
    "no Input": (
        lambda: {"inputs": OUT, "outputs": Dense(3)(OUT)}, TypeError,
        r"inputs: expected a tensor such as fastbp.Input\(4\), got <Tensor: rows of shape \(3,\)",
    ),
    "no inputs": (lambda: {"inputs": [], "outputs": OUT}, ValueError, "inputs: expected at least"),
    "twice": (
        lambda: {"inputs": (IN, IN), "outputs": OUT}, ValueError,
        r"inputs\[1\]: expected each tensor once, got Input\(shape=\(4,\)\) again",
    ),
    "the same output": (
        lambda: {"inputs": IN, "outputs": (OUT, OUT)}, ValueError, r"outputs\[1\]: expected each",
    ),
    "another input": (
        lambda: {"inputs": fastbp.Input(4), "outputs": OUT}, ValueError,
        r"inputs: expected all that outputs depend on, got no Input\(shape=\(4,\)\)",
    ),
    "an unused input": (
        lambda: {"inputs": (IN, fastbp.Input(7)), "outputs": OUT}, ValueError,
        r"inputs\[1\]: expected one that outputs depend on, got Input\(shape=\(7,\)\)",
    ),
    "a cycle": (cycle, ValueError, "outputs: expected a graph without cycles, got one at <Tensor"),
    "other rows": (
        lambda: {"inputs": (IN, OTHER), "outputs": (SHARED(IN), SHARED(OTHER))}, ValueError,
        r"layers: dense expects rows of one shape in all of its calls, got \(4,\) from input "
        r"and \(7,\) from input_1",
    ),
    "too few losses": (
        lambda: {"inputs": IN, "outputs": (OUT, IN), "loss": ("huber",)}, ValueError,
        "loss: expected a tuple of 2, one for each output, got 1",
    ),
    "no loss for one": (
        lambda: {"inputs": IN, "outputs": (OUT, IN), "loss": ("huber", None)}, ValueError,
        "loss: expected a loss for each output, got None for one of them",
    ),
    "a loss that does not fit": (
        lambda: {"inputs": IN, "outputs": (IN, OUT), "loss": ("huber", "binary_crossentropy")},
        ValueError, "loss: binary_crossentropy expects probabilities from sigmoid, but dense ends",
    ),
    "too many weights": (
        lambda: {"inputs": IN, "outputs": OUT, "loss_weights": (1, 2)}, ValueError,
        "loss_weights: expected a tuple of 1 numbers, one for each output, got 2",
    ),
    "a weight for two": (
        lambda: {"inputs": IN, "outputs": (OUT, IN), "loss_weights": 1}, TypeError,
        "loss_weights: expected a tuple of 2 numbers, one for each output, got int",
    ),
    "a negative weight": (
        lambda: {"inputs": IN, "outputs": (OUT, IN), "loss_weights": (1, -1)}, ValueError,
        "loss_weights: expected a number of at least 0, got -1",
    ),
    "no weight": (
        lambda: {"inputs": IN, "outputs": OUT, "loss_weights": 0}, ValueError,
        "loss_weights: expected one above 0, got none",
    ),
    "metrics of one": (
        lambda: {"inputs": IN, "outputs": (OUT, IN), "loss": "huber", "metrics": ["r2"]},
        ValueError, "metrics: expected a tuple of 2, one for each output, got 1",
    ),
    "a join in a chain": (
        lambda: {"layers": [Dense(2), Add()], "input_shape": 3}, ValueError,
        "layers: add expects at least 2 tensors, got 1 from dense",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NETWORKS)
def test_what_is_no_network_is_refused(case: str, Network: Any) -> None:
    options, kind, message = NETWORKS[case]
    with pytest.raises(kind, match=message):
        Network(**options())


ARGUMENTS = {
    "one input": (lambda net, x, y: net.predict(x[0]), TypeError, "x: expected a tuple of 2, one"),
    "three inputs": (
        lambda net, x, y: net((*x, x[0])), ValueError,
        "x: expected a tuple of 2, one for each input, got 3",
    ),
    "a wrong shape": (
        lambda net, x, y: net.predict((x[0], x[0])), ValueError,
        r"x\[1\]: expected shape \(rows, 2, 2\), got \(12, 4\)",
    ),
    "rows": (
        lambda net, x, y: net.predict((x[0], x[1][:5])), ValueError,
        r"x\[1\]: expected 12 rows as in x\[0\], got 5",
    ),
    "NaN": (
        lambda net, x, y: net.predict((x[0], x[1] * np.nan)), ValueError,
        r"x\[1\]: expected finite numbers in the range of float64, got nan at \[0, 0, 0\]",
    ),
    "one target": (
        lambda net, x, y: net.fit(x, y[0]), TypeError,
        "y: expected a tuple of 2, one for each output, got ndarray",
    ),
    "a target's rows": (
        lambda net, x, y: net.fit(x, (y[0], y[1][:3])), ValueError,
        r"y\[1\]: expected 12 rows as in x, got 3",
    ),
    "a label": (
        lambda net, x, y: net.evaluate(x, (y[0] + 1, y[1])), ValueError,
        r"y\[0\]: expected whole class numbers from 0 to 2, got 3 at",
    ),
    "weights": (
        lambda net, x, y: net.fit(x, y, sample_weight=(np.ones(12), -np.ones(12))), ValueError,
        r"sample_weight\[1\]: expected finite weights of at least 0",
    ),
    "too many weights": (
        lambda net, x, y: net.fit(x, y, sample_weight=(None, None, None)), ValueError,
        "sample_weight: expected a tuple of 2, one for each output, got 3",
    ),
    "class weights of one": (
        lambda net, x, y: net.fit(x, y, class_weight={0: 2}), TypeError,
        "class_weight: expected a tuple of 2, one for each output, got dict",
    ),
    "validation": (
        lambda net, x, y: net.fit(x, y, validation_data=(x[0], y)), TypeError,
        r"validation_data\[0\]: expected a tuple of 2, one for each input, got ndarray",
    ),
    "out": (
        lambda net, x, y: net.predict(x, out=(np.empty((12, 3)), np.empty(12))), ValueError,
        r"out\[1\]: expected shape \(12, 1\) and dtype float64",
    ),
    "one out for two": (
        lambda net, x, y: net.predict(x, out=(x[0][:, :1].copy(),) * 2), ValueError, "out",
    ),
    "grad_output": (
        lambda net, x, y: (net.forward(x), net.backward(np.ones((12, 3)))), TypeError,
        "grad_output: expected a tuple of 2, one for each output, got ndarray",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments_that_do_not_fit_are_refused_before_anything_changes(
    case: str, Network: Any
) -> None:
    net, (x, y) = network(Network), data()
    before = net.parameters.copy()
    ask, kind, message = ARGUMENTS[case]
    with pytest.raises(kind, match=message):
        ask(net, x, y)
    assert np.array_equal(net.parameters, before)


def test_an_input_of_a_map_that_is_not_finite_is_named(Network: Any, tmp_path: Any) -> None:
    net, (x, y) = network(Network), data()
    mapped = np.memmap(tmp_path / "x", np.float64, "w+", shape=(12, 2, 2))
    mapped[:] = x[1]
    mapped[7, 1, 0] = np.nan
    with pytest.raises(ValueError, match=r"x\[1\]: expected finite numbers"):
        net.fit((x[0], mapped), y, verbose=0)


# PyTorch's values: recorded ones, written by `python tests/test_graphs.py` with torch installed,
# and live ones where it is.

STEPS, SIZES = 5, ((4, 6), (6, 6), (6, 3), (9, 2))


def start() -> list[np.ndarray]:
    """Return weights and biases of four layers."""
    parts = [(n_in, n_out) for n_in, n_out in SIZES]
    weights = [random.uniform(1, k, i * o, "float64").reshape(i, o) - 0.5 for k, (i, o) in
               enumerate(parts)]  # fmt: skip
    return [*weights, *(random.uniform(2, k, o, "float64") - 0.5 for k, (_, o) in enumerate(parts))]


def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = random.uniform(3, 0, 40, "float64").reshape(10, 4) * 4 - 2
    return x, np.arange(10) % 3, random.uniform(3, 1, 20, "float64").reshape(10, 2)


def values_of_ours(Network: Any) -> list[float]:
    """Return losses of some steps of gradient descent, then parameters."""
    x = fastbp.Input(4)
    h = Dense(6, "tanh")(x)
    h = Add()([h, Dense(6, "sigmoid")(h)])
    classes = Dense(3, "softmax")(h)
    outputs = classes, Dense(2)(Concatenate()([h, classes]))
    net = Network(
        inputs=x, outputs=outputs, loss=("sparse_categorical_crossentropy", "mean_squared_error"),
        loss_weights=(1, 0.3), optimizer=fastbp.SGD(0.5), dtype="float64",
    )  # fmt: skip
    net.set_parameters(np.concatenate([part.reshape(-1) for part in start()]))
    given, *targets = rows()
    losses = [net.train_on_batch(given, tuple(targets))["loss"] for _ in range(STEPS)]
    return [*losses, *net.parameters.tolist()]


def values_of_torch(torch: Any) -> list[float]:
    parts = [torch.tensor(part, requires_grad=True) for part in start()]
    w, b = parts[:4], parts[4:]
    x, labels, targets = (torch.tensor(each) for each in rows())
    losses = []
    for _ in range(STEPS):
        h = torch.tanh(x @ w[0] + b[0])
        h = h + torch.sigmoid(h @ w[1] + b[1])
        logits = h @ w[2] + b[2]
        numbers = torch.cat([h, torch.softmax(logits, 1)], 1) @ w[3] + b[3]
        loss = torch.nn.functional.cross_entropy(logits, labels)
        loss = loss + 0.3 * torch.nn.functional.mse_loss(numbers, targets)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, parts)
        with torch.no_grad():
            for part, gradient in zip(parts, gradients, strict=True):
                part -= 0.5 * gradient
    return [*losses, *(float(value) for part in parts for value in part.detach().reshape(-1))]


def test_a_graph_gives_the_values_recorded_of_pytorch(Network: Any) -> None:
    recorded = json.loads(RECORDED.read_text())
    np.testing.assert_allclose(values_of_ours(Network), recorded, rtol=1e-11, atol=1e-12)


def test_a_graph_gives_the_values_of_pytorch(Network: Any) -> None:
    torch = pytest.importorskip("torch")
    theirs = values_of_torch(torch)
    np.testing.assert_allclose(values_of_ours(Network), theirs, rtol=1e-11, atol=1e-12)


if __name__ == "__main__":
    import torch

    RECORDED.write_text(json.dumps(values_of_torch(torch)) + "\n")


def parts(x: Any, y: Any) -> Any:
    """Return rows as a generator of two batches."""
    return ((x[rows], y[rows]) for rows in (slice(8), slice(8, None)))


def test_a_graph_of_one_input_and_one_output_takes_streams(Network: Any) -> None:
    case = CASES["residual"]
    nets = [case.network(Network, dtype="float64", seed=3, optimizer="sgd") for _ in range(2)]
    x = np.random.default_rng(2).normal(size=(16, 5))
    y = np.random.default_rng(3).normal(size=(16, 3))
    nets[0].fit(x, y, batch_size=8, shuffle=False, verbose=0)
    nets[1].fit(parts(x, y), verbose=0)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)


def test_several_outputs_of_a_stream_are_predicted(Network: Any) -> None:
    x, outputs = two_outputs()
    net = Network(inputs=x, outputs=outputs, dtype="float64")
    for of_stream, at_once in zip(net.predict(parts(X, X)), net.predict(X), strict=True):
        np.testing.assert_array_equal(of_stream, at_once)


def costly_outputs(Network: Any, factor: float, **options: Any) -> Any:
    """Return a network of two outputs, and its cost by itself."""
    x = fastbp.Input(4)
    h = Dense(5, "tanh", weights_regularizer=fastbp.regularizers.L1L2(factor / 2, factor))(x)
    outputs = Dense(3)(h), Dense(1, bias_regularizer=fastbp.regularizers.L1(factor))(h)
    net = Network(
        inputs=x, outputs=outputs, loss="squared_error", loss_weights=(0.5, 3), dtype="float64",
        seed=1, **options,
    )  # fmt: skip
    net.named_parameters()["dense_2.biases"][...] = -0.5
    w = net.named_parameters()["dense.weights"]
    return net, factor / 2 * abs(w).sum() + factor * (w**2).sum() + factor * 0.5


def test_penalties_count_in_the_loss_of_several_outputs_and_in_none_of_theirs(
    Network: Any,
) -> None:
    """In evaluation, in a batch, in an epoch of several batches and in validation."""
    y = np.zeros((12, 3)), np.zeros((12, 1))
    (plain, _), (costly, cost) = costly_outputs(Network, 0.0), costly_outputs(Network, 0.25)
    for ask in (
        lambda net: net.evaluate(X, y),
        lambda net: dict(zip(["loss"], net.loss_and_gradients(X, y), strict=False)),
        lambda net: net.copy().train_on_batch(X, y),
    ):
        theirs, ours = ask(plain), ask(costly)
        assert ours["loss"] == pytest.approx(theirs["loss"] + cost, rel=1e-13)
        assert {k: v for k, v in ours.items() if k != "loss"} == {
            k: v for k, v in theirs.items() if k != "loss"
        }
    history = costly.fit(
        X, y, epochs=2, batch_size=5, validation_data=(X, y), callbacks=[], verbose=0
    )
    for prefix in ("", "val_"):
        rest = (
            np.array(history[f"{prefix}loss"])
            - 0.5 * np.array(history[f"{prefix}dense_1_loss"])
            - 3 * np.array(history[f"{prefix}dense_2_loss"])
        )
        assert (rest > 0).all()
    last = costly.evaluate(X, y)
    assert last["loss"] == history["val_loss"][-1]


def test_a_network_of_penalties_and_several_outputs_goes_on_within_an_epoch(
    Network: Any, tmp_path: Path
) -> None:
    y = np.zeros((12, 3)), np.zeros((12, 1))
    path = tmp_path / "net.safetensors"
    whole = costly_outputs(Network, 0.1)[0]

    def save(batch: int, values: dict[str, float]) -> None:
        if batch == 1:
            whole.save(path)

    history = whole.fit(
        X, y, batch_size=5, verbose=0,
        callbacks=[fastbp.callbacks.LambdaCallback(on_batch_end=save)],
    )  # fmt: skip
    net = Network.load(path)
    assert len(net.position.part.loss_sum) == 3
    rest = net.fit(X, y, batch_size=5, verbose=0)
    assert rest["loss"] == history["loss"]
    assert rest["dense_2_loss"] == history["dense_2_loss"]
    assert np.array_equal(net.parameters, whole.parameters)


def test_a_penalty_counts_once_whatever_the_loss_counts(Network: Any) -> None:
    x = fastbp.Input(4)
    y = np.zeros((12, 3))
    plain, costly = (
        Network(
            inputs=x, outputs=Dense(3, weights_regularizer=of)(x), loss="squared_error",
            loss_weights=0.5, dtype="float64", seed=1,
        ) for of in (None, fastbp.regularizers.L2(0.25))
    )  # fmt: skip
    cost = 0.25 * (plain.named_parameters()["dense.weights"] ** 2).sum()
    loss = plain.evaluate(X, y)["loss"]
    assert costly.evaluate(X, y)["loss"] == pytest.approx(loss + cost, rel=1e-12)
    assert costly.loss_and_gradients(X, y)[0] == pytest.approx(loss + cost, rel=1e-12)
