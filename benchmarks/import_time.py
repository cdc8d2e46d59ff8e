"""What `import fastbp` takes beyond `import numpy`: ``python -m benchmarks.import_time``.

Medians over processes of their own, the files in the page cache and the bytecode written.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

PROCESSES = 21
PROGRAM = """
import time
began = time.perf_counter()
import numpy
between = time.perf_counter()
import fastbp
print(between - began, time.perf_counter() - between)
"""


def milliseconds():
    """Return what numpy takes in a new process, and what fastbp takes behind it."""
    command = [sys.executable, "-c", PROGRAM]
    written = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, env=written, capture_output=True, text=True, check=True)
    return [1000 * float(seconds) for seconds in done.stdout.split()]


def medians():
    """Return the medians of both."""
    milliseconds()  # fills the caches
    times = [milliseconds() for _ in range(PROCESSES)]
    return tuple(map(statistics.median, zip(*times, strict=True)))


def main():
    """Print the medians."""
    numpy, fastbp = medians()
    print(f"import numpy {numpy:.1f} ms, import fastbp {fastbp:.1f} ms more")


if __name__ == "__main__":
    main()
