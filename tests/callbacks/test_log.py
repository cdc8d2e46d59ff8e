"""CSVLogger and LambdaCallback."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from fastbp import Callback, Dense
from fastbp.callbacks import CSVLogger, LambdaCallback

X = np.random.default_rng(0).normal(size=(10, 3))
Y = X[:, :2]


@pytest.fixture
def net(Network):
    return Network([Dense(2)], input_shape=3, loss="squared_error", metrics=["accuracy"], seed=0)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_epoch_is_a_line_with_its_values(net, tmp_path):
    path = tmp_path / "log.csv"
    history = net.fit(X, Y, epochs=3, validation_data=(X, Y), callbacks=[CSVLogger(path)])
    lines = read(path)
    assert list(lines[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert [int(line["epoch"]) for line in lines] == [0, 1, 2]
    for name, curve in history.items():
        assert [float(line[name]) for line in lines] == curve


def test_epochs_without_validation_have_empty_cells(net, tmp_path):
    path = tmp_path / "log.csv"
    history = net.fit(X, Y, epochs=4, validation_data=(X, Y), validation_freq=2,
                      callbacks=[CSVLogger(str(path))])  # fmt: skip
    cells = [line["val_loss"] for line in read(path)]
    assert cells[::2] == ["", ""]
    assert [float(cell) for cell in cells[1::2]] == history["val_loss"]


@pytest.mark.parametrize("append", [False, True])
def test_a_second_fit_writes_anew_or_goes_on_under_one_heading(net, tmp_path, append):
    path = tmp_path / "log.csv"
    for _ in range(2):
        net.fit(X, Y, epochs=2, callbacks=[CSVLogger(path, append=append)])
    assert [line["epoch"] for line in read(path)] == ["0", "1"] * (1 + append)
    assert path.read_text().count("epoch") == 1


def test_a_file_to_go_on_with_must_have_the_same_columns(net, tmp_path):
    path = tmp_path / "log.csv"
    net.fit(X, Y, callbacks=[CSVLogger(path)])
    before = path.read_bytes(), net.parameters.copy()
    with pytest.raises(ValueError, match=r"^path: .* epoch, loss, accuracy, val_loss, val_acc"):
        net.fit(X, Y, validation_split=0.5, callbacks=[CSVLogger(path, append=True)])
    assert path.read_bytes() == before[0]
    assert np.array_equal(net.parameters, before[1])


def test_a_line_is_in_the_file_at_once_and_a_fit_that_fails_leaves_it_closed(net, tmp_path):
    path, seen = tmp_path / "log.csv", []

    class Look(Callback):
        def on_epoch_end(self, epoch, logs):
            seen.append(len(read(path)))
            if epoch == 2:
                raise KeyboardInterrupt

    logger = CSVLogger(path)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y, epochs=9, callbacks=[logger, Look()])
    assert seen == [1, 2, 3]
    assert logger._file is None
    net.fit(X, Y, epochs=2, callbacks=[logger])
    assert len(read(path)) == 2


def test_values_that_others_add_are_left_out(net, tmp_path):
    add = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(more=1.0))
    net.fit(X, Y, callbacks=[add, CSVLogger(tmp_path / "log.csv")])
    assert "more" not in read(tmp_path / "log.csv")[0]


def test_a_file_that_cannot_be_written_refuses_the_fit(net, tmp_path):
    before = net.parameters.copy()
    with pytest.raises(OSError, match="nowhere"):
        net.fit(X, Y, callbacks=[CSVLogger(tmp_path / "nowhere" / "log.csv")])
    assert np.array_equal(net.parameters, before)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: CSVLogger(3), TypeError, "path: expected a path, got int 3"),
        (lambda: CSVLogger("log.csv", append="yes"), TypeError, "append: expected True or False"),
        (lambda: LambdaCallback(on_epoch_end=3), TypeError, "on_epoch_end: expected a function"),
        (lambda: LambdaCallback(on_epoch=print), TypeError, "unexpected keyword argument"),
    ],
)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
