"""Ratios of times, whether a row is met, and the table that shows both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastbp.bench.contest import ROUNDS, Entry, label
from fastbp.bench.workloads import Target, Workload

OWN = ("fastbp", "reference")


@dataclass(frozen=True)
class Row:
    """One workload with the entries that ran it."""

    workload: Workload
    entries: Sequence[Entry]

    def best(self, program: str) -> Entry | None:
        """Return the program's fastest entry, or None if none was timed."""
        timed = [e for e in self._of(program) if e.status == "ready" and e.seconds]
        return min(timed, key=lambda entry: entry.median, default=None)

    def status(self, program: str) -> str:
        """Return "ready" if the program was timed, else what stood in its way."""
        if self.best(program):
            return "ready"
        return next((e.status for e in self._of(program)), "not run")

    def _of(self, program: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.program == program]

    @property
    def peers(self) -> list[str]:
        """Names of the other libraries, in order."""
        return list(dict.fromkeys(e.program for e in self.entries if e.program not in OWN))

    def ratio(self, program: str) -> float | None:
        """Return the program's time over fastbp's, or None where either is not known."""
        own, other = self.best("fastbp"), self.best(program)
        return other.median / own.median if own and other else None

    @property
    def fastest(self) -> str | None:
        """Name of the fastest peer."""
        timed = {peer: entry.median for peer in self.peers if (entry := self.best(peer))}
        return min(timed, key=timed.__getitem__, default=None)

    def verdict(self) -> str:
        """Return "met", or "not met" with what stands in the way.

        A row is met only if every target is reached and no peer is missing or failed, because the
        missing one might have been the fastest.
        """
        needed = ["fastbp", *self.peers]
        absent = [f"{p} {s}" for p in needed if (s := self.status(p)) not in ("ready", "lacks")]
        named = [t.peer for t in self.workload.targets if t.peer not in ("fastest", *self.peers)]
        short = [
            f"{target.ratio:g} x {target.peer}"
            for target in self.workload.targets
            if target.peer not in named and not self._reaches(target)
        ]
        reasons = absent + [f"{peer} not run" for peer in named] + short
        return "not met: " + ", ".join(reasons) if reasons else "met"

    def _reaches(self, target: Target) -> bool:
        peer = self.fastest if target.peer == "fastest" else target.peer
        ratio = self.ratio(peer) if peer else None
        return ratio is not None and ratio >= target.ratio


def cell(row: Row, program: str) -> str:
    """Return the ratio with the best number of threads, as "3.42 t2", or why there is none.

    Where fastbp was not timed, the time itself.
    """
    ratio, entry = row.ratio(program), row.best(program)
    if entry is None:
        return "-" if row.status(program) in ("lacks", "not run") else row.status(program)
    figure = duration(entry.median) if ratio is None else f"{ratio:.3g}"
    threads = "" if entry.threads is None else f" t{entry.threads}"
    return f"{figure}{threads}{'*' if len(entry.seconds) < 3 else ''}"


def duration(seconds: float) -> str:
    """Return a time with three digits and its unit."""
    for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def table(rows: Sequence[Row]) -> str:
    """Return the table: for each row fastbp's time, and every program's time over it."""
    programs = list(dict.fromkeys(e.program for row in rows for e in row.entries))
    others = [program for program in programs if program != "fastbp"]
    lines = [["row", "fastbp", "per", *others, "targets", "verdict"]]
    for row in rows:
        own = row.best("fastbp")
        time = duration(own.median) if own else row.status("fastbp")
        targets = ", ".join(f"{t.ratio:g} {t.peer}" for t in row.workload.targets)
        cells = [cell(row, program) for program in others]
        lines.append([row.workload.name, time, row.workload.unit, *cells, targets, row.verdict()])
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return the cells in columns as wide as they need to be."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def notes(rows: Sequence[Row]) -> list[str]:
    """Return what each row is, and what is to be said of its entries."""
    lines = []
    for row in rows:
        lines.append(f"{row.workload.name}: {row.workload.title}; time per {row.workload.unit}")
        for program in dict.fromkeys(entry.program for entry in row.entries):
            entry = row.best(program) or next(e for e in row.entries if e.program == program)
            rounds = f"{len(entry.seconds)} of {ROUNDS} rounds" if entry.seconds else ""
            said = "; ".join(filter(None, (entry.status, rounds, entry.note)))
            lines.append(f"    {label(entry)}: {said}")
    return lines
