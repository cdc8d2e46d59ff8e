"""Custom parts: activations, losses, layers, metrics and initializers given as Python functions."""

from __future__ import annotations

import _thread
import threading
import time
from typing import Any

import custom_parts as parts
import numpy as np
import pytest
from engine_pair import Pair

import fastbp
from fastbp import (
    LBFGS,
    SGD,
    Activation,
    Adam,
    Dense,
    Dropout,
    Flatten,
    activations,
    custom,
    initializers,
    layers,
    losses,
    metrics,
)
from fastbp.callbacks import LambdaCallback

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))
LABELS = RNG.integers(0, 2, 20)
# Of a chain of some additions and functions; a fit of a few steps grows it little.
NEAR = {"float32": 2e-5, "float64": 1e-12}


def pair(Network: Any, own: list[Any], like: list[Any], **options: Any) -> list[Any]:
    """Return two networks with the same parameters by name, the second of built-in parts."""
    options = {"input_shape": 3, "loss": "mse", "seed": 3, "optimizer": Adam(0.01)} | options
    loss, like_loss = options.pop("losses", (options["loss"],) * 2)
    nets = [
        Network(made, **options | {"loss": of}) for made, of in ((own, loss), (like, like_loss))
    ]
    nets[0].set_parameters(_renamed(nets[1], nets[0]))
    return nets


def _renamed(like: Any, own: Any) -> dict[str, Any]:
    """Return the parameters of one network by the names of the same in the other."""
    by_place = [sorted(n.plan.parameters, key=lambda p: (p.layer, p.role)) for n in (own, like)]
    values = like.named_parameters()
    return {o.name: values[p.name] for o, p in zip(*by_place, strict=True)}


def assert_alike(nets: list[Any], x: Any, y: Any, **options: Any) -> None:
    """The same training, evaluation, gradients and predictions to rounding."""
    own, like = nets
    near = NEAR[own.dtype]
    close = {"rtol": near, "atol": near}
    gradients = [n.loss_and_gradients(x, y, **options) for n in nets]
    np.testing.assert_allclose(gradients[0][0], gradients[1][0], **close)
    for n in nets:
        n.forward(x)
    back = [n.backward(np.ones((len(x), *n.plan.output_shape))) for n in nets]
    np.testing.assert_allclose(back[0], back[1], **close)
    fits = [n.fit(x, y, epochs=3, batch_size=8, **options) for n in nets]
    np.testing.assert_allclose(fits[0]["loss"], fits[1]["loss"], **close)
    for name, values in _renamed(like, own).items():
        np.testing.assert_allclose(
            own.named_parameters()[name], values, rtol=0, atol=20 * near, err_msg=name
        )
    for ask in (
        lambda n: n.evaluate(x, y, **options)["loss"],
        lambda n: n.predict(x),
        lambda n: n(np.asarray(x[0], n.dtype)),
        lambda n: n.train_on_batch(x, y, **options)["loss"],
    ):
        np.testing.assert_allclose(ask(own), ask(like), rtol=20 * near, atol=20 * near)


@pytest.mark.parametrize("name", parts.ACTIVATIONS)
def test_an_activation_is_like_the_same_built_in(Network, dtype, name) -> None:
    def chain(f: Any) -> list[Any]:
        # As layers of their own on both sides: masks of dropout go by the number of operations.
        return [Dense(5), Activation(f), Dropout(0.3), Dense(20), Activation(f), Dense(2)]

    assert_alike(pair(Network, chain(parts.ACTIVATIONS[name]), chain(name), dtype=dtype), X, Y)


def test_an_activation_within_a_dense_layer_is_like_one_behind_it(Network) -> None:
    nets = [
        Network(chain, input_shape=3, loss="mse", seed=1)
        for chain in (
            [Dense(4, parts.TANH), Dense(2)],
            [Dense(4), Activation(parts.TANH), Dense(2)],
        )
    ]
    for net in nets:
        net.fit(X, Y, epochs=2)
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", parts.LOSSES)
def test_a_loss_is_like_the_same_built_in(Network, dtype, name, weighted) -> None:
    chain = [Dense(5, "tanh"), Dropout(0.2), Dense(2)]
    own, like = parts.LOSSES[name]
    y = LABELS if own.labels else Y
    options = {"sample_weight": np.arange(20) % 3} if weighted else {}
    nets = pair(Network, chain, chain, dtype=dtype, losses=(own, like), metrics=["accuracy"])
    assert_alike(nets, x=X, y=y, **options)
    values = [n.evaluate(X, y, **options)["accuracy"] for n in nets]
    assert values[0] == values[1]
    if own.labels:
        assert_alike(nets, X, y, class_weight=[1, 3])


def test_a_layer_is_like_the_same_built_in(Network, dtype) -> None:
    own = [parts.dense(6), Activation("relu"), Dropout(0.3), parts.dense(2)]
    like = [Dense(6), Activation("relu"), Dropout(0.3), Dense(2)]
    assert_alike(pair(Network, own, like, dtype=dtype), X, Y)


def test_a_layer_without_parameters_is_like_the_same_built_in(Network, dtype) -> None:
    own, like = [Dense(4), parts.SOFTMAX, Dense(2)], [Dense(4), Activation("softmax"), Dense(2)]
    assert_alike(pair(Network, own, like, dtype=dtype), X, Y)


