"""Callbacks: who is called where, on every engine, and what may be done there."""

from __future__ import annotations

import gc
import itertools
import math
import pickle
import weakref

import numpy as np
import pytest

import fastbp
from fastbp import (
    LBFGS,
    SGD,
    Adam,
    Callback,
    Dense,
    Dropout,
    StopTraining,
    initializers,
    schedules,
)
from fastbp.callbacks import EarlyStopping, LambdaCallback
from fastbp.callbacks.hooks import PLACES

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))
BATCH = 8
BATCHES = 3
METHODS = ("on_train_begin", *PLACES, "on_train_end")


@pytest.fixture
def make(Network):
    def make(layers=None, **changes):
        layers = layers or [Dense(5, activation="tanh"), Dropout(0.25), Dense(2)]
        options = {"input_shape": 3, "loss": "squared_error", "seed": 7, "metrics": ["accuracy"]}
        return Network(layers, **options | changes)

    return make


def fit(net, callbacks, **options):
    return net.fit(X, Y, **{"epochs": 3, "batch_size": BATCH, "callbacks": callbacks} | options)


class Diary(Callback):
    """Notes each call; acts at one of them."""

    def __init__(self, at=None, act=None):
        self.calls = []
        self._at, self._act = at, act

    def note(self, *call):
        self.calls.append(call)
        if call == self._at:
            self._act()

    def on_train_begin(self):
        self.note("train begins")

    def on_epoch_begin(self, epoch):
        self.note("epoch begins", epoch)

    def on_batch_end(self, batch, logs):
        self.note("batch ends", batch)

    def on_epoch_end(self, epoch, logs):
        self.note("epoch ends", epoch)

    def on_train_end(self, history):
        self.note("train ends")


def expected_calls(epochs, batches=BATCHES):
    calls = [("train begins",)]
    for epoch in range(epochs):
        calls.append(("epoch begins", epoch))
        calls += [("batch ends", batch) for batch in range(batches)]
        calls.append(("epoch ends", epoch))
    return [*calls, ("train ends",)]


# Each call of a fit of three epochs but the last, which stops nothing any more.
MOMENTS = expected_calls(3)[:-1]


@pytest.mark.parametrize("validates", [False, True])
@pytest.mark.parametrize("epochs", [1, 3])
def test_methods_are_called_in_order(make, n_threads, epochs, validates):
    options = {"validation_data": (X, Y)} if validates else {}
    diary = Diary()
    fit(make(n_threads=n_threads), [diary], epochs=epochs, **options)
    assert diary.calls == expected_calls(epochs)


def test_batches_whose_gradients_are_added_up_count_as_one(make, n_threads):
    """On 20 rows, 16 rows an update and then 4."""
    diary, logs = Diary(), []
    see = LambdaCallback(on_batch_end=lambda batch, values: logs.append(values["loss"]))
    history = fit(make(n_threads=n_threads), [diary, see], gradient_accumulation_steps=2)
    assert diary.calls == expected_calls(3, batches=2)
    assert logs[1::2] == history["loss"]


@pytest.mark.parametrize("validates", [False, True])
def test_an_epoch_of_lbfgs_has_one_batch(make, validates):
    net, diary, logs = make(optimizer=LBFGS(), metrics=["accuracy", "mse"]), Diary(), []
    see = LambdaCallback(on_epoch_end=lambda epoch, values: logs.append(values))
    options = {"validation_data": (X, Y), "validation_freq": 2} if validates else {}
    history = fit(net, [diary, see], **options)
    assert diary.calls == expected_calls(3, batches=1)
    for name, curve in history.items():
        assert curve == [values[name] for values in logs if name in values]
        assert len(curve) == (1 if name.startswith("val_") else 3)


@pytest.mark.parametrize("moment", expected_calls(3, batches=1)[:-1])
def test_lbfgs_stops_where_it_is_told_to(make, moment):
    def stop():
        raise StopTraining

    net, diary = make(optimizer=LBFGS()), Diary(moment, stop)
    history = fit(net, [diary])
    calls = expected_calls(3, batches=1)
    calls = [*calls[: calls.index(moment) + 1], ("train ends",)]
    assert diary.calls == calls
    assert history.epochs == sum(call[0] == "epoch ends" for call in calls)
    assert {len(curve) for curve in history.values()} == {history.epochs}
    steps = sum(call[0] == "batch ends" for call in calls)
    assert net._engine.position.steps == steps
    other = make(optimizer=LBFGS())
    if steps:
        fit(other, [], epochs=steps)
    assert net.parameters.tobytes() == other.parameters.tobytes()


