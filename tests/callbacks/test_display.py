"""The progress display."""

from __future__ import annotations

import io
import sys
import threading
import types

import pytest

import fastbp
from fastbp import Dense, History, progress
from fastbp.callbacks import ProgressDisplay
from fastbp.engine import Progress, Record
from fastbp.progress import duration, wanted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def at(epoch: int, batch: int, loss: float = 0.5) -> Progress:
    return Progress(epoch, 20, batch, 10, loss, {"accuracy": 0.875})


@pytest.fixture(autouse=True)
def no_tqdm(monkeypatch):
    """Whether it is installed or not."""
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)


def begun(stream: io.StringIO, epochs: int = 20) -> ProgressDisplay:
    display = ProgressDisplay(stream)
    display.epochs = epochs
    display.on_train_begin()
    return display


def history(epochs: int, **last: float) -> History:
    return History(Record(epochs, {name: [9.0, value] for name, value in last.items()}), (1,))


def test_a_terminal_shows_one_line_with_loss_metrics_and_time_left(clock):
    stream = Terminal()
    display = begun(stream)
    clock[0] += 5
    display.on_progress(at(4, 10))
    assert stream.getvalue() == "\repoch 5/20   25%  loss 0.5  accuracy 0.875  15 s left"


def test_the_last_line_has_the_figures_of_the_last_epoch_and_the_time_taken(clock):
    stream = Terminal()
    display = begun(stream)
    display.on_progress(at(0, 1))
    clock[0] += 65
    display.on_train_end(history(20, loss=0.25, val_loss=0.75))
    last = stream.getvalue().split("\r")[-1]
    assert last.split("\n")[0].rstrip() == "epoch 20/20  loss 0.25  val_loss 0.75  1:05"
    assert last.endswith("\n")


def test_a_shorter_line_wipes_the_longer_one_before_it(clock):
    stream = Terminal()
    display = begun(stream)
    display.on_progress(at(0, 1, loss=0.123456789))
    display.on_progress(at(0, 1, loss=1.0))
    long, short = stream.getvalue().split("\r")[1:]
    assert len(short) == len(long)


def test_a_line_that_is_rewritten_does_not_wrap(clock):
    stream = Terminal()
    display = begun(stream)
    display.on_progress(Progress(1, 20, 1, 10, 0.5, {"a long name" * 10: 1.0}))
    assert len(stream.getvalue()) == len("\r") + 79


def test_no_time_is_promised_before_anything_is_done(clock):
    stream = Terminal()
    begun(stream).on_progress(at(0, 0))
    assert "left" not in stream.getvalue()


def test_a_log_file_gets_lines_now_and_then(clock):
    stream = io.StringIO()
    display = begun(stream)
    for _ in range(30):
        clock[0] += 0.1
        display.on_progress(at(1, 5))
    display.on_train_end(history(20, loss=0.5))
    lines = stream.getvalue().split("\n")
    assert 3 <= len(lines) - 1 <= 4
    assert "\r" not in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1:00"), (3723, "1:02:03")],
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


def test_verbose_decides_where_progress_is_shown(monkeypatch):
    assert wanted(1)
    assert not wanted(0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not wanted("auto")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert wanted("auto")
    monkeypatch.setattr(sys, "stderr", None)
    assert not wanted("auto")


def test_a_notebook_counts_as_a_terminal(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert wanted("auto")


@pytest.mark.parametrize("verbose", ["yes", 2, None])
def test_other_values_of_verbose_are_refused(verbose):
    with pytest.raises(ValueError, match="verbose: expected 'auto', 0 or 1"):
        wanted(verbose)


class Bar:
    """Stands in for a bar of tqdm, and keeps what it was made to show."""

    bars: list[Bar] = []

    def __init__(self, **made_of: object) -> None:
        self.made_of, self.n, self.shown, self.closed = made_of, 0.0, [], False
        Bar.bars.append(self)

    def set_description_str(self, text: str, refresh: bool) -> None:
        self.description = text

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        self.postfix = text

    def refresh(self) -> None:
        self.shown.append((self.n, self.description, self.postfix))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def bars(monkeypatch):
    """A tqdm that keeps its bars."""
    module = types.ModuleType("tqdm.auto")
    module.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", module)
    monkeypatch.setattr(Bar, "bars", [])
    return Bar.bars


def test_where_tqdm_is_installed_a_terminal_shows_its_bar(bars):
    stream = Terminal()
    display = begun(stream)
    display.on_progress(at(4, 5))
    display.on_train_end(history(5, loss=0.25))
    (bar,) = bars
    assert (bar.made_of["total"], bar.made_of["file"], bar.monitor_interval) == (20, stream, 0)
    assert bar.shown == [
        (4.5, "epoch 5/20", "loss 0.5  accuracy 0.875"),
        (5, "epoch 5/20", "loss 0.25"),
    ]
    assert bar.closed
    assert stream.getvalue() == ""


def test_a_log_file_gets_lines_even_where_tqdm_is_installed(bars):
    stream = io.StringIO()
    begun(stream).on_train_end(history(20, loss=0.5))
    assert not bars
    assert stream.getvalue().startswith("epoch 20/20  loss 0.5")


def test_bars_of_tqdm_say_where_the_fit_is(monkeypatch):
    monkeypatch.delitem(sys.modules, "tqdm.auto")
    pytest.importorskip("tqdm")
    stream, threads = Terminal(), threading.active_count()
    display = begun(stream)
    display.on_progress(at(4, 5))
    display.on_train_end(history(5, loss=0.25))
    shown = stream.getvalue()
    for text in ("epoch 5/20:  22%|", ", loss 0.5  accuracy 0.875", "epoch 5/20:  25%|", "0.25"):
        assert text in shown
    assert shown.endswith("\n")
    assert threading.active_count() == threads


class Failing(fastbp.Callback):
    def on_epoch_end(self, epoch, logs):
        if epoch == 1:
            raise LookupError


@pytest.mark.parametrize("verbose", [0, 1])
@pytest.mark.parametrize("given", [False, True])
def test_fit_shows_progress_once_where_it_is_asked_for(Network, monkeypatch, verbose, given):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    net = Network([Dense(1)], input_shape=1, loss="squared_error", seed=0)
    callbacks = [ProgressDisplay()] if given else []
    with pytest.raises(LookupError):
        net.fit([[1.0]], [[1.0]], epochs=3, callbacks=[*callbacks, Failing()], verbose=verbose)
    lines = stream.getvalue().splitlines()
    assert len(lines) == max(verbose, given)
    assert all(line.startswith("epoch 2/3  loss ") for line in lines)
