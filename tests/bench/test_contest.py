import platform
import sys
import textwrap

import pytest

from fastbp.bench import child, contest
from fastbp.bench.contest import Entry, Program
from fastbp.bench.workloads import WORKLOADS

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
    from fastbp.bench.workloads import initial_weights
    VERSIONS, DEVIATIONS = {}, {}
    def train(workload, x, y, weights, threads):
        return lambda: None, lambda: weights or initial_weights(workload)
    def predictor(workload, weights, x, threads):
        return lambda: x
"""
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


def run(row, *programs):
    pairs = [(p, Entry(p.name, 1)) for p in programs]
    return contest.contest(WORKLOADS[row], pairs, 0.01, lambda line: None)


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
    ],
    ids=["idle", "excused", "wrong", "unwilling", "absent", "dying"],
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


def test_serving_says_ready_then_times_then_the_verdict(program):
    said = []
    child.serve(program(HONEST, "served").module, "P1b", 1, 0.0, ["0", "0"], said.append)
    assert [sorted(answer) for answer in said] == [
        ["note", "seconds", "status", "versions"],
        ["seconds"],
        ["seconds"],
        ["work", "works"],
    ]
    assert said[-1]["works"]


@pytest.mark.parametrize(
    ("source", "status"),
    [(ABSENT, "missing"), (UNWILLING, "lacks"), (IDLE, "failed")],
    ids=["absent", "unwilling", "idle"],
)
def test_serving_says_once_what_stands_in_the_way(program, source, status):
    said = []
    child.serve(program(source, f"served_{status}").module, "W3", 1, 1.0, ["0"], said.append)
    assert [answer["status"] for answer in said] == [status]


def test_serving_a_training_compares_it_with_the_expected_fall(program):
    module = program(HONEST, "trained").module
    expected = contest.expected_fall(WORKLOADS["W3"])
    for fall, status in ((expected, "ready"), (expected * 1.1, "failed")):
        said = []
        child.serve(module, "W3", 1, fall, [], said.append)
        assert said[0]["status"] == status


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


def test_a_program_without_end_is_run_once(program, monkeypatch):
    monkeypatch.setattr(contest, "PATIENCE", 0.0)
    (entry,) = run("P1a", program(HONEST, "endless"))
    assert len(entry.seconds) == 1


def test_peers_try_every_number_of_threads_and_fastbp_chooses():
    programs = [
        Program("fastbp", "m", peer=False),
        Program("serial", "m", threaded=False),
        Program("parallel", "m"),
    ]
    tried = [(entry.program, entry.threads) for _, entry in contest.entries(programs, [1, 2])]
    assert tried == [("fastbp", None), ("serial", 1), ("parallel", 1), ("parallel", 2)]


@pytest.mark.parametrize(
    ("share", "run_time", "expected"),
    [(1, 2, 1), (1, 0.9, 3), (1, 0.2, 5), (1, 0.001, contest.ROUNDS), (1, 0, contest.ROUNDS)],
)
def test_rounds_follow_the_budget(share, run_time, expected):
    assert contest.rounds(share, run_time) == expected
