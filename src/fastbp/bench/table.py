"""The table of ratios as text, a line for each row as soon as it is measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fastbp.bench.contest import FEWEST_ROUNDS, ROUNDS, Entry, label
from fastbp.bench.record import OWN, Row
from fastbp.bench.workloads import Workload

WIDE = 0.10
"""Spread of an entry's rounds, as a share of the median, from which on it is marked."""
KEY = (
    "Ratios are the other's time over fastbp's, medians: above 1 fastbp is faster. tN: the best\n"
    f"number of threads; *: fewer than {FEWEST_ROUNDS} rounds; ~: the middle half of the rounds\n"
    f"spreads over more than {WIDE:.0%} of the median; -: cannot do the row. NumPy loop: not for\n"
    "speed, but as textbooks print it."
)


class Table:
    """Columns whose widths are known before the first figure.

    Parameters
    ----------
    workloads : iterable of Workload
        The rows to come.
    peers : sequence of str
        Names of the columns behind fastbp's time.
    """

    def __init__(self, workloads: Iterable[Workload], peers: Sequence[str]) -> None:
        self._peers = peers
        workloads = list(workloads)
        names = max((len(w.name) for w in workloads), default=0)
        units = max((len(w.unit) for w in workloads), default=0)
        cells = [max(len(peer), len("0.123 t128*~")) for peer in peers]
        self._widths = [max(names, len("row")), len("12.3 ms*~"), units, *cells, len("0.123")]

    def _line(self, cells: Sequence[str]) -> str:
        pairs = zip(cells, self._widths, strict=True)
        return "  ".join(text.ljust(width) for text, width in pairs).rstrip()

    @property
    def header(self) -> str:
        """The line above the rows."""
        return self._line(["row", OWN, "per", *self._peers, "fastest"])

    def line(self, row: Row) -> str:
        """Return fastbp's time and every peer's over it, the fastest peer's once more."""
        ratio = row.ratio(row.fastest)
        cells = [cell(row, peer) for peer in self._peers]
        least = "" if ratio is None else factor(ratio)
        return self._line([row.workload.name, own_time(row), row.workload.unit, *cells, least])


def own_time(row: Row) -> str:
    """Return fastbp's time of a unit with its marks, or why there is none."""
    own = row.best(OWN)
    return f"{duration(own.median)}{marks(own)}" if own else row.status(OWN)


def marks(entry: Entry) -> str:
    """Return the signs of what makes an entry's median doubtful; see `KEY`."""
    few, wide = len(entry.seconds) < FEWEST_ROUNDS, entry.spread > WIDE
    return "*" * few + "~" * wide


def cell(row: Row, program: str) -> str:
    """Return the ratio with the best number of threads, as "3.42 t2", or why there is none.

    Where fastbp was not timed, the time itself.
    """
    ratio, entry = row.ratio(program), row.best(program)
    if entry is None:
        return "-" if row.status(program) in ("lacks", "not run") else row.status(program)
    figure = duration(entry.median) if ratio is None else factor(ratio)
    threads = "" if entry.threads is None else f" t{entry.threads}"
    return f"{figure}{threads}{marks(entry)}"


def factor(ratio: float) -> str:
    """Return a ratio with three digits, as "0.87", "4.2", "1,220"."""
    return f"{ratio:,.0f}" if ratio >= 999.5 else f"{ratio:.3g}"


def duration(seconds: float) -> str:
    """Return a time with three digits and its unit."""
    for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def notes(rows: Iterable[Row]) -> list[str]:
    """Return what each row is, and what is to be said of its entries."""
    lines = []
    for row in rows:
        lines.append(f"{row.workload.name}: {row.workload.title}; time per {row.workload.unit}")
        lines += [f"    {said}" for said in measured_again(row)]
        for program in dict.fromkeys(entry.program for entry in row.entries):
            entry = row.best(program) or next(e for e in row.entries if e.program == program)
            said = "; ".join(filter(None, (entry.status, rounds(entry), entry.note)))
            lines.append(f"    {label(entry)}: {said}")
    return lines


def rounds(entry: Entry) -> str:
    """Return how often an entry was timed and between which times the middle half lies."""
    if not entry.seconds:
        return ""
    first, third = map(duration, entry.quartiles)
    return f"{len(entry.seconds)} of {ROUNDS} rounds, the middle half {first} to {third}"


def measured_again(row: Row) -> list[str]:
    """Return each result of a row that was measured more than once, the last one that counts."""
    results = [*row.earlier, row] if row.earlier else []
    return [
        f"{'counts' if result is row else 'replaced'}, {result.date}, load {result.load:g}: "
        + "; ".join(_of_a_result(result, program) for program in (OWN, row.fastest) if program)
        for result in results
    ]


def _of_a_result(row: Row, program: str) -> str:
    entry = row.best(program)
    if entry is None:
        return f"{program} {row.status(program)}"
    return f"{label(entry)} {duration(entry.median)}, {rounds(entry)}"
