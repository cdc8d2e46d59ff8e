"""The instruction sets of this machine; one thread for the reference."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

import fastbp


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread() -> Iterator[None]:
    """NumPy's products are small here, and its idle threads spin where a team wants to run."""
    with threadpool_limits(1, user_api="blas"):
        yield


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