def test_a_network_of_custom_parts_alone_trains(Network, dtype) -> None:
    own = [parts.dense(6), Activation(parts.TANH), parts.dense(2)]
    like = [Dense(6), Activation("tanh"), Dense(2)]
    nets = pair(Network, own, like, dtype=dtype, losses=(parts.SQUARES, "mse"))
    assert_alike(nets, X, Y)


@pytest.mark.parametrize("labels", [False, True])
def test_a_metric_is_like_the_same_built_in(Network, labels) -> None:
    own = [parts.ACCURACY] if labels else [parts.MEAN_ABSOLUTE]
    like = "accuracy" if labels else "mean_absolute_error"
    loss = losses.SparseCategoricalCrossentropy(from_logits=True) if labels else "mse"
    y = LABELS if labels else Y
    net = Network([Dense(2)], input_shape=3, loss=loss, metrics=[*own, like], seed=0)
    history = net.fit(X, y, epochs=3, batch_size=8, validation_data=(X[:9], y[:9]))
    for prefix in ("", "val_"):
        a, b = history[prefix + own[0].key], history[prefix + like]
        assert len(a) == 3
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert net.evaluate(X, y)[own[0].key] == pytest.approx(net.evaluate(X, y)[like])


def test_a_metric_may_be_watched(Network) -> None:
    falling = metrics.Custom(lambda y, t: 1.0, key="one", rises=False)
    net = Network([Dense(2)], input_shape=3, loss="mse", metrics=[falling])
    stop = fastbp.callbacks.EarlyStopping(monitor="one", patience=2)
    assert len(net.fit(X, Y, epochs=9, callbacks=[stop])["loss"]) < 9


def test_initial_values_follow_the_seed_and_the_place(Network, dtype) -> None:
    def built(seed: int) -> Any:
        chain = [Dense(3, weights_initializer=parts.GLOROT), parts.dense(3, parts.GLOROT)]
        return Network(chain, input_shape=3, seed=seed, dtype=dtype)

    net, again, other = built(1), built(1), built(2)
    assert net.parameters.tobytes() == again.parameters.tobytes()
    assert net.parameters.tobytes() != other.parameters.tobytes()
    first, second = net.layers[0].weights, net.layers[1].weights
    assert not np.array_equal(first, second)
    assert 0 < np.abs(first).max() <= 1  # sqrt(6 / 6)
    first[...] = 7
    net.reset()
    assert net.parameters.tobytes() == again.parameters.tobytes()


def test_both_engines_start_from_the_same_values(core) -> None:
    chain = [Dense(3, weights_initializer=parts.GLOROT)]
    nets = [N(chain, input_shape=3, seed=1) for N in (fastbp.Network, fastbp.reference.Network)]
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()


# Who is called how often, with what.


class Counted:
    """A function that counts its calls and notes the shapes it was called with."""

    def __init__(self, function: Any) -> None:
        self.function, self.shapes = function, []

    def __call__(self, *arrays: Any) -> Any:
        self.shapes.append(arrays[0].shape)
        return self.function(*arrays)


def test_functions_are_called_once_a_batch_on_the_whole_of_it(Network) -> None:
    f, df = Counted(np.sin), Counted(np.cos)
    loss, dloss = Counted(parts.squares), Counted(parts.squares_derivative)
    chain = [Dense(4, activations.Custom(f, df)), Dense(2)]
    net = Network(chain, input_shape=3, loss=losses.Custom(loss, dloss), n_threads=2)
    net.fit(X, Y, epochs=2, batch_size=8)
    assert f.shapes == df.shapes == [(8, 4), (8, 4), (4, 4)] * 2
    assert loss.shapes == dloss.shapes == [(8, 2), (8, 2), (4, 2)] * 2
    f.shapes.clear()
    net.fit(X, Y, epochs=1, batch_size=5, gradient_accumulation_steps=2)
    assert sum(rows for rows, _ in f.shapes) == 20
    f.shapes.clear()
    net.predict(np.zeros((5000, 3)))
    assert f.shapes == [(4096, 4), (904, 4)]
    f.shapes.clear()
    net.evaluate(np.zeros((5000, 3)), np.zeros((5000, 2)))
    assert f.shapes == [(4096, 4), (904, 4)]
    f.shapes.clear()
    net(np.zeros(3))
    assert f.shapes == [(1, 4)]


def test_functions_are_called_by_the_thread_that_called_fit(Network) -> None:
    seen = set()

    def f(z: Any) -> Any:
        seen.add(threading.get_ident())
        return np.sin(z)

    net = Network(
        [Dense(4, activations.Custom(f, np.cos)), Dense(2)], input_shape=3, loss="mse", n_threads=2
    )
    net.fit(X, Y, epochs=3)
    assert seen == {threading.get_ident()}


def test_rows_come_in_their_shape(Network) -> None:
    shapes = []

    def forward(x: Any) -> Any:
        shapes.append(x.shape)
        return x.transpose(0, 2, 1)

    turn = layers.Custom(forward, lambda x, y, dy: dy.transpose(0, 2, 1), shape=lambda s: s[::-1])
    net = Network([turn, Flatten(), Dense(1)], input_shape=(2, 3), loss="mse")
    x = np.arange(12.0).reshape(2, 2, 3)
    net.fit(x, [1, 2])
    assert shapes == [(2, 2, 3)]
    assert "(3, 2)" in net.summary()
    first = Network([turn], input_shape=(2, 3))
    np.testing.assert_array_equal(first.predict(x), x.transpose(0, 2, 1))


