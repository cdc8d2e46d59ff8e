"""Checks of scalar arguments: each raises an error naming argument, expectation and what came."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable
from typing import Any

# What a real number is; those that are told at once come first.
REAL = float, int, numbers.Real


def real(argument: str, value: Any) -> float:
    """Return `value` as a finite float."""
    if isinstance(value, bool) or not isinstance(value, REAL):
        raise TypeError(f"{argument}: expected a real number, got {type(value).__name__} {value!r}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{argument}: expected a finite number, got {value!r}")
    return number


def at_least(argument: str, value: Any, least: float) -> float:
    """Return `value` as a float of at least `least`."""
    number = real(argument, value)
    if number < least:
        raise ValueError(f"{argument}: expected a number of at least {least:g}, got {value!r}")
    return number


def positive(argument: str, value: Any) -> float:
    """Return `value` as a float above zero."""
    number = real(argument, value)
    if number <= 0:
        raise ValueError(f"{argument}: expected a number above 0, got {value!r}")
    return number


def fraction(argument: str, value: Any) -> float:
    """Return `value` as a float in [0, 1)."""
    number = real(argument, value)
    if not 0 <= number < 1:
        raise ValueError(f"{argument}: expected a number in [0, 1), got {value!r}")
    return number


def integer(argument: str, value: Any, least: int, most: int | None = None) -> int:
    """Return `value` as an int in [`least`, `most`]."""
    if isinstance(value, bool):
        raise TypeError(f"{argument}: expected an integer, got bool {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        message = f"{argument}: expected an integer, got {type(value).__name__} {value!r}"
        raise TypeError(message) from None
    if number < least or (most is not None and number > most):
        bounds = f"at least {least}" if most is None else f"in [{least}, {most}]"
        raise ValueError(f"{argument}: expected an integer {bounds}, got {number}")
    return number


def flag(argument: str, value: Any) -> bool:
    """Return `value`, which must be True or False (NumPy's too)."""
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{argument}: expected True or False, got {type(value).__name__} {value!r}")
    return bool(value)


def function(argument: str, value: Any, expected: str) -> None:
    """Refuse what can't be called; `expected` says what the function has to be."""
    if not callable(value):
        raise TypeError(f"{argument}: expected {expected}, got {type(value).__name__} {value!r}")


def no_function(argument: str, value: Any, advice: str) -> None:
    """Refuse a bare function: `advice` says what it has to come with."""
    if callable(value) and not isinstance(value, type):
        raise TypeError(
            f"{argument}: expected a name or a description, got {value!r}; for a function of your "
            f"own pass {advice}"
        )


def choice(argument: str, value: Any, names: Iterable[str]) -> str:
    """Return `value`, which must be one of `names`; an error names the nearest right one."""
    names = sorted(names)
    if isinstance(value, str) and value in names:
        return value
    expected = ", ".join(repr(name) for name in names)
    if not isinstance(value, str):
        raise TypeError(
            f"{argument}: expected one of {expected}, got {type(value).__name__} {value!r}"
        )
    import difflib  # here, for it would be a good part of an import's time

    near = difflib.get_close_matches(value.lower(), names, n=1)
    advice = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{argument}: expected one of {expected}, got {value!r}{advice}")
