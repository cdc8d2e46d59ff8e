"""ModelCheckpoint: when it saves, under which names, and what a file from it goes on to."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Adam, Callback, Dense, Dropout
from fastbp.callbacks import ModelCheckpoint

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(23, 3)), RNG.normal(size=(23, 2))


@pytest.fixture
def make(Network):
    def make(**changes):
        options = {"input_shape": 3, "loss": "squared_error", "seed": 7, "metrics": ["accuracy"]}
        layers = [Dense(4, "tanh"), Dropout(0.3), Dense(2)]
        return Network(layers, **options | changes)

    return make


class Says(Callback):
    """Puts given values in the place of the validation loss."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, epoch, logs):
        logs["val_loss"] = self.values[epoch]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_each_epoch_has_its_file_with_its_values_in_the_name(make, tmp_path):
    net = make()
    path = tmp_path / "net-{epoch:02d}-{val_loss:.3f}.safetensors"
    history = net.fit(X, Y, epochs=3, validation_data=(X, Y), callbacks=[ModelCheckpoint(path)])
    expected = [
        f"net-{epoch:02d}-{value:.3f}.safetensors"
        for epoch, value in enumerate(history["val_loss"], start=1)
    ]
    assert names(tmp_path) == expected


def test_epochs_are_counted_on_over_fits_and_files(make, Network, tmp_path):
    net = make()
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}")
    net.fit(X, Y, epochs=2, callbacks=[checkpoint])
    Network.load(tmp_path / "2").fit(X, Y, callbacks=[checkpoint])
    assert names(tmp_path) == ["1", "2", "3"]


# What Keras 3.15.1 does: the epochs after which it saves the best, counted from 1.
BEST = [
    ({}, [1, 2, 5]),
    ({"mode": "max"}, [1, 3, 4]),
    ({"initial_value_threshold": 0.75}, [5]),
]


@pytest.mark.parametrize(("arguments", "saved"), BEST)
def test_the_best_alone_is_saved_where_keras_does(make, tmp_path, arguments, saved):
    values = [1.0, 0.8, 1.2, 1.3, 0.7, 0.7, math.nan]
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}", save_best_only=True, **arguments)
    net = make(optimizer=SGD(0.01))
    calls = [Says(values), checkpoint]
    net.fit(X, Y, epochs=len(values), validation_data=(X, Y), callbacks=calls)
    assert names(tmp_path) == [str(epoch) for epoch in saved]
    assert checkpoint.best == values[saved[-1] - 1]


def test_the_best_is_kept_from_fit_to_fit(make, tmp_path):
    net = make(optimizer=SGD(0.01))
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}", save_best_only=True)
    for values in ([1.0], [1.5, 0.9]):
        calls = [Says(values), checkpoint]
        net.fit(X, Y, epochs=len(values), validation_data=(X, Y), callbacks=calls)
    assert names(tmp_path) == ["1", "3"]


def test_epochs_without_the_value_are_left_out_of_the_best_and_nan_in_names(make, tmp_path):
    net = make()
    best = ModelCheckpoint(tmp_path / "best{epoch}", save_best_only=True)
    each = ModelCheckpoint(tmp_path / "{epoch}-{val_loss:.0f}")
    net.fit(X, Y, epochs=2, validation_data=(X, Y), validation_freq=2, callbacks=[best, each])
    found = names(tmp_path)
    assert found[0] == "1-nan"
    assert found[-1] == "best2"
    assert len(found) == 3


def test_batches_are_counted_over_a_fit(make, tmp_path):
    net = make()
    path = tmp_path / "{epoch}-{batch}-{accuracy:.0f}-{loss:.0f}"
    net.fit(X, Y, epochs=3, batch_size=8, callbacks=[ModelCheckpoint(path, save_freq=2)])
    saved = [name.split("-")[:2] for name in names(tmp_path)]
    assert saved == [["1", "2"], ["2", "1"], ["2", "3"], ["3", "2"]]


