"""Pages of headings, sentences, equations and tables, and how to write them.

One page becomes plain text, Markdown with LaTeX between dollars, or HTML with MathML, which
browsers set without help from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple, TypeAlias

from fastbp.insight.expression import Expression
from fastbp.insight.notation import Latex, MathML, Notation, Text

Cell: TypeAlias = str | float | Expression | None


class Heading(NamedTuple):
    """A heading of a level from 1 on."""

    level: int
    text: str


class Paragraph(NamedTuple):
    """A few sentences: words and formulas in turn."""

    parts: tuple[str | Expression, ...]


class Equation(NamedTuple):
    """Formulas that are equal, and a word about them."""

    sides: tuple[Expression, ...]
    note: str = ""


class Equations(NamedTuple):
    """Equations below each other."""

    lines: tuple[Equation, ...]


class Table(NamedTuple):
    """Columns with headings; a row has as many cells."""

    headings: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]


class Picture(NamedTuple):
    """A picture as SVG, for pages that can hold one."""

    svg: str


Block: TypeAlias = Heading | Paragraph | Equations | Table | Picture


def sentence(*parts: str | Expression) -> Paragraph:
    """Return a paragraph."""
    return Paragraph(parts)


class Shown:
    """What shows itself as a page: as text where it is printed, typeset in a notebook."""

    _digits = 6

    def _blocks(self) -> Iterable[Block]:
        """Return the page."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return as_text(self._blocks(), self._digits)

    def _repr_html_(self) -> str:
        return as_html_part(self._blocks(), self._digits)

    def to_markdown(self) -> str:
        """Return the page in Markdown, with formulas between dollars."""
        return as_markdown(self._blocks(), self._digits)


def in_text(formula: Expression) -> str:
    """Return a formula without numbers as plain text."""
    return Text(digits=9).write(formula)


def as_text(blocks: Iterable[Block], digits: int) -> str:
    """Return a page as plain text."""
    notation = Text(digits)
    written = [text for block in blocks if (text := _text(block, notation))]
    return "\n\n".join(written)


def _text(block: Block, notation: Text) -> str:
    match block:
        case Heading(level, text):
            rule = {1: "=", 2: "-"}.get(level, "")
            return text + (f"\n{rule * len(text)}" if rule else "")
        case Paragraph(parts):
            return "".join(_word(part, notation) for part in parts)
        case Equations(lines):
            return _equations(lines, notation)
        case Table(headings, rows):
            return _table((headings, *rows), notation)
        case Picture():
            return ""


def _word(part: Cell, notation: Notation) -> str:
    """Return what a cell or a word holds, in plain characters or as a formula."""
    if part is None:
        return ""
    if isinstance(part, str):
        return part
    return notation.write(part) if isinstance(part, Expression) else notation.figure(part)


def _equations(lines: Sequence[Equation], notation: Text) -> str:
    """Set equations below each other by their first sign, with notes in a column of their own."""
    lefts = [notation.write(line.sides[0]) for line in lines]
    wide = max(map(len, lefts))
    bodies = []
    for left, line in zip(lefts, lines, strict=True):
        rest = _distinct(notation.write(side) for side in line.sides[1:])
        bodies.append("  " + " = ".join([left.ljust(wide), *rest]))
    column = max((len(body) for body in bodies if len(body) <= 72), default=0) + 3
    noted = (_noted(body, line.note, column) for body, line in zip(bodies, lines, strict=True))
    return "\n".join(noted)


def _noted(body: str, note: str, column: int) -> str:
    """Return a line with its note in a column, or behind it where it is longer."""
    return f"{body.ljust(max(column, len(body) + 3))}{note}" if note else body


def _distinct(sides: Iterable[str]) -> list[str]:
    """Return sides without those that repeat the one before."""
    kept: list[str] = []
    for side in sides:
        if not kept or kept[-1] != side:
            kept.append(side)
    return kept


