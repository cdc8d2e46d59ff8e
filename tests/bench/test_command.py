"""`fastbp bench`: options, the table on paper and in a file, and the picture."""

import argparse
import json
import subprocess
import sys

import pytest

from fastbp import cli
from fastbp.bench import chart, command, machine
from fastbp.bench.contest import Entry, Program
from fastbp.bench.record import Record, Row
from fastbp.bench.rows import QUICK, ROWS


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(arguments)


def test_rows_and_peers_are_chosen_by_name_and_rows_by_how_names_begin():
    assert parsed("--rows", "P1,W2").rows == ["W2", "P1a", "P1b", "P1c"]
    assert parsed("--rows", "W3").rows == ["W3", "W3d"]
    assert parsed("--peers", "torch,jax").peers == ["jax", "torch"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rows", "W8"],
        ["--peers", "abacus"],
        ["--peers", "tor"],
        ["--threads", "0"],
        ["--threads", "many"],
        ["--budget", "-1"],
        ["--images", "no/such/folder"],
        ["--chart", ""],
        ["--chart", "."],
        ["--json", ""],
    ],
)
def test_what_can_not_be_is_refused_with_a_usage_line(arguments, capsys):
    with pytest.raises(SystemExit) as refusal:
        cli.main(["bench", *arguments])
    assert refusal.value.code == 2
    assert "usage: fastbp bench" in capsys.readouterr().err


def test_rows_on_images_run_only_with_images():
    names = [row.name for row in command._workloads(parsed())]
    assert names == [name for name in ROWS if not name.startswith("M")]
    assert [row.name for row in command._workloads(parsed("--quick"))] == [*QUICK]


def test_the_command_prints_rows_saves_them_and_draws(core, tmp_path, capsys, monkeypatch):
    absent = Program("jax", "fastbp.bench.peers.of_nobody")
    monkeypatch.setattr(command, "PEERS", [command.PEERS[0], absent])
    pytest.importorskip("matplotlib")
    json_file, picture = tmp_path / "run.json", tmp_path / "run.png"
    files = ("--json", str(json_file), "--chart", str(picture))
    cli.main(["bench", "--quick", "--rows", "P1a,P1b", "--budget", "0.1", *files])
    said = capsys.readouterr()
    for part in ("processor", "instruction set", "fastbp threads", "versions:", "fastest"):
        assert part in said.out
    assert "not installed, and left out: jax" in said.out
    assert [line.split()[0] for line in said.out.splitlines() if " call " in line] == ["P1a", "P1b"]
    first, second = json.loads(json_file.read_text())["rows"]
    assert [first["name"], second["name"]] == ["P1a", "P1b"]
    assert {entry["threads"] for entry in first["entries"]} == {1}  # fastbp too
    statuses = {entry["program"]: entry["status"] for entry in first["entries"]}
    assert statuses == {"fastbp": "ready", "numpy": "ready", "jax": "missing"}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_rows_are_measured_again_into_the_file_of_an_earlier_run(core, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PEERS", command.PEERS[:1])
    path, picture = tmp_path / "run.json", str(tmp_path / "run.png")
    quick = ["bench", "--quick", "--budget", "0.05", "--json", str(path), "--chart", picture]
    cli.main([*quick, "--rows", "P1a,P1b"])
    before = json.loads(path.read_text())["rows"]
    cli.main([*quick, "--rows", "P1b", "--merge"])
    first, second = json.loads(path.read_text())["rows"]
    assert first == before[0]
    assert second["earlier"] == [before[1]]
    with pytest.raises(SystemExit, match="another machine or other options"):
        cli.main([*quick, "--threads", "1,2", "--rows", "P1b", "--merge"])
    with pytest.raises(SystemExit, match="expected --json"):
        cli.main(["bench", "--quick", "--merge"])


def test_the_parent_imports_no_peer():
    asked = "import sys, fastbp.cli, fastbp.bench.peers as p; "
    asked += "print(*{peer.name for peer in p.PEERS} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["numpy"]  # fastbp's own need


MACHINE = {
    "processor": "P", "cores": 2, "instruction set": "scalar", "fastbp": "1", "date": "today"
}  # fmt: skip


def entries(**seconds):
    return [Entry(name, 1, seconds=[time]) for name, time in seconds.items()]


WON, LOST = entries(fastbp=1.0, jax=4.0, numpy=9.0), entries(fastbp=1.0, jax=0.5, numpy=3.0)
COMPARED = [Row(ROWS["W3"], WON), Row(ROWS["W5"], LOST)]


def test_the_picture_has_a_bar_for_each_row_on_the_side_of_the_faster():
    axes = pytest.importorskip("matplotlib.figure").Figure().add_subplot()
    assert chart.compared([*COMPARED, Row(ROWS["W6"], entries(jax=1.0))]) == COMPARED
    chart.draw_fastest(axes, COMPARED)
    ahead, behind = (bar.patches[0] for bar in axes.containers)
    assert (ahead.get_bbox().x0, ahead.get_bbox().x1) == (1, 4)
    assert (behind.get_bbox().x0, behind.get_bbox().x1) == (1, 0.5)
    assert ahead.get_facecolor() != behind.get_facecolor()
    assert axes.get_xlim()[0] < 0.5 < 4 < axes.get_xlim()[1]
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.texts] == [" 4× jax", " 0.5× jax"]  # noqa: RUF001
    won, lost = axes.get_yticklabels()
    assert won.get_color() != lost.get_color()


def test_the_picture_has_a_mark_for_every_peer():
    axes = pytest.importorskip("matplotlib.figure").Figure().add_subplot()
    chart.draw_each(axes, COMPARED)
    marks = {found.get_label(): found.get_offsets().tolist() for found in axes.collections}
    assert marks == {"numpy": [[9, 0], [3, 1]], "jax": [[4, 0], [0.5, 1]]}
    assert {peer.name for peer in command.PEERS} == {*chart.MARKS}


def test_nothing_in_the_picture_is_cut_or_covered(tmp_path):
    pytest.importorskip("matplotlib")
    names = [peer.name for peer in command.PEERS]
    rows = [Row(row, entries(fastbp=1.0, **dict.fromkeys(names, 2.0))) for row in ROWS.values()]
    figure = chart.picture(Record(MACHINE, {}, rows))
    figure.savefig(tmp_path / "ratios.png")  # lays it out
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*chart.MARKS]
    bars, _ = figure.axes
    inside = figure.bbox.padded(1)
    boxes = [part.get_window_extent() for part in (legend, figure._suptitle, *bars.texts)]
    boxes += [axes.get_tightbbox() for axes in figure.axes]
    assert all(inside.containsx(b.x0) and inside.containsx(b.x1) for b in boxes)
    assert all(inside.containsy(b.y0) and inside.containsy(b.y1) for b in boxes)
    assert not any(
        legend.get_window_extent().overlaps(axes.get_tightbbox()) for axes in figure.axes
    )


def test_a_contest_without_a_ratio_is_not_drawn(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    command._draw(Record(MACHINE, {}, [Row(ROWS["W3"], entries(fastbp=1.0))]), tmp_path / "no.png")
    assert not (tmp_path / "no.png").exists()
    assert "No picture" in capsys.readouterr().out


def test_facts_are_those_of_this_machine(core):
    facts = machine.facts()
    assert facts["cores"] >= 1
    assert facts["instruction set"] in facts["available sets"]
    json.dumps(facts)