def test_arrays_are_read_only_and_stay_as_they_were(Network, dtype) -> None:
    kept: list[tuple[Any, bytes]] = []

    def keep(*arrays: Any) -> None:
        for array in arrays:
            assert array.dtype == dtype
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
        kept.extend((a, a.tobytes()) for a in arrays)

    def forward(x: Any, w: Any) -> Any:
        keep(x)
        return x * w

    def backward(x: Any, y: Any, dy: Any, w: Any) -> Any:
        keep(x, y, dy)
        with pytest.raises(ValueError, match="read-only"):
            w[...] = 0
        return dy * w, (dy * x).sum(axis=0)

    scale = layers.Custom(forward, backward, lambda s: {"w": (s, initializers.Constant(1.0))})
    net = Network([Dense(4), scale, Dense(2)], input_shape=3, loss="mse", dtype=dtype)
    net.fit(X, Y, epochs=2, batch_size=8)
    net.fit(RNG.normal(size=(300, 3)), np.zeros((300, 2)), batch_size=256)
    assert len(kept) == 4 * 8
    assert all(array.tobytes() == before for array, before in kept)


def test_an_array_that_a_function_returns_again_and_again_is_its_own_affair(Network) -> None:
    answer = np.empty((20, 4))

    def f(z: Any) -> Any:
        return np.sin(z, out=answer)

    chain = [Dense(4, activations.Custom(f, np.cos)), Dense(4, activations.Custom(f, np.cos))]
    plain = [Dense(4, activations.Custom(np.sin, np.cos))] * 2
    nets = [
        Network([*made, Dense(2)], input_shape=3, loss="mse", seed=0, dtype="float64")
        for made in (chain, plain)
    ]
    for net in nets:
        net.fit(X, Y, epochs=2, batch_size=20, shuffle=False)
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()


def test_answers_of_another_precision_or_layout_are_converted(Network, dtype) -> None:
    other = {"float32": np.float64, "float64": np.float32}[dtype]
    wide = activations.Custom(
        lambda z: np.asfortranarray(z.astype(other)), lambda z: np.ones(z.shape, np.int8)
    )
    net = Network([Dense(4, wide), Dense(2)], input_shape=3, loss="mse", dtype=dtype, seed=0)
    like = Network([Dense(4), Dense(2)], input_shape=3, loss="mse", dtype=dtype, seed=0)
    for n in (net, like):
        n.fit(X, Y, epochs=2)
    np.testing.assert_allclose(net.parameters, like.parameters, rtol=1e-5, atol=1e-6)


def test_a_part_behind_which_nothing_is_trained_is_not_asked_for_gradients(Network) -> None:
    calls = []
    scale = layers.Custom(
        lambda x, w: x * w,
        lambda *arrays: calls.append(1),
        {"w": ((3,), initializers.Constant(2.0))},
        trainable=False,
    )
    net = Network([scale, Dense(2)], input_shape=3, loss="mse")
    net.fit(X, Y)
    assert calls == []
    np.testing.assert_array_equal(net.named_parameters()["custom.w"], 2)


def test_parameters_that_are_frozen_stay_and_have_no_gradient(Network) -> None:
    net = Network([Dense(3), parts.dense(3, trainable=False), Dense(2)], input_shape=3, loss="mse")
    before = net.layers[1].weights.copy()
    net.fit(X, Y, epochs=2)
    np.testing.assert_array_equal(net.layers[1].weights, before)
    net.loss_and_gradients(X, Y)
    assert not net.layers[1].weights_gradient.any()
    assert net.layers[0].weights_gradient.all()


# With the rest of a network.


@pytest.mark.parametrize(
    "optimizer",
    [SGD(0.1, momentum=0.9), Adam(clip_norm=0.1), Adam(weight_decay=0.1), LBFGS(), "rprop"],
    ids=repr,
)
def test_optimizers_take_custom_parts_as_they_take_built_in_ones(Network, optimizer) -> None:
    own = [parts.dense(6), Activation(parts.TANH), Dense(2)]
    like = [Dense(6), Activation("tanh"), Dense(2)]
    nets = pair(Network, own, like, dtype="float64", optimizer=optimizer)
    for net in nets:
        net.fit(X, Y, epochs=4, batch_size=20)
    for name, values in _renamed(nets[1], nets[0]).items():
        np.testing.assert_allclose(nets[0].named_parameters()[name], values, atol=1e-9)


def test_accumulated_gradients_are_those_of_one_batch(Network) -> None:
    chain = [parts.dense(6), Activation(parts.TANH), Dropout(0.2), Dense(2)]
    nets = [
        Network(chain, input_shape=3, loss=parts.SQUARES, seed=0, dtype="float64") for _ in "ab"
    ]
    nets[0].fit(X, Y, epochs=2, batch_size=20)
    nets[1].fit(X, Y, epochs=2, batch_size=7, gradient_accumulation_steps=3)
    np.testing.assert_allclose(nets[0].parameters, nets[1].parameters, atol=1e-12)


