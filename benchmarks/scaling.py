"""How time grows: ``python -m benchmarks.scaling --json scaling.json``, from the root.

Time of a training step against batch, width, depth and threads, with the floors that no program can
go below: operations over the FMA peak and bytes over the bandwidth of the cache that holds them,
both measured in the same run. Writes benchmarks/scaling.png, and the table for the report.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.limits import Limits
from benchmarks.results import markdown
from benchmarks.steps import Steps, on_random_rows
from fastbp.bench import machine
from fastbp.bench.contest import thread_counts
from fastbp.bench.rows import ROWS
from fastbp.bench.table import duration
from fastbp.progress import StatusLine

PICTURE = Path(__file__).with_name("scaling.png")
RUNS = 5
NEAR = 1.5  # times the floor: what is closer stands on it
THREADED = ("W3", "W4b", "W5", "W6")


@dataclass
class Point:
    """A network measured: where it stands in its sweep, time of a step, and its floors."""

    sweep: str
    place: int
    threads: int
    seconds: float
    arithmetic: float
    memory: float

    @property
    def floor(self):
        """The larger of both floors."""
        return max(self.arithmetic, self.memory)

    def line(self):
        """Return the cells of its line in the table."""
        bound = "operations" if self.arithmetic >= self.memory else "bytes"
        times = [duration(self.seconds), duration(self.floor), f"{self.seconds / self.floor:.2f}"]
        return [self.sweep, self.place, self.threads, *times, bound]


def network(width, depth, batch):
    """Return a training of `depth` layers of `width` units, ReLU but for the last, SGD."""
    shape = replace(
        ROWS["W7"],
        sizes=(width,) * (depth + 1),
        activations=("relu",) * (depth - 1) + ("identity",),
    )
    return on_random_rows(shape, batch)


SWEEPS = {
    "batch, 256-256-256": {2**k: network(256, 2, 2**k) for k in range(0, 13, 2)},
    "width, 2 layers, batch 128": {2**k: network(2**k, 2, 128) for k in range(2, 12)},
    "depth, 128 units, batch 128": {2**k: network(128, 2**k, 128) for k in range(7)},
}


def bytes_moved(workload):
    """Return the bytes that a step must read and write.

    Weights are read forward, for the delta below, and by the update, which writes them; each value
    and delta of a row is written and read.
    """
    weights, values = sum(workload.products), sum(workload.sizes)
    return 4 * (4 * weights + 4 * workload.batch_size * values)


class Floors:
    """The limits of the machine, each measured once."""

    def __init__(self):
        self._limits = Limits()
        self.peak = functools.cache(self._limits.peak)
        self._bandwidth = functools.cache(self._limits.bandwidth)

    def bandwidth(self, size):
        """Return bytes a second for a working set, by the next power of two."""
        return self._bandwidth(1 << max(14, (size - 1).bit_length()))

    def point(self, sweep, place, workload, threads, seconds):
        """Return the point of a measured step."""
        operations = workload.operations / workload.steps
        moved = bytes_moved(workload)
        memory = moved / self.bandwidth(moved) / threads
        return Point(sweep, place, threads, seconds, operations / self.peak(threads), memory)


def measure(workload, threads, seconds):
    """Return the median time of a step."""
    steps = Steps(workload, seconds)
    return statistics.median(steps.time(threads) for _ in range(RUNS))


def points(seconds, cores, show):
    """Yield every point, each run taking about `seconds`."""
    floors = Floors()
    for sweep, networks in SWEEPS.items():
        for place, workload in networks.items():
            show(f"{sweep}: {place}")
            yield floors.point(sweep, place, workload, 1, measure(workload, 1, seconds))
    for name in THREADED:
        workload = on_random_rows(ROWS[name], ROWS[name].batch_size)
        for threads in thread_counts(cores):
            show(f"{name} on {threads} threads")
            taken = measure(workload, threads, seconds)
            yield floors.point(f"threads, {name}", threads, workload, threads, taken)


def draw(axes, sweep, of_sweep):
    """Draw a sweep and its floors, all logarithmic."""
    places = [point.place for point in of_sweep]
    axes.loglog(places, [p.seconds for p in of_sweep], "o-", color="#2f6db5", label="fastbp")
    axes.loglog(places, [p.arithmetic for p in of_sweep], "--", color="#5c6470",
                label="operations / peak")  # fmt: skip
    axes.loglog(places, [p.memory for p in of_sweep], ":", color="#d1622b",
                label="bytes / bandwidth")  # fmt: skip
    name, _, what = sweep.partition(", ")
    axes.set(xlabel=name, title=what)
    axes.set_xticks(places, map(str, places), minor=False)
    axes.minorticks_off()
    axes.grid(color="#e3e5e8")
    axes.spines[["top", "right"]].set_visible(False)


def picture(found, path):
    """Write the picture of all sweeps; needs matplotlib."""
    from matplotlib.figure import Figure

    sweeps = list(dict.fromkeys(point.sweep for point in found))
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    grid = figure.add_gridspec(2, 12)
    for number, sweep in enumerate(sweeps):
        top = number < len(SWEEPS)
        span = 4 if top else 3
        column = (number if top else number - len(SWEEPS)) * span
        axes = figure.add_subplot(grid[int(not top), column : column + span])
        draw(axes, sweep, [point for point in found if point.sweep == sweep])
        if column == 0:
            axes.set_ylabel("seconds per step")
            axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def near_the_floor(found):
    """Return for each sweep where it stands within `NEAR` of its floor."""
    lines = []
    for sweep in dict.fromkeys(point.sweep for point in found):
        near = [p.place for p in found if p.sweep == sweep and p.seconds <= NEAR * p.floor]
        said = f"at {', '.join(map(str, near))}" if near else "nowhere"
        lines.append(f"- {sweep}: within {NEAR:g} of its floor {said}.")
    return "\n".join(lines)


def report(facts, found):
    """Return what `benchmarks.results` puts into its document."""
    head = ["sweep", "at", "threads", "step", "floor", "step / floor", "floor of"]
    table = markdown(head, [point.line() for point in found])
    plain = [vars(point) for point in found]
    text = f"![Scaling](scaling.png)\n\n{near_the_floor(found)}\n\n{table}"
    return {"part": "scaling", "machine": facts, "points": plain, "table": text}


def main(argv=None):
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each of five runs (0.1)")
    parser.add_argument("--json", type=Path, help="also write all points to this file")
    parser.add_argument("--chart", type=Path, default=PICTURE, help=f"the picture ({PICTURE.name})")
    options = parser.parse_args(argv)
    line, found = StatusLine(seconds_between_lines=10), []
    for point in points(options.seconds, machine.cores(), line.write):
        found.append(point)
        line.wipe()
        print(*point.line(), sep="  ", flush=True)
        if options.json:
            options.json.write_text(json.dumps(report(machine.facts(), found), indent=1) + "\n")
    picture(found, options.chart)


if __name__ == "__main__":
    main()
