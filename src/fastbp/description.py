"""What all descriptions have in common: they are dataclasses that can't be changed."""

from __future__ import annotations

from dataclasses import Field, FrozenInstanceError, dataclass, field, fields
from typing import Any, ClassVar, dataclass_transform


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Description:
    """Base of layers, activations, losses, optimizers, initializers and metrics.

    A subclass is made a frozen dataclass, of which only the constructor is generated. All else is
    written here once: generated for each class, it would be a third of the time to import fastbp.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__annotations__:  # without fields of its own it has its base's constructor
            dataclass(repr=False, eq=False)(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        # The constructor sets each field, once.
        if name in self.__dict__ or all(name != each.name for each in fields(self)):
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
