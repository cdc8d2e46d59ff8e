"""The ratios as a picture: a bar for the fastest peer of each row, and a mark for every one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastbp.bench.record import Record, Row
from fastbp.bench.table import factor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AHEAD, BEHIND, GREY, STRIPE = "#2f6db5", "#c8501e", "#5c6470", "#f3f5f7"
MARKS = {
    "numpy": ("o", 30, "#8c6bb1"),
    "NumPy loop": ("h", 34, "#4d4d4d"),
    "numba": ("P", 40, "#3b9b8f"),
    "jax": ("D", 26, "#c2467f"),
    "torch": ("s", 28, "#d99a26"),
    "torch Adam": ("X", 40, "#8a6a1f"),
    "scikit-learn": ("v", 36, "#5a9e45"),
    "onnxruntime": ("^", 36, "#4aa3c9"),
    "keras": ("*", 70, "#9c3d3d"),
}
"""Mark, its size and its colour of each peer, the same in every picture."""
LEAST_RANGE = 0.8, 2.0
"""What the axis of the bars shows at least, so that small differences look small."""

TICKS = sorted(digit * 10.0**power for digit in (1, 2, 5) for power in range(-4, 6))


def save(record: Record, path: Path) -> None:
    """Write the picture of a record as a file.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    OSError
        If the file can't be written.
    """
    picture(record).savefig(path, dpi=130)


def picture(record: Record) -> Figure:
    """Return the picture; needs matplotlib."""
    from matplotlib.figure import Figure

    rows = compared(record.rows)
    figure = Figure(figsize=(11.5, 1.9 + 0.31 * len(rows)), layout="constrained")
    bars, marks = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1))
    draw_fastest(bars, rows)
    draw_each(marks, rows)
    figure.suptitle("How many times as long as fastbp other libraries take", fontsize=13)
    bars.set_xlabel("left of 1: fastbp is slower", fontsize=8.5, color=GREY)
    marks.set_xlabel(caption(record.machine), fontsize=8.5, color=GREY)
    figure.legend(loc="outside lower center", ncols=len(MARKS), frameon=False, fontsize=9,
                  columnspacing=1.4, handletextpad=0.2)  # fmt: skip
    return figure


def compared(rows: list[Row]) -> list[Row]:
    """Return the rows in which fastbp and a peer were timed."""
    return [row for row in rows if row.ratio(row.fastest) is not None]


def caption(machine: dict[str, Any]) -> str:
    """Return the machine in a line."""
    cores = f"{machine['cores']} core{'s' if machine['cores'] > 1 else ''}"
    isa = machine["instruction set"]
    return f"{machine['processor']}, {cores}, {isa}, fastbp {machine['fastbp']}, {machine['date']}"


def draw_fastest(axes: Axes, rows: list[Row]) -> None:
    """Draw a bar for the fastest peer of each of the rows of `compared`, the first on top.

    A bar goes from 1, where both take the same time, to the peer's time over fastbp's: to the right
    where fastbp is faster; to the left, in the other colour, as its row's name is, where it loses.
    """
    _frame(axes, rows, "the fastest other library")
    ratios = [ratio for row in rows if (ratio := row.ratio(row.fastest)) is not None]
    least, most = min(LEAST_RANGE[0], *ratios), max(LEAST_RANGE[1], *ratios)
    for place, (row, ratio) in enumerate(zip(rows, ratios, strict=True)):
        colour = AHEAD if ratio >= 1 else BEHIND
        axes.barh(place, ratio - 1, left=1, height=0.62, color=colour, zorder=2)
        said = f" {factor(ratio)}× {row.fastest}"  # noqa: RUF001  (the sign of multiplication)
        axes.text(max(ratio, 1), place, said, color=colour, fontsize=8.5, va="center")
    axes.set_xticks([t for t in TICKS if least <= t <= most], minor=False)
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), [f"{r.workload.label}  [{r.workload.name}]" for r in rows])
    for label, ratio in zip(axes.get_yticklabels(), ratios, strict=True):
        label.set_color("black" if ratio >= 1 else BEHIND)
    axes.set_xlim(least / 1.1, most * 2.5)  # room for the names


def draw_each(axes: Axes, rows: list[Row]) -> None:
    """Draw a mark for every peer of each row."""
    _frame(axes, rows, "each other library")
    for peer in MARKS:
        ratios = {place: row.ratio(peer) for place, row in enumerate(rows)}
        if points := [(ratio, place) for place, ratio in ratios.items() if ratio is not None]:
            mark, size, colour = MARKS[peer]
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, s=size, c=colour, marker=mark, edgecolors="white",
                         linewidths=0.6, zorder=4, label=peer)  # fmt: skip


def _frame(axes: Axes, rows: list[Row], title: str) -> None:
    for place in range(0, len(rows), 2):
        axes.axhspan(place - 0.5, place + 0.5, color=STRIPE, zorder=0)
    axes.axvline(1, color="black", linewidth=1, zorder=3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_title(title, fontsize=10)
    axes.grid(axis="x", color="#dde0e4", linewidth=0.8, zorder=1)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