def test_a_copy_goes_on_alike(Network) -> None:
    net = Network([parts.dense(4), Activation(parts.TANH), Dense(2)], input_shape=3, loss="mse")
    net.fit(X, Y)
    other = net.copy()
    for n in (net, other):
        n.fit(X, Y, epochs=2)
    assert net.parameters.tobytes() == other.parameters.tobytes()


def test_a_fit_in_parts_is_a_fit_in_one(Network) -> None:
    nets = [
        Network([Dense(4, parts.TANH), Dropout(0.2), Dense(2)], input_shape=3, loss="mse", seed=0)
        for _ in "ab"
    ]
    nets[0].fit(X, Y, epochs=4, batch_size=8)
    nets[1].fit(X, Y, epochs=1, batch_size=8)
    nets[1].fit(X, Y, epochs=3, batch_size=8)
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()


def test_callbacks_record_and_validation_work(Network) -> None:
    batches: list[int] = []
    note = LambdaCallback(on_batch_end=lambda batch, values: batches.append(batch))
    net = Network([Dense(4, parts.TANH), Dense(1)], input_shape=3, loss=parts.SQUARES)
    history = net.fit(
        X,
        Y[:, 0],
        epochs=2,
        batch_size=8,
        validation_split=0.25,
        callbacks=[note],
        record_outputs=True,
    )
    assert batches == [0, 1] * 2
    assert len(history["val_loss"]) == 2
    assert history.outputs.shape == (2, 15, 1)


def test_mapped_files_are_looked_at_batch_by_batch(Network, tmp_path) -> None:
    np.save(tmp_path / "x.npy", X)
    bad = Y.copy()
    bad[13, 1] = np.nan
    np.save(tmp_path / "y.npy", bad)
    x, y = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy")
    net = Network([Dense(4, parts.TANH), Dense(2)], input_shape=3, loss=parts.SQUARES)
    net.fit(x, Y)
    with pytest.raises(ValueError, match="y: expected finite numbers"):
        net.fit(X, y, batch_size=4)
    with pytest.raises(ValueError, match="y: expected finite numbers"):
        net.evaluate(X, y)
    assert np.isfinite(net.parameters).all()


@pytest.mark.parametrize("name", ["exp", "nan"])
def test_outputs_that_are_not_finite_end_a_fit_as_usual(Network, name) -> None:
    functions = {
        "exp": (lambda z: np.exp(np.exp(1e3 * z * z)), lambda z: z),
        "nan": (lambda z: np.full_like(z, np.nan), lambda z: z),
    }
    with np.errstate(all="ignore"):
        net = Network(
            [Dense(4, activations.Custom(*functions[name])), Dense(2)], input_shape=3, loss="mse"
        )
        before = net.parameters.copy()
        with pytest.warns(fastbp.DivergenceWarning):
            net.fit(X, Y)
    np.testing.assert_array_equal(net.parameters, before)


def test_inputs_that_are_not_finite_are_refused_before_a_function_sees_them(Network) -> None:
    calls = Counted(np.sin)
    net = Network([Activation(activations.Custom(calls, np.cos))], input_shape=3)
    x = X.copy()
    x[3, 1] = np.inf
    with pytest.raises(ValueError, match=r"x: expected finite .* at \[3, 1\]"):
        net.predict(x)
    assert calls.shapes == []


# What goes wrong.


class OddError(Exception):
    pass


class Failing:
    """A function that goes wrong at one of its calls."""

    def __init__(self, function: Any, at: int, answer: Any) -> None:
        self.function, self.at, self.answer, self.calls = function, at, answer, 0

    def __call__(self, *arrays: Any) -> Any:
        self.calls += 1
        if self.calls != self.at:
            return self.function(*arrays)
        return self.answer(*arrays)


def raises(*arrays: Any) -> Any:
    raise OddError("odd")


WRONG = {
    "raises": (raises, OddError, "odd"),
    "no array": (lambda *a: [0.0], TypeError, "expected an array of shape .*, got list"),
    "nothing": (lambda *a: None, TypeError, "expected an array of shape .*, got NoneType"),
    "shape": (lambda *a: np.zeros(3), ValueError, r"expected an array of shape .*, got \(3,\)"),
    "complex": (lambda *a: a[0] + 1j, TypeError, "expected real numbers, got an array of dtype c"),
    "text": (lambda *a: np.array(["a"]), TypeError, "expected real numbers"),
    "interrupt": (lambda *a: _thread.interrupt_main() or time.sleep(9), KeyboardInterrupt, None),
}
PLACES = ("activation", "slope", "loss", "loss slope", "layer", "layer back")


def chain_failing(where: str, at: int, answer: Any) -> tuple[list[Any], Any]:
    """Return layers and loss with one function that goes wrong."""

    def maybe(name: str, function: Any) -> Any:
        return Failing(function, at, answer) if name == where else function

    f = activations.Custom(maybe("activation", np.sin), maybe("slope", np.cos))
    back = maybe("layer back", lambda x, y, dy, w: dy * w)
    scale = layers.Custom(
        maybe("layer", lambda x, w: x * w),
        lambda x, y, dy, w: (back(x, y, dy, w), (dy * x).sum(axis=0)),
        lambda shape: {"w": (shape, initializers.Constant(1.0))},
    )
    loss = losses.Custom(
        maybe("loss", parts.squares), maybe("loss slope", parts.squares_derivative)
    )
    return [Dense(4, f), scale, Dense(2)], loss