@pytest.mark.parametrize("place", ["on_epoch_begin", "on_batch_end", "on_epoch_end"])
def test_lbfgs_goes_on_from_parameters_that_a_callback_sets(make, place):
    """What it remembers stays, so the second step is that of a network set so in between."""
    nets = [make([Dense(5, activation="tanh"), Dense(2)], optimizer=LBFGS()) for _ in range(2)]
    given = np.linspace(-1, 1, nets[0].n_parameters)
    epoch = int(place == "on_epoch_begin")

    class Move(Callback):
        def on_epoch_begin(self, epoch):
            self.move("on_epoch_begin", epoch)

        def on_batch_end(self, batch, logs):
            self.move("on_batch_end", self.network._engine.position.steps - 1)

        def on_epoch_end(self, epoch, logs):
            self.move("on_epoch_end", epoch)

        def move(self, where, number):
            if (where, number) == (place, epoch):
                self.network.set_parameters(given)

    history = fit(nets[0], [Move()], epochs=2)
    expected = fit(nets[1], [], epochs=1)["loss"]
    nets[1].set_parameters(given)
    assert history["loss"] == expected + fit(nets[1], [], epochs=1)["loss"]
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()


def test_lbfgs_stops_early_and_puts_the_best_back(make):
    net, stopping = make([Dense(2)], optimizer=LBFGS(), dtype="float64"), EarlyStopping(patience=2)
    history = fit(net, [stopping], epochs=50, validation_data=(X, -Y))
    assert history.epochs == stopping.best_epoch + 3
    assert net.evaluate(X, -Y)["loss"] == stopping.best == min(history["val_loss"])


def test_callbacks_are_called_in_the_order_given(make):
    order = []
    callbacks = [
        LambdaCallback(**{
            method: lambda *_, method=method, i=i: order.append((method, i))
            for method in METHODS if method != "on_progress"
        })
        for i in range(3)
    ]  # fmt: skip
    fit(make(), callbacks, epochs=1, batch_size=20)
    methods = [m for m in METHODS if m != "on_progress"]
    assert sorted(order, key=lambda call: methods.index(call[0])) == order
    assert order == list(itertools.product(methods, range(3)))


@pytest.mark.parametrize("place", PLACES)
def test_an_engine_comes_back_only_where_a_callback_asks_for_it(make, monkeypatch, place):
    net, asked = make(), []
    engine = type(net)._engine_class()

    class Spy(engine):
        def fit(self, job, record):
            asked.append({name for name in PLACES if getattr(job, name) is not None})
            super().fit(job, record)

    monkeypatch.setattr(type(net), "_engine_class", staticmethod(lambda: Spy))
    only = type("Only", (Callback,), {place: lambda *_: None})
    fit(make(), [only(), Callback()])
    fit(make(), [Callback(), LambdaCallback(on_train_end=lambda history: None)])
    assert asked == [{place}, set()]


@pytest.mark.parametrize("place", PLACES[:3])
def test_a_method_on_the_object_counts_as_one_of_its_class(make, place):
    calls = []
    callback = Callback()
    setattr(callback, place, lambda *arguments: calls.append(arguments))
    fit(make(), [callback])
    assert len(calls) == {"on_batch_end": 9}.get(place, 3)


def parameters_of(net):
    return net.parameters.tobytes(), net._engine.position


LAYERS = {
    "small": [Dense(5, activation="tanh"), Dropout(0.25), Dense(2)],
    "wide": [Dense(6000, activation="relu"), Dense(2)],
    "smallest": [Dense(2, activation="sigmoid"), Dense(1)],
}


@pytest.mark.parametrize("layers", LAYERS)
def test_visits_change_no_bit(make, dtype, n_threads, layers):
    """The smallest, in plain descent with one batch, has many epochs in one kernel without them."""
    smallest = layers == "smallest"
    rows, outputs = (8, 1) if smallest else (20, 2)
    data = X[:rows], Y[:rows, :outputs]
    stands, histories = [], []
    everywhere = {method: lambda *_: None for method in METHODS if method != "on_progress"}
    for methods in ([], ["on_epoch_end"], ["on_batch_end"], [*everywhere]):
        net = make(
            LAYERS[layers], dtype=dtype, n_threads=n_threads, optimizer=SGD(0.01), metrics=()
        )
        callback = LambdaCallback(**{method: everywhere[method] for method in methods})
        options = {"epochs": 5, "batch_size": 8, "shuffle": not smallest}
        histories.append(net.fit(*data, callbacks=[callback], **options))
        stands.append(parameters_of(net))
    assert stands.count(stands[0]) == len(stands)
    assert histories.count(histories[0]) == len(histories)


