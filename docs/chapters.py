"""Run the chapters and write what they print below each of their programs.

python docs/chapters.py

A chapter is a page of Markdown. Its blocks of Python are one program, in order; the block of text
behind one of them is what it prints.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Any

CHAPTERS = sorted(Path(__file__).parent.glob("explained-*.md"))
# A program, and what it prints, if anything.
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n.*?```\n)?", re.DOTALL)


def executed(page: str) -> str:
    """Return a chapter with what its programs print now; figures and their settings are its own."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    names: dict[str, Any] = {}

    def run(block: re.Match[str]) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(block[1], names)
        printed = "\n".join(line.rstrip() for line in out.getvalue().splitlines())
        shown = f"\n```text\n{printed}\n```\n" if printed else ""
        return f"```python\n{block[1]}```\n{shown}"

    with mpl.rc_context():
        page = BLOCK.sub(run, page)
    plt.close("all")
    return page


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)  # pictures are written beside the pages
    # The same picture is the same file.
    os.environ |= {"MPLBACKEND": "Agg", "SOURCE_DATE_EPOCH": "0"}
    import matplotlib as mpl

    mpl.rcParams["svg.hashsalt"] = "fastbp"
    for chapter in CHAPTERS:
        chapter.write_text(executed(chapter.read_text()))
