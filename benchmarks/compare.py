"""The reference run: ``python -m benchmarks.compare --json run.json``, from the root.

Does what `fastbp bench` does, with the same options, and measures what else is claimed: shares of
the FMA peak, accuracy on images, time to import. Then says of each row whether its targets are met:
none is where a library is missing. ``python -m benchmarks.results run.json`` writes the report.
"""

from __future__ import annotations

import argparse

from benchmarks import claims
from benchmarks.targets import RATIOS, verdict
from fastbp.bench import command
from fastbp.bench.contest import thread_counts


def arguments(argv=None):
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    command.add_arguments(parser)
    parser.set_defaults(images=claims.IMAGES if claims.IMAGES.is_dir() else None)
    return parser.parse_args(argv)


def is_whole(record):
    """Whether the run was made as the targets ask: whole rows, every number of threads tried."""
    every = thread_counts(record.machine["cores"])
    settings = record.settings
    return not settings["short"] and not settings["fastbp threads"] and settings["threads"] == every


def main(argv=None):
    """Run the contest that the command line asks for, then the claims."""
    options = arguments(argv)
    record = command.run(options)
    if options.rows is None and not options.quick:
        claims.measure(record, options.json)
        for name, figures in record.claims.items():
            print(f"{name}: {figures}")
    if not is_whole(record):
        print("No verdicts: rows in short form, or not with every number of threads.")
        return
    for row in record.rows:
        targets = ", ".join(map(str, RATIOS.get(row.workload.name, [])))
        print(f"{row.workload.name:5} {targets:40} {verdict(row)}")


if __name__ == "__main__":
    main()
