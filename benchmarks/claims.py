"""What is claimed beside ratios: shares of the FMA peak, accuracy on images, time to import.

Each function returns plain values for JSON, or {"skipped": why}.
"""

from __future__ import annotations

import functools
import statistics
import time

import fastbp
from benchmarks import import_time
from benchmarks.limits import Limits
from benchmarks.targets import SHARES
from fastbp.bench import data, networks
from fastbp.bench.rows import ROWS

PAIRS = 7
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

    Peak and row are measured in turn, so that both see the same clock; the share is that of the
    products' operations alone.
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
    pairs = [(limits.peak(threads), seconds(fit)) for _ in range(PAIRS)]
    peak = statistics.median(peak for peak, _ in pairs)
    speeds = [workload.operations * workload.epochs / taken for _, taken in pairs]
    share = statistics.median(speed / peak for speed, (peak, _) in zip(speeds, pairs, strict=True))
    speed = statistics.median(speeds)
    return {"row": workload.name, "threads": threads, "peak": peak, "speed": speed, "share": share}


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
