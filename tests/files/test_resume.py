"""A network from a file goes on to the same bits as the one that never stopped, from any batch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from schedule_rows import ROWS

from fastbp import Dense, Dropout, Input, StopTraining, schedules
from fastbp.callbacks import LambdaCallback
from fastbp.optimizers import OPTIMIZERS, RMSprop

RNG = np.random.default_rng(0)
N, EPOCHS, BATCH_SIZE = 150, 3, 64
BATCHES = -(-N // BATCH_SIZE)
X = RNG.normal(size=(N, 20)).astype("f4")
Y = RNG.integers(0, 3, N)
RATES = {
    "constant": 0.01,
    "cosine by step": schedules.Cosine(0.02, 10),
    "warm-up by epoch": schedules.Warmup(
        schedules.Exponential(0.01, 0.5, per="epoch"), 1.5, per="epoch"
    ),
}
KINDS = OPTIMIZERS | {"centred": lambda rate: RMSprop(rate, centred=True, momentum=0.9)}
OPTIONS = {"shuffle": True, "batch_size": BATCH_SIZE}


def optimizer(kind, rate):
    """Return an optimizer with a rate, if it takes a schedule, else with its own."""
    try:
        return KINDS[kind](rate)
    except (TypeError, ValueError):
        return KINDS[kind]()


def network(Network, kind, rate="constant", dropout=0.3, dtype="float32", n_threads=1, **changes):
    layers = [Dense(24, "tanh"), Dropout(dropout), Dense(17, "relu"), Dense(3, "softmax")]
    options = {
        "input_shape": 20,
        "loss": "sparse_categorical_crossentropy",
        "optimizer": optimizer(kind, (RATES | ROWS)[rate]),
        "metrics": ["accuracy"],
        "dtype": dtype,
        "seed": 11,
        "n_threads": n_threads,
    }
    return Network(layers, **options | changes)


def saving(net, folder):
    """Return a callback that saves after each batch and epoch, to files named by their number."""

    def save(*_):
        place = net.position.batches, net.position.part.rows
        net.save(folder / "-".join(map(str, place)))

    return LambdaCallback(on_batch_end=save, on_epoch_end=save)


def check(net, folder, threads, Network, standing, options, places=slice(None)):
    """Train and save on the way; train on from each place, and compare with the end."""
    history = net.fit(X, Y, epochs=EPOCHS, callbacks=[saving(net, folder)], **options)
    files = sorted(folder.iterdir())
    assert files
    for path in files[places]:
        again = Network.load(path)
        again.n_threads = next(threads)
        left = EPOCHS - again.position.epochs + bool(again.position.part.rows)
        if left:
            found = again.fit(X, Y, epochs=left, **options)
            assert found == {name: curve[EPOCHS - left :] for name, curve in history.items()}
        assert standing(again) == standing(net), path.name
    return len(files[places])


@pytest.mark.parametrize("kind", KINDS)
def test_every_optimizer_goes_on_within_an_epoch(Network, standing, tmp_path, kind):
    rate = "cosine by step" if kind != "rprop" else "constant"
    net = network(Network, kind, rate)
    check(net, tmp_path, itertools.cycle([2, 1, 3]), Network, standing, OPTIONS, slice(1, None, 2))


@pytest.mark.parametrize("rate", ROWS)
def test_every_schedule_goes_on_within_an_epoch(core, Network, standing, tmp_path, rate):
    net = network(Network, "adam", rate)
    check(net, tmp_path, itertools.cycle([2]), Network, standing, OPTIONS, slice(1, None, 4))


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 20, "gradient_accumulation_steps": 3},
        {"batch_size": 7, "shuffle": False},
        {"batch_size": N},
        {"batch_size": 40, "sample_weight": RNG.uniform(0, 2, N)},
        {"batch_size": 40, "validation_split": 0.25, "validation_freq": 2},
    ],
    ids=lambda options: " ".join(options),
)
def test_every_kind_of_fit_goes_on_within_an_epoch(Network, standing, tmp_path, options):
    net = network(Network, "adam", "warm-up by epoch", dtype="float64")
    if "validation_split" in options:  # whose curves begin anew with each fit
        history = net.fit(X, Y, epochs=EPOCHS, callbacks=[saving(net, tmp_path)], **options)
        for path in tmp_path.iterdir():
            again = Network.load(path)
            left = EPOCHS - again.position.epochs + bool(again.position.part.rows)
            if left:
                assert again.fit(X, Y, epochs=left, **options)["loss"][-1] == history["loss"][-1]
            assert standing(again) == standing(net)
    else:
        every = slice(None, None, 1 + len(range(0, N, options["batch_size"])) // 6)
        check(net, tmp_path, itertools.cycle([1, 2]), Network, standing, options, every)


@pytest.mark.thorough
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", KINDS)
def test_all_of_them_together(
    Network, standing, tmp_path, kind, rate, dropout, shuffle, dtype, n_threads
):
    net = network(Network, kind, rate, dropout, dtype, n_threads)
    options = OPTIONS | {"shuffle": shuffle}
    check(net, tmp_path, itertools.cycle([1, 2, 3, 8]), Network, standing, options)


def test_an_interrupted_fit_goes_on_from_the_file_that_was_saved_then(Network, standing, tmp_path):
    whole, net = network(Network, "adam"), network(Network, "adam")
    whole.fit(X, Y, epochs=2, **OPTIONS)

    def stop(batch, logs):
        if batch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y, epochs=2, callbacks=[LambdaCallback(on_batch_end=stop)], **OPTIONS)
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    assert again.position.part[:2] == (2 * BATCH_SIZE, N)
    again.fit(X, Y, epochs=2, **OPTIONS)
    assert standing(again) == standing(whole)


def test_data_of_another_length_begin_an_epoch(Network, tmp_path):
    net = network(Network, "adam")
    net.fit(X, Y, callbacks=[saving(net, tmp_path)], **OPTIONS)
    again = Network.load(tmp_path / f"1-{BATCH_SIZE}")
    again.fit(X[:-1], Y[:-1], **OPTIONS)
    assert again.position[:3] == (1 + BATCHES, 1 + BATCHES, 2)


def test_a_fit_that_a_callback_stops_leaves_the_rest_of_its_epoch_out(Network):
    def stop(batch, logs):
        raise StopTraining

    net = network(Network, "adam")
    net.fit(X, Y, callbacks=[LambdaCallback(on_batch_end=stop)], **OPTIONS)
    assert net.position.part.rows == 0
    net.fit(X, Y, **OPTIONS)
    assert net.position[:3] == (1 + BATCHES, 1 + BATCHES, 2)


def test_metrics_of_all_outputs_take_rows_of_before_from_a_prediction(Network, tmp_path):
    net = network(Network, "adam", dropout=0.0, metrics=["confusion_matrix"])
    net.fit(X, Y, callbacks=[saving(net, tmp_path)], **OPTIONS)
    again = Network.load(tmp_path / f"1-{BATCH_SIZE}")
    matrix = again.fit(X, Y, record_outputs=False, **OPTIONS)["confusion_matrix"][0]
    assert matrix.sum() == N
    last = Network.load(tmp_path / f"{BATCHES}-{N}")
    expected = last.evaluate(X, Y)["confusion_matrix"]
    np.testing.assert_array_equal(last.fit(X, Y, **OPTIONS)["confusion_matrix"][0], expected)


def test_a_graph_of_two_outputs_goes_on_within_an_epoch(Network, standing, tmp_path):
    x = Input(20)
    h = Dense(9, "tanh")(x)
    net = Network(
        inputs=x, outputs=(Dense(3, "softmax")(h), Dense(2)(h)), metrics=("accuracy", "r2"),
        loss=("sparse_categorical_crossentropy", "squared_error"), loss_weights=(1, 0.3), seed=2,
    )  # fmt: skip
    y, options = (Y, X[:, :2]), {"epochs": 2, "batch_size": BATCH_SIZE}
    history = net.fit(X, y, callbacks=[saving(net, tmp_path)], **options)
    again = Network.load(tmp_path / f"1-{BATCH_SIZE}")
    found = again.fit(X, y, **options)
    assert standing(again) == standing(net)
    names = "loss", "dense_1_loss", "dense_2_loss", "dense_1_accuracy"
    assert [found[name] for name in names] == [history[name] for name in names]


def test_a_stream_begins_an_epoch_and_leaves_the_rest_of_one_out(Network, tmp_path):
    def batches():
        return ((X[i : i + 50], Y[i : i + 50]) for i in range(0, N, 50))

    net = network(Network, "adam")
    net.fit(X, Y, callbacks=[saving(net, tmp_path)], **OPTIONS)
    again = Network.load(tmp_path / f"1-{BATCH_SIZE}")
    again.fit(batches(), callbacks=[saving(again, tmp_path)])
    assert again.position[:3] == (4, 4, 2)
    again = Network.load(tmp_path / "2-0")
    again.fit(X, Y, **OPTIONS)
    assert again.position[:3] == (2 + BATCHES, 2 + BATCHES, 3)
