"""Formulas as trees, so that one and the same can be printed, typeset and filled with numbers.

`fastbp.insight.notation` writes them as text, LaTeX and MathML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeAlias

SUM, PRODUCT, POWER, ATOM = range(4)


class Expression:
    """A formula; Python's operators make larger ones.

    Attributes
    ----------
    level : int
        How strongly its parts are bound together: what binds less than its surroundings is put in
        parentheses.
    """

    level: ClassVar[int] = ATOM

    @property
    def binding(self) -> int:
        """The level of this very formula."""
        return self.level

    def __add__(self, other: Operand) -> Expression:
        return Sum((self, wrapped(other)))

    def __radd__(self, other: Operand) -> Expression:
        return Sum((wrapped(other), self))

    def __sub__(self, other: Operand) -> Expression:
        return Sum((self, Negative(wrapped(other))))

    def __rsub__(self, other: Operand) -> Expression:
        return Sum((wrapped(other), Negative(self)))

    def __mul__(self, other: Operand) -> Expression:
        return product(self, other)

    def __rmul__(self, other: Operand) -> Expression:
        return product(other, self)

    def __truediv__(self, other: Operand) -> Expression:
        return Quotient(self, wrapped(other))

    def __rtruediv__(self, other: Operand) -> Expression:
        return Quotient(wrapped(other), self)

    def __pow__(self, exponent: int) -> Expression:
        return Power(self, exponent)

    def __neg__(self) -> Expression:
        return Negative(self)

    def where(self, values: Mapping[Expression, Operand]) -> Expression:
        """Return the formula with numbers, or other formulas, in the places of some of its parts.

        Parameters
        ----------
        values : mapping of Expression to Expression or float
            What takes whose place.
        """
        if self in values:
            return wrapped(values[self])
        changed: dict[str, Any] = {}
        for each in fields(self):  # type: ignore[arg-type]  # every kind is a dataclass
            part = getattr(self, each.name)
            if isinstance(part, Expression):
                changed[each.name] = part.where(values)
            elif isinstance(part, tuple):
                changed[each.name] = tuple(term.where(values) for term in part)
        return replace(self, **changed) if changed else self  # type: ignore[type-var]


Operand: TypeAlias = Expression | float


@dataclass(frozen=True)
class Symbol(Expression):
    """A letter, with what stands below it and above it, if anything does."""

    name: str
    below: str = ""


@dataclass(frozen=True)
class Number(Expression):
    """A number, written to as many digits as the notation has."""

    value: float

    @property
    def binding(self) -> int:
        return SUM if self.value < 0 else ATOM


@dataclass(frozen=True)
class Sum(Expression):
    """a + b + ..."""

    terms: tuple[Expression, ...]
    level = SUM


@dataclass(frozen=True)
class Negative(Expression):
    """-a."""

    term: Expression
    level = SUM


@dataclass(frozen=True)
class Product(Expression):
    """a b ..."""

    factors: tuple[Expression, ...]
    level = PRODUCT


@dataclass(frozen=True)
class Quotient(Expression):
    """A fraction."""

    top: Expression
    bottom: Expression
    level = PRODUCT


@dataclass(frozen=True)
class Power(Expression):
    """A whole power."""

    base: Expression
    exponent: int
    level = POWER


@dataclass(frozen=True)
class Call(Expression):
    """A function of something."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class Cases(Expression):
    """One formula where `left` is `sign` ("<" or ">") `right`, else another one."""

    then: Expression
    left: Expression
    sign: str
    right: Expression
    otherwise: Expression
    level = SUM - 1


@dataclass(frozen=True)
class Total(Expression):
    """The sum over all values of an index: the last factor of a product, if it is in one."""

    index: str
    term: Expression
    level = PRODUCT


@dataclass(frozen=True)
class Derivative(Expression):
    """What a change of `by` does to `of`."""

    of: Expression
    by: Expression


def wrapped(value: Operand) -> Expression:
    """Return a number as a formula; a formula as it is."""
    return value if isinstance(value, Expression) else Number(float(value))


def product(*factors: Operand) -> Expression:
    """Return a product, without a product in it."""
    flat: list[Expression] = []
    for factor in map(wrapped, factors):
        flat += factor.factors if isinstance(factor, Product) else [factor]
    return Product(tuple(flat)) if len(flat) != 1 else flat[0]