def test_visits_leave_a_schedule_alone(make, n_threads):
    optimizer = SGD(schedules.Exponential(0.1, 0.5))
    logs, histories = [], []
    watch = LambdaCallback(
        on_batch_end=lambda *_: None, on_epoch_end=lambda epoch, values: logs.append(values)
    )
    for callbacks in ([], [watch]):
        net = make(optimizer=optimizer, n_threads=n_threads)
        histories.append(fit(net, callbacks, epochs=4, validation_data=(X, Y), validation_freq=2))
    assert histories[0] == histories[1]
    assert [values["learning_rate"] for values in logs] == histories[0]["learning_rate"]


@pytest.mark.parametrize("optimizer", [SGD(0.01), Adam(0.01)])
@pytest.mark.parametrize("rows", [4, 8])
def test_the_smallest_fits_are_visited_at_each_epoch(make, rows, optimizer):
    net = make(LAYERS["smallest"], optimizer=optimizer, metrics=())
    losses, means = [], []
    seen = LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append((epoch, logs["loss"])))
    batches = LambdaCallback(on_batch_end=lambda batch, logs: means.append((batch, logs["loss"])))
    options = {"epochs": 1500, "batch_size": rows, "shuffle": False}
    history = net.fit(X[:rows], Y[:rows, :1], callbacks=[seen], **options)
    assert losses == list(enumerate(history["loss"]))
    net.reset()
    assert net.fit(X[:rows], Y[:rows, :1], callbacks=[batches], **options) == history
    assert means == [(0, loss) for loss in history["loss"]]


# -- what they are told


@pytest.mark.parametrize("freq", [1, 2])
def test_logs_of_an_epoch_are_what_the_history_has(make, n_threads, freq):
    logs = []
    callback = LambdaCallback(on_epoch_end=lambda epoch, values: logs.append(values))
    history = fit(
        make(n_threads=n_threads), [callback], epochs=5, validation_data=(X[:9], Y[:9]),
        validation_freq=freq,
    )  # fmt: skip
    assert [set(values) for values in logs] == [
        {"loss", "accuracy", *(["val_loss", "val_accuracy"] if (epoch + 1) % freq == 0 else [])}
        for epoch in range(5)
    ]
    for name, curve in history.items():
        assert curve == [values[name] for values in logs if name in values]


def test_logs_of_a_batch_are_means_over_the_rows_so_far(make):
    """With a learning rate of 0 each batch has the loss of the network as it stands."""
    net = make([Dense(2)], optimizer=SGD(0.0))
    logs = []
    fit(net, [LambdaCallback(on_batch_end=lambda batch, values: logs.append(values))],
        epochs=1, shuffle=False)  # fmt: skip
    for values, rows in zip(logs, (8, 16, 20), strict=True):
        expected = net.evaluate(X[:rows], Y[:rows])
        assert values == pytest.approx(expected, rel=1e-12)


def test_the_last_batch_has_the_loss_of_the_epoch(make):
    means = []
    callback = LambdaCallback(on_batch_end=lambda batch, values: means.append(dict(values)))
    history = fit(make(), [callback])
    assert [values["loss"] for values in means[BATCHES - 1 :: BATCHES]] == history["loss"]
    assert [values["accuracy"] for values in means[BATCHES - 1 :: BATCHES]] == history["accuracy"]


def test_a_callback_knows_its_fit(make):
    net, callback = make(), Callback()
    fit(net, [callback], validation_split=0.25)
    assert callback.network is net
    assert callback.epochs == 3
    assert callback.names == ("loss", "accuracy", "val_loss", "val_accuracy")


def test_the_end_of_training_is_told_the_history(make):
    told = []
    history = fit(make(), [LambdaCallback(on_train_end=told.append)])
    assert told == [history]
    assert told[0].epochs == 3


# -- stopping


