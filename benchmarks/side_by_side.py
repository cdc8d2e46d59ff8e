"""The README's programs for another library beside the same for fastbp: times and scores.

    python -m benchmarks.side_by_side [LIBRARY ...]

from the root of the repository, with Keras and scikit-learn installed. Each program runs as it
stands there, in turns with its partner and each time in a process of its own. Printed are medians:
of the whole process, of what comes behind the imports, and of the accuracy, which changes with the
initial weights.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fastbp.bench.machine import facts

README = Path(__file__).parents[1] / "README.md"
PROGRAM = re.compile(r"<!-- program: (.*?) -->\n```python\n(.*?)```", re.DOTALL)
PAIRS = {"keras": "from keras", "scikit-learn": "from scikit-learn"}
RUNS = 5
# Takes a program, and tells its seconds behind the imports and its accuracy in the last line.
RUNNER = """
import json, sys, time
lines = sys.stdin.read().splitlines(keepends=True)
imports = [line for line in lines if line.startswith(("import ", "from "))]
names = {}
exec("".join(imports), names)
began = time.perf_counter()
exec("".join(lines), names)
print(json.dumps([time.perf_counter() - began, names["accuracy"]]))
"""


def programs() -> dict[str, str]:
    """Return the README's programs by their names, that for scikit-learn too."""
    found = dict(PROGRAM.findall(README.read_text()))
    ours = found["from scikit-learn"]
    return found | {"scikit-learn": ours.replace("fastbp.sklearn", "sklearn.neural_network")}


def run(program: str) -> tuple[float, float, float]:
    """Return the seconds of the process, those behind the imports, and the accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", RUNNER],
            input=program,
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        whole = time.perf_counter() - began
    seconds, accuracy = json.loads(done.stdout.splitlines()[-1])
    return whole, seconds, accuracy


def main(*wanted: str) -> None:
    """Print all of them, or those of some libraries."""
    print(json.dumps(facts()))
    sources = programs()
    for name in wanted or PAIRS:
        ours = PAIRS[name]
        rounds = [(run(sources[name]), run(sources[ours])) for _ in range(RUNS)]
        for who, runs in zip((name, "fastbp"), zip(*rounds, strict=True), strict=True):
            whole, seconds, accuracy = map(statistics.median, zip(*runs, strict=True))
            print(f"{who}: {whole:.2f} s, behind its imports {seconds:.3f} s, {accuracy:.1%} right")


if __name__ == "__main__":
    main(*sys.argv[1:])
