"""NaN, infinity and what is no real number are refused; training that diverges goes back."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from fastbp import SGD, Activation, Dense, DivergenceWarning, initializers, losses

pytestmark = pytest.mark.promise(17)

N = 12
X = np.linspace(-1, 1, 3 * N).reshape(N, 3)
Y = X[:, :2] ** 2


@pytest.fixture
def net(Network, dtype):
    return Network(
        [Dense(4, activation="tanh"), Dense(2)], input_shape=3, loss="squared_error", dtype=dtype,
        seed=0,
    )  # fmt: skip


# -- input


def with_value(array, value):
    array = array.astype(np.result_type(array, type(value)))
    array[(-1,) * array.ndim] = value
    return array


BAD = {
    "NaN": (math.nan, ValueError),
    "infinity": (math.inf, ValueError),
    "minus infinity": (-math.inf, ValueError),
    "complex": (1 + 1j, TypeError),
    "object": (None, TypeError),
    "text": ("1", TypeError),
}

# Every way in for numbers: the argument that an error names, and a call with one bad number.
WAYS = {
    "x of fit": ("x", lambda net, bad: net.fit(bad(X), Y)),
    "y of fit": ("y", lambda net, bad: net.fit(X, bad(Y))),
    "weights of fit": ("sample_weight", lambda net, bad: net.fit(X, Y, sample_weight=bad(X[:, 0]))),
    "validation": (
        r"validation_data\[0\]", lambda net, bad: net.fit(X, Y, validation_data=(bad(X), Y))
    ),
    "x of predict": ("x", lambda net, bad: net.predict(bad(X))),
    "a row": ("x", lambda net, bad: net(bad(X[0]))),
    "a row of the network's dtype": ("x", lambda net, bad: net(like(net, bad(X[0])))),
    "x of forward": ("x", lambda net, bad: net.forward(bad(X))),
    "y of evaluate": ("y", lambda net, bad: net.evaluate(X, bad(Y))),
    "y of a batch": ("y", lambda net, bad: net.train_on_batch(X, bad(Y))),
    "y of gradients": ("y", lambda net, bad: net.loss_and_gradients(X, bad(Y))),
    "output gradient": ("grad_output", lambda net, bad: net.backward(bad(Y))),
    "all parameters": ("parameters", lambda net, bad: net.set_parameters(bad(net.parameters))),
    "parameters by name": (
        r"parameters\['dense.biases'\]",
        lambda net, bad: net.set_parameters({"dense.biases": bad(np.ones(4))}),
    ),
    "initial biases": (
        "(bias_)?initializer",
        lambda net, bad: type(net)([Dense(2, bias_initializer=bad(np.ones(2)))], input_shape=3),
    ),
}  # fmt: skip


def like(net, array):
    return array.astype(net.dtype) if array.dtype.kind == "f" else array


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_what_is_no_finite_real_number_is_refused(net, standing, way, bad):
    (argument, act), (value, error) = way, bad
    net.forward(X)
    before, gradients = standing(net), net.gradients.copy()
    with pytest.raises(error, match=rf"^{argument}: expected .*(finite|real numbers|at least 0)"):
        act(net, lambda array: with_value(array, value))
    assert standing(net) == before
    assert np.array_equal(net.gradients, gradients)


@pytest.mark.parametrize("which", ["x", "y"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_a_bad_number_in_a_mapped_file_ends_training_at_the_batch_before(
    Network, dtype, standing, tmp_path, which, value, n_threads
):
    """In the third of six batches."""
    arrays = {"x": X, "y": Y}
    arrays[which] = with_value(arrays[which], value)
    place = {"x": 5, "y": 4}[which]
    arrays[which][[place, -1]] = arrays[which][[-1, place]]
    for name, array in arrays.items():
        np.save(tmp_path / name, array.astype(dtype))
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in arrays}
    nets = [
        Network(
            [Dense(4, activation="tanh"), Dense(2)], input_shape=3, loss="squared_error",
            dtype=dtype, seed=0, n_threads=n_threads,
        )
        for _ in range(2)
    ]  # fmt: skip
    with pytest.raises(ValueError, match=rf"^{which}: expected finite numbers"):
        nets[0].fit(mapped["x"], mapped["y"], batch_size=2, shuffle=False, epochs=3)
    for start in (0, 2):
        nets[1].train_on_batch(X[start : start + 2], Y[start : start + 2])
    position = nets[0]._engine.position
    assert (position.steps, position.batches, position.epochs) == (2, 2, 1)
    nets[1]._engine.position = position
    assert standing(nets[0]) == standing(nets[1])
    for each in nets:
        each.fit(X, Y, epochs=2)
    assert standing(nets[0]) == standing(nets[1])


# -- divergence


def growing(Network, dtype, batches, **options):
    """A network of one weight w that overflows after this many batches, or its loss w^2 does,
    which is in float64.

    Each step of gradient descent on inputs of 1 and targets of 0 multiplies w by 1 - 2 rate.
    """
    growth = min(float(np.finfo(dtype).max), float(np.finfo(float).max) ** 0.5) ** (1 / batches)
    made_of = {
        "input_shape": 1, "loss": "squared_error", "optimizer": SGD((1 + growth) / 2),
        "dtype": dtype, "seed": 0,
    }  # fmt: skip
    layers = [Dense(1, use_bias=False, weights_initializer=initializers.Constant(1))]
    return Network(layers, **made_of | options)


def constant(n):
    return np.ones((n, 1)), np.zeros((n, 1))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_divergence_before_the_first_snapshot_goes_back_to_the_start(
    Network, dtype, standing, n_threads
):
    net = growing(Network, dtype, 40, n_threads=n_threads)
    net.train_on_batch(*constant(2))
    before = standing(net)
    with pytest.warns(DivergenceWarning, match=r"diverged: .* after epoch 0 of this fit") as caught:
        history = net.fit(*constant(8), batch_size=1, epochs=10, record_outputs=True)
    assert len(caught) == 1
    assert standing(net) == before
    assert list(history["loss"]) == []
    assert len(history.outputs) == 0
    net.learning_rate = 0.01
    assert np.isfinite(net.fit(*constant(8))["loss"]).all()


def test_divergence_goes_back_to_the_last_epoch_of_1024_batches(Network, dtype, standing):
    """Epochs of 600 batches: the snapshot behind the second is the last good one of four."""
    net, other = (growing(Network, dtype, 2000, metrics=["accuracy"]) for _ in range(2))
    data, validation = constant(600), constant(3)
    with pytest.warns(DivergenceWarning, match="after epoch 2 of this fit"):
        history = net.fit(*data, batch_size=1, epochs=9, validation_data=validation)
    expected = other.fit(*data, batch_size=1, epochs=2, validation_data=validation)
    assert history == expected
    assert [len(curve) for curve in history.values()] == [2] * 4
    assert standing(net) == standing(other)


def test_an_epoch_longer_than_1024_batches_has_a_snapshot_of_its_own(Network, dtype, standing):
    net, other = (growing(Network, dtype, 2500) for _ in range(2))
    data = constant(1100)
    with pytest.warns(DivergenceWarning, match="after epoch 2 of this fit"):
        net.fit(*data, batch_size=1, epochs=9)
    other.fit(*data, batch_size=1, epochs=2)
    assert standing(net) == standing(other)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_parameters_that_overflow_under_a_finite_loss_are_noticed(
    Network, dtype, standing, optimizer
):
    """The last update of the fit makes them infinite: no loss tells."""
    net = growing(Network, dtype, 1, optimizer=optimizer)
    net.train_on_batch(*constant(1))
    net.learning_rate = np.finfo(dtype).max
    net.parameters[...] = 4
    before = standing(net)
    with pytest.warns(DivergenceWarning):
        net.fit(np.full((1, 1), 4.0), np.zeros((1, 1)))
    assert standing(net) == before


@pytest.mark.parametrize("method", ["fit", "train_on_batch"])
@pytest.mark.parametrize("last", ["softmax", "sigmoid", "exp of gelu"])
def test_outputs_that_are_not_finite_are_noticed(Network, dtype, standing, method, last):
    """Large weights make infinity, and infinity minus infinity NaN, on the way to any loss."""
    layers = [Dense(2), Activation("gelu"), Dense(2)]
    loss = losses.MeanSquaredError()
    if last == "softmax":
        layers, loss = [*layers, Activation("softmax")], "categorical_crossentropy"
    elif last == "sigmoid":
        layers, loss = [*layers, Activation("sigmoid")], "binary_crossentropy"
    net = Network(layers, input_shape=3, loss=loss, dtype=dtype, seed=0)
    net.parameters[...] = np.finfo(dtype).max / 2
    before = standing(net)
    with pytest.warns(DivergenceWarning):
        getattr(net, method)(X, np.eye(2)[np.arange(N) % 2])
    assert standing(net) == before


def test_training_that_does_not_diverge_does_not_warn(Network, dtype):
    net = growing(Network, dtype, 2000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = net.fit(*constant(600), batch_size=1, epochs=3)
    assert len(history["loss"]) == 3
    assert np.isfinite(history["loss"]).all()
