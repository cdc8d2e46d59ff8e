"""`fastbp bench`: the table on this machine, against the libraries installed here.

Prints each row as soon as it is measured, writes what is known to a JSON file after each, and draws
the ratios at the end.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastbp.bench import chart, data, machine
from fastbp.bench.contest import Contest, thread_counts
from fastbp.bench.peers import FASTBP, PEERS
from fastbp.bench.record import Record, Row, load, missing, versions
from fastbp.bench.rows import QUICK, ROWS
from fastbp.bench.table import KEY, Table, notes
from fastbp.bench.workloads import Training, Workload
from fastbp.progress import StatusLine

BUDGET = 30.0
QUICK_BUDGET = 1.0
CHART = Path("fastbp-bench.png")
SECONDS_BETWEEN_LINES = 10.0  # in a log file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a contest to a parser."""
    names = [peer.name for peer in PEERS]
    add = parser.add_argument
    add("--rows", type=_rows, help=f"rows or how their names begin, as W1,P ({', '.join(ROWS)})")
    add("--peers", type=_peers, help=f"libraries, as jax,torch (default: {','.join(names)})")
    add("--threads", type=_counts, help="numbers of threads that each library is tried with")
    add("--budget", type=_seconds, help=f"seconds of measuring for each row ({BUDGET:g})")
    add("--images", type=_images, help="a folder with the files of MNIST, for the M rows")
    add("--json", type=_file, help="also write everything measured to this file, row by row")
    into = "put the rows into the file of an earlier run, which keeps what they take the place of"
    add("--merge", action="store_true", help=into)
    add("--chart", type=_file, default=CHART, help=f"where to draw the ratios ({CHART})")
    quick = f"{', '.join(QUICK)} in short form, all on one thread: under a minute"
    add("--quick", action="store_true", help=quick)


def _chosen(text: str, names: Sequence[str], whole: bool) -> list[str]:
    """Return the names that the comma-separated text asks for, in their own order."""
    asked = text.split(",")
    for word in asked:
        if word not in names and (whole or not any(name.startswith(word) for name in names)):
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(names)}, got {word!r}")
    return [n for n in names if any(n == w or (not whole and n.startswith(w)) for w in asked)]


def _rows(text: str) -> list[str]:
    return _chosen(text, list(ROWS), whole=False)


def _peers(text: str) -> list[str]:
    return _chosen(text, [peer.name for peer in PEERS], whole=True)


def _counts(text: str) -> list[int]:
    counts = [int(count) for count in text.split(",")]
    if min(counts) < 1:
        raise argparse.ArgumentTypeError(f"expected integers of at least 1, got {text}")
    return counts


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text}")
    return seconds


def _file(text: str) -> Path:
    path = Path(text)
    if not path.name:  # Path("") is the folder, and matplotlib would write a file ".png"
        raise argparse.ArgumentTypeError(f"expected the name of a file, got {text!r}")
    return path


def _images(text: str) -> Path:
    try:
        data.image_files(Path(text), "train")
    except FileNotFoundError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


def run(options: argparse.Namespace) -> Record:
    """Run the contest that the options ask for, print and draw it, and return it."""
    workloads = _workloads(options)
    if options.images:
        os.environ[data.IMAGES] = str(options.images.resolve())  # for the processes of all programs
    threads = options.threads or ([1] if options.quick else thread_counts(machine.cores()))
    budget = options.budget or (QUICK_BUDGET if options.quick else BUDGET)
    images = options.images is not None
    settings = {
        "threads": threads,
        "fastbp threads": 1 if options.quick else None,
        "budget": budget,
        "short": options.quick,
        "images": images,
    }
    record = Record(machine.facts(), settings)
    print(preface(record))
    if options.merge:
        record = _earlier(options.json, record)
    _contest(options, workloads, record)
    print("\n" + summary(record))
    _draw(record, options.chart)
    return record


def _earlier(path: Path | None, record: Record) -> Record:
    """Return the record in the file, for a run under the conditions of `record` to go on with."""
    if path is None:
        raise SystemExit("fastbp bench: --merge: expected --json with the file of an earlier run")
    earlier = load(path)
    if not earlier.continues(record):
        raise SystemExit(f"fastbp bench: --merge: {path} is of another machine or other options")
    return earlier


def _workloads(options: argparse.Namespace) -> list[Workload]:
    asked = options.rows or (QUICK if options.quick else list(ROWS))
    if options.images:
        return [ROWS[name] for name in asked]
    return [ROWS[name] for name in asked if not _needs_images(ROWS[name])]


def _needs_images(workload: Workload) -> bool:
    return isinstance(workload, Training) and workload.data == "images"


def _contest(options: argparse.Namespace, workloads: list[Workload], record: Record) -> None:
    programs = [FASTBP, *(p for p in PEERS if options.peers is None or p.name in options.peers)]
    line = StatusLine(seconds_between_lines=SECONDS_BETWEEN_LINES)
    place = 0

    def show(stage: str, share: float) -> None:
        if line.is_due():
            done = (place + share) / len(workloads)
            at = f"{workloads[place].name} ({place + 1} of {len(workloads)})"
            line.write(f"{at}  {stage}  {done:.0%}  {line.left(done)}")

    chosen = record.settings
    counts, own, budget = chosen["threads"], chosen["fastbp threads"], chosen["budget"]
    with Contest(programs, counts, own, budget, chosen["short"], show) as contest:
        for place, workload in enumerate(workloads):
            row = Row(workload, contest.run(workload), **machine.moment())
            record.add(row)
            if options.json:
                record.save(options.json)
            absent = missing(record.rows)
            table = Table(workloads, [p.name for p in programs[1:] if p.name not in absent])
            line.wipe()
            print(*[table.header] * (place == 0), table.line(row), sep="\n", flush=True)


def preface(record: Record) -> str:
    """Return what is said of the machine and the choices."""
    settings = record.settings
    facts: dict[str, Any] = {
        **record.machine,
        "threads tried": f"{settings['threads']}; fastbp {settings['fastbp threads'] or 'chooses'}",
        "budget": f"{settings['budget']:g} s of measuring for each row",
        "images": "given" if settings["images"] else "none, so M rows are left out (--images)",
    }
    width = max(map(len, facts))
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in facts.items()) + "\n"


def summary(record: Record) -> str:
    """Return the key to the table, versions, who was not there, and the notes to each entry."""
    used = ", ".join(f"{name} {version}" for name, version in versions(record.rows).items())
    flushed = {e.program for row in record.rows for e in row.entries if e.flushed}
    absent = missing(record.rows)
    lines = [KEY, "", f"versions: {used}"]
    lines += [f"subnormals flushed from outside for: {', '.join(sorted(flushed)) or 'none'}"]
    lines += [f"not installed, and left out: {', '.join(absent)}"] if absent else []
    return "\n".join([*lines, "", *notes(record.rows)])


def _draw(record: Record, path: Path) -> None:
    if not chart.compared(record.rows):
        print("\nNo picture: nothing to compare with")
        return
    try:
        chart.save(record, path)
        print(f"\n{path} shows the ratios.")
    except ImportError:
        print("\nFor a picture of the ratios: pip install 'fastbp[plot]'")
    except OSError as error:
        print(f"\nNo picture: {error}")
