"""What belongs to one input or output stands alone; what belongs to several is a tuple."""

from __future__ import annotations

from typing import Any


def each(value: Any, count: int) -> tuple[Any, ...]:
    """Return what belongs to `count` inputs or outputs as a tuple: what belongs to one is alone."""
    return (value,) if count == 1 else value


def indexed(argument: str, count: int) -> tuple[str, ...]:
    """Return what errors call an argument of `count` inputs or outputs: x, or x[0] of some rows."""
    if count == 1:
        return (argument,)
    name, of, rows = argument.partition(" of ")
    return tuple([f"{name}[{i}]{of}{rows}" for i in range(count)])


def alone(values: tuple[Any, ...]) -> Any:
    """Return what belongs to each of some inputs or outputs as it is handed on: one alone."""
    return values[0] if len(values) == 1 else values
