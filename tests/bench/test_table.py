import math
from dataclasses import replace

import pytest

from fastbp.bench.contest import Entry
from fastbp.bench.table import Row, aligned, cell, duration, notes, table
from fastbp.bench.workloads import WORKLOADS, Target


def row(*entries, targets=()):
    return Row(replace(WORKLOADS["W3"], targets=targets), entries)


def timed(program, threads, *seconds):
    return Entry(program, threads, seconds=list(seconds))


OWN = timed("fastbp", None, 2e-6, 1e-6, 9e-6)
JAX = timed("jax", 1, 8e-6, 8e-6, 8e-6), timed("jax", 2, 6e-6, 7e-6, 5e-6)
TORCH = timed("torch", 1, 30e-6)
MISSING = Entry("keras", 1, "missing", "No module named 'keras'")
UNABLE = Entry("onnxruntime", 1, "lacks", "does not train")
FAILED = Entry("numba", 1, "failed", "ended with 1")


def test_a_ratio_is_the_peers_median_at_its_best_threads_over_fastbps():
    assert row(OWN, *JAX).ratio("jax") == 3
    assert row(OWN, *JAX).best("jax").threads == 2


def test_there_is_no_ratio_without_both_times():
    assert row(OWN, MISSING).ratio("keras") is None
    assert row(*JAX).ratio("jax") is None


def test_cells_show_ratio_threads_few_rounds_and_what_is_wrong():
    whole = row(OWN, *JAX, TORCH, MISSING, UNABLE, FAILED)
    programs = ("jax", "torch", "keras", "onnxruntime", "numba", "unheard of")
    cells = [cell(whole, name) for name in programs]
    assert cells == ["3 t2", "15 t1*", "missing", "-", "failed", "-"]


def test_a_cell_shows_the_time_where_fastbp_has_none():
    assert cell(row(replace(FAILED, program="fastbp"), *JAX), "jax") == "6 us t2"


@pytest.mark.parametrize(
    ("entries", "targets", "verdict"),
    [
        ((OWN, *JAX), (Target("jax", 3),), "met"),
        ((OWN, *JAX), (Target("jax", 3.1),), "not met: 3.1 x jax"),
        ((OWN, *JAX, TORCH), (Target("fastest", 4),), "not met: 4 x fastest"),
        ((OWN, *JAX, TORCH, UNABLE), (Target("fastest", 3),), "met"),
        ((OWN, *JAX, MISSING), (Target("jax", 3),), "not met: keras missing"),
        ((OWN, *JAX, FAILED), (Target("jax", 3),), "not met: numba failed"),
        ((OWN, *JAX), (Target("torch", 1),), "not met: torch not run"),
        ((OWN,), (Target("fastest", 1),), "not met: 1 x fastest"),
        (
            (Entry("fastbp", None, "failed"), *JAX),
            (Target("jax", 1),),
            "not met: fastbp failed, 1 x jax",
        ),
    ],
)
def test_a_row_is_met_only_with_every_peer_present_and_every_target_reached(
    entries, targets, verdict
):
    assert row(*entries, targets=targets).verdict() == verdict


def test_the_table_has_a_line_for_each_row_and_a_column_for_each_program():
    lines = table([row(OWN, *JAX, MISSING, targets=(Target("jax", 2),))]).splitlines()
    assert lines[0].split() == ["row", "fastbp", "per", "jax", "keras", "targets", "verdict"]
    assert lines[1].split("  ")[0] == "W3"
    assert lines[1].endswith("not met: keras missing")
    assert lines[1].index("missing") == lines[0].index("keras")


def test_notes_say_what_a_row_is_and_why_a_peer_is_not_there():
    said = notes([row(OWN, *JAX, MISSING)])
    assert said[0].startswith("W3: 1,797 digits")
    assert "    jax t2: ready; 3 of 9 rounds" in said
    assert "    keras t1: missing; No module named 'keras'" in said


def test_columns_are_as_wide_as_their_widest_cell():
    assert aligned([["a", "b"], ["long", "c"]]) == "a     b\nlong  c"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (4.56e-6, "4.56 us"), (7.891e-9, "7.89 ns")],
)
def test_durations_have_three_digits_and_a_unit(seconds, text):
    assert duration(seconds) == text


def test_an_entry_without_rounds_has_no_median():
    assert math.isnan(MISSING.median)
