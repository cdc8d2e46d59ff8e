"""Write tables.md: what fastbp knows by name, with the formula and source of its description.

python docs/tables.py
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastbp import activations, initializers, layers, losses, metrics
from fastbp.activations import ACTIVATIONS
from fastbp.constraints import CONSTRAINTS
from fastbp.initializers import INITIALIZERS
from fastbp.losses import LOSSES
from fastbp.metrics import METRICS
from fastbp.optimizers import OPTIMIZERS
from fastbp.regularizers import REGULARIZERS
from fastbp.schedules import SCHEDULES

PAGE = Path(__file__).with_name("tables.md")
# Title, registry, what the letters of the formulas stand for.
TABLES: tuple[tuple[str, Mapping[str, type[Any]], str], ...] = (
    (
        "Optimizers",
        OPTIMIZERS,
        "p is a parameter, g its gradient, lr the learning rate, t the number of the step, from 1.",
    ),
    (
        "Schedules",
        SCHEDULES,
        "The learning rate at time t, in steps or epochs since the schedule was set.",
    ),
    (
        "Losses",
        LOSSES,
        "Of one row: y is an output, t its target, z a net input; sums are over the n outputs.",
    ),
    (
        "Metrics",
        METRICS,
        "Over all rows: y is an output, t its target; TP, FP and FN count the rows that a class is "
        "given rightly, wrongly, and not although they belong to it.",
    ),
    (
        "Regularizers",
        REGULARIZERS,
        "What the trainable parameters w of a layer add to the loss.",
    ),
    (
        "Constraints",
        CONSTRAINTS,
        "What each update brings the parameters w of a layer back to.",
    ),
    (
        "Initializers",
        INITIALIZERS,
        "fan_in is the number of inputs of a weight matrix, fan_out that of its outputs; for a "
        "bias vector both are its length.",
    ),
    (
        "Activations",
        ACTIVATIONS,
        "z is the net input, a = f(z).",
    ),
    (
        "Parts of your own",
        {
            f"{module.__name__}.Custom": module.Custom
            for module in (activations, losses, layers, metrics, initializers)
        },
        "Python functions of whole batches; `fastbp.custom.check` compares derivatives with "
        "central differences.",
    ),
)


def source(kind: type[Any]) -> str:
    """Return the references of a description in one line, or a dash where a formula is plain."""
    _, _, references = inspect.cleandoc(kind.__doc__ or "").partition("References\n----------\n")
    return " ".join(references.split()) or "—"


def row(name: str, kind: type[Any]) -> str:
    """Return one line of a table."""
    cells = f"`{name}`", f"`{kind.__name__}`", f"`{kind.formula}`", source(kind)
    return "| " + " | ".join(re.sub(r"\|", r"\\|", cell) for cell in cells) + " |"


def page() -> str:
    """Return the page."""
    lines = ["# Formulas and sources", "", "Written by `docs/tables.py` from the descriptions."]
    for title, registry, legend in TABLES:
        lines += ["", f"## {title}", "", legend, ""]
        lines += ["| name | class | formula | source |", "|---|---|---|---|"]
        lines += [row(name, kind) for name, kind in registry.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
