import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks" / "compare.py").exists(), reason="not in a source tree"
)


def compare(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.compare", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_contest_prints_a_table_and_writes_what_it_measured(core, tmp_path):
    path = tmp_path / "contest.json"
    done = compare("--rows", "P1a", "--peers", "numpy", "--budget", "0.1", "--json", str(path))
    assert done.returncode == 0, done.stderr
    for part in ("processor:", "cores:", "versions:", "threads tried:", "build:", "verdict"):
        assert part in done.stdout
    (row,) = json.loads(path.read_text())["rows"]
    assert {entry["status"] for entry in row["entries"]} == {"ready"}
    assert {entry["program"] for entry in row["entries"]} == {"fastbp", "reference", "numpy"}


@pytest.mark.parametrize("arguments", [["--rows", "W8"], ["--peers", "abacus"], ["--unknown"]])
def test_unknown_names_are_refused_with_the_choices(arguments):
    done = compare(*arguments)
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_the_parent_imports_no_peer():
    asked = (
        "import sys, benchmarks.compare as c; print(*{p.name for p in c.PEERS} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["numpy"]  # fastbp's own need
