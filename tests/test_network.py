"""Network, on every engine: fit, ask, train step by step, parameters, copies."""

from __future__ import annotations

import copy
import io
import logging
import math
import os
import pickle
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastbp
from fastbp import (
    SGD,
    Activation,
    Adam,
    ConvergenceWarning,
    Dense,
    DivergenceWarning,
    Dropout,
    Flatten,
    History,
    Rescale,
    Rprop,
    losses,
)
from fastbp.metrics import Accuracy

X = np.random.default_rng(0).normal(size=(20, 3))
Y = np.stack([X[:, 0] * X[:, 1], X.sum(axis=1)], axis=1)
LABELS = (X.sum(axis=1) > 0).astype(int)


@pytest.fixture
def make(Network):
    """Make a small network of the engine under test; keywords replace what it is made of."""

    def make(layers=None, **changes):
        layers = layers or [Dense(5, activation="tanh"), Dropout(0.25), Dense(2)]
        options = {"input_shape": 3, "loss": "squared_error", "dtype": "float64", "seed": 7}
        return Network(layers, **options | changes)

    return make


@pytest.fixture
def classifier(Network):
    return Network(
        [Dense(4, activation="relu"), Dense(2, activation="softmax")],
        input_shape=3,
        loss="sparse_categorical_crossentropy",
        optimizer=Adam(learning_rate=0.01),
        metrics=["accuracy"],
        dtype="float32",
        seed=0,
        n_threads=None,
    )


# -- fit


def test_fit_lowers_the_loss_and_returns_its_history(classifier):
    history = classifier.fit(
        X, LABELS, epochs=30, batch_size=4, validation_data=(X[:6], LABELS[:6]), shuffle=True,
        sample_weight=None, verbose=0,
    )  # fmt: skip
    assert isinstance(history, History)
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert all(len(curve) == 30 for curve in history.values())
    assert history["loss"][-1] < history["loss"][0]
    assert all(type(value) is float for curve in history.values() for value in curve)


def test_fit_is_one_epoch_of_batches_of_32_by_default(make):
    by_default, explicit = make(), make()
    x, y = np.tile(X, (3, 1)), np.tile(Y, (3, 1))
    by_default.fit(x, y)
    explicit.fit(x, y, epochs=1, batch_size=32, shuffle=True)
    assert np.array_equal(by_default.parameters, explicit.parameters)


@pytest.mark.parametrize("optimizer", ["adam", SGD(0.01, momentum=0.9)])
def test_twice_5_epochs_equals_once_10(make, optimizer):
    once, twice = make(optimizer=optimizer), make(optimizer=optimizer)
    whole = once.fit(X, Y, epochs=10, batch_size=6)
    parts = [twice.fit(X, Y, epochs=5, batch_size=6) for _ in range(2)]
    assert np.array_equal(once.parameters, twice.parameters)
    assert whole["loss"] == parts[0]["loss"] + parts[1]["loss"]


def test_an_epochs_loss_is_the_row_weighted_mean_of_its_batch_losses(make):
    net, replay = make([Dense(2)]), make([Dense(2)])
    history = net.fit(X, Y, epochs=1, batch_size=8, shuffle=False)
    parts = [slice(0, 8), slice(8, 16), slice(16, 20)]
    losses = [replay.train_on_batch(X[part], Y[part])["loss"] for part in parts]
    assert history["loss"][0] == pytest.approx(np.average(losses, weights=[8, 8, 4]), rel=1e-14)


def test_without_shuffle_rows_come_in_their_order(make):
    net, replay = make([Dense(2)]), make([Dense(2)])
    net.fit(X, Y, epochs=1, batch_size=5, shuffle=False)
    for start in range(0, 20, 5):
        replay.train_on_batch(X[start : start + 5], Y[start : start + 5])
    assert np.array_equal(net.parameters, replay.parameters)
    shuffled = make([Dense(2)])
    shuffled.fit(X, Y, epochs=1, batch_size=5)
    assert not np.array_equal(net.parameters, shuffled.parameters)


