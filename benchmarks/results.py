"""Writes what was measured into the documents: ``python -m benchmarks.results run.json``.

Fills the marked parts of benchmarks/RESULTS.md and README.md from the files of `compare`,
`threads` and `scaling`, and draws the chart; all other text in them stays as people wrote it. A
part whose measurement is not among the files stays as it is.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from benchmarks import targets
from benchmarks.compare import is_whole
from fastbp.bench import chart, record
from fastbp.bench.record import OWN
from fastbp.bench.table import KEY, cell, duration, measured_again, own_time

ROOT = Path(__file__).resolve().parents[1]
RESULTS, README = ROOT / "benchmarks" / "RESULTS.md", ROOT / "README.md"
CHART = ROOT / "benchmarks" / "ratios.png"


def fill(text, part, content):
    """Return the document with what stands between the marks of a part replaced."""
    begin, end = f"<!-- measured: {part} -->", f"<!-- end: {part} -->"
    pattern = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"expected a part marked {begin}, got none")
    return pattern.sub(lambda marks: f"{marks[1]}{content}\n{marks[2]}", text)


def markdown(head, rows):
    """Return a table of cells."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def machine(run):
    """Return what the figures depend on."""
    facts = run.machine | {"versions": record.versions(run.rows), "settings": run.settings}
    return markdown(["", ""], [[name, _plain(value)] for name, value in facts.items()])


def _plain(value):
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def verdicts(run):
    """Return each row with its targets, what was reached, and the verdict; rows not run too."""
    rows = {row.workload.name: row for row in run.rows}
    lines = []
    for name in dict.fromkeys([*rows, *targets.RATIOS]):
        asked = targets.RATIOS.get(name, [])
        row = rows.get(name)
        wanted = ", ".join(map(str, asked)) or "-"
        if row is None:
            lines.append([name, "", "", wanted, "", "not run"])
            continue
        reached = ", ".join(_reached(row, target) for target in asked) or _reached(row, FASTEST)
        said = targets.verdict(row) if asked else "no target by ratio"
        lines.append([name, row.workload.label, f"{own_time(row)} per {row.workload.unit}", wanted,
                      reached, said])  # fmt: skip
    table = markdown(["row", "", "fastbp", "target", "reached", "verdict"], lines)
    again = [f"- {row.workload.name} {said}" for row in run.rows for said in measured_again(row)]
    return "\n".join([table, *["\nMeasured more than once:\n"] * bool(again), *again])


FASTEST = targets.Target("fastest", 1)


def _reached(row, target):
    peer = row.fastest if target.peer == "fastest" else target.peer
    return f"{cell(row, peer)} {peer}" if peer else "-"


def ratios(run):
    """Return every peer's time over fastbp's."""
    absent = record.missing(run.rows)
    peers = [name for name in record.programs(run.rows) if name not in (OWN, *absent)]
    lines = []
    for row in run.rows:
        time = f"{own_time(row)} per {row.workload.unit}"
        cells = [cell(row, peer) for peer in peers]
        lines.append([row.workload.name, row.workload.label, time, *cells])
    left_out = f"\nNot installed: {', '.join(absent)}." if absent else ""
    return markdown(["row", "", OWN, *peers], lines) + f"\n\n{KEY}{left_out}"


def deviations(run):
    """Return each peer's time beside the published one, what is off by much marked."""
    lines = []
    for row in run.rows:
        for peer, here, there in targets.deviations(row):
            factor = here / there
            far = max(factor, 1 / factor) > targets.MOST_DEVIATION
            said = "explain" if far else ""
            figures = [duration(here), duration(there), f"{factor:.2f}"]
            lines.append([row.workload.name, peer, *figures, said])
    return markdown(["row", "peer", "here", "published", "here / published", ""], lines)


def floors(run):
    """Return the time of the products at the FMA peak beside fastbp's."""
    peak = run.claims.get("peak", {"skipped": "not in the file of the run"})
    if "skipped" in peak:
        return f"Not measured: {peak['skipped']}."
    one = next(row["peak"] for row in peak["rows"] if row["threads"] == 1)
    lines = []
    for row in run.rows:
        own, work = row.best(OWN), row.workload
        if own is None or work.dtype == "float64":
            continue
        operations = work.operations * getattr(work, "epochs", work.units) / work.units
        floor = operations / one
        lines.append([work.name, work.unit, f"{operations:.3g}", duration(floor),
                      duration(own.median), f"{own.median / floor:.2f}"])  # fmt: skip
    head = ["row", "per", "operations", "floor, one thread", OWN, "times the floor"]
    return markdown(head, lines)


