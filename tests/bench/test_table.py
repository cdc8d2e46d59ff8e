import json
import math
from dataclasses import replace

import pytest

from fastbp.bench.contest import Entry
from fastbp.bench.record import Record, Row, load, missing, programs, versions
from fastbp.bench.rows import ROWS
from fastbp.bench.table import (
    Table,
    cell,
    duration,
    factor,
    marks,
    measured_again,
    notes,
    own_time,
)


def row(*entries):
    return Row(ROWS["W3"], list(entries))


def timed(program, threads, *seconds):
    return Entry(program, threads, seconds=list(seconds))


OWN = timed("fastbp", None, 2e-6, 1e-6, 9e-6)
JAX = timed("jax", 1, 8e-6, 8e-6, 8e-6), timed("jax", 2, 6e-6, 6.3e-6, 5.8e-6)
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


def test_the_spread_of_an_entry_is_the_distance_of_its_quartiles():
    entry = timed("jax", 1, 4.0, 1.0, 3.0, 2.0, 5.0)
    assert entry.quartiles == (2, 4)
    assert entry.spread == pytest.approx(2 / 3)
    assert timed("jax", 1, 7.0).quartiles == (7, 7)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [((1.0, 1.0, 1.0), ""), ((1.0, 1.1, 1.2), ""), ((1.0, 1.1, 1.3), "~"), ((1.0, 2.0), "*~")],
)
def test_few_rounds_and_wide_ones_are_marked(seconds, said):
    entry = timed("jax", 1, *seconds)
    assert marks(entry) == said
    assert own_time(row(replace(entry, program="fastbp"))).endswith(f" s{said}")
    assert cell(row(OWN, entry), "jax").endswith(f"t1{said}")


def test_cells_show_ratio_threads_few_rounds_and_what_is_wrong():
    whole = row(OWN, *JAX, TORCH, MISSING, UNABLE, FAILED)
    programs = ("jax", "torch", "keras", "onnxruntime", "numba", "unheard of")
    cells = [cell(whole, name) for name in programs]
    assert cells == ["3 t2", "15 t1*", "missing", "-", "failed", "-"]


def test_a_cell_shows_the_time_where_fastbp_has_none():
    assert cell(row(replace(FAILED, program="fastbp"), *JAX), "jax") == "6 us t2"


def test_the_table_has_a_line_for_each_row_and_a_column_for_each_peer():
    whole = row(OWN, *JAX, UNABLE, FAILED)
    text = Table([whole.workload], whole.peers)
    header, line = text.header, text.line(whole)
    assert header.split() == ["row", "fastbp", "per", "jax", "onnxruntime", "numba", "fastest"]
    assert line.split() == ["W3", "2", "us~", "step", "3", "t2", "-", "failed", "3"]
    for word, figure in (("jax", "3 t2"), ("numba", "failed"), ("fastest", "3")):
        assert line.rindex(figure) == header.index(word)


def test_the_table_shows_why_fastbp_has_no_time():
    broken = row(replace(FAILED, program="fastbp"), *JAX)
    assert Table([broken.workload], broken.peers).line(broken).split()[1] == "failed"


def test_notes_say_what_a_row_is_and_why_a_peer_is_not_there():
    said = notes([row(OWN, *JAX, MISSING)])
    assert said[0].startswith("W3: 1,797 digits")
    assert "    jax t2: ready; 3 of 9 rounds, the middle half 5.9 us to 6.15 us" in said
    assert "    keras t1: missing; No module named 'keras'" in said


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.8712, "0.871"), (4.2, "4.2"), (999.4, "999"), (1219.6, "1,220")]
)
def test_ratios_have_three_digits_and_no_exponent(ratio, text):
    assert factor(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (4.56e-6, "4.56 us"), (7.891e-9, "7.89 ns")],
)
def test_durations_have_three_digits_and_a_unit(seconds, text):
    assert duration(seconds) == text


def test_an_entry_without_rounds_has_no_median():
    assert math.isnan(MISSING.median)


def test_a_record_comes_back_from_its_file(tmp_path):
    path = tmp_path / "run.json"
    record = Record({"processor": "P"}, {"budget": 1}, [row(OWN, *JAX, MISSING)])
    record.save(path)
    assert load(path) == record
    assert json.loads(path.read_text())["rows"][0]["entries"][0]["quartiles"] == [1.5e-6, 5.5e-6]
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_a_row_measured_again_counts_and_keeps_the_results_before_it(tmp_path):
    other = Row(ROWS["W5"], [OWN])
    results = [replace(row(OWN, jax), date=f"day {n}", load=n) for n, jax in enumerate(JAX)]
    record = Record({"processor": "P"}, {"budget": 1}, [results[0], other])
    assert measured_again(record.rows[0]) == []
    third = replace(results[0], date="day 2")
    for again in (results[1], third):
        record.add(again)
    assert [measured.workload.name for measured in record.rows] == ["W3", "W5"]
    assert record.rows[0].earlier == tuple(results)
    record.save(tmp_path / "run.json")
    assert load(tmp_path / "run.json") == record
    said = measured_again(record.rows[0])
    assert [line.split(",")[0] for line in said] == ["replaced", "replaced", "counts"]
    assert "jax t2 6 us, 3 of 9 rounds, the middle half 5.9 us to 6.15 us" in said[1]


def test_rows_are_added_in_the_order_of_the_table():
    record = Record({}, {}, [Row(ROWS["W5"], [])])
    record.add(Row(ROWS["W3"], []))
    assert [measured.workload.name for measured in record.rows] == ["W3", "W5"]


@pytest.mark.parametrize(
    ("machine", "settings", "goes_on"),
    [
        ({"date": "tomorrow"}, {"budget": 9}, True),
        ({"processor": "Q"}, {}, False),
        ({}, {"threads": [1, 2]}, False),
    ],
)
def test_a_run_goes_on_with_one_of_a_like_machine_and_choices(machine, settings, goes_on):
    first = Record({"processor": "P", "date": "today"}, {"threads": [1], "budget": 1})
    assert first.continues(Record(first.machine | machine, first.settings | settings)) is goes_on


def test_all_that_took_part_are_known_with_their_versions():
    rows = [row(OWN, *JAX, MISSING), row(replace(TORCH, versions={"torch": "9"}))]
    assert programs(rows) == ["fastbp", "jax", "keras", "torch"]
    assert missing(rows) == ["keras"]
    assert versions(rows) == {"torch": "9"}
