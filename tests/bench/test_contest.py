import json
import platform
import sys
import textwrap

import pytest

from fastbp.bench import child, contest, parent
from fastbp.bench.contest import Contest, Program
from fastbp.bench.rows import ROWS

HONEST = """
    from fastbp import reference
    from fastbp.bench import networks
    VERSIONS = {"honest": "1.0"}
    DEVIATIONS = {}
    def train(workload, x, y, weights, threads):
        return networks.train(reference.Network, workload, x, y, weights)
    def predictor(workload, weights, x, threads):
        return networks.predictor(reference.Network, workload, weights, x)
"""
IDLE = """
    from fastbp.bench.data import initial_weights
    VERSIONS, DEVIATIONS = {}, {}
    def train(workload, x, y, weights, threads):
        return lambda: None, lambda: weights or initial_weights(workload)
    def predictor(workload, weights, x, threads):
        return lambda: x, lambda: x
"""
BREAKING = (
    HONEST.replace("return networks.predictor(", "return breaking(")
    + """
    def breaking(*arguments):
        (predict, outputs), calls = networks.predictor(*arguments), []
        def run():
            calls.append(1)
            if len(calls) > 300:
                raise RuntimeError("tired")
            return predict()
        return run, outputs
"""
)
EXCUSED = IDLE.replace("DEVIATIONS = {}, {}", 'DEVIATIONS = {}, {"W3": "does nothing"}')
UNWILLING = """
    VERSIONS, DEVIATIONS = {}, {}
    def train(workload, x, y, weights, threads):
        raise NotImplementedError("predicts only")
"""
ABSENT = "import a_library_that_nobody_has"
DYING = """
    import os, sys
    print("out of luck", file=sys.stderr, flush=True)
    os._exit(3)
"""
NOISY = HONEST + "    print('chatter')\n"


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Make a program from its source."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(source, name):
        (tmp_path / f"program_{name}.py").write_text(textwrap.dedent(source))
        return Program(name, f"program_{name}")

    return make


def run(row, *programs, budget=0.01):
    with Contest(programs, [1], None, budget, True, lambda stage, done: None) as race:
        return race.run(ROWS[row])


def test_honest_programs_are_timed_side_by_side(program):
    one, other = run("W3", program(HONEST, "one"), program(NOISY, "other"))
    for entry in (one, other):
        assert entry.status == "ready"
        assert entry.median > 0
        assert "loss" in entry.note
    assert one.versions == {"honest": "1.0"}


@pytest.mark.parametrize(
    ("source", "row", "status", "reason"),
    [
        (IDLE, "W3", "failed", "loss fell by 0,"),
        (EXCUSED, "W3", "failed", "does nothing; loss"),
        (IDLE, "P1b", "failed", "outputs differ"),
        (UNWILLING, "W3", "lacks", "predicts only"),
        (ABSENT, "W3", "missing", "a_library_that_nobody_has"),
        (DYING, "W3", "failed", "ended with 3: out of luck"),
        (BREAKING, "P1b", "failed", "ended with 1: RuntimeError: tired"),
    ],
    ids=["idle", "excused", "wrong", "unwilling", "absent", "dying", "breaking"],
)
def test_what_does_not_do_the_work_is_named_and_not_timed(program, source, row, status, reason):
    (entry,) = run(row, program(source, "doubtful"))
    assert entry.status == status
    assert reason in entry.note


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="flushed on x86-64 Linux only"
)
def test_subnormals_are_flushed_for_peers_only(program):
    peer = program(HONEST, "peer")
    own = Program("own", peer.module, peer=False)
    flushed, plain = run("P1b", peer, own)
    assert (flushed.flushed, plain.flushed) == (True, False)


def serve(module, *requests):
    said = []
    child.serve(module, 1, map(json.dumps, requests), said.append)
    return said


def test_serving_answers_each_request_row_after_row(program):
    row = ["prepare", "P1b", True, 0.0]
    requests = (row, ["measure", 0], ["finish"], row, ["finish"])
    started, prepared, measured, verdict, again, last = serve(
        program(HONEST, "served").module, *requests
    )
    assert started == {"status": "ready", "versions": {"honest": "1.0"}}
    assert prepared == again == {"status": "ready", "note": ""}
    assert measured["seconds"] > 0
    assert verdict == last == {"works": True, "work": "outputs agree"}