@pytest.mark.parametrize("save_freq", ["epoch", 1])
def test_training_goes_on_from_each_file_to_the_same_bits(
    make, Network, standing, tmp_path, save_freq
):
    net = make(optimizer=Adam(0.01))
    path = tmp_path / "{epoch}" if save_freq == "epoch" else tmp_path / "{epoch}-{batch}"
    checkpoint = ModelCheckpoint(path, save_freq=save_freq)
    history = net.fit(X, Y, epochs=3, batch_size=8, callbacks=[checkpoint])
    assert len(names(tmp_path)) == (3 if save_freq == "epoch" else 9)
    for path in tmp_path.iterdir():
        other = Network.load(path)
        position = other.position
        left = 3 - position.epochs + bool(position.part.rows)
        if left:
            again = other.fit(X, Y, epochs=left, batch_size=8)
            assert again == {name: curve[3 - left :] for name, curve in history.items()}
        assert standing(other) == standing(net)


def test_a_network_without_sizes_is_saved_from_its_first_fit(Network, tmp_path):
    net = Network([Dense(2)], loss="squared_error", seed=0)
    net.fit(X, Y, callbacks=[ModelCheckpoint(tmp_path / "{epoch}")])
    assert names(tmp_path) == ["1"]


REFUSED = {
    "monitor: expected 'loss' or 'accuracy', got 'val_loss'": {"save_best_only": True},
    "monitor: expected 'loss' or 'accuracy', got 'lost'": {
        "monitor": "lost",
        "save_best_only": True,
        "save_freq": 2,
    },
    "filepath: expected fields of epoch, loss, accuracy": {"filepath": "{val_loss}"},
    "filepath: expected fields of epoch, batch, loss, accuracy": {
        "filepath": "{x.y}",
        "save_freq": 1,
    },
}


@pytest.mark.parametrize("message", REFUSED)
def test_fit_refuses_what_it_has_no_value_for(make, standing, tmp_path, message):
    net = make()
    before = standing(net)
    arguments = {"filepath": tmp_path / "net"} | REFUSED[message]
    with pytest.raises(ValueError, match=message):
        net.fit(X, Y, callbacks=[ModelCheckpoint(**arguments)])
    assert standing(net) == before
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (TypeError, {"filepath": 3}),
        (TypeError, {"monitor": None}),
        (ValueError, {"mode": "least"}),
        (ValueError, {"save_freq": 0}),
        (TypeError, {"save_freq": "batch"}),
        (TypeError, {"save_best_only": 1}),
        (ValueError, {"initial_value_threshold": math.inf}),
    ],
)
def test_arguments_are_checked(error, arguments):
    with pytest.raises(error, match=f"^{next(iter(arguments))}: expected"):
        ModelCheckpoint(**{"filepath": "net"} | arguments)


def test_an_error_of_the_disk_ends_the_fit_between_two_batches(make, tmp_path):
    net = make()
    with pytest.raises(FileNotFoundError):
        net.fit(X, Y, epochs=3, callbacks=[ModelCheckpoint(tmp_path / "none" / "net")])
    assert net.position.epochs == 1
    net.fit(X, Y)


def test_losses_and_accuracies_of_several_outputs_are_known_after_batches(Network, tmp_path):
    x = fastbp.Input(3)
    net = Network(
        inputs=x, outputs=(fastbp.Dense(2)(x), fastbp.Dense(3, "softmax")(x)), seed=1,
        loss=("squared_error", "sparse_categorical_crossentropy"), metrics=(None, "accuracy"),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    data = rng.normal(size=(8, 3)), (rng.normal(size=(8, 2)), rng.integers(0, 3, 8))
    pattern = tmp_path / "{batch}-{dense_loss:.0f}-{dense_1_accuracy:.0f}"
    net.fit(*data, batch_size=4, callbacks=[ModelCheckpoint(pattern, save_freq=1)])
    assert sorted(path.name[:2] for path in tmp_path.iterdir()) == ["1-", "2-"]
