"""The pages that are written from the code say what the code says."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    if not DOCS.exists():
        pytest.skip("needs the checkout's docs")
    return runpy.run_path(str(DOCS / "tables.py"))


def test_the_tables_are_those_of_the_code(tables: dict[str, Any]) -> None:
    assert (DOCS / "tables.md").read_text() == tables["page"](), "run python docs/tables.py"


def test_every_description_has_a_row_of_four_cells(tables: dict[str, Any]) -> None:
    rows = [line for line in tables["page"]().splitlines() if line.startswith("| `")]
    assert len(rows) == sum(len(registry) for _, registry, _ in tables["TABLES"])
    for row in rows:
        assert row.replace(r"\|", "").count("|") == 5, row


def test_every_description_names_its_source(tables: dict[str, Any]) -> None:
    kinds = [kind for _, registry, _ in tables["TABLES"] for kind in registry.values()]
    without = [kind.__name__ for kind in kinds if tables["source"](kind) == "—"]
    assert without == ["Identity"]