@pytest.mark.parametrize(
    ("wrong", "threads"), [*((wrong, 1) for wrong in WRONG), ("raises", 2), ("interrupt", 2)]
)
@pytest.mark.parametrize("where", PLACES)
def test_an_error_ends_a_fit_between_two_batches(Network, where, wrong, threads, standing) -> None:
    answer, kind, message = WRONG[wrong]
    at = 5
    chain, loss = chain_failing(where, at, answer)
    net = Network(chain, input_shape=3, loss=loss, seed=0, n_threads=threads)
    with pytest.raises(kind, match=message) as caught:
        net.fit(X, Y, epochs=9, batch_size=8)
    if wrong not in ("raises", "interrupt"):
        assert "Custom" in str(caught.value)
    good, good_loss = chain_failing("", 0, None)
    like = Network(good, input_shape=3, loss=good_loss, seed=0)
    batches = 0

    def stop(batch: int, values: Any) -> None:
        nonlocal batches
        batches += 1
        if batches == at - 1:
            raise LookupError  # StopTraining would leave out the rest of the epoch

    with pytest.raises(LookupError):
        like.fit(X, Y, epochs=9, batch_size=8, callbacks=[LambdaCallback(on_batch_end=stop)])
    assert standing(net) == standing(like)
    net.fit(X, Y)  # it goes on


@pytest.mark.parametrize("wrong", ["raises", "shape"])
@pytest.mark.parametrize("where", PLACES)
def test_an_error_leaves_gradients_as_they_were(Network, where, wrong) -> None:
    answer, kind, message = WRONG[wrong]
    chain, loss = chain_failing(where, 2, answer)
    net = Network(chain, input_shape=3, loss=loss, seed=0)
    net.loss_and_gradients(X, Y)
    before = net.gradients.copy()
    with pytest.raises(kind, match=message):
        net.loss_and_gradients(2 * X, Y, accumulate=True)
    np.testing.assert_array_equal(net.gradients, before)
    net.loss_and_gradients(X, Y)
    np.testing.assert_array_equal(net.gradients, before)


def test_an_error_on_the_way_back_leaves_the_forward_pass(Network) -> None:
    chain, _ = chain_failing("slope", 1, raises)
    net = Network(chain, input_shape=3, seed=0)
    net.forward(X)
    with pytest.raises(OddError):
        net.backward(Y)
    good, _ = chain_failing("", 0, None)
    like = Network(good, input_shape=3, seed=0)
    like.forward(X)
    np.testing.assert_array_equal(net.backward(Y), like.backward(Y))


@pytest.mark.parametrize("ask", ["predict", "evaluate", "forward", "call", "validation"])
def test_an_error_reaches_whoever_asks(Network, ask) -> None:
    at = 4 if ask == "validation" else 1  # behind three batches
    chain, loss = chain_failing("activation", at, raises)
    net = Network(chain, input_shape=3, loss=loss)
    asks: dict[str, Any] = {
        "predict": lambda: net.predict(X),
        "evaluate": lambda: net.evaluate(X, Y),
        "forward": lambda: net.forward(X),
        "call": lambda: net(X[0]),
        "validation": lambda: net.fit(X, Y, batch_size=8, validation_data=(X, Y)),
    }
    with pytest.raises(OddError, match="odd"):
        asks[ask]()
    asks[ask]()


def test_an_error_of_a_metric_ends_a_fit_without_its_epoch(Network) -> None:
    answers = iter([0.5, 1.5])

    def once(y: Any, t: Any) -> float:
        try:
            return next(answers)
        except StopIteration:
            raise OddError("odd") from None

    seen: list[int] = []
    note = LambdaCallback(on_epoch_end=lambda epoch, values: seen.append(epoch))
    net = Network([Dense(2)], input_shape=3, loss="mse", metrics=[metrics.Custom(once)])
    with pytest.raises(OddError):
        net.fit(X, Y, epochs=9, callbacks=[note])
    assert seen == [0, 1]
    wrong = metrics.Custom(lambda y, t: y)
    net = Network([Dense(2)], input_shape=3, loss="mse", metrics=[wrong])
    with pytest.raises(TypeError, match=r"function of metrics.Custom .*expected a number, got nda"):
        net.evaluate(X, Y)


def test_a_wrong_number_of_gradients_is_told(Network) -> None:
    for answer, message in (
        (lambda x, y, dy, w: dy, r"expected a tuple \(dL/dx, w\), got ndarray"),
        (lambda x, y, dy, w: (dy,), r"expected a tuple \(dL/dx, w\), got 1 items"),
        (lambda x, y, dy, w: (dy, np.zeros(2)), r"gradient of w: expected .*\(3,\), got \(2,\)"),
    ):
        scale = layers.Custom(lambda x, w: x * w, answer, lambda s: {"w": (s, "zeros")})
        net = Network([scale], input_shape=3, loss="mse")
        with pytest.raises((TypeError, ValueError), match=message):
            net.fit(X, X)