def shares(run):
    """Return the shares of the FMA peak."""
    peak = run.claims.get("peak", {"skipped": "not in the file of the run"})
    if "skipped" in peak:
        return f"Not measured: {peak['skipped']}."
    head = ["row", "threads", "peak, GFLOP/s", "products, GFLOP/s", "share", "disturbed",
            "target", "verdict"]  # fmt: skip
    table = markdown(head, map(_share, peak["rows"]))
    return f"Instruction set: {peak['instruction set']}.\n\n{table}"


def _share(row):
    """Return the line of a share, with how many of its measurements something disturbed."""
    wanted = [s.share for s in targets.SHARES[row["row"]] if s.threads == row["threads"]]
    target = f"{wanted[0]:.0%}" if wanted else "-"
    disturbed = f"{row['disturbed']} of {row['disturbed'] + row['pairs']}"
    if row["share"] is None:
        return [row["row"], row["threads"], "-", "-", "-", disturbed, target, "not measured"]
    said = "" if not wanted else "met" if row["share"] >= wanted[0] else "not met"
    figures = [f"{row['peak'] / 1e9:.0f}", f"{row['speed'] / 1e9:.0f}", f"{row['share']:.0%}"]
    return [row["row"], row["threads"], *figures, disturbed, target, said]


def claims(run):
    """Return accuracy and time to import."""
    parts = {"accuracy": _accuracy, "imports": _imports}
    lines = [line(run.claims[part]) for part, line in parts.items() if part in run.claims]
    return markdown(["", "reached", "target", "verdict"], lines)


def _accuracy(figures):
    target = f"at least {targets.ACCURACY:.1%}"
    if "skipped" in figures:
        return ["accuracy on images", "-", target, f"not met: skipped, {figures['skipped']}"]
    runs = ", ".join(f"{run['accuracy']:.2%} in {run['seconds']:.2f} s" for run in figures["runs"])
    said = "met" if figures["mean"] >= targets.ACCURACY else "not met"
    return [f"accuracy on images, mean of {runs}", f"{figures['mean']:.2%}", target, said]


def _imports(figures):
    own, most = figures["fastbp"], targets.IMPORT_SECONDS
    what = f"import fastbp, over NumPy's {figures['numpy'] * 1e3:.0f} ms"
    said = "met" if own < most else "not met"
    return [what, f"{own * 1e3:.1f} ms", f"under {most * 1e3:g} ms", said]


def reference_machine(run):
    """Return the part of the README: chart, machine and the short table, lost rows included."""
    compared = chart.compared(run.rows)
    failed = [f"{row.workload.name} (not timed)" for row in run.rows if row not in compared]
    slower = [row.workload.name for row in compared if row.ratio(row.fastest) < 1]
    lost = ", ".join(slower + failed)
    lines = [
        [
            row.workload.name,
            row.workload.title,
            f"{own_time(row)} per {row.workload.unit}",
            f"{cell(row, row.fastest)} {row.fastest}",
        ]
        for row in compared
    ]
    picture = "![How much longer other libraries take than fastbp](benchmarks/ratios.png)"
    said = f"Measured on {chart.caption(run.machine)}. Rows that fastbp loses: {lost or 'none'}."
    head = ["row", "work", OWN, "the fastest other's time over fastbp's"]
    return "\n\n".join([picture, said, markdown(head, lines), KEY])


PARTS = {
    "machine": machine,
    "verdicts": verdicts,
    "ratios": ratios,
    "deviations": deviations,
}
CLAIMED = {"floors": floors, "shares": shares, "claims": claims}


def contest(path, results, readme):
    """Return both documents with the parts that a file of `compare` fills, and draw the chart."""
    run = record.load(path)
    if not is_whole(run):
        raise ValueError(f"{path}: expected whole rows with every number of threads tried")
    for part, content in (PARTS | (CLAIMED if run.claims else {})).items():
        results = fill(results, part, content(run))
    chart.save(run, CHART)
    return results, fill(readme, "speed", reference_machine(run))


def main(argv=None):
    """Fill the documents from the files named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="of compare, threads or scaling")
    results, readme = RESULTS.read_text(), README.read_text()
    for path in parser.parse_args(argv).files:
        content = json.loads(path.read_text())
        if "table" in content:  # of threads or scaling, which make their own
            results = fill(results, content["part"], content["table"])
        else:
            results, readme = contest(path, results, readme)
    RESULTS.write_text(results)
    README.write_text(readme)


if __name__ == "__main__":
    main()
