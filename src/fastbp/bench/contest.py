"""Programs timed side by side: each in a process of its own, in turn, round after round.

All processes start together and live as long as the contest, for importing a library takes
seconds; one that fails is started again for the next row. They prepare a row as many at a time as
there are cores, and then only one works at a time: the rounds go through all of them, each time
starting with another, so that drift of the machine hits all alike. What is reported is the median
over the rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from fastbp import reference
from fastbp.bench import judge, networks
from fastbp.bench.data import initial_weights, training_data
from fastbp.bench.machine import cores
from fastbp.bench.parent import Parent
from fastbp.bench.workloads import Training, Workload

ROUNDS = 9
FEWEST_ROUNDS = 3
FAR_BEHIND = 30.0  # times as long as the row's fastest: what is further behind decides nothing
PREPARING = 0.5  # the share of a row's time that preparing takes, for the display


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
        numbers are flushed for it. fastbp runs as its users run it.
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

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between which times the middle half of the rounds lies; the median where one is alone."""
        if len(self.seconds) < 2:
            return self.median, self.median
        first, _, third = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return first, third

    @property
    def spread(self) -> float:
        """Distance of the quartiles as a share of the median."""
        first, third = self.quartiles
        return (third - first) / self.median


def label(entry: Entry) -> str:
    """Return the entry's name with its threads, as "jax t2"."""
    return entry.program if entry.threads is None else f"{entry.program} t{entry.threads}"


def thread_counts(cores: int) -> list[int]:
    """Return the numbers of threads to try: 1, 2, 4 and so on, and all cores."""
    powers = [2**k for k in range(cores.bit_length()) if 2**k < cores]
    return [*powers, cores]


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


def rounds(share: float, run_time: float, behind: float) -> int:
    """Return how often to measure a program.

    Parameters
    ----------
    share : float
        Seconds it has.
    run_time : float
        Seconds that one run takes.
    behind : float
        `run_time` over that of the row's fastest.
    """
    if run_time > share and behind > FAR_BEHIND:
        return 1
    return max(FEWEST_ROUNDS, min(ROUNDS, int(share / max(run_time, 1e-9))))


class Competitor:
    """A program with a number of threads, in a process that goes from row to row."""

    def __init__(self, program: Program, threads: int | None) -> None:
        self._program, self._threads = program, threads
        self._process = self._start()
        self._greeting: dict[str, Any] = {}
        self.entry, self._units = Entry(program.name, threads), 1.0

    def _start(self) -> Parent:
        program = self._program
        return Parent(program.module, self._threads, flush=program.peer)

    @property
    def label(self) -> str:
        """Return its name with its threads."""
        return label(self.entry)

    def begin(self, workload: Workload, short: bool, expected: float) -> None:
        """Let it begin to prepare a row and to run it once."""
        if self._greeting.get("status") == "ready" and not self._process.alive:
            self._process.close()
            self._process, self._greeting = self._start(), {}
        self._greeting = self._greeting or self._process.answer()
        self.entry = Entry(self._program.name, self._threads)
        self.entry.versions = self._greeting.get("versions", {})
        self.entry.flushed = self._greeting.get("flushed", False)
        self._units = workload.units
        if self._greeting["status"] == "ready":
            self._process.tell("prepare", workload.name, short, expected)

    def wait(self) -> Entry:
        """Return its entry when it is prepared; later calls fill it."""
        started = self._greeting["status"] == "ready"
        answer = self._process.answer() if started else self._greeting
        self.entry.status, self.entry.note = answer["status"], answer["note"]
        return self.entry

    def rounds(self, share: float, fastest: float) -> int:
        """Return how many rounds it takes part in, by its first; none once it has failed."""
        if self.entry.status != "ready":
            return 0
        if not self.entry.seconds:
            return 1
        unit = self.entry.seconds[0]
        return rounds(share, unit * self._units, unit / fastest)

    def measure(self, seconds: float) -> None:
        """Let it work for `seconds`, at least one run, and keep the time of a unit."""
        answer = self._process.ask("measure", seconds)
        if "seconds" in answer:
            self.entry.seconds.append(answer["seconds"] / self._units)
        else:
            self.entry.status, self.entry.note = answer["status"], answer["note"]

    def finish(self) -> None:
        """Take its verdict on the work that was timed, and let it forget the row."""
        if self.entry.status != "ready":
            return
        answer = self._process.ask("finish")
        said = answer.get("work") or answer["note"]
        self.entry.note = "; ".join(filter(None, (self.entry.note, said)))
        if not answer.get("works"):
            self.entry.status = "failed"

    def close(self) -> None:
        """End the process."""
        self._process.close()


class Contest:
    """Programs with each number of threads they are tried with, ready for rows.

    Parameters
    ----------
    programs : iterable of Program
        What takes part.
    threads : list of int
        Numbers of threads that each peer is tried with.
    own_threads : int or None
        Threads that fastbp is given; None where it chooses.
    budget : float
        Seconds of measuring for each row, shared alike; preparing is not counted.
    short : bool
        Whether rows run in their short form.
    show : callable
        Gets what is being done, and which share of the row is.
    """

    def __init__(
        self,
        programs: Iterable[Program],
        threads: list[int],
        own_threads: int | None,
        budget: float,
        short: bool,
        show: Callable[[str, float], None],
    ) -> None:
        self._budget, self._short, self._show = budget, short, show
        self._competitors: list[Competitor] = []
        try:
            for program in programs:
                counts = threads if program.threaded else [1]
                for count in counts if program.peer else [own_threads]:
                    self._competitors.append(Competitor(program, count))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        for competitor in self._competitors:
            competitor.close()

    def run(self, workload: Workload) -> list[Entry]:
        """Return what came of the row, one entry for each competitor."""
        entries = self._prepare(workload.short() if self._short else workload)
        self._rounds([c for c in self._competitors if c.entry.status == "ready"])
        for competitor in self._competitors:
            competitor.finish()
        return entries

    def _prepare(self, workload: Workload) -> list[Entry]:
        expected, at_a_time = expected_fall(workload), cores()
        entries: list[Entry] = []
        for first in range(0, len(self._competitors), at_a_time):
            turn = self._competitors[first : first + at_a_time]
            for competitor in turn:
                competitor.begin(workload, self._short, expected)
            for competitor in turn:
                done = PREPARING * len(entries) / len(self._competitors)
                self._show(f"{competitor.label} prepares", done)
                entries.append(competitor.wait())
        return entries

    def _rounds(self, waiting: list[Competitor]) -> None:
        share = self._budget / max(1, len(waiting))
        fastest = float("inf")
        for number in range(ROUNDS):
            turn = [c for c in waiting if number < c.rounds(share, fastest)]
            start = number % max(1, len(turn))
            for place, competitor in enumerate(turn[start:] + turn[:start]):
                done = (number + place / len(turn)) / ROUNDS
                stage = f"{competitor.label} round {number + 1} of {ROUNDS}"
                self._show(stage, PREPARING + (1 - PREPARING) * done)
                competitor.measure(share / ROUNDS)
            fastest = min((c.entry.median for c in waiting if c.entry.seconds), default=fastest)
