"""Ways to write a formula: as text, in LaTeX and in MathML.

Each kind of `Expression` has a method of its name in each notation. A formula as text, powers
apart, is one of Python too.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from fastbp.insight.expression import (
    ATOM,
    POWER,
    PRODUCT,
    SUM,
    Call,
    Cases,
    Derivative,
    Expression,
    Negative,
    Number,
    Power,
    Product,
    Quotient,
    Sum,
    Symbol,
    Total,
)

GREEK = {"delta": "\u03b4", "alpha": "\u03b1", "Phi": "\u03a6", "phi": "\u03c6", "eta": "\u03b7"}


# Parentheses that don't grow with what is in them.
FLAT = '<mo stretchy="false">(</mo>', '<mo stretchy="false">)</mo>'


class Notation:
    """Base of the notations.

    Parameters
    ----------
    digits : int
        Significant digits of numbers.
    """

    def __init__(self, digits: int) -> None:
        self.digits = digits

    def write(self, part: Expression, least: int = SUM - 1) -> str:
        """Return a formula as it is written where parts have to bind as strongly as `least`."""
        written: str = getattr(self, type(part).__name__.lower())(part)
        return self.parentheses(written) if part.binding < least else written

    def figure(self, value: float) -> str:
        """Return a number in plain digits; 0 has no sign."""
        return f"{value + 0.0:.{self.digits}g}"

    def parentheses(self, written: str) -> str:
        """Put parentheses around what is written."""
        return f"({written})"

    def operator(self, sign: str) -> str:
        """Return a sign between two terms."""
        return f" {sign} "

    def sum(self, part: Sum) -> str:
        """Return terms with their signs between them."""
        written = self.write(part.terms[0], SUM)
        for term in part.terms[1:]:
            negative = isinstance(term, Negative)
            body = term.term if isinstance(term, Negative) else term
            written += self.operator("-" if negative else "+") + self.write(body, PRODUCT)
        return self.row(written)

    def row(self, written: str) -> str:
        """Return parts that belong together as one."""
        return written

    def negative(self, part: Negative) -> str:
        """Return a term with a sign before it."""
        return self.row(self.operator("-").strip() + self.write(part.term, PRODUCT))


class Text(Notation):
    """Plain characters, such as a terminal shows."""

    def number(self, part: Number) -> str:
        """Return the number."""
        return self.figure(part.value)

    def symbol(self, part: Symbol) -> str:
        """Return the letter, with its index behind it."""
        return part.name + (f"_{part.below}" if part.below else "")

    def product(self, part: Product) -> str:
        """Return factors with stars between them."""
        return " * ".join(self.write(factor, PRODUCT) for factor in part.factors)

    def quotient(self, part: Quotient) -> str:
        """Return a fraction in one line."""
        return f"{self.write(part.top, PRODUCT)} / {self.write(part.bottom, POWER)}"

    def power(self, part: Power) -> str:
        """Return base^exponent."""
        return f"{self.write(part.base, ATOM)}^{part.exponent}"

    def call(self, part: Call) -> str:
        """Return name(arguments)."""
        return f"{part.name}({', '.join(self.write(each) for each in part.arguments)})"

    def cases(self, part: Cases) -> str:
        """Return a choice in one line."""
        condition = f"{self.write(part.left)} {part.sign} {self.write(part.right)}"
        return f"{self.write(part.then)} if {condition} else {self.write(part.otherwise)}"

    def total(self, part: Total) -> str:
        """Return sum_k."""
        return f"sum_{part.index} {self.write(part.term, PRODUCT)}"

    def derivative(self, part: Derivative) -> str:
        """Return dL/dw."""
        return f"d{self.write(part.of)}/d{self.write(part.by)}"


class Latex(Notation):
    """LaTeX, for between the dollars of Markdown."""

    def number(self, part: Number) -> str:
        """Return the number, a power of ten written as one."""
        digits, _, exponent = self.figure(part.value).partition("e")
        return f"{digits} \\cdot 10^{{{int(exponent)}}}" if exponent else digits

    def symbol(self, part: Symbol) -> str:
        """Return the letter, with its index below it."""
        name = f"\\{part.name}" if part.name in GREEK else part.name
        return f"{name}_{{{self.index(part.below)}}}" if part.below else name

    def index(self, below: str) -> str:
        """Return an index: names upright."""
        plain = all(len(each) == 1 or each.isdigit() for each in below.split(","))
        escaped = below.replace("_", r"\_")
        return below if plain else f"\\text{{{escaped}}}"

    def parentheses(self, written: str) -> str:
        return rf"\left({written}\right)"

    def product(self, part: Product) -> str:
        """Return factors with dots between them, but for letters."""
        return r" \cdot ".join(self.write(factor, PRODUCT) for factor in part.factors)

    def quotient(self, part: Quotient) -> str:
        """Return a fraction."""
        return rf"\frac{{{self.write(part.top)}}}{{{self.write(part.bottom)}}}"

    def power(self, part: Power) -> str:
        """Return a power."""
        return f"{self.write(part.base, ATOM)}^{{{part.exponent}}}"

    def call(self, part: Call) -> str:
        """Return a function of something."""
        name = f"\\{part.name}" if part.name in GREEK else rf"\operatorname{{{part.name}}}"
        return rf"{name}\left({', '.join(self.write(each) for each in part.arguments)}\right)"

    def cases(self, part: Cases) -> str:
        """Return a choice."""
        condition = rf"\text{{if }} {self.write(part.left)} {part.sign} {self.write(part.right)}"
        return (
            rf"\begin{{cases}} {self.write(part.then)} & {condition} \\ "
            rf"{self.write(part.otherwise)} & \text{{else}} \end{{cases}}"
        )

    def total(self, part: Total) -> str:
        """Return a sum over an index."""
        return rf"\sum_{{{part.index}}} {self.write(part.term, PRODUCT)}"

    def derivative(self, part: Derivative) -> str:
        """Return a partial derivative."""
        top, bottom = self.write(part.of), self.write(part.by)
        return rf"\frac{{\partial {top}}}{{\partial {bottom}}}"


class MathML(Notation):
    """MathML Core, which browsers set by themselves."""

    def tag(self, name: str, *content: str) -> str:
        """Return an element."""
        return f"<{name}>{''.join(content)}</{name}>"

    def row(self, written: str) -> str:
        return self.tag("mrow", written)

    def operator(self, sign: str) -> str:
        return self.tag("mo", {"-": "\u2212"}.get(sign, escape(sign)))

    def parentheses(self, written: str) -> str:
        signs = ("(", ")") if "<mfrac>" in written else FLAT
        left, right = (self.operator(sign) if len(sign) == 1 else sign for sign in signs)
        return self.row(left + written + right)

    def number(self, part: Number) -> str:
        """Return the number, a power of ten written as one."""
        digits, _, exponent = self.figure(part.value).partition("e")
        written = self.tag("mn", digits.lstrip("-"))
        if exponent:
            power = self.signed(str(int(exponent)))
            written += self.operator("\u22c5") + self.tag("msup", self.tag("mn", "10"), power)
        return self.row(self.operator("-") + written) if digits.startswith("-") else written

    def signed(self, whole: str) -> str:
        """Return a whole number."""
        number = self.tag("mn", whole.lstrip("-"))
        return self.row(self.operator("-") + number) if whole.startswith("-") else number

    def symbol(self, part: Symbol) -> str:
        """Return the letter, with its index below it."""
        letter = self.tag("mi", GREEK.get(part.name, escape(part.name)))
        return self.tag("msub", letter, self.index(part.below)) if part.below else letter

    def index(self, below: str) -> str:
        """Return an index: names upright."""
        parts = []
        for part in below.split(","):
            kind = "mn" if part.isdigit() else "mi" if len(part) == 1 else "mtext"
            parts.append(self.tag(kind, escape(part)))
        return self.row(self.operator(",").join(parts)) if len(parts) > 1 else parts[0]

    def product(self, part: Product) -> str:
        """Return factors with dots between them."""
        return self.row(self.between("\u22c5", part.factors, PRODUCT))

    def between(self, sign: str, parts: Iterable[Expression], least: int = SUM - 1) -> str:
        """Return parts with a sign between them."""
        return self.operator(sign).join(self.write(part, least) for part in parts)

    def quotient(self, part: Quotient) -> str:
        """Return a fraction."""
        return self.tag("mfrac", self.write(part.top), self.write(part.bottom))

    def power(self, part: Power) -> str:
        """Return a power."""
        return self.tag("msup", self.write(part.base, ATOM), self.tag("mn", str(part.exponent)))

    def call(self, part: Call) -> str:
        """Return a function of something."""
        name = self.tag("mi", GREEK.get(part.name, escape(part.name)))
        return self.row(name + self.parentheses(self.between(",", part.arguments)))

    def cases(self, part: Cases) -> str:
        """Return a choice."""
        condition = self.write(part.left) + self.operator(part.sign) + self.write(part.right)
        rows = (
            (self.write(part.then), self.tag("mtext", "if\u00a0") + condition),
            (self.write(part.otherwise), self.tag("mtext", "else")),
        )
        table = (self.tag("mtr", *(self.tag("mtd", cell) for cell in row)) for row in rows)
        return self.row(self.operator("{") + self.tag("mtable", *table))

    def total(self, part: Total) -> str:
        """Return a sum over an index."""
        sign = self.tag("munder", self.operator("\u2211"), self.tag("mi", part.index))
        return self.row(sign + self.write(part.term, PRODUCT))

    def derivative(self, part: Derivative) -> str:
        """Return a partial derivative."""
        top, bottom = (
            self.row(self.operator("\u2202") + self.write(each)) for each in (part.of, part.by)
        )
        return self.tag("mfrac", top, bottom)