@pytest.mark.parametrize("operation", ["fit", "train_on_batch", "set_parameters", "predict"])
def test_a_function_cannot_use_the_network_that_calls_it(Network, operation) -> None:
    asks: dict[str, Any] = {
        "fit": lambda: net.fit(X, Y),
        "train_on_batch": lambda: net.train_on_batch(X, Y),
        "set_parameters": lambda: net.set_parameters(net.parameters),
        "predict": lambda: net.predict(X),
    }

    def f(z: Any) -> Any:
        asks[operation]()
        return z

    net = Network([Dense(2, activations.Custom(f, np.ones_like))], input_shape=3, loss="mse")
    with pytest.raises(RuntimeError, match=rf"{operation}: expected an idle network.* fit\(\)"):
        net.fit(X, Y)
    if operation != "predict":
        with pytest.raises(RuntimeError, match=rf"{operation}: expected an idle .* predict\(\)"):
            net.predict(X)


def test_a_function_may_use_another_network(Network) -> None:
    other = Network([Dense(2)], input_shape=2, loss="mse", n_threads=2)

    def f(z: Any) -> Any:
        other.fit(z, z)
        return np.sin(z)

    net = Network([Dense(2, activations.Custom(f, np.cos))], input_shape=3, loss="mse", n_threads=2)
    net.fit(X, Y, epochs=3)
    assert np.isfinite(other.predict(Y)).all()


def test_predictions_at_the_same_time_are_those_one_after_the_other(Network) -> None:
    net = Network(
        [Dense(40, parts.TANH), parts.dense(30), Dense(2, parts.SILU)], input_shape=3, seed=0
    )
    inputs = [RNG.normal(size=(n, 3)) for n in (1, 50, 700, 5000)]
    expected = [net.predict(x) for x in inputs]
    wrong: list[int] = []

    def ask(i: int) -> None:
        for _ in range(10):
            if not np.array_equal(net.predict(inputs[i]), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_subnormal_numbers_are_numbers_to_a_function(Network) -> None:
    seen: list[float] = []

    def f(z: Any) -> Any:
        seen.append(float(np.float64(5e-324) * 3))
        return z

    net = Network([Dense(2, activations.Custom(f, np.ones_like))], input_shape=3, loss="mse")
    net.fit(X, Y, epochs=2)
    net.predict(X)
    assert seen == [1.5e-323] * 3


# Descriptions.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: activations.Custom(np.sin), r"derivative: expected a function .* f'\(z\)"),
        (lambda: activations.Custom(None, np.cos), "function: expected a function"),
        (lambda: losses.Custom(parts.squares), "derivative: expected a function .* dL/dy"),
        (lambda: layers.Custom(np.sin), "backward: expected a function .* dL/dx"),
        (lambda: metrics.Custom(3), "function: expected a function"),
        (lambda: initializers.Custom("zeros"), "function: expected a function"),
        (lambda: Dense(2, np.tanh), r"pass activations.Custom\(function, derivative\)"),
        (lambda: Dense(2, weights_initializer=parts.glorot), r"pass initializers.Custom"),
        (lambda: fastbp.Network([Dense(2)], loss=parts.squares), r"pass losses.Custom"),
        (lambda: fastbp.Network([Dense(2)], metrics=[parts.accuracy]), r"pass metrics.Custom"),
        (lambda: layers.Custom(np.sin, np.cos, {"w": 3}), r"parameters\['w'\]: expected \(shape"),
        (lambda: layers.Custom(np.sin, np.cos, [3]), "parameters: expected a mapping"),
    ],
)
def test_what_is_missing_is_named(make, message) -> None:
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Custom(np.sin, np.cos, {"a b": ((1,), "zeros")}), "expected names like"),
        (lambda: layers.Custom(np.sin, np.cos, shape=()), "shape: expected at least"),
        (lambda: layers.Custom(np.sin, np.cos, shape=0), "shape: .* at least 1"),
        (lambda: losses.Custom(np.add, np.add, targets="label"), "did you mean 'labels'"),
        (lambda: metrics.Custom(np.sum, key="loss"), "key: expected a name but"),
        (lambda: metrics.Custom(np.sum, key="val_x"), "key: expected a name but"),
        (
            lambda: fastbp.Network([Dense(2)], metrics=["acc", metrics.Custom(np.sum, "accuracy")]),
            "metrics: expected keys that differ, got 'accuracy' twice",
        ),
    ],
)
def test_what_is_out_of_range_is_named(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_wrong_initial_value_is_refused(Network) -> None:
    for function, error, message in (
        (lambda shape, rng: np.zeros(3), ValueError, r"expected an array of shape \(3, 2\)"),
        (lambda shape, rng: np.full(shape, np.nan), ValueError, "weights_initializer: .* finite"),
        (lambda shape, rng: 0.0, TypeError, "got float"),
    ):
        chain = [Dense(2, weights_initializer=initializers.Custom(function))]
        with pytest.raises(error, match=message):
            Network(chain, input_shape=3)
    scale = layers.Custom(np.add, np.add, {"w": ((3,), [np.inf] * 3)})
    with pytest.raises(ValueError, match=r"parameters\['w'\]: expected values that are finite"):
        Network([scale], input_shape=3)


def test_equal_parts_are_equal_and_can_be_hashed() -> None:
    def scale() -> layers.Custom:
        return layers.Custom(np.add, np.multiply, {"w": ((3,), "zeros")}, shape=[3])

    for one, other in (
        (scale(), scale()),
        (activations.Custom(np.sin, np.cos), activations.Custom(np.sin, np.cos)),
        (losses.Custom(np.sin, np.cos), losses.Custom(np.sin, np.cos)),
    ):
        assert one == other
        assert hash(one) == hash(other)
    assert activations.Custom(np.sin, np.cos) != activations.Custom(np.cos, np.sin)


def test_a_summary_has_custom_layers(Network) -> None:
    net = Network([Dense(4, parts.TANH), parts.dense(2), parts.dense(2)], input_shape=3)
    text = net.summary()
    for words in ("dense (tanh)", "custom ", "custom_1", "32 parameters"):
        assert words in text


# The check of a derivative.


def test_right_derivatives_pass_the_check() -> None:
    for part in parts.ACTIVATIONS.values():
        custom.check(part, RNG.normal(size=(5, 3)))
        custom.check(part, np.linspace(-3, 3, 13))
    custom.check(parts.SQUARES, RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3)))
    custom.check(parts.SPARSE, RNG.normal(size=(4, 3)), [0, 2, 1, 1])
    custom.check(parts.dense(4), RNG.normal(size=(5, 3)))
    custom.check(parts.SOFTMAX, RNG.normal(size=(5, 3)))


