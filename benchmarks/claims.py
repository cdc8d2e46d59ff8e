"""What is claimed beside ratios: shares of the FMA peak, accuracy on images, time to import.

``python -m benchmarks.claims run.json [peak ...]`` measures them again into the file of a run. Each
function returns plain values for JSON, or {"skipped": why}.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import time
from pathlib import Path

import fastbp
from benchmarks import import_time
from benchmarks.limits import Limits
from benchmarks.targets import SHARES
from fastbp.bench import data, machine, networks, record
from fastbp.bench.rows import ROWS
from fastbp.progress import StatusLine

IMAGES = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist10k"
"""Images that may lie beside the checkout."""
PAIRS = 3
SECONDS = 10.0  # of a share: what is short is measured in more pairs
TRIES = 20
LEAST_GAIN, MOST_GAIN = 1.2, 1.05
"""What several threads have together: at least times one thread's, at most times all of theirs."""
SEEDS = (0, 1, 2)


def skipping(measure):
    """Let `measure` return why it could not, where it raises NotImplementedError."""

    @functools.wraps(measure)
    def measured(*arguments):
        try:
            return measure(*arguments)
        except NotImplementedError as reason:
            return {"skipped": str(reason)}

    return measured


@skipping
def peak_shares(cores, show):
    """Return for the rows of `SHARES`, on one thread and on two, their share of the FMA peak.

    One thread's peak, all threads' and the row are measured in turn, so that all see the same
    clock; the share is that of the products' operations alone. Where the peak of all is not
    `plausible`, something else ran meanwhile: it is measured again, and how often is told.
    """
    limits, shares = Limits(), []
    for name in SHARES:
        x, y = data.training_data(ROWS[name])
        for threads in sorted({1, min(2, cores)}):
            show(f"{name} on {threads} threads, share of peak")
            shares.append(_peak_share(ROWS[name], x, y, threads, limits))
    return {"instruction set": limits.isa, "rows": shares}


def _peak_share(workload, x, y, threads, limits):
    net = networks.build(fastbp.Network, workload, None)
    net.n_threads = threads
    fit = functools.partial(networks.fit, net, workload, x, y)
    fit()
    peaks, speeds, disturbed = [], [], 0
    end = time.perf_counter() + SECONDS
    while disturbed < TRIES and (len(peaks) < PAIRS or time.perf_counter() < end):
        one, peak = limits.peak(), limits.peak(threads)
        if plausible(peak, one, threads):
            peaks.append(peak)
            speeds.append(workload.operations * workload.epochs / seconds(fit))
        else:
            disturbed += 1
    row = {"row": workload.name, "threads": threads, "pairs": len(peaks), "disturbed": disturbed}
    return row | _medians(peaks, speeds)


def plausible(peak, one, threads):
    """Whether so many threads can have this peak, by what one of them has."""
    return threads == 1 or LEAST_GAIN * one <= peak <= MOST_GAIN * threads * one


def _medians(peaks, speeds):
    if len(peaks) < PAIRS:
        return {"peak": None, "speed": None, "share": None}
    share = statistics.median(speed / peak for speed, peak in zip(speeds, peaks, strict=True))
    return {"peak": statistics.median(peaks), "speed": statistics.median(speeds), "share": share}


def seconds(work):
    """Return how long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@skipping
def accuracy(show):
    """Return the test accuracy of row M for each of `SEEDS`, with the time of each training."""
    workload, (test_x, test_y) = ROWS["M"], data.images("t10k")
    x, y = data.training_data(workload)
    runs = []
    for seed in SEEDS:
        show(f"accuracy on images, seed {seed}")
        net = networks.build(fastbp.Network, workload, None)
        net.reset(seed)
        taken = seconds(functools.partial(networks.fit, net, workload, x, y))
        share = float((net.predict(test_x).argmax(axis=1) == test_y).mean())
        runs.append({"seed": seed, "accuracy": share, "seconds": taken})
    return {"mean": statistics.mean(run["accuracy"] for run in runs), "runs": runs}


def imports(show):
    """Return the medians of the seconds to import NumPy, and fastbp after it, in new processes."""
    show("time to import")
    numpy, own = import_time.medians()
    return {"numpy": numpy / 1000, "fastbp": own / 1000}


PARTS = {
    "imports": imports,
    "accuracy": accuracy,
    "peak": functools.partial(peak_shares, machine.cores()),
}


def measure(run, path=None, parts=PARTS):
    """Measure the parts named into a record, and save it after each."""
    line = StatusLine(seconds_between_lines=0)
    for name in parts:
        run.claims[name] = PARTS[name](line.write)
        if path:
            run.save(path)
    line.wipe()


def main(argv=None):
    """Measure what the command line asks for into the file of a run on this machine."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    parser.add_argument("run", type=Path, help="of compare")
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)} (all)")
    options = parser.parse_args(argv)
    if unknown := {*options.parts} - {*PARTS}:
        parser.error(f"parts: expected some of {', '.join(PARTS)}, got {', '.join(unknown)}")
    run = record.load(options.run)
    if not run.continues(record.Record(machine.facts(), run.settings)):
        parser.error(f"{options.run}: expected a run on this machine")
    if IMAGES.is_dir():
        os.environ.setdefault(data.IMAGES, str(IMAGES))
    measure(run, options.run, options.parts or PARTS)
    print({name: run.claims[name] for name in options.parts or PARTS})


if __name__ == "__main__":
    main()