def test_validation_is_evaluate_after_the_epoch(classifier):
    history = classifier.fit(X, LABELS, validation_data=(X[:5], LABELS[:5], np.arange(5.0)))
    after = classifier.evaluate(X[:5], LABELS[:5], sample_weight=np.arange(5.0))
    assert history["val_loss"] == [after["loss"]]
    assert history["val_accuracy"] == [after["accuracy"]]


def test_fit_stops_when_the_loss_is_reached(make):
    losses = make().fit(X, Y, epochs=40)["loss"]
    net = make()
    history = net.fit(X, Y, epochs=40, stop_at_loss=losses[20])
    stop = next(epoch for epoch, loss in enumerate(losses) if loss <= losses[20])
    assert history["loss"] == losses[: stop + 1]
    assert history.epochs == stop + 1


def test_a_loss_that_is_not_reached_is_warned_of(make):
    with pytest.warns(ConvergenceWarning, match="stop_at_loss=1e-30") as caught:
        make().fit(X, Y, stop_at_loss=1e-30)
    assert caught[0].filename == __file__


def test_recorded_outputs_are_the_training_outputs_of_each_epoch(make):
    net = make([Dense(2)])
    before = net.predict(X)
    history = net.fit(X, Y, epochs=3, batch_size=20, shuffle=False, record_outputs=True)
    assert history.outputs.shape == (3, 20, 2)
    assert np.allclose(history.outputs[0], before, rtol=1e-14, atol=1e-14)
    assert make().fit(X, Y).outputs is None


def test_weight_0_is_as_if_the_row_were_not_there(make):
    weights = np.r_[np.ones(12), np.zeros(8)]
    net, fewer = make([Dense(2)]), make([Dense(2)])
    net.fit(X, Y, epochs=2, batch_size=20, shuffle=False, sample_weight=weights)
    fewer.fit(X[:12], Y[:12], epochs=2, batch_size=20, shuffle=False)
    assert np.allclose(net.parameters, fewer.parameters, rtol=1e-12, atol=1e-14)


def test_divergence_warns_and_restores_the_last_good_state(make):
    net = make([Dense(2)], optimizer=SGD(learning_rate=1e200))
    start = net.parameters.copy()
    with pytest.warns(DivergenceWarning, match="learning_rate") as caught:
        history = net.fit(X, Y, epochs=50)
    assert caught[0].filename == __file__
    assert history.epochs == len(history["loss"]) < 50
    assert np.isfinite(net.parameters).all()
    if history.epochs == 0:
        assert np.array_equal(net.parameters, start)


def test_sizes_left_out_are_taken_from_the_first_fit(make):
    late, early = make(input_shape=None), make()
    for use in ("parameters", "gradients", "n_parameters", "plan"):
        with pytest.raises(RuntimeError, match="input_shape"):
            getattr(late, use)
    for call in (late.summary, late.named_parameters, late.step, lambda: late.predict(X)):
        with pytest.raises(RuntimeError, match="input_shape"):
            call()
    with pytest.raises(RuntimeError, match="input_shape"):
        _ = late.layers[0].weights
    for net in (late, early):
        net.fit(X, Y, epochs=2)
    assert np.array_equal(late.parameters, early.parameters)


# -- progress and records


def test_verbose_shows_progress_on_stderr(make, capsys):
    make().fit(X, Y, epochs=2, verbose=1)
    shown = capsys.readouterr()
    assert "epoch 2" in shown.err
    assert "loss" in shown.err
    assert not shown.out


@pytest.mark.parametrize("verbose", ["auto", 0])
def test_no_progress_is_shown_where_nobody_watches(make, capsys, verbose):
    make().fit(X, Y, verbose=verbose)
    assert capsys.readouterr().err == ""


