"""The grid of threads: ``python -m benchmarks.threads --json threads.json``, from the root.

Every W row at batches of 1 to 512, with one thread, two, and as many as fastbp chooses. Two threads
should never be slower than one, and the choice within 5 % of the better, each plus the A/A spread:
how far apart the medians of two runs of the same code come in this very cell.

Each setting runs twice in every round, all runs of a round in an order drawn anew; a run is at
least one step, a cell at least seven rounds, and more while its share of the budget lasts. Which of
a setting's two runs of a round belongs to the first half and which to the second is without
meaning: they are dealt out a thousand times, and each time the medians of both halves are compared.
The spread is the difference that 95 % of these deals stay within, of the setting where it is
largest. The verdict compares medians of both halves together, which lie closer, so that settings
that run the same code, as all do where one thread is the whole team, pass but for some cells in a
thousand.

The file is written after each cell. Another run with the same file takes the place of the cells
that it measures, chosen by ``--rows`` and ``--batches``, and keeps the others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.results import markdown
from benchmarks.steps import Steps, on_random_rows
from fastbp.bench import machine
from fastbp.bench.record import Record
from fastbp.bench.rows import ROWS
from fastbp.bench.table import duration
from fastbp.progress import StatusLine

NAMES = ("W1", "W2", "W3", "W4a", "W5", "W6", "W7")  # W4b is W4a at another batch
BATCHES = (1, 8, 32, 128, 512)
SETTINGS = (1, 2, None)
ROUNDS = 7
SECONDS = 0.5
"""Of a run, if the budget has it: a fit's own copies of large weights are then a small part."""
DEALS = 1_000
SHARE_OF_DEALS = 0.95
ALLOWED = 0.05
HEAD = [
    "row",
    "batch",
    "1 thread",
    "2 threads",
    "chosen",
    "2 / 1",
    "chosen / best",
    "A/A",
    "verdict",
]


@dataclass
class Cell:
    """One row at one batch size: time of a step in each round, twice for each of `SETTINGS`."""

    row: str
    batch: int
    times: list[tuple[list[float], list[float]]]
    date: str = ""
    load: float = 0.0

    @property
    def medians(self):
        """The median of each setting, of both halves together."""
        return [statistics.median(first + second) for first, second in self.times]

    @property
    def spread(self):
        """What 95 % of the differences between medians of like halves stay within."""
        return max(difference_of_halves(*halves) for halves in self.times)

    @property
    def speedup_lost(self):
        """Time with two threads over that with one."""
        one, two, _ = self.medians
        return two / one

    @property
    def choice_lost(self):
        """Time with the threads that fastbp chose over the better of both."""
        one, two, chosen = self.medians
        return chosen / min(one, two)

    @property
    def verdict(self):
        """Say "ok", or what is slower than allowed."""
        slower = [
            *["two threads"] * (self.speedup_lost > 1 + self.spread),
            *["the choice"] * (self.choice_lost > 1 + ALLOWED + self.spread),
        ]
        return ", ".join(slower) + " slower" if slower else "ok"

    def line(self):
        """Return the cells of its line in the table."""
        parts = [f"{self.speedup_lost:.3f}", f"{self.choice_lost:.3f}", f"{self.spread:.1%}"]
        return [self.row, str(self.batch), *map(duration, self.medians), *parts, self.verdict]


def difference_of_halves(first, second):
    """Return the difference of medians that most deals of the pairs into two halves stay within.

    Parameters
    ----------
    first, second : list of float
        Times of the same work; those of a round stand in the same place.
    """
    first, second = np.array(first), np.array(second)
    swapped = np.random.default_rng(0).random((DEALS, len(first))) < 0.5
    halves = np.where(swapped, second, first), np.where(swapped, first, second)
    one, other = (np.median(half, axis=1) for half in halves)
    return float(np.quantile(np.abs(one / other - 1), SHARE_OF_DEALS))


def measure(name, batch, share, show):
    """Return the cell of a row and a batch, in about `share` seconds if that is enough."""
    began = time.perf_counter()
    arms = [(setting, half) for setting in range(len(SETTINGS)) for half in (0, 1)]
    steps = Steps(on_random_rows(ROWS[name], batch), min(SECONDS, share / len(arms) / ROUNDS))
    times = [([], []) for _ in SETTINGS]
    for setting in SETTINGS:
        steps.time(setting)
    rng, number = np.random.default_rng(0), 0
    while number < ROUNDS or time.perf_counter() - began < share:
        show(number)
        for setting, half in rng.permutation(arms):
            times[setting][half].append(steps.time(SETTINGS[setting]))
        number += 1
    return Cell(name, batch, times, **machine.moment())


def run(names, batches, budget, path):
    """Measure and print cells in about `budget` seconds; save them after each among the others."""
    places = [(name, batch) for name in names for batch in batches]
    facts, line = machine.facts(), StatusLine(seconds_between_lines=10)
    cells = earlier(path, facts) if path and path.exists() else {}
    print(f"{facts['processor']}, {facts['cores']} cores, {facts['instruction set']}")
    print(_aligned(HEAD))
    for done, (name, batch) in enumerate(places):

        def show(number, done=done, name=name, batch=batch):
            if line.is_due():
                share = done / len(places)
                line.write(f"{name} batch {batch} round {number}  {share:.0%}  {line.left(share)}")

        cells[name, batch] = measure(name, batch, budget / len(places), show)
        line.wipe()
        print(_aligned(cells[name, batch].line()), flush=True)
        if path:
            whole = path.with_name(f"{path.name}.part")
            whole.write_text(json.dumps(report(facts, cells), indent=1) + "\n")
            whole.replace(path)


def earlier(path, facts):
    """Return the cells in the file, by row and batch; ValueError where it is another machine's."""
    content = json.loads(path.read_text())
    if not Record(content["machine"], {}).continues(Record(facts, {})):
        raise ValueError(f"{path}: expected a file of this machine, got {content['machine']}")
    return {(cell["row"], cell["batch"]): Cell(**cell) for cell in content["cells"]}


def _aligned(cells):
    return "  ".join(f"{cell:13}" if place > 1 else f"{cell:5}" for place, cell in enumerate(cells))


def report(facts, cells):
    """Return what `benchmarks.results` puts into its document, and all times, in grid order."""
    ordered = [cells[place] for place in sorted(cells, key=lambda p: (NAMES.index(p[0]), p[1]))]
    bad = sum(cell.verdict != "ok" for cell in ordered)
    table = markdown(HEAD, [cell.line() for cell in ordered])
    said = f"{len(ordered) - bad} of {len(ordered)} cells are as they should be."
    plain = [asdict(cell) for cell in ordered]
    return {"part": "threads", "machine": facts, "cells": plain, "table": f"{said}\n\n{table}"}


def main(argv=None):
    """Run the grid that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=__doc__)
    parser.add_argument("--rows", default=",".join(NAMES), help="as W1,W4a")
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)), help="as 1,32")
    parser.add_argument("--budget", type=float, default=1200, help="seconds for all cells (1200)")
    parser.add_argument("--json", type=Path, help="write all times to this file, or into it")
    options = parser.parse_args(argv)
    names, batches = options.rows.split(","), map(int, options.batches.split(","))
    if unknown := set(names) - set(NAMES):
        parser.error(f"--rows: expected some of {', '.join(NAMES)}, got {', '.join(unknown)}")
    run(names, list(batches), options.budget, options.json)


if __name__ == "__main__":
    main()
