"""Programs timed side by side: each in a process of its own, in turn, round after round.

All processes of a row are prepared one after the other and stay alive; only one works at a time.
Rounds go through all of them, each time starting with another, so that drift of the machine hits
all alike. What is reported is the median over the rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastbp import reference
from fastbp.bench import judge, networks
from fastbp.bench.workloads import Training, Workload, initial_weights, training_data

ROUNDS = 9
PATIENCE = 30.0  # seconds: a first run that takes longer is the only one
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True)
class Program:
    """What takes part: a module as `fastbp.bench.child` describes it.

    Attributes
    ----------
    name : str
        Name in the table.
    module : str
        Dotted name of the module.
    peer : bool
        Whether it is another library: then every number of threads is tried, and subnormal
        numbers are flushed for it. fastbp's engines run as their users run them.
    threaded : bool
        Whether it can use more than one thread.
    """

    name: str
    module: str
    peer: bool = True
    threaded: bool = True


@dataclass
class Entry:
    """One program with one number of threads on one row, and what came of it.

    Attributes
    ----------
    program : str
        Name of the program.
    threads : int or None
        Threads it was given; None where it chose.
    status : str
        "ready", "missing", "lacks" (cannot do the row) or "failed".
    note : str
        Why, or how its work differs from the row's, and what the work did.
    versions : dict of str to str
        What it used.
    flushed : bool
        Whether subnormal numbers were flushed for it.
    seconds : list of float
        Time of one unit of the row in each round.
    """

    program: str
    threads: int | None
    status: str = "ready"
    note: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    flushed: bool = False
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median time of one unit over the rounds; NaN before the first."""
        return statistics.median(self.seconds) if self.seconds else float("nan")


def thread_counts(cores: int) -> list[int]:
    """Return the numbers of threads to try: 1, 2, 4 and so on, and all cores."""
    powers = [2**k for k in range(cores.bit_length()) if 2**k < cores]
    return [*powers, cores]


def entries(programs: Iterable[Program], threads: list[int]) -> list[tuple[Program, Entry]]:
    """Return each program with each number of threads it is to be tried with."""
    pairs = []
    for program in programs:
        counts: list[int | None] = [*threads] if program.threaded else [1]
        pairs += [(program, Entry(program.name, n)) for n in (counts if program.peer else [None])]
    return pairs


def expected_fall(workload: Workload) -> float:
    """Return by how much the reference lowers the loss of a reduced training; 0 for predictions."""
    if not isinstance(workload, Training):
        return 0.0
    reduced = workload.reduced()
    x, y = training_data(reduced)
    start = initial_weights(reduced)
    run, weights = networks.train(reference.Network, reduced, x, y, start)
    run()
    return judge.loss(reduced, start, x, y) - judge.loss(reduced, weights(), x, y)


class Child:
    """The process of one entry."""

    def __init__(self, program: Program, entry: Entry, workload: Workload, expected: float) -> None:
        self.entry = entry
        self.units = workload.units
        arguments = [program.module, workload.name, str(entry.threads or 0)]
        arguments += ["flush" if program.peer else "as is", repr(expected)]
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (lives as long as the process)
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("child.py")), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=_environment(entry.threads),
        )
        ready = self._answer()
        entry.status, entry.note = ready["status"], ready["note"]
        entry.versions, entry.flushed = ready.get("versions", {}), ready.get("flushed", False)
        if ready.get("seconds", 0) > PATIENCE:
            entry.seconds.append(ready["seconds"] / self.units)

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return dict(json.loads(line))
        code = self.process.wait()
        self.errors.seek(0)
        last = (self.errors.read().strip() or "no message").splitlines()[-1]
        return {"status": "failed", "note": f"ended with {code}: {last}"}

    def measure(self, seconds: float) -> None:
        """Let it work for `seconds`, at least one run, and keep the time of a unit."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        self._judge(answer := self._answer())
        if "seconds" in answer:
            self.entry.seconds.append(answer["seconds"] / self.units)

    def rounds(self, share: float) -> int:
        """Return how many rounds it takes part in, by its first; none once it has failed."""
        if self.entry.status != "ready":
            return 0
        return rounds(share, self.entry.seconds[0] * self.units) if self.entry.seconds else 1

    def close(self) -> None:
        """End the process and take its verdict on the work that was timed."""
        if self.entry.status == "ready":
            assert self.process.stdin is not None
            self.process.stdin.close()
            self._judge(self._answer())
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                stream.close()

    def _judge(self, answer: dict[str, Any]) -> None:
        if "work" in answer:
            self.entry.note = "; ".join(filter(None, (self.entry.note, answer["work"])))
        if answer.get("status") == "failed" or not answer.get("works", True):
            self.entry.status = "failed"
            self.entry.note = answer.get("note", self.entry.note)


def _environment(threads: int | None) -> dict[str, str]:
    """Return the environment of a child: the parent's import path, and the number of threads."""
    environment = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    if threads is not None:
        environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    return environment


def rounds(share: float, run_time: float) -> int:
    """Return how often to measure a program whose run takes `run_time` in `share` seconds.

    At least 3 times, but once where a single run takes longer than the share.
    """
    return 1 if run_time > share else max(3, min(ROUNDS, int(share / max(run_time, 1e-9))))


def contest(
    workload: Workload,
    pairs: list[tuple[Program, Entry]],
    budget: float,
    show: Callable[[str], None],
) -> list[Entry]:
    """Run a row.

    Parameters
    ----------
    workload : Workload
        The row.
    pairs : list of (Program, Entry)
        What takes part; the entries are filled.
    budget : float
        Seconds of measuring, shared alike; preparing is not counted.
    show : callable
        Gets a line about each step.
    """
    expected = expected_fall(workload)
    children = []
    try:
        for program, entry in pairs:
            children.append(Child(program, entry, workload, expected))
            show(f"{workload.name} {label(entry)}: {entry.status} {entry.note}")
        waiting = [c for c in children if c.entry.status == "ready" and not c.entry.seconds]
        _rounds(workload, waiting, budget, show)
    finally:
        for child in children:
            child.close()
    return [entry for _, entry in pairs]


def _rounds(
    workload: Workload, children: list[Child], budget: float, show: Callable[[str], None]
) -> None:
    share = budget / max(1, len(children))
    for number in range(ROUNDS):
        turn = [child for child in children if number < child.rounds(share)]
        start = number % max(1, len(turn))
        for child in turn[start:] + turn[:start]:
            child.measure(share / ROUNDS)
        if turn:
            show(f"{workload.name} round {number + 1} of {ROUNDS}: {len(turn)} programs")


def label(entry: Entry) -> str:
    """Return the entry's name with its threads, as "jax t2"."""
    return entry.program if entry.threads is None else f"{entry.program} t{entry.threads}"
