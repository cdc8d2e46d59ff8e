"""The ratios as a picture: a bar for the fastest peer of each row, a mark for every other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastbp.bench.record import Record, Row
from fastbp.bench.table import factor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AHEAD, BEHIND, GREY = "#2f6db5", "#d1622b", "#5c6470"
MARKS = {
    "numpy": ("o", 34, "#8c6bb1"),
    "numba": ("P", 40, "#3b9b8f"),
    "jax": ("D", 30, "#c2467f"),
    "torch": ("s", 32, "#d99a26"),
    "torch Adam": ("X", 40, "#8a6a1f"),
    "scikit-learn": ("v", 38, "#5a9e45"),
    "onnxruntime": ("^", 38, "#4aa3c9"),
    "keras": ("*", 70, "#9c3d3d"),
}
"""Mark, its size and its colour of each peer, the same in every picture."""


def save(record: Record, path: Path) -> None:
    """Write the picture; needs matplotlib.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    OSError
        If the file can't be written.
    """
    from matplotlib.figure import Figure

    rows = compared(record.rows)
    figure = Figure(figsize=(9, 1.9 + 0.34 * len(rows)), layout="constrained")
    draw(figure.add_subplot(), rows)
    figure.suptitle("fastbp against the fastest other library, and against each", fontsize=13)
    figure.supxlabel(caption(record.machine), fontsize=8, color=GREY)
    figure.savefig(path, dpi=150)


def compared(rows: list[Row]) -> list[Row]:
    """Return the rows in which fastbp and a peer were timed."""
    return [row for row in rows if row.ratio(row.fastest) is not None]


def caption(machine: dict[str, Any]) -> str:
    """Return the machine in a line."""
    cores = f"{machine['cores']} core{'s' if machine['cores'] > 1 else ''}"
    isa = machine["instruction set"]
    return f"{machine['processor']}, {cores}, {isa}, fastbp {machine['fastbp']}, {machine['date']}"


def draw(axes: Axes, rows: list[Row]) -> None:
    """Draw rows of `compared`, the first on top, on a logarithmic axis.

    A bar goes from 1, where both take the same time, to the fastest peer's time over fastbp's: to
    the right where fastbp is faster, to the left, in the other colour, where it loses.
    """
    for place, row in enumerate(rows):
        _bar(axes, place, row)
    for peer in MARKS:
        _marks(axes, rows, peer)
    axes.axvline(1, color="black", linewidth=1, zorder=3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(*_limits(rows))
    axes.set_yticks(range(len(rows)), [f"{r.workload.label}  [{r.workload.name}]" for r in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("the other's time / fastbp's time  (right of 1: fastbp is faster)")
    axes.grid(color="#e3e5e8", linewidth=0.8, zorder=0)
    axes.text(1.01, -0.75, "fastest other", color=GREY, fontsize=8, transform=_beside(axes))
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=8, frameon=False, fontsize=8)


def _bar(axes: Axes, place: int, row: Row) -> None:
    ratio = row.ratio(row.fastest)
    assert ratio is not None
    colour = AHEAD if ratio >= 1 else BEHIND
    axes.barh(place, ratio - 1, left=1, height=0.62, color=colour, zorder=2)
    said = f"{factor(ratio)}× {row.fastest}"  # noqa: RUF001  (the sign of multiplication)
    axes.text(1.01, place, said, color=colour, fontsize=9, va="center", transform=_beside(axes))


def _beside(axes: Axes) -> Any:
    """Return the coordinates of what stands beside the rows: x in parts of the axes' width."""
    return axes.get_yaxis_transform()


def _marks(axes: Axes, rows: list[Row], peer: str) -> None:
    ratios = {place: row.ratio(peer) for place, row in enumerate(rows)}
    points = [(ratio, place) for place, ratio in ratios.items() if ratio is not None]
    if not points:
        return
    mark, size, colour = MARKS[peer]
    x, y = zip(*points, strict=True)
    axes.scatter(x, y, s=size, c=colour, marker=mark, edgecolors="white", zorder=4, label=peer)


def _limits(rows: list[Row]) -> tuple[float, float]:
    ratios = [r for row in rows for peer in row.peers if (r := row.ratio(peer)) is not None]
    return min(0.25, *ratios) / 1.2, max(2.0, *ratios) * 1.3