def test_progress_is_shown_on_a_terminal(make, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    make().fit(X, Y)
    assert "epoch 1/1" in terminal.getvalue()


def test_fits_are_logged(make, caplog):
    caplog.set_level(logging.INFO, logger="fastbp")
    make().fit(X, Y, epochs=3)
    assert [record.name for record in caplog.records] == ["fastbp", "fastbp"]
    assert "20 rows" in caplog.text
    assert "ended after 3 epochs" in caplog.text


@pytest.mark.parametrize(("weight", "cause"), [(2.0, "loss"), (0.5, "gradient")])
def test_a_batch_alone_that_diverges_changes_nothing(Network, weight, cause):
    loss = losses.MeanAbsoluteError(reduction="sum")
    net = Network([Dense(1, use_bias=False)], input_shape=1, loss=loss)
    net.set_parameters([weight])
    with pytest.warns(DivergenceWarning, match=f"{cause} of the batch is .* no update"):
        net.train_on_batch(np.full((2, 1), 3e38), np.zeros((2, 1)))
    assert net.parameters == [weight]
    assert net.position.steps == 0


def test_divergence_is_logged_as_a_warning(make, caplog):
    with pytest.warns(DivergenceWarning):
        make(optimizer=SGD(learning_rate=1e200)).fit(X, Y, epochs=50)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


# -- evaluate, predict, call


def test_evaluate_returns_loss_and_metrics(classifier):
    result = classifier.evaluate(X, LABELS)
    probabilities = classifier.predict(X).astype(float)
    right = (probabilities.argmax(axis=1) == LABELS).mean()
    loss = -np.log(probabilities[np.arange(20), LABELS]).mean()
    assert list(result) == ["loss", "accuracy"]
    assert result["accuracy"] == pytest.approx(right, rel=1e-15)
    assert result["loss"] == pytest.approx(loss, rel=1e-5)


def test_predict_returns_a_row_for_each_row(make, dtype):
    net = make(dtype=dtype)
    y = net.predict(X)
    assert y.shape == (20, 2)
    assert y.dtype == dtype
    assert np.array_equal(net.predict(X.tolist()), y)


@pytest.fixture
def rounding(Network):
    """How far a row alone may be from the row in a batch: NumPy's products keep no order."""
    return {"rtol": 1e-5, "atol": 1e-6} if Network is not fastbp.Network else {"rtol": 0, "atol": 0}


def test_a_rows_prediction_does_not_depend_on_its_batch(make, rounding, dtype, n_threads):
    net = make(dtype=dtype, n_threads=n_threads)
    y = net.predict(X)
    for row in range(20):
        assert np.allclose(net.predict(X[row : row + 1])[0], y[row], **rounding)


def test_predict_writes_to_out(make, dtype):
    net = make(dtype=dtype)
    out = np.full((20, 2), 9, dtype)
    assert net.predict(X, out=out) is out
    assert np.array_equal(out, net.predict(X))


def test_call_takes_one_row_or_a_batch(make, rounding):
    net = make()
    y = net.predict(X)
    assert np.array_equal(net(X), y)
    assert net(X[3]).shape == (2,)
    assert np.allclose(net(X[3]), y[3], **rounding)
    assert np.allclose(net(X[3].tolist()), y[3], **rounding)


# Rows in the forms in which they come: the same numbers, exact in each dtype.
FORMS = {
    "float32": lambda x: x.astype(np.float32),
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "bytes": lambda x: x.astype(np.uint8),
    "big-endian": lambda x: x.astype(">f4"),
    "a list": lambda x: x.tolist(),
    "columns first": lambda x: np.asfortranarray(x, np.float32),
    "every second": lambda x: np.repeat(x, 2, axis=-1).astype(np.float32)[..., ::2],
    "unaligned": lambda x: np.frombuffer(b"." + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
    "masked": lambda x: np.ma.MaskedArray(x),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_call_answers_as_predict_does_whatever_the_form_of_x(make, dtype, form):
    net = make(dtype=dtype)
    x = np.random.default_rng(0).integers(0, 200, (9, 3))
    y = net.predict(x.astype(dtype))
    assert np.array_equal(net(form(x)), y)
    for row in range(9):
        answer = net(form(x[row]))
        assert answer.dtype == dtype
        assert answer.shape == (2,)
        assert np.array_equal(answer, net.predict(x[row : row + 1].astype(dtype))[0])


@pytest.mark.parametrize("rows", [None, 1, 3, 20, 5000])
def test_call_writes_to_out(make, dtype, rows):
    net = make(dtype=dtype)
    x = np.resize(X, (rows or 1, 3)).astype(dtype)
    expected, out = net.predict(x), np.full((rows or 1, 2), 9, dtype)
    if rows is None:
        x, out, expected = x[0], out[0], expected[0]
    for given in (x, x.tolist()):
        out[:] = 9
        assert net(given, out=out) is out
        assert np.array_equal(out, expected)
    assert net(x, out) is out


def test_images_go_in_and_come_out_in_their_shape(make):
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    net = make([Rescale(0.5)], input_shape=(3, 4), loss=None)
    assert np.array_equal(net.predict(images), images / 2)
    assert np.array_equal(net(images[0]), images[0] / 2)
    out = np.empty((3, 4))
    assert net(images[0], out=out) is out
    assert np.array_equal(out, images[0] / 2)
    assert np.array_equal(net.forward(images), images / 2)
    assert np.array_equal(net.backward(np.ones((2, 3, 4))), np.full((2, 3, 4), 0.5))


def test_bytes_give_what_floats_give(make):
    images = np.random.default_rng(1).integers(0, 256, (9, 2, 2), np.uint8)
    layers = [Rescale(1 / 255), Flatten(), Dense(2)]
    nets = [make(layers, input_shape=(2, 2)) for _ in range(2)]
    for net, x in zip(nets, (images, images.astype(np.float64)), strict=True):
        net.fit(x, Y[:9], epochs=2, batch_size=4)
    assert np.array_equal(nets[0].parameters, nets[1].parameters)


# -- loops of one's own


def test_train_on_batch_is_one_step_of_fit(make):
    net, fitted = make(), make()
    result = net.train_on_batch(X, Y)
    history = fitted.fit(X, Y, batch_size=20, shuffle=False)
    assert np.array_equal(net.parameters, fitted.parameters)
    assert result == {"loss": history["loss"][0]}


def test_train_on_batch_returns_the_metrics_before_the_update(classifier):
    expected = classifier.evaluate(X, LABELS)
    result = classifier.train_on_batch(X, LABELS)
    assert result.keys() == expected.keys()
    assert result["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    assert result["accuracy"] == expected["accuracy"]


def test_loss_and_gradients_then_step_is_train_on_batch(make):
    net, other = make(), make()
    for _ in range(3):
        loss, gradients = net.loss_and_gradients(X, Y)
        net.step()
        assert loss == other.train_on_batch(X, Y)["loss"]
        assert np.array_equal(gradients, other.gradients)
    assert np.array_equal(net.parameters, other.parameters)


def test_gradients_are_a_live_view_and_accumulate_on_request(make):
    net = make([Dense(2)])
    _, first = net.loss_and_gradients(X, Y)
    first = first.copy()
    _, twice = net.loss_and_gradients(X, Y, accumulate=True)
    assert np.array_equal(twice, 2 * first)
    assert np.shares_memory(twice, net.gradients)
    net.loss_and_gradients(X, Y)
    assert np.array_equal(twice, first)


def test_forward_and_backward_give_the_gradients_of_the_loss(make):
    net = make([Dense(5, activation="tanh"), Dense(2)])
    _, expected = net.loss_and_gradients(X, Y)
    expected = expected.copy()
    outputs = net.forward(X)
    assert np.array_equal(outputs, net.predict(X))
    grad_output = 2 * (outputs - Y) / 20
    grad_input = net.backward(grad_output)
    assert grad_input.shape == X.shape
    assert np.allclose(net.gradients, expected, rtol=1e-12, atol=1e-14)
    net.backward(grad_output, accumulate=True)
    assert np.allclose(net.gradients, 2 * expected, rtol=1e-12, atol=1e-14)


def test_the_gradient_of_the_input_is_a_difference_quotient(make):
    net = make([Dense(5, activation="tanh"), Dense(1)])
    net.forward(X)
    gradient = net.backward(np.ones((20, 1)))
    h = 1e-6
    for i in range(3):
        shift = h * np.eye(3)[i]
        difference = (net.predict(X + shift) - net.predict(X - shift))[:, 0] / (2 * h)
        assert np.allclose(gradient[:, i], difference, rtol=0, atol=1e-8)


def test_forward_drops_units_only_in_training(make):
    net = make([Dropout(0.5)], loss=None)
    ones = np.ones((8, 3))
    assert np.array_equal(net.forward(ones), ones)
    assert set(np.unique(net.forward(ones, training=True))) == {0.0, 2.0}


def test_backward_needs_a_forward_without_a_change_since(make):
    net = make()
    with pytest.raises(RuntimeError, match=r"forward\(\)"):
        net.backward(np.ones((20, 2)))
    changes = {
        "step": net.step,
        "fit": lambda: net.fit(X, Y),
        "train_on_batch": lambda: net.train_on_batch(X, Y),
        "set_parameters": lambda: net.set_parameters(net.parameters),
        "reset": net.reset,
    }
    for change in changes.values():
        net.forward(X)
        change()
        with pytest.raises(RuntimeError, match=r"forward\(\)"):
            net.backward(np.ones((20, 2)))


def test_a_batch_whose_loss_is_not_finite_makes_no_update(make):
    net = make([Dense(2)], dtype="float32")
    net.parameters[...] = 3e38
    before = net.parameters.copy()
    with pytest.warns(DivergenceWarning, match="no update"):
        result = net.train_on_batch(X, Y)
    assert not math.isfinite(result["loss"])
    assert np.array_equal(net.parameters, before)


# -- parameters and layers


def test_parameters_are_all_weights_and_then_all_biases(make):
    net = make([Dense(5), Dense(2)])
    names = ["dense.weights", "dense_1.weights", "dense.biases", "dense_1.biases"]
    assert list(net.named_parameters()) == names
    flat = np.concatenate([view.ravel() for view in net.named_parameters().values()])
    assert np.array_equal(flat, net.parameters)
    assert net.n_parameters == 3 * 5 + 5 + 5 * 2 + 2 == net.parameters.size


def test_views_are_live(make):
    net = make([Dense(5), Dense(2)])
    views = [net.parameters, *net.named_parameters().values(), net.layers[0].weights]
    net.fit(X, Y)
    again = [net.parameters, *net.named_parameters().values(), net.layers[0].weights]
    for view, new in zip(views, again, strict=True):
        assert np.shares_memory(view, new)
        assert np.array_equal(view, new)
    net.layers[1].biases[:] = 5
    assert (net.parameters[-2:] == 5).all()
    net.parameters[:] = 0
    assert not net.predict(X).any()


def test_views_outlive_their_network(Network):
    net = Network([Dense(200)], input_shape=300, seed=0)
    view, copied = net.parameters, net.parameters.copy()
    del net
    assert np.array_equal(view, copied)


def test_layers_are_bound_to_the_network(make):
    net = make()
    dense, dropout, last = net.layers
    assert [layer.name for layer in net.layers] == ["dense", "dropout", "dense_1"]
    assert dense.description == Dense(5, activation="tanh")
    assert dense.weights.shape == dense.weights_gradient.shape == (3, 5)
    assert dense.biases.shape == dense.biases_gradient.shape == (5,)
    assert dropout.weights is dropout.biases is dropout.weights_gradient is None
    net.loss_and_gradients(X, Y)
    assert last.weights_gradient.any()
    assert np.shares_memory(last.weights_gradient, net.gradients)
    assert "dense_1" in repr(last)


def test_a_layer_without_bias_has_none(make):
    assert make([Dense(2, use_bias=False)]).layers[0].biases is None


def test_parameters_are_set_by_name_or_by_vector(make):
    net = make([Dense(5), Dense(2)])
    net.set_parameters({"dense.biases": range(5)})
    assert net.layers[0].biases.tolist() == [0, 1, 2, 3, 4]
    net.set_parameters(np.arange(32, dtype=np.uint8))
    assert net.parameters.tolist() == list(range(32))
    net.parameters = np.zeros(32)
    assert not net.parameters.any()
    net.parameters += 1
    assert (net.parameters == 1).all()


def test_parameters_can_trade_places(make):
    net = make([Dense(3), Dense(3), Dense(2)])
    views = net.named_parameters()
    first, second = views["dense.weights"].copy(), views["dense_1.weights"].copy()
    net.set_parameters(
        {"dense.weights": views["dense_1.weights"], "dense_1.weights": views["dense.weights"]}
    )
    assert np.array_equal(views["dense.weights"], second)
    assert np.array_equal(views["dense_1.weights"], first)


def test_frozen_parameters_keep_their_values_and_have_no_gradient(make):
    net = make([Dense(5, trainable=False), Dense(2, bias_trainable=False)])
    before = {name: view.copy() for name, view in net.named_parameters().items()}
    net.train_on_batch(X, Y)
    gradients = net.layers[0].weights_gradient, net.layers[0].biases_gradient
    assert not any(map(np.any, (*gradients, net.layers[1].biases_gradient)))
    net.fit(X, Y, epochs=2)
    after = net.named_parameters()
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed == ["dense_1.weights"]


def test_summary_shows_layers_shapes_and_counts(Network):
    net = Network(
        [Rescale(0.5), Flatten(), Dense(1000, activation="relu", trainable=False), Dropout(0.25),
         Activation("tanh"), Dense(10)],
        input_shape=(28, 28),
    )  # fmt: skip
    lines = [line.split() for line in net.summary().split("\n")]
    assert ["rescale", "(0.5)", "(28,", "28)", "0", "0"] in lines
    assert ["flatten", "(784,)", "0", "0"] in lines
    assert ["dense", "(relu)", "(1000,)", "785,000", "0"] in lines
    assert ["dense_1", "(identity)", "(10,)", "10,010", "10,010"] in lines
    assert lines[-1] == ["795,010", "parameters,", "10,010", "of", "them", "trainable"]


def test_repr_tells_the_size(make):
    assert "32 parameters" in repr(make([Dense(5), Dense(2)]))
    assert "not built" in repr(make(input_shape=None))


# -- seed, optimizer, threads


def test_the_seed_decides_everything(make):
    one, same, other = make(seed=2**64 - 1), make(seed=2**64 - 1), make(seed=1)
    for net in (one, same, other):
        net.fit(X, Y, epochs=2, batch_size=4)
    assert np.array_equal(one.parameters, same.parameters)
    assert not np.array_equal(one.parameters, other.parameters)


def test_no_seed_draws_one_that_gives_the_same_network(make):
    net = make(seed=None)
    assert net.seed != make(seed=None).seed
    assert np.array_equal(make(seed=net.seed).parameters, net.parameters)


def test_reset_starts_over(make):
    net = make()
    first = net.fit(X, Y, epochs=3, batch_size=6)
    parameters = net.parameters.copy()
    net.reset()
    assert net.fit(X, Y, epochs=3, batch_size=6) == first
    assert np.array_equal(net.parameters, parameters)


def test_reset_takes_a_new_seed(make):
    net, other = make(), make(seed=8)
    net.fit(X, Y, epochs=3)
    net.reset(seed=8)
    for each in (net, other):
        each.fit(X, Y, epochs=2, batch_size=6)
    assert net.seed == 8
    assert np.array_equal(net.parameters, other.parameters)


def test_a_new_learning_rate_keeps_what_the_optimizer_remembers(make):
    net, other = make(), make()
    for each in (net, other):
        each.fit(X, Y, epochs=2)
    net.learning_rate = 0.5
    assert net.optimizer == Adam(learning_rate=0.5)
    assert net.learning_rate == 0.5
    net.learning_rate = 0.001
    for each in (net, other):
        each.fit(X, Y, epochs=2)
    assert np.array_equal(net.parameters, other.parameters)


def test_reset_starts_the_optimizer_anew(make):
    """Its states too that don't start from 0."""
    net = make(optimizer=Rprop(0.25))
    fresh, start = net.copy(), net._engine.state.copy()
    np.testing.assert_array_equal(start, [[0.0] * net.n_parameters, [0.25] * net.n_parameters])
    net.fit(X, Y, epochs=3, verbose=0)
    assert (net._engine.state != start).any()
    for each in (net, fresh):
        each.reset()
        each.fit(X, Y, epochs=3, verbose=0)
    np.testing.assert_array_equal(net._engine.state, fresh._engine.state)
    np.testing.assert_array_equal(net.parameters, fresh.parameters)


def test_another_optimizer_starts_with_an_empty_memory(make):
    net = make()
    net.fit(X, Y, epochs=2)
    before = net.parameters.copy()
    net.optimizer = SGD(learning_rate=0.0)
    net.fit(X, Y)
    assert np.array_equal(net.parameters, before)
    net.optimizer = "adam"
    loss_and_gradients = net.loss_and_gradients(X, Y)
    g = loss_and_gradients[1].copy()
    net.step()
    first_adam_step = before - 0.001 * g / (np.abs(g) + 1e-7)
    assert np.allclose(net.parameters, first_adam_step, rtol=1e-12, atol=1e-14)


def test_the_number_of_threads_changes_nothing(make, dtype):
    nets = [make(dtype=dtype, n_threads=n) for n in (1, 2, 3, None)]
    for net in nets:
        net.fit(X, Y, epochs=2, batch_size=7)
    assert len({net.parameters.tobytes() for net in nets}) == 1
    nets[0].n_threads = 2
    assert nets[0].n_threads == 2


def test_descriptions_can_be_read_back(classifier):
    assert classifier.loss.name == "sparse_categorical_crossentropy"
    assert classifier.metrics == (Accuracy(),)
    assert classifier.dtype == "float32"
    assert classifier.plan.tensors[0] == 3


@pytest.mark.parametrize("dtype", [np.float64, np.dtype(np.float64), "float64"])
def test_dtype_may_be_a_name_or_numpys_own(Network, dtype):
    assert Network([Dense(1)], input_shape=1, dtype=dtype).parameters.dtype == np.float64


# -- copies


def by_pickle(net):
    return pickle.loads(pickle.dumps(net))


@pytest.mark.parametrize("duplicate", [lambda net: net.copy(), copy.copy, copy.deepcopy, by_pickle])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_copy_goes_on_alone_where_the_network_stands(make, duplicate, optimizer):
    net = make(optimizer=optimizer)
    net.fit(X, Y, epochs=3, batch_size=6)
    twin = duplicate(net)
    assert type(twin) is type(net)
    assert (twin.seed, twin.optimizer, twin.dtype) == (net.seed, net.optimizer, net.dtype)
    before = net.parameters.copy()
    twin.fit(X, Y, epochs=3, batch_size=6)
    assert np.array_equal(net.parameters, before)
    net.fit(X, Y, epochs=3, batch_size=6)
    assert np.array_equal(net.parameters, twin.parameters)
    assert np.array_equal(net.predict(X), twin.predict(X))


def test_a_network_without_sizes_can_be_copied(make):
    twin = by_pickle(make(input_shape=None))
    twin.fit(X, Y)
    assert twin.n_parameters == 32


# -- one operation at a time


def busy(net, act):
    """Run a function in the middle of a fit, in another thread, and raise what it raises."""

    class Visitor(fastbp.Callback):
        def on_batch_end(self, batch, logs):
            with ThreadPoolExecutor(1) as pool:
                pool.submit(act).result()
            raise fastbp.StopTraining

    net.fit(X, Y, batch_size=1, callbacks=[Visitor()])


OPERATIONS = {
    "fit": lambda net: net.fit(X, Y),
    "predict": lambda net: net.predict(X),
    "call": lambda net: net(X[0]),
    "evaluate": lambda net: net.evaluate(X, Y),
    "forward": lambda net: net.forward(X),
    "backward": lambda net: net.backward(Y),
    "loss_and_gradients": lambda net: net.loss_and_gradients(X, Y),
    "train_on_batch": lambda net: net.train_on_batch(X, Y),
    "step": lambda net: net.step(),
    "set_parameters": lambda net: net.set_parameters(np.zeros(32)),
    "reset": lambda net: net.reset(),
    "optimizer": lambda net: setattr(net, "learning_rate", 1.0),
    "copy": lambda net: net.copy(),
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_nothing_else_begins_during_a_fit(make, operation):
    net = make()
    with pytest.raises(RuntimeError, match=r"idle network, got one that is in fit\(\)"):
        busy(net, lambda: OPERATIONS[operation](net))
    net.fit(X, Y)


CHANGES = ["fit", "train_on_batch", "step", "set_parameters", "reset"]


class Rows:
    """Rows whose reader does something else on the way."""

    def __init__(self, act):
        self.act = act

    def __array__(self, dtype=None, copy=None):
        self.act()
        return X


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("ask", ["predict", "evaluate"])
def test_no_change_begins_while_the_network_is_read(make, standing, change, ask):
    net = make()
    before = standing(net)
    x = Rows(lambda: OPERATIONS[change](net))
    with pytest.raises(RuntimeError, match=rf"{change}: expected an idle .* in predict\(\)"):
        getattr(net, ask)(x, *([Y] if ask == "evaluate" else []))
    assert standing(net) == before
    OPERATIONS[change](net)


def test_a_change_that_meets_a_prediction_of_another_thread_is_refused(make):
    net = make([Dense(300, activation="tanh"), Dense(2)])
    x = np.tile(X, (5_000, 1))
    expected, results = net.predict(x), []
    thread = threading.Thread(target=lambda: results.append(net.predict(x)))
    thread.start()
    refused = 0
    while thread.is_alive():
        try:
            net.step()  # the gradients are 0
        except RuntimeError:
            refused += 1
        time.sleep(1e-3)  # else the prediction waits for this thread
    assert refused
    assert np.array_equal(results[0], expected)
    net.step()


def test_readers_may_meet(make):
    net = make()
    expected = net.predict(X)
    asked = []
    inner = Rows(lambda: asked.append(net(X[0])))
    assert np.array_equal(net.predict(Rows(lambda: asked.append(net.predict(inner)))), expected)
    assert np.array_equal(asked[1], expected)


def test_ctrl_c_ends_a_fit_at_once_with_a_usable_network(make):
    net = make()
    sent = []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.1, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y, epochs=10**9, batch_size=4)
    assert time.monotonic() - sent[0] < 0.2
    timer.join()
    assert np.isfinite(net.parameters).all()
    assert len(net.fit(X, Y)["loss"]) == 1


def test_predictions_may_run_at_the_same_time(make):
    net = make([Dense(50, activation="tanh"), Dense(2)])
    x = np.tile(X, (50, 1))
    expected = net.predict(x)
    results = []

    def ask():
        results.extend(np.array_equal(net.predict(x), expected) for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 80
