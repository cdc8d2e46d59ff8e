"""The contest: ``python -m benchmarks.compare``, from the root of the repository.

Runs W1 to W7 and the prediction rows on fastbp, on its NumPy reference and on each library of
`benchmarks.peers`, and prints one table of ratios, the other's time over fastbp's: 2 means that
fastbp is twice as fast. `fastbp.bench.contest` says how times are taken. A library that is not
installed shows as "missing", and no row with a missing one counts as met.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

import fastbp
from fastbp.bench.contest import Program, contest, entries, thread_counts
from fastbp.bench.table import Row, notes, table
from fastbp.bench.workloads import WORKLOADS

OWN = [
    Program("fastbp", "benchmarks.peers.fastbp", peer=False),
    Program("reference", "benchmarks.peers.reference", peer=False),
]
PEERS = [
    Program("numpy", "benchmarks.peers.numpy"),
    Program("numba", "benchmarks.peers.numba", threaded=False),
    Program("jax", "benchmarks.peers.jax"),
    Program("torch", "benchmarks.peers.torch"),
    Program("scikit-learn", "benchmarks.peers.sklearn"),
    Program("onnxruntime", "benchmarks.peers.onnxruntime"),
    Program("keras", "benchmarks.peers.keras"),
]


def arguments(argv=None):
    """Return the parsed command line."""
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--rows", default="W,P", help="names of rows or how they begin: W1,W4,P1")
    parser.add_argument(
        "--peers", default=",".join(p.name for p in PEERS), help="libraries, as jax,torch"
    )
    parser.add_argument(
        "--budget", type=float, default=120, help="seconds of measuring for each row (120)"
    )
    parser.add_argument(
        "--threads",
        default=",".join(map(str, thread_counts(cores))),
        help="numbers of threads that each library is tried with",
    )
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    options = parser.parse_args(argv)
    options.rows = _chosen(parser, "--rows", options.rows, list(WORKLOADS), str.startswith)
    options.peers = _chosen(parser, "--peers", options.peers, [p.name for p in PEERS], str.__eq__)
    options.threads = [int(count) for count in options.threads.split(",")]
    return options


def _chosen(parser, argument, text, names, fits):
    """Return the names that the comma-separated text asks for, in their own order."""
    asked = text.split(",")
    for word in asked:
        if not any(fits(name, word) for name in names):
            parser.error(f"{argument}: expected some of {', '.join(names)}, got {word!r}")
    return [name for name in names if any(fits(name, word) for word in asked)]


def machine():
    """Return what the figures depend on: processor, cores, instruction set, system, versions."""
    try:
        build = fastbp.build_info()
    except ImportError as error:
        build = {"missing": str(error)}
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "fastbp": fastbp.__version__,
        "numpy": np.__version__,
        "build": build,
        "date": time.strftime("%Y-%m-%d %H:%M"),
    }


def _processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def show(line):
    """Say how far the contest is, on standard error."""
    print(line, file=sys.stderr, flush=True)


def run(options):
    """Return a `Row` for every row asked for."""
    programs = OWN + [peer for peer in PEERS if peer.name in options.peers]
    rows = []
    for name in options.rows:
        workload = WORKLOADS[name]
        pairs = entries(programs, options.threads)
        rows.append(Row(workload, contest(workload, pairs, options.budget, show)))
    return rows


def report(facts, options, rows):
    """Return what is printed: machine and choices, the table, and the notes to it."""
    versions = {}
    for entry in (entry for row in rows for entry in row.entries):
        versions |= entry.versions
    flushed = {e.program for row in rows for e in row.entries if e.flushed}
    head = [
        *(f"{name}: {value}" for name, value in facts.items()),
        f"versions: {', '.join(f'{name} {version}' for name, version in versions.items())}",
        f"threads tried: {options.threads}; fastbp chooses its own",
        f"budget: {options.budget:g} s of measuring for each row",
        f"subnormals flushed from outside for: {', '.join(sorted(flushed)) or 'none'}",
    ]
    key = "Ratios are the other's time over fastbp's, medians; tN: its best number of threads;\n"
    key += "*: fewer than 3 rounds; -: cannot do the row."
    return "\n".join([*head, "", table(rows), "", key, "", *notes(rows)])


def save(path, facts, options, rows):
    """Write everything measured as JSON."""
    content = {
        "machine": facts,
        "budget": options.budget,
        "threads": options.threads,
        "rows": [
            {
                "workload": asdict(row.workload),
                "verdict": row.verdict(),
                "entries": [asdict(e) | {"median": e.median} for e in row.entries],
            }
            for row in rows
        ],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def main(argv=None):
    """Run the contest that the command line asks for."""
    options = arguments(argv)
    facts = machine()
    rows = run(options)
    print(report(facts, options, rows))
    if options.json:
        save(options.json, facts, options, rows)


if __name__ == "__main__":
    main()
