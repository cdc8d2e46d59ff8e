"""The grid of threads: ``python -m benchmarks.threads --json threads.json``, from the root.

Every W row at batches of 1 to 512, with one thread, two, and as many as fastbp chooses. Two threads
should never be slower than one, and the choice within 5 % of the better. Each setting runs twice in
every round, so that the difference of like and like, the A/A spread, is known; it is added to what
is allowed. All runs of a round follow each other, each round beginning with another.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import markdown
from benchmarks.steps import Steps, on_random_rows
from fastbp.bench import machine
from fastbp.bench.rows import ROWS
from fastbp.bench.table import duration
from fastbp.progress import StatusLine

NAMES = ("W1", "W2", "W3", "W4a", "W5", "W6", "W7")  # W4b is W4a at another batch
BATCHES = (1, 8, 32, 128, 512)
SETTINGS = (1, 2, None)
ROUNDS = 7
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
    """One row at one batch size: time of a step in each round, twice for each setting."""

    row: str
    batch: int
    times: dict[int | None, tuple[list[float], list[float]]]

    def median(self, setting):
        """Return the median of both halves together."""
        first, second = self.times[setting]
        return statistics.median(first + second)

    @property
    def spread(self):
        """The largest difference between the medians of two halves that should be alike."""
        medians = [tuple(map(statistics.median, halves)) for halves in self.times.values()]
        return max(abs(a / b - 1) for a, b in medians)

    @property
    def speedup_lost(self):
        """Time with two threads over that with one."""
        return self.median(2) / self.median(1)

    @property
    def choice_lost(self):
        """Time with the threads that fastbp chose over the better of both."""
        return self.median(None) / min(self.median(1), self.median(2))

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
        times = [duration(self.median(setting)) for setting in SETTINGS]
        parts = [f"{self.speedup_lost:.2f}", f"{self.choice_lost:.2f}", f"{self.spread:.1%}"]
        return [self.row, str(self.batch), *times, *parts, self.verdict]


def measure(name, batch, seconds):
    """Return the cell of a row and a batch, each run taking about `seconds`."""
    steps = Steps(on_random_rows(ROWS[name], batch), seconds)
    arms = [(setting, half) for half in (0, 1) for setting in SETTINGS]
    times = {setting: ([], []) for setting in SETTINGS}
    for setting in SETTINGS:
        steps.time(setting)
    for number in range(ROUNDS):
        start = number % len(arms)
        for setting, half in arms[start:] + arms[:start]:
            times[setting][half].append(steps.time(setting))
    return Cell(name, batch, times)


def run(names, batches, budget, path):
    """Measure and print all cells in about `budget` seconds, save them after each, return them."""
    places = [(name, batch) for name in names for batch in batches]
    share = budget / len(places) / (2 * len(SETTINGS) * ROUNDS)
    facts, line, cells = machine.facts(), StatusLine(seconds_between_lines=10), []
    print(f"{facts['processor']}, {facts['cores']} cores, {facts['instruction set']}")
    print(_aligned(HEAD))
    for name, batch in places:
        if line.is_due():
            done = len(cells) / len(places)
            line.write(f"{name} batch {batch}  {done:.0%}  {line.left(done)}")
        cells.append(measure(name, batch, share))
        line.wipe()
        print(_aligned(cells[-1].line()), flush=True)
        if path:
            path.write_text(json.dumps(report(facts, cells), indent=1) + "\n")
    return cells


def _aligned(cells):
    return "  ".join(f"{cell:13}" if place > 1 else f"{cell:5}" for place, cell in enumerate(cells))


def report(facts, cells):
    """Return what `benchmarks.results` puts into its document, with all times."""
    times = [
        {"row": cell.row, "batch": cell.batch, "times": [*cell.times.values()]} for cell in cells
    ]
    bad = sum(cell.verdict != "ok" for cell in cells)
    table = markdown(HEAD, [cell.line() for cell in cells])
    said = f"{len(cells) - bad} of {len(cells)} cells are as they should be."
    return {"part": "threads", "machine": facts, "cells": times, "table": f"{said}\n\n{table}"}


def main(argv=None):
    """Run the grid that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=__doc__)
    parser.add_argument("--rows", default=",".join(NAMES), help="as W1,W4a")
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)), help="as 1,32")
    parser.add_argument("--budget", type=float, default=120, help="seconds for all cells (120)")
    parser.add_argument("--json", type=Path, help="also write all times to this file")
    options = parser.parse_args(argv)
    names, batches = options.rows.split(","), map(int, options.batches.split(","))
    if unknown := set(names) - set(NAMES):
        parser.error(f"--rows: expected some of {', '.join(NAMES)}, got {', '.join(unknown)}")
    run(names, list(batches), options.budget, options.json)


if __name__ == "__main__":
    main()
