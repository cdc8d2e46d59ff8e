"""Validation during a fit: its data, its split and its frequency."""

from __future__ import annotations

import numpy as np
import pytest

import fastbp
from fastbp import Dense, plotting
from fastbp.callbacks import LambdaCallback

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))
WEIGHTS = RNG.uniform(0.5, 2, 20)


@pytest.fixture
def make(Network):
    def make(**changes):
        options = {"input_shape": 3, "loss": "squared_error", "seed": 7, "metrics": ["accuracy"]}
        return Network([Dense(4, activation="tanh"), Dense(2)], **options | changes)

    return make


# With the number of rows that Keras 3.15.1 trains on.
@pytest.mark.parametrize(("split", "trained"), [(0.25, 15), (0.3, 14), (0.31, 13), (0.05, 19)])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_split_validates_on_the_last_rows_and_trains_on_the_others(make, split, trained, weights):
    nets = [make() for _ in range(2)]
    first, last = slice(trained), slice(trained, None)
    options = {"epochs": 3, "batch_size": 4}
    history = nets[0].fit(X, Y, sample_weight=weights, validation_split=split, **options)
    of_first, of_last = (), ()
    if weights is not None:
        of_first, of_last = weights[first], (weights[last],)
    expected = nets[1].fit(
        X[first], Y[first], sample_weight=of_first if weights is not None else None,
        validation_data=(X[last], Y[last], *of_last), **options,
    )  # fmt: skip
    assert history == expected
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()


def test_a_split_of_labels_and_of_a_mapped_file(Network, tmp_path):
    labels = (X[:, 0] > 0).astype(int)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    nets = [
        Network([Dense(2, activation="softmax")], input_shape=3, seed=1,
                loss="sparse_categorical_crossentropy") for _ in range(2)
    ]  # fmt: skip
    history = nets[0].fit(mapped, labels, validation_split=0.5)
    expected = nets[1].fit(X[:10], labels[:10], validation_data=(X[10:], labels[10:]))
    assert history == expected


@pytest.mark.parametrize("freq", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("epochs", [1, 7])
def test_validation_comes_after_so_many_epochs_and_again(make, n_threads, freq, epochs):
    nets = [make(n_threads=n_threads) for _ in range(2)]
    options = {"epochs": epochs, "batch_size": 6, "validation_data": (X[:9], Y[:9])}
    every = nets[0].fit(X, Y, **options)
    some = nets[1].fit(X, Y, validation_freq=freq, **options)
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()
    assert some["loss"] == every["loss"]
    for name in ("val_loss", "val_accuracy"):
        assert some[name] == every[name][freq - 1 :: freq]
    assert some.validation_freq == freq
    assert some.epochs == epochs


def test_validation_at_a_frequency_sees_the_network_of_that_epoch(make):
    evaluated = []
    net = make()
    look = LambdaCallback(on_epoch_end=lambda *_: evaluated.append(net.evaluate(X[:9], Y[:9])))
    history = net.fit(X, Y, epochs=6, validation_data=(X[:9], Y[:9]), validation_freq=2,
                      callbacks=[look])  # fmt: skip
    assert history["val_loss"] == [values["loss"] for values in evaluated[1::2]]


@pytest.mark.usefixtures("core")
def test_curves_that_outgrow_their_memory_keep_their_frequency():
    net = fastbp.Network([Dense(2)], input_shape=3, loss="squared_error", seed=0)
    epochs, first = 66_000, slice(4)  # room is first made for 65,536 epochs of these outputs
    history = net.fit(
        X[first], Y[first], epochs=epochs, batch_size=4, validation_data=(X[:1], Y[:1]),
        validation_freq=1000, record_outputs=True,
    )  # fmt: skip
    assert (len(history["loss"]), len(history["val_loss"])) == (epochs, 66)
    assert history["val_loss"][-1] == net.evaluate(X[:1], Y[:1])["loss"]


@pytest.mark.filterwarnings("ignore::fastbp.DivergenceWarning")
@pytest.mark.parametrize(("diverges", "epochs", "freq"), [(4, 4, 2), (3, 2, 3), (3, 2, 1)])
def test_a_fit_that_diverges_keeps_the_validations_of_the_epochs_it_keeps(
    make, diverges, epochs, freq
):
    """Epochs of 600 batches: every second leaves a snapshot."""
    net = make(optimizer="sgd")
    x, y = np.tile(X, (30, 1)), np.tile(Y, (30, 1))
    options = {"batch_size": 1, "validation_data": (X, Y), "validation_freq": freq}

    class Explode(fastbp.Callback):
        def on_epoch_begin(self, epoch):
            self.network.learning_rate = 1e30 if epoch == diverges else 0.001

    history = net.fit(x, y, epochs=9, callbacks=[Explode()], **options)
    assert history.epochs == len(history["loss"]) == epochs
    assert len(history["val_loss"]) == len(history["val_accuracy"]) == epochs // freq
    if epochs % freq == 0:
        assert history["val_loss"][-1] == net.evaluate(X, Y)["loss"]


def test_a_picture_has_validation_at_the_epochs_it_belongs_to(make):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    history = make().fit(X, Y, epochs=7, validation_data=(X, Y), validation_freq=3)
    axes = history.plot()
    assert [line.get_xdata().tolist() for line in axes[0].lines] == [[*range(1, 8)], [3, 6]]
    assert axes[0].lines[1].get_ydata().tolist() == history["val_loss"]
    pyplot.close("all")
    axes = pyplot.figure().subplots()
    plotting.curve(axes, {"loss": [2.0, 1.0], "val_loss": [3.0, 2.0]}, "loss")
    assert axes.lines[1].get_xdata().tolist() == [1, 2]
    pyplot.close("all")


BAD = {
    "a whole": ({"validation_split": 1.0}, ValueError, r"validation_split: expected a number in"),
    "negative": ({"validation_split": -0.1}, ValueError, r"validation_split: expected a number in"),
    "text": ({"validation_split": "half"}, TypeError, "validation_split: expected a real number"),
    "no rows to train on": (
        {"validation_split": 0.96}, ValueError, "validation_split: expected at least one row",
    ),
    "both": (
        {"validation_split": 0.5, "validation_data": (X, Y)}, ValueError,
        "validation_split: expected 0 beside validation_data, got both",
    ),
    "weights of zero behind the split": (
        {"validation_split": 0.5, "sample_weight": np.r_[np.ones(10), np.zeros(10)]}, ValueError,
        "validation_split: expected rows that count on either side",
    ),
    "never": ({"validation_freq": 0}, ValueError, "validation_freq: expected an integer at least"),
    "at half epochs": ({"validation_freq": 0.5}, TypeError, "validation_freq: expected an integer"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), BAD.values(), ids=BAD.keys())
def test_bad_validation_is_refused(make, standing, options, error, message):
    net = make()
    before = standing(net)
    with pytest.raises(error, match=f"^{message}"):
        net.fit(X, Y, **options)
    assert standing(net) == before


def test_a_split_of_one_row_is_refused(make):
    with pytest.raises(ValueError, match=r"at least one row on either side, got 0\.5 of 1 rows"):
        make().fit(X[:1], Y[:1], validation_split=0.5)