@pytest.mark.parametrize("moment", MOMENTS)
def test_stop_training_ends_the_fit_there(make, n_threads, moment):
    def stop():
        raise StopTraining

    stopping, other = Diary(moment, stop), Diary()
    net = make(n_threads=n_threads)
    history = fit(net, [stopping, other])
    position = expected_calls(3).index(moment)
    calls = [*expected_calls(3)[: position + 1], ("train ends",)]
    assert other.calls == stopping.calls == calls
    assert history.epochs == sum(call[0] == "epoch ends" for call in calls)
    assert all(len(curve) == history.epochs for curve in history.values())
    assert [*history] == ["loss", "accuracy"]
    batches = sum(call[0] == "batch ends" for call in calls)
    assert net._engine.position.batches == batches
    assert_trains_on(net, make(n_threads=n_threads), batches)


def assert_trains_on(net, other, batches):
    """The network stands after so many batches, and goes on as one that was stopped there."""
    epochs, more = divmod(batches, BATCHES)
    if epochs:
        other.fit(X, Y, epochs=epochs, batch_size=BATCH)
    order = fastbp.random.row_order(other.seed, epochs, len(X))
    for start in range(0, more * BATCH, BATCH):
        rows = order[start : start + BATCH]
        other.train_on_batch(X[rows], Y[rows])
    other._engine.position = net._engine.position
    assert parameters_of(net) == parameters_of(other)
    assert fit(net, [], epochs=2) == fit(other, [], epochs=2)
    assert parameters_of(net) == parameters_of(other)


@pytest.mark.parametrize("batches", [40, 1])
def test_a_stop_behind_an_update_that_diverged_is_noticed(Network, batches):
    """The update makes the weight infinite; the loss before it was finite."""
    net = Network(
        [Dense(1, use_bias=False, weights_initializer=initializers.Constant(1))],
        input_shape=1, loss="squared_error", optimizer=SGD(np.finfo("float32").max), seed=0,
    )  # fmt: skip
    before = parameters_of(net)

    class Stop(Callback):
        def on_batch_end(self, batch, logs):
            raise StopTraining

    x = np.full((batches, 1), 4.0)
    with pytest.warns(fastbp.DivergenceWarning, match="after epoch 0"):
        history = net.fit(x, 0 * x, batch_size=1, epochs=2, callbacks=[Stop()])
    assert parameters_of(net) == before
    assert history.epochs == 0


def test_divergence_is_no_end_of_an_epoch_and_on_train_end_sees_the_network_restored(Network):
    diary, seen = Diary(), []
    net = Network(
        [Dense(1, use_bias=False, weights_initializer=initializers.Constant(1))],
        input_shape=1, loss="squared_error", optimizer=SGD(1e30), seed=0,
    )  # fmt: skip
    last = LambdaCallback(on_train_end=lambda history: seen.append(float(net.parameters[0])))
    with pytest.warns(fastbp.DivergenceWarning):
        net.fit([[1.0]], [[0.0]], epochs=9, batch_size=1, callbacks=[diary, last])
    assert seen == [1.0]
    ended = [epoch for place, *epoch in diary.calls if place == "epoch ends"]
    assert ended == [[0], [1]] or ended == [[0]]
    assert diary.calls[-1] == ("train ends",)


def test_a_stop_short_of_stop_at_loss_warns(make):
    class Stop(Callback):
        def on_train_begin(self):
            raise StopTraining

    with pytest.warns(fastbp.ConvergenceWarning, match="ended after 0 epochs"):
        assert fit(make(), [Stop()], stop_at_loss=1e-9).epochs == 0


def test_the_epoch_that_reaches_stop_at_loss_is_the_last_to_be_told(make):
    diary = Diary()
    history = fit(make(), [diary], epochs=9, stop_at_loss=1e9)
    assert history.epochs == 1
    assert diary.calls == expected_calls(1)


# -- errors


