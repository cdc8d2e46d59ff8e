"""How well `fastbp.insight.diagnose` names what was planted, and how often it raises false alarms.

    python -m benchmarks.diagnosis

from the root of the repository; takes some minutes. The recipes are those of the tests, in
`tests/planted_ailments.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from ailing_runs import Recipe, run
from planted_ailments import PLANTED, healthy_recipes, recipes

from fastbp.insight import Diagnosis, GradientMonitor, diagnose

SUFFERERS, HEALTHY = 20, 60


def diagnosed(recipe: Recipe) -> Diagnosis:
    monitor = GradientMonitor(every=1)
    ended = run(recipe, monitor)
    return diagnose(ended.history, monitor, ended.data)


def found(name: str, half: str) -> int:
    return sum(name in diagnosed(recipe) for recipe in recipes(name, half, SUFFERERS))


def better(name: str, half: str) -> int:
    """Return how many sufferers the remedy makes better by what it promises."""
    planted, count = PLANTED[name], 0
    for recipe in recipes(name, half, SUFFERERS):
        ill = run(recipe)
        count += any(planted.harm(ill, run(other)) >= 1 for other in planted.remedies(recipe))
    return count


def main() -> None:
    print("| ailment | found, tuning | found, held out | remedied, held out |")
    print("| --- | --- | --- | --- |")
    for name in PLANTED:
        counts = found(name, "tuning"), found(name, "held out"), better(name, "held out")
        cells = " | ".join(f"{count} of {SUFFERERS}" for count in counts)
        print(f"| {name} | {cells} |", flush=True)
    for half in ("tuning", "held out"):
        findings = [diagnosed(recipe) for recipe in healthy_recipes(half, HEALTHY)]
        alarms = [repr(finding) for finding in findings if finding]
        print(f"\n{half}: {len(alarms)} of {HEALTHY} healthy runs raise an alarm: {alarms}")


if __name__ == "__main__":
    main()
