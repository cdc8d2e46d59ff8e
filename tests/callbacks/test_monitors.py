"""EarlyStopping and ReduceOnPlateau, against what Keras does on the same values."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Adam, Callback, Dense, schedules
from fastbp.callbacks import EarlyStopping, ReduceOnPlateau

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))

LOSSES = [
    1.0, 0.8, 0.7999, 0.85, 0.8, 0.75, 0.7501, 0.76, 0.77, 0.7,
    0.71, 0.72, 0.73, 0.74, 0.69995, 0.699, 0.8, 0.8, 0.8, 0.8,
]  # fmt: skip


@pytest.fixture
def make(Network):
    def make(**changes):
        options = {"input_shape": 3, "loss": "squared_error", "seed": 7, "metrics": ["accuracy"]}
        return Network([Dense(2)], **options | changes)

    return make


class Says(Callback):
    """Puts given values in the place of the loss, and moves the parameters to the epoch's number.

    It stands before the callback under test, which sees its values.
    """

    def __init__(self, values, name="loss"):
        self.values, self.name = values, name

    def on_epoch_end(self, epoch, logs):
        logs[self.name] = self.values[epoch]
        self.network.parameters[:] = epoch


# What Keras 3.15.1 does: epochs run, and the epoch whose weights are restored, None for none.
STOPS = [
    ({}, 4, 2),
    ({"patience": 1}, 4, 2),
    ({"patience": 3}, 9, 5),
    ({"patience": 4, "min_delta": 0.01}, 14, 9),
    ({"patience": 2, "start_from_epoch": 5}, 8, 5),
    ({"patience": 3, "baseline": 0.78}, 4, 2),
    ({"patience": 6, "baseline": 0.5}, 7, 5),
    ({"patience": 2, "mode": "max"}, 3, 0),
]


@pytest.mark.parametrize(("arguments", "epochs", "best"), STOPS)
def test_early_stopping_stops_and_restores_where_keras_does(make, arguments, epochs, best):
    net, stopping = make(optimizer=SGD(0.0)), EarlyStopping("loss", **arguments)
    history = net.fit(X, Y, epochs=len(LOSSES), callbacks=[Says(LOSSES), stopping])
    assert history.epochs == epochs
    assert stopping.stopped_epoch == epochs - 1
    assert stopping.best_epoch == best
    assert stopping.best == LOSSES[best]
    assert np.array_equal(net.parameters, np.full(8, best, np.float32))


# What Keras 3.15.1 does, and PyTorch 2.13 with patience and cooldown one less: learning rates
# after each epoch, from 1.
REDUCTIONS = [
    (
        {"factor": 0.5, "patience": 2, "min_delta": 1e-3},
        [1] * 3 + [2**-1] * 4 + [2**-2] * 4 + [2**-3] * 2 + [2**-4] * 2
        + [2**-5] * 2 + [2**-6] * 2 + [2**-7],
    ),
    (
        {"factor": 0.5, "patience": 0, "min_delta": 0.0, "cooldown": 2},
        [1] * 3 + [2**-1] * 3 + [2**-2] * 2 + [2**-3] * 2 + [2**-4] * 2
        + [2**-5] * 4 + [2**-6] * 2 + [2**-7] * 2,
    ),
    (
        {"factor": 0.1, "patience": 3, "min_delta": 1e-4, "min_lr": 0.05, "cooldown": 1},
        [1] * 4 + [0.1] * 4 + [0.05] * 12,
    ),
    (
        {"factor": 0.5, "patience": 1, "min_delta": 1e-3, "mode": "max"},
        [2.0**-epoch for epoch in range(20)],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "rates"), REDUCTIONS)
def test_reduce_on_plateau_lowers_the_learning_rate_where_keras_does(make, arguments, rates):
    found = []

    class Watch(Callback):
        def on_epoch_end(self, epoch, logs):
            found.append(self.network.learning_rate)

    net = make(optimizer=Adam(1.0))
    callbacks = [Says(LOSSES), ReduceOnPlateau("loss", **arguments), Watch()]
    net.fit(X, Y, epochs=len(LOSSES), callbacks=callbacks)
    assert found == pytest.approx(rates, rel=1e-15)


def test_a_lower_learning_rate_is_taken_at_once(make):
    nets = [make(optimizer=SGD(0.1)) for _ in range(2)]
    reduce = ReduceOnPlateau("loss", patience=1, factor=0.25, mode="max")
    nets[0].fit(X, Y, epochs=4, callbacks=[reduce])
    for rate in (0.1, 0.1, 0.025, 0.00625):  # the loss falls
        nets[1].learning_rate = rate
        nets[1].fit(X, Y)
    assert nets[0].learning_rate == 0.25**3 * 0.1
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()


def test_early_stopping_puts_back_the_best_parameters_and_leaves_the_optimizer(make):
    """Validation targets that training runs away from."""
    net, other = (make(optimizer=Adam(0.05)) for _ in range(2))
    stopping = EarlyStopping(patience=3)
    history = net.fit(X, Y, epochs=99, validation_data=(X, -Y), callbacks=[stopping])
    assert history["val_loss"][stopping.best_epoch] == min(history["val_loss"]) == stopping.best
    assert history.epochs == stopping.best_epoch + 4
    assert net.evaluate(X, -Y)["loss"] == stopping.best
    other.fit(X, Y, epochs=history.epochs)
    assert net._engine.position == other._engine.position
    assert net._engine.state.tobytes() == other._engine.state.tobytes()
    assert net.parameters.tobytes() != other.parameters.tobytes()


@pytest.mark.parametrize("ending", ["the last epoch", "an interrupt"])
def test_the_best_parameters_are_put_back_however_training_ends(make, ending):
    class Interrupt(Callback):
        def on_epoch_begin(self, epoch):
            if ending == "an interrupt" and epoch == 8:
                raise KeyboardInterrupt

    net, stopping = make(), EarlyStopping("loss", patience=99)
    callbacks = [Says(LOSSES), stopping, Interrupt()]
    try:
        net.fit(X, Y, epochs=9, callbacks=callbacks)
        assert ending == "the last epoch"
    except KeyboardInterrupt:
        assert ending == "an interrupt"
    assert stopping.stopped_epoch is None
    assert np.array_equal(net.parameters, np.full(8, 5, np.float32))


def test_without_restore_best_the_parameters_stay(make):
    net = make(optimizer=SGD(0.0))
    stopping = EarlyStopping("loss", restore_best=False)
    net.fit(X, Y, epochs=9, callbacks=[Says(LOSSES), stopping])
    assert stopping.best_epoch == 2
    assert np.array_equal(net.parameters, np.full(8, 3, np.float32))


def test_parameters_that_are_not_finite_are_not_the_best(make):
    """The second epoch has the lower loss, and its update has spoiled a parameter."""

    class Spoil(Callback):
        def on_epoch_end(self, epoch, logs):
            self.network.parameters[0] = math.inf if epoch else 2.0

    net, stopping = make(), EarlyStopping("loss", patience=9)
    with pytest.warns(fastbp.DivergenceWarning):
        net.fit(X, Y, epochs=9, callbacks=[Says(LOSSES), Spoil(), stopping])
    assert stopping.best_epoch == 0
    assert net.parameters[0] == 2
    assert np.isfinite(net.fit(X, Y)["loss"]).all()


def test_epochs_without_validation_do_not_count(make):
    stopping, reduce = EarlyStopping(patience=2), ReduceOnPlateau(patience=1, mode="max")

    class Rises(Callback):
        def on_epoch_end(self, epoch, logs):
            if "val_loss" in logs:
                logs["val_loss"] = 1 + epoch
            self.rates = [*getattr(self, "rates", []), self.network.learning_rate]

    rises = Rises()
    history = make(optimizer=SGD(1.0)).fit(
        X, Y, epochs=20, validation_data=(X, Y), validation_freq=3,
        callbacks=[rises, stopping, ReduceOnPlateau(patience=1), reduce],
    )  # fmt: skip
    assert history.epochs == 9
    assert stopping.best_epoch == 2
    assert rises.rates == pytest.approx([1] * 6 + [0.1] * 3)


@pytest.mark.parametrize(
    ("monitor", "mode", "rises"),
    [
        ("loss", "auto", False),
        ("val_loss", "auto", False),
        ("accuracy", "auto", True),
        ("val_accuracy", "auto", True),
        ("accuracy", "min", False),
        ("loss", "max", True),
    ],
)
def test_less_of_a_loss_and_more_of_a_metric_is_better(make, monitor, mode, rises):
    stopping = EarlyStopping(monitor, mode=mode, patience=9, min_delta=0.25)
    make().fit(X, Y, validation_data=(X, Y), callbacks=[stopping])
    assert stopping.is_better(1.0, 0.5) is rises
    assert stopping.is_better(0.5, 1.0) is not rises
    assert not stopping.is_better(1.0, 0.75)
    assert not stopping.is_better(0.75, 1.0)
    assert not stopping.is_better(math.nan, 1.0)


def test_another_fit_starts_anew(make):
    net, stopping = make(optimizer=SGD(0.0)), EarlyStopping("loss", patience=3)
    reduce = ReduceOnPlateau("loss", patience=3, factor=0.5)
    for _ in range(2):
        net.learning_rate = 0.0
        net.fit(X, Y, epochs=5, callbacks=[Says([5.0, 4.0, 3.0, 3.0, 3.0]), stopping, reduce])
        assert (stopping.best_epoch, stopping.stopped_epoch) == (2, None)


MONITORS = [EarlyStopping, ReduceOnPlateau]


@pytest.mark.parametrize("kind", MONITORS)
@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        ("val_loss", "expected 'loss' or 'accuracy', got 'val_loss'; pass validation data"),
        ("acuracy", "expected 'loss' or 'accuracy', got 'acuracy'$"),
    ],
)
def test_a_value_that_the_fit_has_not_is_refused_before_it_begins(Network, kind, monitor, message):
    net = Network([Dense(2)], loss="squared_error", metrics=["accuracy"], seed=0)
    with pytest.raises(ValueError, match=f"^monitor: {message}"):
        net.fit(X, Y, callbacks=[kind(monitor)])
    with pytest.raises(RuntimeError, match="before its first fit"):
        net.n_parameters  # noqa: B018 - asks whether the network has been built


def test_without_a_number_as_learning_rate_reduce_on_plateau_is_refused(make):
    net = make(optimizer=SGD(schedules.Exponential(0.1, 0.5)))
    with pytest.raises(ValueError, match=r"^callbacks: expected ReduceOnPlateau with a number"):
        net.fit(X, Y, callbacks=[ReduceOnPlateau("loss")])


def test_with_rprop_reduce_on_plateau_is_refused(make):
    with pytest.raises(ValueError, match=r"^callbacks: expected ReduceOnPlateau with an optimizer"):
        make(optimizer="rprop").fit(X, Y, callbacks=[ReduceOnPlateau("loss")])


BAD = {
    "patience": (-1, 0.5, True),
    "min_delta": (-1e-9, math.nan, "small"),
    "mode": ("less", 1),
    "monitor": (3, None),
}
BAD_OF_ONE = {
    EarlyStopping: {
        "baseline": (math.inf, "low"), "restore_best": (1, None), "start_from_epoch": (-1, 1.5),
    },
    ReduceOnPlateau: {
        "factor": (0, 1, -0.5, math.nan, "half"), "cooldown": (-1, 0.5), "min_lr": (-1, math.inf),
    },
}  # fmt: skip
CASES = [
    (kind, name, value)
    for kind in MONITORS
    for name, values in {**BAD, **BAD_OF_ONE[kind]}.items()
    for value in values
]


@pytest.mark.parametrize(("kind", "name", "value"), CASES)
def test_arguments_out_of_range_are_refused(kind, name, value):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
        kind(**{name: value})