def test_a_callback_that_fails_at_the_beginning_leaves_the_others_a_history_without_epochs(make):
    seen = []
    first = LambdaCallback(on_train_end=lambda history: seen.append(dict(history)))
    failing = LambdaCallback(on_train_begin=lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fit(make(metrics=["accuracy"]), [first, failing])
    assert seen == [{"loss": [], "accuracy": []}]


@pytest.mark.parametrize("error", [KeyboardInterrupt, LookupError])
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_error_ends_the_fit_there_and_is_passed_on(make, n_threads, moment, error):
    def fail():
        raise error("enough")

    before, failing, behind = Diary(), Diary(moment, fail), Diary()
    net = make(n_threads=n_threads)
    with pytest.raises(error, match="enough"):
        fit(net, [before, failing, behind])
    calls = expected_calls(3)[: expected_calls(3).index(moment) + 1]
    assert before.calls == [*calls, ("train ends",)]
    if moment == ("train begins",):
        assert failing.calls == calls
        assert behind.calls == []
    else:
        assert failing.calls == [*calls, ("train ends",)]
        assert behind.calls == [*calls[:-1], ("train ends",)]
    assert_trains_on(net, make(n_threads=n_threads), sum(c[0] == "batch ends" for c in calls))


def test_an_error_of_on_train_end_is_passed_on_when_all_have_been_called(make):
    def fail():
        raise LookupError("enough")

    callbacks = [Diary(("train ends",), fail), Diary()]
    net = make()
    with pytest.raises(LookupError, match="enough"):
        fit(net, callbacks)
    assert [callback.calls[-1] for callback in callbacks] == [("train ends",)] * 2
    assert fit(net, []).epochs == 3


def test_the_history_of_a_fit_that_fails_is_told_at_its_end(make):
    told = []

    class Fail(Callback):
        def on_batch_end(self, batch, logs):
            if len(told_epochs) == 2:
                raise LookupError

        def on_epoch_end(self, epoch, logs):
            told_epochs.append(logs["loss"])

        def on_train_end(self, history):
            told.append(history)

    told_epochs = []
    with pytest.raises(LookupError):
        fit(make(), [Fail()])
    assert told[0]["loss"] == told_epochs
    assert told[0].epochs == 2


def test_bad_data_in_a_file_still_ends_the_training(make, tmp_path):
    x = X.copy()
    x[-1, 0] = np.inf
    np.save(tmp_path / "x.npy", x)
    diary = Diary()
    with pytest.raises(ValueError, match="x: expected finite"):
        make().fit(np.load(tmp_path / "x.npy", mmap_mode="r"), Y, batch_size=8, shuffle=False,
                   callbacks=[diary])  # fmt: skip
    assert diary.calls == [*expected_calls(3)[:4], ("train ends",)]


# -- the network within a callback


def acting(place, act):
    return type("Acting", (Callback,), {place: lambda self, *_: act(self.network)})()


EVERYWHERE = [method for method in METHODS if method != "on_progress"]
READING = {
    "predict": lambda net: net.predict(X),
    "call": lambda net: net(X[0]),
    "evaluate": lambda net: tuple(net.evaluate(X, Y).values()),
    "parameters": lambda net: net.parameters.copy(),
    "named_parameters": lambda net: net.named_parameters()["dense.weights"].copy(),
    "copy": lambda net: net.copy().predict(X),
    "pickle": lambda net: pickle.loads(pickle.dumps(net)).parameters,
}


@pytest.mark.parametrize("reading", READING)
@pytest.mark.parametrize("place", EVERYWHERE)
def test_a_callback_may_look_at_the_network(make, n_threads, place, reading):
    found = []
    net, other = make(n_threads=n_threads), make(n_threads=n_threads)
    fit(net, [acting(place, lambda net: found.append(READING[reading](net)))], epochs=2)
    fit(other, [], epochs=2)
    assert found
    assert parameters_of(net) == parameters_of(other)
    if place in ("on_epoch_end", "on_train_end"):
        assert np.array_equal(found[-1], READING[reading](net))


def test_a_copy_made_in_a_callback_goes_on_from_there(make):
    copies = []
    net = make(optimizer="adam")
    fit(net, [acting("on_epoch_end", lambda net: copies.append(net.copy()))], epochs=4)
    fit(copies[1], [], epochs=2)
    assert parameters_of(copies[1]) == parameters_of(net)


CHANGING = {
    "fit": lambda net: net.fit(X, Y),
    "train_on_batch": lambda net: net.train_on_batch(X, Y),
    "step": lambda net: net.step(),
    "reset": lambda net: net.reset(),
    "forward": lambda net: net.forward(X),
    "loss_and_gradients": lambda net: net.loss_and_gradients(X, Y),
}


@pytest.mark.parametrize("change", CHANGING)
@pytest.mark.parametrize("place", EVERYWHERE)
def test_a_callback_may_not_train_the_network_itself(make, place, change):
    with pytest.raises(RuntimeError, match=rf"{change}: expected an idle network, .* in fit\(\)"):
        fit(make(), [acting(place, CHANGING[change])])


def test_the_network_is_closed_again_behind_a_callback(make):
    """It is to whom stays in the thread that the callback ran in."""
    net = make()
    looked = []

    class Reader:
        def __array__(self, dtype=None, copy=None):
            looked.append(True)
            net.predict(X)
            return X

    fit(net, [acting("on_epoch_end", lambda net: net.predict(X))])
    with pytest.raises(RuntimeError, match=r"predict: expected an idle network"):
        net.fit(Reader(), Y)
    assert looked


@pytest.mark.parametrize("optimizer", [SGD(0.1), SGD(0.1, momentum=0.9), Adam(0.1)])
@pytest.mark.parametrize("place", ["on_train_begin", "on_epoch_begin", "on_epoch_end"])
def test_training_goes_on_with_the_optimizer_that_a_callback_sets(
    make, n_threads, optimizer, place
):
    net, other = (make(n_threads=n_threads, optimizer=optimizer) for _ in range(2))
    rates = iter([0.1, 0.03, 0.01, 0.003])

    def lower(net):
        net.learning_rate = next(rates)

    fit(net, [acting(place, lower)], epochs=3)
    expected = {"on_train_begin": [0.1] * 3, "on_epoch_end": [0.1, 0.1, 0.03]}
    for rate in expected.get(place, [0.1, 0.03, 0.01]):
        other.learning_rate = rate
        fit(other, [], epochs=1)
    assert parameters_of(net) == parameters_of(other)
    assert net.learning_rate == {"on_train_begin": 0.1}.get(place, 0.01)


def test_the_smallest_fit_goes_on_with_the_optimizer_that_a_callback_sets(make):
    nets = [make(LAYERS["smallest"], optimizer=SGD(0.5), metrics=()) for _ in range(2)]
    options = {"batch_size": 4, "shuffle": False}

    class Lower(Callback):
        def on_epoch_end(self, epoch, logs):
            self.network.learning_rate = 0.5 / (epoch + 2)

    nets[0].fit(X[:4], Y[:4, :1], epochs=20, callbacks=[Lower()], **options)
    for epoch in range(20):
        nets[1].learning_rate = 0.5 / (epoch + 1)
        nets[1].fit(X[:4], Y[:4, :1], **options)
    assert parameters_of(nets[0]) == parameters_of(nets[1])


@pytest.mark.parametrize("optimizer", ["sgd", SGD(0.1, momentum=0.5)])
def test_an_optimizer_that_remembers_something_else_is_refused_during_a_fit(make, optimizer):
    net = make(optimizer="adam" if optimizer == "sgd" else SGD(0.1))
    before = net.optimizer
    with pytest.raises(ValueError, match="optimizer: expected during a fit one that remembers"):
        fit(net, [acting("on_epoch_end", lambda net: setattr(net, "optimizer", optimizer))])
    assert net.optimizer == before


def test_parameters_set_in_a_callback_are_trained_on(make):
    nets = [make() for _ in range(2)]
    start = np.linspace(-1, 1, nets[0].n_parameters)
    fit(nets[0], [acting("on_train_begin", lambda net: net.set_parameters(start))])
    nets[1].set_parameters(start)
    fit(nets[1], [])
    assert parameters_of(nets[0]) == parameters_of(nets[1])


def test_who_begins_to_read_does_not_stand_in_the_way_of_a_callback(make):
    """Another thread may hold its lock for the moment before it is refused."""

    class Sets(Callback):
        def on_epoch_end(self, epoch, logs):
            with self.network._occupancy.reading():
                self.network.set_parameters(self.network.parameters * 0)

    net = make()
    fit(net, [Sets()])
    assert not net.parameters.any()


def test_a_callback_may_train_another_network(make):
    other, diary = make(), Diary()
    fit(make(), [acting("on_epoch_end", lambda net: fit(other, [diary], epochs=1))], epochs=2)
    assert diary.calls == 2 * expected_calls(1)


def test_a_callback_keeps_no_network_but_by_its_attribute(make):
    net, callback = make(), Callback()
    fit(net, [callback])
    there = weakref.ref(net)
    del net, callback
    gc.collect()
    assert there() is None


def test_progress_comes_at_least_once_in_a_long_fit(make):
    progress = []

    class Watch(Callback):
        def on_progress(self, report):
            progress.append(report)
            raise StopTraining

    net = make()
    history = fit(net, [Watch()], epochs=10**9)
    assert len(progress) == 1
    assert progress[0].epoch == history.epochs
    assert math.isfinite(progress[0].loss)
    assert net._engine.position.batches == BATCHES * history.epochs + progress[0].batch
