"""What all descriptions have in common: they are dataclasses that can't be changed."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field, fields
from inspect import Signature, signature
from typing import Any, ClassVar, Self, dataclass_transform


class _Fields:
    """Stands for the fields of a class, which replace it when somebody asks for them."""

    def __get__(self, instance: object, cls: type[Description]) -> dict[str, Any]:
        _complete(cls)
        found: dict[str, Any] = cls.__dict__["__dataclass_fields__"]
        return found


def _complete(cls: type[Description]) -> None:
    """Make `cls` a dataclass, unless that has been done; its bases become some on the way."""
    if isinstance(cls.__dict__["__dataclass_fields__"], _Fields):
        dataclass(repr=False, eq=False)(cls)
        cls._field_names = frozenset(each.name for each in fields(cls))


class _Signature:
    """The signature of the constructor, for `help` and the like."""

    def __get__(self, instance: object, cls: type[Description]) -> Signature:
        _complete(cls)
        _, *parameters = signature(cls.__init__).parameters.values()
        return Signature(parameters)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Description:
    """Base of layers, activations, losses, optimizers, schedules, initializers and metrics.

    A subclass becomes a frozen dataclass, of which only the constructor is generated, when it is
    first used; all else is written here once. Generated for each class on import, all of it
    would be more than half of the time that an import takes.
    """

    __dataclass_fields__: ClassVar[Any]
    __signature__: ClassVar[Any] = _Signature()
    _field_names: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__dataclass_fields__ = _Fields()

    def __new__(cls, *args: Any, **keywords: Any) -> Self:
        _complete(cls)  # before Python looks for the constructor
        return super().__new__(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        # The constructor sets each field, once.
        if name in self.__dict__ or name not in self._field_names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), *self._values()))

    def __repr__(self) -> str:
        given = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self))
        return f"{type(self).__qualname__}({', '.join(given)})"

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, each.name) for each in fields(self))