def _table(rows: Sequence[tuple[Cell, ...]], notation: Text) -> str:
    """Set names to the left, and numbers below each other by their points."""
    columns = []
    for cells in zip(*rows, strict=True):
        words = [_word(cell, notation) for cell in cells]
        numbers = [isinstance(cell, float | int) for cell in cells]
        before = max(
            (_point(w) for w, number in zip(words, numbers, strict=True) if number), default=0
        )
        padded = [
            " " * (before - _point(word)) + word if number else word
            for word, number in zip(words, numbers, strict=True)
        ]
        wide = max(map(len, padded))
        columns.append([word.ljust(wide) for word in padded])
    return "\n".join("  " + "  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _point(number: str) -> int:
    """Return where the decimal point of a number stands, or would stand."""
    for place, character in enumerate(number):
        if character in ".e":
            return place
    return len(number)


def as_markdown(blocks: Iterable[Block], digits: int) -> str:
    """Return a page in Markdown, with formulas between dollars."""
    notation = Latex(digits)
    return "\n\n".join(text for block in blocks if (text := _markdown(block, notation))) + "\n"


def _markdown(block: Block, notation: Latex) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {text}"
        case Paragraph(parts):
            return "".join(_inline(part, notation) for part in parts)
        case Equations(lines):
            return _aligned(lines, notation)
        case Table(headings, rows):
            body = [headings, ("---",) * len(headings), *rows]
            return "\n".join(
                "| " + " | ".join(_inline(cell, notation) for cell in row) + " |" for row in body
            )
        case Picture():
            return ""


def _inline(part: Cell, notation: Latex) -> str:
    word = _word(part, notation)
    return f"${word}$" if isinstance(part, Expression) else word


def _aligned(lines: Sequence[Equation], notation: Latex) -> str:
    rows = []
    for line in lines:
        left, *rest = (notation.write(side) for side in line.sides)
        note = rf" && \text{{{_latex_words(line.note)}}}" if line.note else ""
        rows.append(f"{left} &= {' = '.join(_distinct(rest))}{note}")
    body = " \\\\\n".join(rows)
    return f"$$\n\\begin{{aligned}}\n{body}\n\\end{{aligned}}\n$$"


def _latex_words(text: str) -> str:
    return text.replace("_", r"\_").replace("^", r"\^{}").replace("%", r"\%")


STYLE = """
body { font: 16px/1.5 Georgia, "Times New Roman", serif; color: #1c1c1c; background: #fff;
  max-width: 60rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.3rem; margin-top: 2.2rem; } h3 { font-size: 1.05rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .93rem; }
th { font-weight: normal; text-align: left; border-bottom: 1px solid #777; }
th, td { padding: .25rem 1.1rem .25rem 0; }
td.number { font-variant-numeric: tabular-nums; font-family: Consolas, "DejaVu Sans Mono",
  monospace; font-size: .85rem; white-space: pre; }
div.equations { overflow-x: auto; margin: .8rem 0 .8rem 1.5rem; }
div.equations table { margin: 0; }
div.equations td { padding: .3rem .35rem .3rem 0; vertical-align: baseline; }
td.left { text-align: right; } td.note { color: #666; padding-left: 1.5rem !important; }
figure { margin: 1.5rem 0; } figure svg { max-width: 100%; height: auto; }
math { font-size: 1.05rem;
  font-family: "Cambria Math", "STIX Two Math", "Latin Modern Math", "DejaVu Serif", serif; }
"""


def as_html_part(blocks: Iterable[Block], digits: int) -> str:
    """Return what a page in HTML has in its body."""
    notation = MathML(digits)
    return "\n".join(_html(block, notation) for block in blocks)


def as_html(blocks: Iterable[Block], digits: int, title: str) -> str:
    """Return a page in HTML that needs nothing beside it."""
    body = as_html_part(blocks, digits)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _html(block: Block, notation: MathML) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(parts):
            return f"<p>{''.join(_marked(part, notation) for part in parts)}</p>"
        case Equations(lines):
            rows = "\n".join(_equation_row(line, notation) for line in lines)
            return f'<div class="equations"><table>\n{rows}\n</table></div>'
        case Table():
            return _html_table(block, notation)
        case Picture(svg):
            return f"<figure>\n{svg}\n</figure>"


def _marked(part: Cell, notation: MathML, style: str = "") -> str:
    if isinstance(part, Expression):
        return f"<math{style}>{notation.write(part)}</math>"
    return escape(_word(part, notation))


def _equation_row(line: Equation, notation: MathML) -> str:
    left, *rest = (notation.write(side) for side in line.sides)
    equal = notation.operator("=")
    right = equal + equal.join(_distinct(rest))
    style = ' displaystyle="true"'
    return (
        f'<tr><td class="left"><math{style}>{left}</math></td>'
        f"<td><math{style}>{right}</math></td>"
        f'<td class="note">{escape(line.note)}</td></tr>'
    )


def _html_table(table: Table, notation: MathML) -> str:
    """Return a table whose numbers stand below each other by their points."""
    heads = "".join(f"<th>{_marked(cell, notation)}</th>" for cell in table.headings)
    columns = []
    for cells in zip(*table.rows, strict=True):
        points = [_point(notation.figure(cell)) for cell in cells if isinstance(cell, float | int)]
        columns.append([_html_cell(cell, max(points, default=0), notation) for cell in cells])
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in zip(*columns, strict=True))
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _html_cell(cell: Cell, before: int, notation: MathML) -> str:
    if not isinstance(cell, float | int):
        return f"<td>{_marked(cell, notation)}</td>"
    figure = notation.figure(cell)
    return f'<td class="number">{" " * (before - _point(figure))}{figure}</td>'
