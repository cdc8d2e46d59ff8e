"""Descriptions of layers, activations, losses, optimizers, schedules and the like as values."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import itertools
import pickle
from typing import Any

import pytest
from schedule_rows import ROWS

from fastbp import SGD, Activation, Adam, Dense, Dropout, Flatten, Rescale
from fastbp.activations import ACTIVATIONS, ELU, GELU, ReLU, SiLU
from fastbp.constraints import CONSTRAINTS
from fastbp.description import Description
from fastbp.initializers import INITIALIZERS, Normal, Values
from fastbp.losses import LOSSES, Huber, SquaredError
from fastbp.metrics import METRICS
from fastbp.optimizers import OPTIMIZERS
from fastbp.regularizers import REGULARIZERS

TABLES = (ACTIVATIONS, CONSTRAINTS, INITIALIZERS, LOSSES, METRICS, OPTIMIZERS, REGULARIZERS)
DESCRIPTIONS: list[Description] = [
    *(kind() for table in TABLES for kind in table.values()),
    *(Dense(3, "relu"), Activation("tanh"), Flatten(), Rescale(0.5), Dropout(0.1)),
    *(SGD(0.1, momentum=0.9), Adam(clip_norm=1.0), Values([1.0, 2.0]), *ROWS.values()),
]
each = pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda d: type(d).__name__)


@each
def test_a_description_is_a_dataclass_that_replace_copies(description: Any) -> None:
    assert dataclasses.is_dataclass(description)
    fields = {field.name for field in dataclasses.fields(description)}
    assert fields == set(inspect.signature(type(description)).parameters)
    assert repr(dataclasses.replace(description)) == repr(description)


def test_a_class_has_its_own_fields_whichever_is_asked_first() -> None:
    def chain() -> tuple[type[Description], ...]:
        class One(Description):
            one: int = 1

        class Two(One):
            two: int = 2

        class Three(Two):
            pass

        return One, Two, Three

    expected = [["one"], ["one", "two"], ["one", "two"]]
    for order in itertools.permutations(range(3)):
        for ask in (dataclasses.fields, inspect.signature, lambda kind: kind()):
            kinds = chain()
            for index in order:
                ask(kinds[index])
                names = [field.name for field in dataclasses.fields(kinds[index])]
                assert names == expected[index]
                assert list(inspect.signature(kinds[index]).parameters) == names
                assert list(vars(kinds[index]()).values()) == [1, 2][: len(names)]


@each
def test_a_description_cannot_be_changed(description: Any) -> None:
    before = repr(description)
    for name in (*(field.name for field in dataclasses.fields(description)), "name", "another"):
        with pytest.raises(dataclasses.FrozenInstanceError, match=name):
            setattr(description, name, 1)
        with pytest.raises(dataclasses.FrozenInstanceError, match=name):
            delattr(description, name)
    assert repr(description) == before


@each
def test_a_description_equals_its_copies_and_nothing_else(description: Description) -> None:
    alike = [d for d in DESCRIPTIONS if d == description]
    assert alike == [description]
    if not isinstance(description, Values):
        for again in (copy.deepcopy(description), pickle.loads(pickle.dumps(description))):
            assert again == description
            assert hash(again) == hash(description)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Dense(3), Dense(4)),
        (ELU(1.0), ELU(0.5)),
        (Normal(0.0, 1.0), Normal(1.0, 0.0)),
        (GELU(), SiLU()),
        (SquaredError(), SquaredError("sum")),
        (SGD(0.1), "sgd"),
    ],
)
def test_descriptions_with_different_fields_or_of_different_kinds_differ(
    one: object, other: object
) -> None:
    assert one != other
    assert len({one, other}) == 2


def test_a_name_and_the_description_it_stands_for_make_equal_layers() -> None:
    assert Dense(3, activation="relu") == Dense(units=3, activation=ReLU())


@pytest.mark.parametrize(
    "text",
    ["GELU()", "Huber(reduction='sum', delta=2.0)", "Rescale(factor=0.5)", "ELU(alpha=0.25)"],
)
def test_a_description_prints_as_it_is_made(text: str) -> None:
    kinds: dict[str, Any] = {kind.__name__: kind for kind in (GELU, Huber, Rescale, ELU)}
    assert repr(eval(text, kinds)) == text


def test_a_description_has_the_fields_of_all_its_bases_whichever_is_used_first() -> None:
    class Grand(Description):
        first: int = 1

    class Parent(Grand):
        second: int = 2

    class Child(Parent):
        pass

    assert Grand().first == 1
    child: Any = Child
    assert repr(child(3, second=4)).endswith("Child(first=3, second=4)")
    assert list(inspect.signature(child).parameters) == ["first", "second"]
