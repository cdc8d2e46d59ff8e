"""The progress display."""

from __future__ import annotations

import io
import sys

import pytest

from fastbp import progress
from fastbp.engine import Progress, Record
from fastbp.progress import ProgressDisplay, duration, wanted


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


def test_a_terminal_shows_one_line_with_loss_metrics_and_time_left(clock):
    stream = Terminal()
    display = ProgressDisplay(20, stream)
    clock[0] += 5
    display(at(4, 10))
    assert stream.getvalue() == "\repoch 5/20   25%  loss 0.5  accuracy 0.875  15 s left"


def test_the_last_line_has_the_figures_of_the_last_epoch_and_the_time_taken(clock):
    stream = Terminal()
    display = ProgressDisplay(20, stream)
    display(at(0, 1))
    clock[0] += 65
    display.close(Record(20, {"loss": [1.0, 0.25], "val_loss": [2.0, 0.75]}))
    last = stream.getvalue().split("\r")[-1]
    assert last.split("\n")[0].rstrip() == "epoch 20/20  loss 0.25  val_loss 0.75  1:05"
    assert last.endswith("\n")


def test_a_shorter_line_wipes_the_longer_one_before_it(clock):
    stream = Terminal()
    display = ProgressDisplay(20, stream)
    display(at(0, 1, loss=0.123456789))
    display(at(0, 1, loss=1.0))
    long, short = stream.getvalue().split("\r")[1:]
    assert len(short) == len(long)


def test_a_line_that_is_rewritten_does_not_wrap(clock):
    stream = Terminal()
    display = ProgressDisplay(20, stream)
    display(Progress(1, 20, 1, 10, 0.5, {"a long name" * 10: 1.0}))
    assert len(stream.getvalue()) == len("\r") + 79


def test_no_time_is_promised_before_anything_is_done(clock):
    stream = Terminal()
    ProgressDisplay(20, stream)(at(0, 0))
    assert "left" not in stream.getvalue()


def test_a_log_file_gets_lines_now_and_then(clock):
    stream = io.StringIO()
    display = ProgressDisplay(20, stream)
    for _ in range(30):
        clock[0] += 0.1
        display(at(1, 5))
    display.close(Record(20, {"loss": [0.5]}))
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