def off_at(place: Any, function: Any) -> Any:
    """Return the function with a small mistake in one element."""

    def wrong(*arrays: Any) -> Any:
        answer = np.array(function(*arrays))
        answer[place] += 1e-3
        return answer

    return wrong


def test_a_wrong_derivative_fails_the_check_which_names_the_place() -> None:
    z, y, t, x = (RNG.normal(size=(4, 3)) for _ in range(4))
    wrong = activations.Custom(np.sin, off_at((2, 1), np.cos))
    with pytest.raises(ValueError, match=r"activations.Custom.*expected .* at \[2, 1\].*, got"):
        custom.check(wrong, z)
    with pytest.raises(ValueError, match=r"losses.Custom: dL/dy: expected .* at \[1, 0\]"):
        custom.check(losses.Custom(parts.squares, off_at((1, 0), parts.squares_derivative)), y, t)
    for place, name in enumerate(["dL/dx", "gradient of weights", "gradient of biases"]):

        def backward(*arrays: Any, place: int = place) -> Any:
            answers = list(parts.dense_backward(*arrays))
            answers[place] = off_at((0,) * answers[place].ndim, lambda: answers[place])()
            return tuple(answers)

        part = parts.dense(2)
        wrong_layer = layers.Custom(part.forward, backward, part.parameters, 2)
        with pytest.raises(ValueError, match=rf"layers.Custom: {name}: expected .* at \[0"):
            custom.check(wrong_layer, x)


def test_an_activation_that_mixes_units_fails_the_check() -> None:
    mixes = activations.Custom(
        lambda z: np.exp(parts.log_softmax(z)),
        lambda z: np.exp(parts.log_softmax(z)) * (1 - np.exp(parts.log_softmax(z))),
    )
    with pytest.raises(ValueError, match="central differences"):
        custom.check(mixes, RNG.normal(size=(4, 3)))


def test_a_derivative_that_is_not_a_number_fails_the_check() -> None:
    part = activations.Custom(np.sin, lambda z: np.full_like(z, np.nan))
    with pytest.raises(ValueError, match="got nan"):
        custom.check(part, [1.0])


def test_the_check_says_what_it_takes() -> None:
    with pytest.raises(TypeError, match="samples: expected y, t, got 1 arrays"):
        custom.check(parts.SQUARES, Y)
    with pytest.raises(TypeError, match="part: expected a custom activation, loss or layer"):
        custom.check(parts.ACCURACY, Y)


def test_samples_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^samples: expected finite numbers"):
        fastbp.custom.check(fastbp.activations.Custom(np.sin, np.cos), [0.5, np.nan])


def gate(**options: Any) -> Any:
    """A layer of two inputs and one parameter: y = x0 x1 + s x1, of shapes (5,) and (5,)."""
    return layers.Custom(
        lambda x, s: x[0] * x[1] + s * x[1],
        lambda x, y, dy, s: (
            (dy * x[1], dy * (x[0] + s)),
            (dy * x[1]).sum(axis=0),
        ),
        parameters=lambda shapes: {"s": (shapes[1], "normal")},
        **options,
    )


def outer() -> Any:
    """A layer of three inputs of different shapes, without parameters."""
    return layers.Custom(
        lambda x: np.einsum("bi,bjk->bijk", x[0], x[1]) * x[2][:, :, None, None],
        lambda x, y, dy: (
            np.einsum("bijk,bjk,bi->bi", dy, x[1], x[2]),
            np.einsum("bijk,bi,bi->bjk", dy, x[0], x[2]),
            np.einsum("bijk,bjk,bi->bi", dy, x[1], x[0]),
        ),
        shape=lambda shapes: shapes[0] + shapes[1],
    )


def gated(Network: Any, **options: Any) -> Any:
    """Return a network of two inputs; a tensor is read twice by one layer, and by others."""
    a, b = fastbp.Input(4), fastbp.Input((2, 3))
    h, of_two = fastbp.Dense(5, "tanh")(a), gate()
    flat = fastbp.layers.Flatten()(outer()([h, b, of_two([h, h])]))
    y = fastbp.layers.Add()([fastbp.Dense(5)(flat), of_two([fastbp.Dense(5)(flat), h])])
    return Network(inputs=(a, b), outputs=y, loss="mean_squared_error", seed=1, **options)


