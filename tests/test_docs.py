"""The pages that are written from the code, or run it, say what the code says."""

from __future__ import annotations

import re
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


@pytest.fixture(scope="module")
def chapters() -> dict[str, Any]:
    if not DOCS.exists():
        pytest.skip("needs the checkout's docs")
    pytest.importorskip("matplotlib")
    return runpy.run_path(str(DOCS / "chapters.py"))


@pytest.mark.parametrize("chapter", sorted(DOCS.glob("explained-*.md")), ids=lambda path: path.stem)
def test_chapters_print_what_they_say(
    core: None,
    chapters: dict[str, Any],
    chapter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "pictures").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    page = chapter.read_text()
    assert chapters["executed"](page) == page, "run python docs/chapters.py"
    for picture in tmp_path.glob("pictures/*"):
        assert (DOCS / "pictures" / picture.name).exists()
        assert f"(pictures/{picture.name})" in page


def test_the_chain_of_the_readme_is_that_of_the_chapter() -> None:
    if not DOCS.exists():
        pytest.skip("needs the checkout's docs")
    (shown,) = re.findall(r"```pycon\n(.*?)```", (DOCS.parent / "README.md").read_text(), re.DOTALL)
    printed = "".join(line for line in shown.splitlines(True) if not line.startswith(">>>"))
    assert f"```text\n{printed}```" in (DOCS / "explained-two-layers.md").read_text()


def test_every_description_has_a_row_of_four_cells(tables: dict[str, Any]) -> None:
    rows = [line for line in tables["page"]().splitlines() if line.startswith("| `")]
    assert len(rows) == sum(len(registry) for _, registry, _ in tables["TABLES"])
    for row in rows:
        assert row.replace(r"\|", "").count("|") == 5, row


def test_every_description_names_its_source(tables: dict[str, Any]) -> None:
    kinds = [kind for _, registry, _ in tables["TABLES"] for kind in registry.values()]
    without = [kind.__name__ for kind in kinds if tables["source"](kind) == "—"]
    assert set(without) == {"Identity", "Custom"}
