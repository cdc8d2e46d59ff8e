"""What the project aims for in each row, and what was published of the other libraries."""

from __future__ import annotations

from dataclasses import dataclass

from fastbp.bench.contest import label
from fastbp.bench.peers import PEERS
from fastbp.bench.record import OWN, Row


@dataclass(frozen=True)
class Target:
    """`peer` takes at least `ratio` times as long as fastbp; "fastest" is the row's fastest."""

    peer: str
    ratio: float
    aim: float | None = None

    def __str__(self):
        aim = "" if self.aim is None else f" (aim {self.aim:g})"
        return f"{self.ratio:g} x {self.peer}{aim}"


@dataclass(frozen=True)
class Share:
    """At least `share` of the FMA peak of `threads` threads."""

    threads: int
    share: float


ON_IMAGES = {"M4a": "W4a", "M4b": "W4b", "M5": "W5"}
RATIOS = {
    "W1": [Target("numba", 0.85, 1), Target("NumPy loop", 100)],
    "W2": [Target("jax", 1.3), Target("NumPy loop", 300)],
    "W3": [Target("jax", 4), Target("scikit-learn", 25), Target("torch Adam", 40)],
    "W4a": [Target("jax", 2.8, 3.5), Target("keras", 15)],
    "W4b": [Target("jax", 2.5, 3)],
    "W5": [Target("fastest", 1.4)],
    "W6": [Target("fastest", 1.15)],
    "W7": [Target("fastest", 1.2)],
    "W3d": [Target("numpy", 8)],
    "W5d": [Target("numpy", 1.3)],
    "M": [Target("scikit-learn", 10)],
    "P1a": [Target("onnxruntime", 4)],
    "P1b": [Target("fastest", 1)],
    "P1c": [Target("onnxruntime", 2)],
    "P2a": [Target("fastest", 1.5)],
    "P2b": [Target("fastest", 1.5)],
    "P2c": [Target("fastest", 1.2)],
}
RATIOS |= {row: RATIOS[other] for row, other in ON_IMAGES.items()}
MOST_SECONDS = {"P1a": 0.7e-6}
SHARES = {"S": [Share(1, 0.30), Share(2, 0.30)], "W6": [Share(2, 0.80)], "W7": [Share(2, 0.80)]}
ACCURACY = 0.945
IMPORT_SECONDS = 0.020

PUBLISHED = {
    "W1": {"numba": 1.41e-3, "jax": 2.31e-3, "NumPy loop": 0.177, "torch": 5.4},
    "W2": {"jax": 0.81e-3, "NumPy loop": 0.185, "scikit-learn": 0.55, "torch": 1.465},
    "W3": {
        "jax": 20.8e-6,
        "numpy": 53e-6,
        "scikit-learn": 155e-6,
        "torch": 198e-6,
        "torch Adam": 285e-6,
        "keras": 1_489e-6,
    },
    "W4a": {"jax": 0.40, "numpy": 0.67, "torch": 1.0, "scikit-learn": 2.1, "keras": 2.5},
    "W4b": {"jax": 0.27, "numpy": 0.345, "torch": 0.42, "scikit-learn": 0.57, "keras": 1.4},
    "W5": {"jax": 3.2e-3, "torch": 3.46e-3},
    "W6": {"torch": 25.0e-3, "jax": 30e-3, "numpy": 32e-3},
    "W7": {"torch": 0.525, "numpy": 0.568},
    "M": {"scikit-learn": 3.5},
    "P1a": {"onnxruntime": 2.88e-6, "numpy": 5.0e-6, "torch": 9.7e-6, "scikit-learn": 116e-6},
    "P1b": {"onnxruntime": 2.62e-6, "numpy": 3.4e-6, "torch": 7.9e-6, "scikit-learn": 136e-6},
    "P1c": {"onnxruntime": 6.1e-6, "numpy": 7.0e-6, "torch": 13e-6, "scikit-learn": 144e-6},
    "P2a": {"onnxruntime": 156e-6},
    "P2b": {"onnxruntime": 286e-6},
    "P2c": {"onnxruntime": 6.80e-3, "keras": 6.33e-3},
}
"""Seconds of a unit at the better of one and two threads, on a two-core machine with AVX-512."""
MOST_DEVIATION = 1.3
"""A peer's time that is off by more than this factor wants an explanation."""


def verdict(row: Row) -> str:
    """Return "met", or "not met" with what stands in the way.

    A row is met only if every target is reached and every peer took part, because one that is
    missing might have been the fastest, and so might a number of threads with which one failed.
    """
    needed = [OWN, *(peer.name for peer in PEERS)]
    reasons = [f"{p} {s}" for p in needed if (s := row.status(p)) not in ("ready", "lacks")]
    failed = [e for e in row.entries if e.status == "failed" and row.best(e.program)]
    reasons += [f"{label(entry)} failed" for entry in failed]
    targets = RATIOS.get(row.workload.name, [])
    reasons += [f"{t.ratio:g} x {t.peer}" for t in targets if not reaches(row, t)]
    most = MOST_SECONDS.get(row.workload.name)
    if most is not None and not ((own := row.best(OWN)) and own.median < most):
        reasons.append(f"under {most * 1e6:g} us")
    return "not met: " + ", ".join(reasons) if reasons else "met"


def reaches(row: Row, target: Target) -> bool:
    """Whether the row reaches a target."""
    ratio = row.ratio(row.fastest if target.peer == "fastest" else target.peer)
    return ratio is not None and ratio >= target.ratio


def deviations(row: Row) -> list[tuple[str, float, float]]:
    """Return each peer with its time here and its published one, seconds."""
    published = PUBLISHED.get(row.workload.name, {})
    return [
        (peer, entry.median, then)
        for peer, then in published.items()
        if (entry := row.best(peer)) is not None
    ]
