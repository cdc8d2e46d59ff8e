"""The instruction sets of this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import fastbp


def available_isas() -> list[str]:
    try:
        names: list[str] = fastbp.network.compiled_core().available_isas()
    except ImportError:
        return []
    return names


@pytest.fixture(params=available_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of this machine, chosen for the networks that a test builds."""
    core = fastbp.network.compiled_core()
    before = core.build_info()["isa"]
    core.choose_isa(request.param)
    yield request.param
    core.choose_isa(before)