def test_the_check_takes_layers_of_several_inputs() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 5)), rng.normal(size=(3, 2, 3)), rng.normal(size=(3, 5))
    fastbp.custom.check(gate(), a, c)
    fastbp.custom.check(outer(), a, b, c)
    wrong = layers.Custom(lambda x: x[0] * x[1], lambda x, y, dy: (dy * x[1], dy * x[1]))
    with pytest.raises(ValueError, match=r"layers.Custom: dL/dx\[1\]: expected"):
        fastbp.custom.check(wrong, a, c)


def test_layers_of_several_inputs_have_the_gradients_of_central_differences(Network) -> None:
    net = gated(Network, dtype="float64")
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(6, 4)), rng.normal(size=(6, 2, 3))), rng.normal(size=(6, 5))
    gradients = net.loss_and_gradients(x, y)[1].copy()
    for i in rng.permutation(net.n_parameters)[:40]:
        kept, losses = net.parameters[i], []
        for side in (1, -1):
            net.parameters[i] = kept + side * 2.0**-18
            losses.append(net.evaluate(x, y)["loss"])
        net.parameters[i] = kept
        slope = (losses[0] - losses[1]) * 2.0**17
        assert abs(gradients[i] - slope) < 1e-8 + 1e-7 * abs(slope)
    dy = rng.normal(size=(6, 5))
    net.forward(x)
    for rows, slopes in zip(x, net.backward(dy), strict=True):
        for i in list(np.ndindex(rows.shape))[:12]:
            kept, values = rows[i], []
            for side in (1, -1):
                rows[i] = kept + side * 2.0**-18
                values.append(float((dy * net.predict(x)).sum()))
            rows[i] = kept
            slope = (values[0] - values[1]) * 2.0**17
            assert abs(slopes[i] - slope) < 1e-8 + 1e-7 * abs(slope)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_engines_agree_on_layers_of_several_inputs(core, dtype, threads) -> None:
    plan = gated(fastbp.Network, dtype=dtype).plan
    Pair(plan, rows=30, n_threads=threads, metrics=(), scale=1).check()


def test_a_layer_of_several_inputs_goes_to_a_file(Network, tmp_path) -> None:
    a, b = fastbp.Input(3), fastbp.Input(3)
    layer = layers.Custom(product, product_backward)
    net = Network(inputs=(a, b), outputs=fastbp.Dense(2)(layer([a, b])), seed=0)
    net.save(tmp_path / "net")
    again = Network.load(
        tmp_path / "net",
        custom_objects={"product": product, "product_backward": product_backward},
    )
    x = tuple(np.random.default_rng(0).normal(size=(2, 4, 3)))
    assert np.array_equal(again.predict(x), net.predict(x))


def product(x: Any) -> Any:
    return x[0] * x[1]


def product_backward(x: Any, y: Any, dy: Any) -> Any:
    return dy * x[1], dy * x[0]


def shifted(x: Any, b: Any) -> Any:
    return x + b


def shifted_back(x: Any, y: Any, dy: Any, b: Any) -> Any:
    return dy, dy.sum(axis=0)


def test_a_layer_with_a_mapping_of_parameters_goes_to_a_file(Network, tmp_path) -> None:
    layer = layers.Custom(shifted, shifted_back, parameters={"b": (3, "normal")})
    net = Network([layer], input_shape=3, seed=0)
    net.save(tmp_path / "net")
    functions = {"shifted": shifted, "shifted_back": shifted_back}
    again = Network.load(tmp_path / "net", custom_objects=functions)
    assert again.layers[0].description == layer
    assert np.array_equal(again.predict(np.eye(3)), net.predict(np.eye(3)))


def test_wrong_answers_of_layers_of_several_inputs_are_told(Network) -> None:
    a, b = fastbp.Input(3), fastbp.Input(3)
    x, y = tuple(np.ones((2, 4, 3))), np.ones((4, 3))
    for backward, kind, message in (
        (lambda x, y, dy: dy, TypeError, r"dL/dx: expected a tuple of 2 arrays, got ndarray"),
        (lambda x, y, dy: (dy,), TypeError, r"dL/dx: expected a tuple of 2 arrays, got 1 items"),
        (
            lambda x, y, dy: (dy, dy[:2]), ValueError,
            r"dL/dx\[1\]: expected an array of shape \(4, 3\), got \(2, 3\)",
        ),
    ):  # fmt: skip
        h = fastbp.Dense(3)(a)
        layer = layers.Custom(product, backward)
        net = Network(inputs=(a, b), outputs=layer([h, b]), loss="mean_squared_error")
        with pytest.raises(kind, match=message):
            net.fit(x, y, verbose=0)


def test_layers_of_several_inputs_that_do_not_fit_are_refused() -> None:
    layer = layers.Custom(product, product_backward)
    message = r"custom expects rows of one shape where it is given no shape=, got \(3,\) from input"
    with pytest.raises(ValueError, match=message):
        layer([fastbp.Input(3), fastbp.Input(4)])
    with pytest.raises(ValueError, match="custom expects a tensor or several, got none"):
        layer([])
    with pytest.raises(TypeError, match=r"custom: expected tensors, got int at \[1\]"):
        layer([fastbp.Input(3), 4])
