"""What a contest has measured: rows with their entries, their ratios, and the file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fastbp.bench.contest import Entry
from fastbp.bench.rows import ROWS
from fastbp.bench.workloads import Workload

OWN = "fastbp"
FIGURES = ("median", "quartiles", "spread")
"""What a file says of an entry's rounds, for who reads it without this package."""
MACHINE_OF_ROWS = (
    "processor", "cores", "instruction set", "fastbp", "compiler", "python", "numpy"
)  # fmt: skip
CHOICES_OF_ROWS = ("threads", "fastbp threads", "short", "images")
"""What must be alike where rows of two runs stand in one table."""


@dataclass(frozen=True)
class Row:
    """One workload with the entries that ran it.

    Attributes
    ----------
    workload : Workload
        The work.
    entries : sequence of Entry
        Each program with each number of threads.
    date : str
        When it was done.
    load : float
        Average of ready processes over the minute before, those of the row included.
    earlier : tuple of Row
        Results that this one took the place of, oldest first.
    """

    workload: Workload
    entries: Sequence[Entry]
    date: str = ""
    load: float = 0.0
    earlier: tuple[Row, ...] = ()

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
        return [name for name in programs([self]) if name != OWN]

    def ratio(self, program: str | None) -> float | None:
        """Return the program's time over fastbp's, or None where either is not known."""
        own, other = self.best(OWN), self.best(program) if program else None
        return other.median / own.median if own and other else None

    @property
    def fastest(self) -> str | None:
        """Name of the fastest peer, or None if none was timed."""
        timed = {peer: entry.median for peer in self.peers if (entry := self.best(peer))}
        return min(timed, key=timed.__getitem__, default=None)


@dataclass
class Record:
    """A contest on one machine: what it ran under, and its rows so far.

    Attributes
    ----------
    machine : dict
        What `fastbp.bench.machine.facts` said at the start.
    settings : dict
        The choices of the one who ran it.
    rows : list of Row
        Each row when it was done.
    claims : dict
        What was measured beside the rows.
    """

    machine: dict[str, Any]
    settings: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    claims: dict[str, Any] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Add a row in its place of the table; one that is there already becomes its `earlier`."""
        for old in [old for old in self.rows if old.workload.name == row.workload.name]:
            self.rows.remove(old)
            row = replace(row, earlier=(*old.earlier, replace(old, earlier=())))
        self.rows.append(row)
        self.rows.sort(key=lambda row: list(ROWS).index(row.workload.name))

    def continues(self, other: Record) -> bool:
        """Whether rows of `other` may stand beside these: like machine and like choices."""
        return all(
            self.machine.get(what) == other.machine.get(what) for what in MACHINE_OF_ROWS
        ) and all(self.settings.get(what) == other.settings.get(what) for what in CHOICES_OF_ROWS)

    def save(self, path: Path) -> None:
        """Write everything as JSON, in place of an older file only once it is whole."""
        content = {
            "machine": self.machine,
            "settings": self.settings,
            "claims": self.claims,
            "rows": [_plain(row) for row in self.rows],
        }
        whole = path.with_name(f"{path.name}.part")
        whole.write_text(json.dumps(content, indent=1) + "\n")
        os.replace(whole, path)


def _plain(row: Row) -> dict[str, Any]:
    return {
        "name": row.workload.name,
        "workload": asdict(row.workload),
        "date": row.date,
        "load": row.load,
        "entries": [_plain_entry(entry) for entry in row.entries],
        "earlier": [_plain(old) for old in row.earlier],
    }


def _plain_entry(entry: Entry) -> dict[str, Any]:
    figures = {name: getattr(entry, name) if entry.seconds else None for name in FIGURES}
    return asdict(entry) | figures  # JSON has no NaN


def load(path: Path) -> Record:
    """Return what `Record.save` wrote; its rows must still exist."""
    content = json.loads(path.read_text())
    rows = [_row(plain) for plain in content["rows"]]
    return Record(content["machine"], content["settings"], rows, content["claims"])


def _row(plain: dict[str, Any]) -> Row:
    entries = [
        Entry(**{name: value for name, value in entry.items() if name not in FIGURES})
        for entry in plain["entries"]
    ]
    earlier = tuple(_row(old) for old in plain["earlier"])
    return Row(ROWS[plain["name"]], entries, plain["date"], plain["load"], earlier)


def programs(rows: Iterable[Row]) -> list[str]:
    """Return the names of all that took part, in order."""
    return list(dict.fromkeys(entry.program for row in rows for entry in row.entries))


def missing(rows: Iterable[Row]) -> list[str]:
    """Return the names of the programs whose library is not installed."""
    absent = [e.program for row in rows for e in row.entries if e.status == "missing"]
    return list(dict.fromkeys(absent))


def versions(rows: Iterable[Row]) -> dict[str, str]:
    """Return the versions of everything that took part."""
    found: dict[str, str] = {}
    for row in rows:
        for entry in row.entries:
            found |= entry.versions
    return found
