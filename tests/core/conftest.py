"""The instruction sets of this machine; one thread for the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

import fastbp

HERE = Path(__file__).parent
# More than there are cores, or slots of rows; what is chosen; and one thread again.
ALL_TEAMS = (1, 2, 3, 8, None, 1)


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


def some_teams(isa: str, best: str) -> tuple[int | None, ...]:
    """Return numbers of threads: all for one table, and of the others what each can differ in.

    `scalar` is `scalar_fma` without the instruction, with the same tiles and blocks, and as slow
    as the function that it calls instead.
    """
    if isa == best:
        return ALL_TEAMS
    return (3,) if isa == "scalar" else (1, 3)


@pytest.fixture(params=["some teams", pytest.param("all teams", marks=pytest.mark.thorough)])
def tables_and_teams(
    request: pytest.FixtureRequest, core: None
) -> Iterator[Callable[[], Iterable[tuple[str, int | None]]]]:
    """A function that gives instruction sets, each chosen as it comes, with numbers of threads.

    By default they cover every table and every number; all of one with all of the other are
    thorough.
    """
    compiled = fastbp.network.compiled_core()
    best = compiled.build_info()["isa"]

    def pairs() -> Iterator[tuple[str, int | None]]:
        for isa in available_isas():
            compiled.choose_isa(isa)
            for n_threads in ALL_TEAMS if "all" in request.param else some_teams(isa, best):
                yield isa, n_threads

    yield pairs
    compiled.choose_isa(best)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every table meets a team of 3 and the best one every team; all with all are thorough."""
    best = available_isas()[-1:]
    for item in items:
        given = getattr(item, "callspec", None)
        if given is None or not item.path.is_relative_to(HERE) or "isa" not in given.params:
            continue
        if given.params["isa"] not in best and given.params.get("n_threads", 3) != 3:
            item.add_marker(pytest.mark.thorough)


@pytest.fixture(params=available_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of this machine, chosen for the networks that a test builds."""
    core = fastbp.network.compiled_core()
    before = core.build_info()["isa"]
    core.choose_isa(request.param)
    yield request.param
    core.choose_isa(before)