def test_serving_measures_nothing_before_a_row_is_prepared(program):
    row = ["prepare", "P1b", True, 0.0]
    with pytest.raises(RuntimeError, match="no row is prepared"):
        serve(program(HONEST, "early").module, row, ["finish"], ["measure", 0])


@pytest.mark.parametrize(
    ("source", "status"),
    [(UNWILLING, "lacks"), (IDLE, "failed")],
    ids=["unwilling", "idle"],
)
def test_serving_says_what_stands_in_the_way_of_a_row(program, source, status):
    module = program(source, f"served_{status}").module
    assert serve(module, ["prepare", "W3", True, 1.0])[-1]["status"] == status


def test_serving_a_program_without_its_library_ends(program):
    (said,) = serve(program(ABSENT, "absent").module, ["prepare", "W3", True, 1.0])
    assert said["status"] == "missing"


def test_serving_a_training_compares_it_with_the_expected_fall(program):
    module = program(HONEST, "trained").module
    expected = contest.expected_fall(ROWS["W3"].short())
    for fall, status in ((expected, "ready"), (expected * 1.1, "failed")):
        assert serve(module, ["prepare", "W3", True, fall])[-1]["status"] == status


def test_who_fails_in_one_row_is_there_for_the_next(program):
    with Contest([program(BREAKING, "b")], [1], None, 0.01, True, lambda *_: None) as race:
        outcomes = [race.run(ROWS[row])[0] for row in ("P1b", "W3", "P1b")]
    assert [entry.status for entry in outcomes] == ["failed", "ready", "failed"]


def test_who_does_not_answer_has_failed(program, monkeypatch):
    monkeypatch.setattr(parent, "LONGEST", 0.2)
    sleeper = program("import time; time.sleep(60)", "sleeper")
    (entry,) = run("P1b", sleeper)
    assert (entry.status, entry.note) == ("failed", "no answer in 0.2 s")


def test_a_measurement_is_the_median_of_runs_and_at_least_one():
    runs = []
    assert child.measure(lambda: runs.append(1), 0) >= 0
    assert len(runs) == 1
    child.measure(lambda: runs.append(1), 0.01)
    assert len(runs) > 2


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 4]), (6, [1, 2, 4, 6])]
)
def test_threads_are_tried_in_powers_of_two_up_to_all_cores(cores, counts):
    assert contest.thread_counts(cores) == counts


def test_peers_try_every_number_of_threads_and_fastbp_chooses(program):
    module = program(ABSENT, "absent").module
    programs = [
        Program("fastbp", module, peer=False),
        Program("serial", module, threaded=False),
        Program("parallel", module),
    ]
    with Contest(programs, [1, 2], None, 0.01, True, lambda *_: None) as race:
        tried = [(entry.program, entry.threads) for entry in race.run(ROWS["P1a"])]
    assert tried == [("fastbp", None), ("serial", 1), ("parallel", 1), ("parallel", 2)]


def test_the_display_hears_of_a_growing_share_of_the_row(program):
    shown = []
    show = lambda *stage: shown.append(stage)  # noqa: E731
    with Contest([program(HONEST, "shown")], [1], None, 0.01, True, show) as race:
        race.run(ROWS["P1b"])
    stages, shares = zip(*shown, strict=True)
    assert stages[0] == "shown t1 prepares"
    assert stages[-1].startswith("shown t1 round ")
    assert list(shares) == sorted(shares)
    assert 0 <= shares[0] < shares[-1] < 1


@pytest.mark.parametrize(
    ("share", "run_time", "behind", "expected"),
    [
        (1, 2, 100, 1),
        (1, 2, 1, contest.FEWEST_ROUNDS),
        (1, 0.9, 100, contest.FEWEST_ROUNDS),
        (1, 0.2, 1, 5),
        (1, 0.001, 1, contest.ROUNDS),
        (1, 0, 1, contest.ROUNDS),
    ],
)
def test_rounds_follow_the_budget_and_spare_who_is_far_behind(share, run_time, behind, expected):
    assert contest.rounds(share, run_time, behind) == expected
