"""The programs that make the report: targets and verdicts, grid of threads, scaling, documents."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp.bench.contest import Entry
from fastbp.bench.peers import PEERS
from fastbp.bench.record import Record, Row
from fastbp.bench.rows import ROWS

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks" / "compare.py").exists(), reason="not in a source tree"
)


@pytest.fixture
def module(monkeypatch):
    """Import a module of benchmarks."""
    monkeypatch.syspath_prepend(ROOT)
    yield lambda name: importlib.import_module(f"benchmarks.{name}")
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        del sys.modules[name]


def timed(program, *seconds):
    return Entry(program, 1, seconds=list(seconds))


OWN, JAX = timed("fastbp", 1e-6, 2e-6, 9e-6), timed("jax", 7e-6, 6e-6, 5e-6)
SKLEARN, TORCH_ADAM = timed("scikit-learn", 60e-6), timed("torch Adam", 90e-6)
MISSING = Entry("keras", 1, "missing", "No module named 'keras'")
FAILED = Entry("numpy", 1, "failed", "ended with 1")


@pytest.mark.parametrize(
    ("name", "entries", "said"),
    [
        ("W4b", [OWN, JAX], "met"),
        ("W3", [OWN, JAX, SKLEARN], "not met: 4 x jax, 40 x torch Adam"),
        ("W3", [OWN, JAX, SKLEARN, TORCH_ADAM], "not met: 4 x jax"),
        ("W4b", [OWN, JAX, MISSING], "not met: keras missing"),
        ("W4b", [OWN, JAX, FAILED], "not met: numpy failed"),
        ("W5", [OWN], "not met: 1.4 x fastest"),
        ("W5", [OWN, JAX, SKLEARN], "met"),
        ("P1a", [OWN, timed("onnxruntime", 1e-5)], "not met: under 0.7 us"),
        ("P1a", [timed("fastbp", 6e-7), timed("onnxruntime", 1e-5)], "met"),
        ("W4b", [Entry("fastbp", None, "failed"), JAX], "not met: fastbp failed, 2.5 x jax"),
    ],
)
def test_a_row_is_met_only_with_every_peer_present_and_every_target_reached(
    module, name, entries, said
):
    taken = {entry.program for entry in entries}
    others = [Entry(peer.name, 1, "lacks") for peer in PEERS if peer.name not in taken]
    assert module("targets").verdict(Row(ROWS[name], entries + others)) == said


def test_a_row_is_not_met_without_a_peer_that_was_left_out(module):
    taken = [Entry(peer.name, 1, "lacks") for peer in PEERS if peer.name not in ("jax", "torch")]
    said = module("targets").verdict(Row(ROWS["W4b"], [OWN, JAX, *taken]))
    assert said == "not met: torch not run"


def test_targets_and_published_times_are_of_rows_and_peers_that_exist(module):
    targets = module("targets")
    assert {*targets.RATIOS, *targets.PUBLISHED, *targets.SHARES, *targets.MOST_SECONDS} <= {*ROWS}
    named = {target.peer for row in targets.RATIOS.values() for target in row}
    named |= {peer for row in targets.PUBLISHED.values() for peer in row}
    assert named <= {"fastest"} | {peer.name for peer in PEERS}


def cell_of(module, *halves):
    return module("threads").Cell("W3", 1, [(first, second) for first, second in halves])


def test_a_cell_of_the_grid_allows_the_spread_of_like_and_like(module):
    one, two = ([10.0] * 7, [10.0] * 7), ([10.1] * 7, [10.1] * 7)
    slow = ([10.8] * 7, [10.8] * 7)
    assert cell_of(module, one, two, slow).verdict == "two threads, the choice slower"
    uneven = ([10.0, 9.8] * 4, [9.8, 10.0] * 4)
    cell = cell_of(module, uneven, two, slow)
    assert cell.spread == pytest.approx(10 / 9.8 - 1)
    assert cell.verdict == "the choice slower"
    fast, near = ([9.0] * 7, [9.0] * 7), ([9.4] * 7, [9.4] * 7)
    assert cell_of(module, one, fast, near).verdict == "ok"


@pytest.mark.parametrize("rounds", [7, 15])
def test_settings_that_run_the_same_code_pass_and_slower_ones_do_not(module, rounds):
    rng = np.random.default_rng(rounds)

    def drawn(*factors):
        noise = rng.normal(1, 0.01, (3, 2, rounds)) + (rng.random((3, 2, rounds)) < 0.05) * 0.3
        times = (noise * np.array(factors)[:, None, None]).tolist()
        return cell_of(module, *times).verdict

    assert sum(drawn(1, 1, 1) != "ok" for _ in range(200)) <= 4
    assert sum(drawn(1, 1.04, 1) == "two threads slower" for _ in range(50)) >= 48


def test_the_grid_measures_prints_and_saves_its_cells(module, core, tmp_path, capsys):
    path, threads = tmp_path / "threads.json", module("threads")
    budget = ["--budget", "0.2", "--json", str(path)]
    threads.main(["--rows", "W1,W3", "--batches", "1,8", *budget])
    assert capsys.readouterr().out.count("W3") == 2
    saved = json.loads(path.read_text())
    grid = [("W1", 1), ("W1", 8), ("W3", 1), ("W3", 8)]
    assert [(cell["row"], cell["batch"]) for cell in saved["cells"]] == grid
    halves = [len(half) for pair in saved["cells"][0]["times"] for half in pair]
    assert len(halves) == 6
    assert min(halves) >= threads.ROUNDS
    assert "of 4 cells" in saved["table"]
    threads.main(["--rows", "W1,W2", "--batches", "8", *budget])
    again = json.loads(path.read_text())["cells"]
    assert [(cell["row"], cell["batch"]) for cell in again] == [*grid[:2], ("W2", 8), *grid[2:]]
    kept = [n for n, place in enumerate(grid) if place != ("W1", 8)]
    assert [again[n + (n > 1)] for n in kept] == [saved["cells"][n] for n in kept]
    assert again[1] != saved["cells"][1]


def test_the_grid_keeps_no_cells_of_another_machine(module, core, tmp_path):
    path = tmp_path / "threads.json"
    path.write_text(json.dumps({"machine": {"processor": "another"}, "cells": []}))
    with pytest.raises(ValueError, match="expected a file of this machine"):
        module("threads").main(["--rows", "W1", "--json", str(path)])


@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_a_run_of_steps_takes_at_least_one_and_about_the_time_asked_for(module, core, seconds):
    steps = module("steps")
    workload = steps.on_random_rows(ROWS["W3"], 32)
    timed = steps.Steps(workload, seconds)
    done = timed._workload
    assert 1 <= done.rows // 32 <= workload.steps
    assert (done.steps == 1) is (seconds == 0)
    assert timed.time(1) * done.steps < 10 * max(seconds, 0.01)


@pytest.mark.parametrize("batch", [1, 8, 512])
def test_rows_of_the_grid_grow_with_the_batch(module, batch):
    steps = module("steps")
    for name in module("threads").NAMES:
        row = steps.on_random_rows(ROWS[name], batch)
        assert row.rows == batch * row.steps
        assert row.rows * row.sizes[0] * 8 <= max(steps.MOST_BYTES, batch * row.sizes[0] * 8)


def test_scaling_sets_each_step_beside_its_floors(module, core, tmp_path):
    scaling, figure = module("scaling"), pytest.importorskip("matplotlib.figure")
    assert figure
    point = scaling.Point("batch, 2-2", 4, 1, seconds=3.0, arithmetic=1.0, memory=2.0)
    assert point.line() == ["batch, 2-2", 4, 1, "3 s", "2 s", "1.50", "bytes"]
    assert scaling.near_the_floor([point]).endswith("within 1.5 of its floor at 4.")
    assert scaling.measure(scaling.network(4, 2, 8), 1, 0.001) > 0
    far = scaling.Point("threads, W3", 1, 1, 9.0, 2.0, 1.0)
    scaling.picture([point, far], tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 1000


def test_limits_are_those_of_a_processor(module, core):
    limits = module("limits")
    try:
        found = limits.Limits()
    except NotImplementedError as reason:
        pytest.skip(str(reason))
    # Wide enough for a core that others use, too narrow for a loop that was optimised away.
    assert 1e8 < found.peak(repeats=1) < 1e12
    assert 1e8 < found.bandwidth(1 << 14) < 1e12


@pytest.mark.parametrize(
    ("peak", "threads", "is_plausible"),
    [(205, 2, True), (215, 2, True), (217, 2, False), (119, 2, False), (50, 1, True)],
)
def test_a_peak_of_two_threads_is_held_against_that_of_one(module, peak, threads, is_plausible):
    assert module("claims").plausible(peak, 103, threads) is is_plausible


class Peaks:
    """Limits of 100 operations a second on one thread and, in turn, `together` on two."""

    isa = "scalar"

    def __init__(self, *together):
        self._together = list(together)

    def peak(self, threads=1):
        return 100 if threads == 1 else self._together.pop(0)


def test_a_share_is_of_peaks_that_nothing_disturbed(module, core, monkeypatch):
    claims = module("claims")
    monkeypatch.setattr(claims, "SECONDS", 0.0)
    x, y = claims.data.training_data(ROWS["W2"])
    share = claims._peak_share(ROWS["W2"], x, y, 2, Peaks(90, 200, 250, 190, 198))
    assert (share["pairs"], share["disturbed"], share["peak"]) == (3, 2, 198)
    assert share["share"] > 0
    lost = claims._peak_share(ROWS["W2"], x, y, 2, Peaks(*[100] * claims.TRIES))
    assert (lost["pairs"], lost["disturbed"], lost["share"]) == (0, claims.TRIES, None)


def test_claims_are_measured_again_into_the_file_of_a_run(module, core, tmp_path, monkeypatch):
    claims, path = module("claims"), tmp_path / "run.json"
    run = record()
    run.machine |= claims.machine.facts()
    run.save(path)
    monkeypatch.setitem(claims.PARTS, "imports", lambda show: {"numpy": 1, "fastbp": 2})
    claims.main([str(path), "imports"])
    again = claims.record.load(path)
    assert again.claims == run.claims | {"imports": {"numpy": 1, "fastbp": 2}}
    assert again.rows == run.rows
    record().save(path)
    with pytest.raises(SystemExit):
        claims.main([str(path), "imports"])


def record():
    rows = [Row(ROWS["W3"], [OWN, JAX, SKLEARN]), Row(ROWS["W5"], [OWN, timed("jax", 1e-6)])]
    machine = {"processor": "P", "cores": 2, "instruction set": "scalar", "fastbp": "1"}
    peak = {"row": "W6", "threads": 2, "peak": 2e11, "speed": 1.7e11, "share": 0.85}
    peak |= {"pairs": 7, "disturbed": 2}
    lost = {"row": "W7", "threads": 2, "pairs": 1, "disturbed": 20}
    lost |= dict.fromkeys(("peak", "speed", "share"))
    claims = {
        "imports": {"numpy": 0.05, "fastbp": 0.01},
        "accuracy": {"skipped": "no folder of images was named"},
        "peak": {"instruction set": "avx2", "rows": [peak | {"threads": 1}, peak, lost]},
    }
    settings = {"budget": 1, "threads": [1, 2], "short": False, "fastbp threads": None}
    return Record(machine | {"date": "today"}, settings, rows, claims)


def test_the_documents_get_what_was_measured_and_keep_the_rest(module, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    results = module("results")
    for name in ("RESULTS", "README", "CHART"):
        original = getattr(results, name)
        monkeypatch.setattr(results, name, tmp_path / original.name)
        if original.suffix == ".md":
            (tmp_path / original.name).write_text(original.read_text())
    record().save(tmp_path / "run.json")
    (tmp_path / "grid.json").write_text(json.dumps({"part": "threads", "table": "GRID"}))
    for _ in range(2):
        results.main([str(tmp_path / "run.json"), str(tmp_path / "grid.json")])
        text, readme = (tmp_path / "RESULTS.md").read_text(), (tmp_path / "README.md").read_text()
    for part in (
        "GRID",
        "4 x jax, 40 x torch Adam |",
        "| W1 |",
        "not run",
        "| 85% | 2 of 9 |",
        "| 20 of 21 | 80% | not measured |",
        "1.0 ms",
        "no folder of",
    ):
        assert part.replace("1.0 ms", "10.0 ms") in text
    assert "### What stands in the way" in text
    assert text.count("explain") >= 2
    assert "Rows that fastbp loses: W5." in readme
    assert "Measured on P, 2 cores" in readme
    assert readme.startswith("# fastbp")
    assert (tmp_path / "ratios.png").exists()


@pytest.mark.parametrize("setting", [{"short": True}, {"threads": [1]}, {"fastbp threads": 1}])
def test_a_run_in_short_form_is_not_written_down(module, tmp_path, setting):
    short = record()
    short.settings |= setting
    short.save(tmp_path / "run.json")
    with pytest.raises(ValueError, match="expected whole rows"):
        module("results").main([str(tmp_path / "run.json")])


def test_a_number_of_threads_that_failed_stands_in_the_way(module):
    failed = Entry("jax", 2, "failed", "why")
    row = Row(ROWS["S"], [OWN, timed("jax", 1e-2), failed])
    assert "jax t2 failed" in module("targets").verdict(row)


def test_a_part_without_its_mark_is_an_error(module):
    with pytest.raises(ValueError, match="measured: speed"):
        module("results").fill("no marks", "speed", "fast")


def test_a_population_keeps_its_best_and_finds_better(module):
    benchmark = module("back_propagation")
    net, x, y = benchmark.task("XOR", 0)
    population, best = benchmark.Population(net, x, y, seed=0), []
    for _ in range(40):
        best.append(population.losses.min())
        population.breed()
    assert best == sorted(best, reverse=True)
    assert best[-1] < best[0] / 4


@pytest.fixture
def matmul(module, monkeypatch):
    """The benchmark of products, where limits of the instruction set are known."""
    benchmark = module("matmul")
    if fastbp.build_info()["isa"] not in benchmark.SETS:
        pytest.skip("no limits are known for this instruction set")
    monkeypatch.chdir(ROOT)
    return benchmark


def test_the_timer_of_products_calls_the_core_as_it_is(matmul, tmp_path):
    assert matmul.translated(fastbp.build_info()["isa"], str(tmp_path)).sources


@pytest.mark.thorough
def test_the_timer_of_products_makes_them(matmul):
    products = matmul.timer(fastbp.build_info()["isa"])
    net = fastbp.Network([fastbp.Dense(5, use_bias=False)], input_shape=7, dtype="float64")
    x, w, z = (matmul.aligned(*shape, "float64") for shape in ((9, 7), (7, 5), (9, 5)))
    expected = {"forward": (z, x @ w), "input": (x, z @ w.T), "weights": (w, x.T @ z)}
    for product, (result, numbers) in expected.items():
        given = [array.copy() for array in (x, w, z)]
        at = next(i for i, array in enumerate((x, w, z)) if array is result)
        given[at][:] = 0
        assert products.seconds(net._engine, product, *[a.view("int8") for a in given], 1) > 0
        np.testing.assert_allclose(given[at], numbers, rtol=1e-12, atol=1e-12)
