"""Values as JSON: numbers, texts, arrays, and the descriptions that a network is made of.

An object of the JSON has one key, which says what it stands for:

- ``{"layers.Dense": {"units": 3, ...}}``, a description of that module of fastbp, by its fields;
- ``{"custom.Mine": {...}}``, a description of a class that the program itself defines;
- ``{"custom": "name"}``, a function of the program;
- ``{"array": "name"}``, an array that stands beside it;
- ``{"dict": {...}}``, a mapping; ``{"float": "inf"}``, a number that JSON lacks.

Classes are looked up among those that fastbp has, and those that the caller gives; a name in a file
is never imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from fastbp.description import Description
from fastbp.engine import Array
from fastbp.exceptions import FileFormatError

PACKAGE, CUSTOM = "fastbp.", "custom."


def known_kinds() -> dict[str, type[Description]]:
    """Return the descriptions of fastbp by their place in it, as in "layers.Dense"."""
    return {
        _kind(cls): cls for cls in _subclasses(Description) if cls.__module__.startswith(PACKAGE)
    }


def _subclasses(cls: type[Description]) -> Iterator[type[Description]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)


def _kind(cls: type[Description]) -> str:
    if cls.__module__.startswith(PACKAGE):
        return f"{cls.__module__.removeprefix(PACKAGE)}.{cls.__name__}"
    return CUSTOM + cls.__name__


class Encoder:
    """Turns values into JSON.

    Attributes
    ----------
    arrays : dict of str to ndarray
        The arrays that were among them, by the names that the JSON has for them.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}

    def encode(self, what: str, value: Any) -> Any:
        """Return `value` as JSON; `what` names it in errors."""
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int):
            return _of_64_bits(what, value)
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, list | tuple):
            return [self.encode(f"{what}[{i}]", each) for i, each in enumerate(value)]
        if isinstance(value, Description):
            given = {each.name: getattr(value, each.name) for each in fields(value)}
            return {_kind(type(value)): self._items(what, given, ".{}")}
        if isinstance(value, Mapping):
            return {"dict": self._items(what, value, "[{!r}]")}
        if isinstance(value, np.ndarray):
            name = f"fastbp.arrays.{len(self.arrays)}"
            self.arrays[name] = value
            return {"array": name}
        return {"custom": _function_name(what, value)}

    def _items(self, what: str, items: Mapping[Any, Any], place: str) -> dict[str, Any]:
        for name in items:
            if not isinstance(name, str):
                raise TypeError(f"{what}: expected texts as keys, got {name!r}")
        return {
            name: self.encode(what + place.format(name), value) for name, value in items.items()
        }


def _of_64_bits(what: str, value: int) -> int:
    if not -(2**63) <= value < 2**64:
        raise ValueError(f"{what}: expected an integer of 64 bits, got {value}")
    return value


def _function_name(what: str, value: Any) -> str:
    name = getattr(value, "__name__", "")
    if not callable(value) or not str(name).isidentifier():
        raise TypeError(
            f"{what}: expected what a file can hold (numbers, texts, arrays, lists, mappings, "
            f"parts of fastbp, functions with a name), got {type(value).__name__} {value!r}"
        )
    return str(name)


class Decoder:
    """Turns JSON into values again.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The arrays that stand beside it.
    custom_objects : mapping of str to object
        The functions and classes of the program, by name.
    """

    def __init__(self, arrays: Mapping[str, Array], custom_objects: Mapping[str, Any]) -> None:
        self._arrays = arrays
        self._custom_objects = custom_objects
        self._kinds = known_kinds()

    def decode(self, tree: Any) -> Any:
        """Return what a tree of JSON stands for; lists become tuples."""
        if isinstance(tree, list):
            return tuple(self.decode(each) for each in tree)
        if not isinstance(tree, dict):
            return tree
        if len(tree) != 1:
            raise FileFormatError(f"expected an object with one key, got {len(tree)}")
        kind, content = next(iter(tree.items()))
        special: dict[str, Callable[[Any], Any]] = {
            "array": self._array,
            "custom": self._custom,
            "dict": self._items,
            "float": _special_float,
        }
        if kind in special:
            return special[kind](content)
        return self._described(kind)(**self._items(content))

    def _described(self, kind: str) -> Any:
        if kind.startswith(CUSTOM):
            return self._custom(kind.removeprefix(CUSTOM))
        if kind not in self._kinds:
            raise FileFormatError(f"expected a part that this fastbp has, got {kind[:80]!r}")
        return self._kinds[kind]

    def _custom(self, name: Any) -> Any:
        if not isinstance(name, str) or name not in self._custom_objects:
            raise FileFormatError(
                f"expected {str(name)[:80]!r}, a function or class of the program that saved it, "
                f"in custom_objects"
            )
        return self._custom_objects[name]

    def _array(self, name: Any) -> Array:
        if not isinstance(name, str) or name not in self._arrays:
            raise FileFormatError(f"expected an array of the name {str(name)[:80]!r}")
        return self._arrays[name]

    def _items(self, tree: Any) -> dict[str, Any]:
        if not isinstance(tree, dict):
            raise FileFormatError("expected a JSON object")
        return {name: self.decode(each) for name, each in tree.items()}


def _special_float(text: Any) -> float:
    if text not in ("nan", "inf", "-inf"):
        raise FileFormatError("expected a number that is not finite")
    return float(text)
