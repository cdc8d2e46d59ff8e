"""What tests of promises share: the number that each carries, and processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

import fastbp


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "promise(number): a promise about reliability, by number",
        "repeats(few, many): how often a test does it, by default and if thorough",
    ):
        config.addinivalue_line("markers", marker)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give `repeats` its two values: few by default, many where one asks for thorough tests."""
    for marker in metafunc.definition.iter_markers("repeats"):
        few, many = marker.args
        thorough = pytest.param(many, marks=pytest.mark.thorough)
        metafunc.parametrize("repeats", [few, thorough])


@pytest.fixture(scope="session")
def python() -> Callable[..., str]:
    """A function that runs Python code in a process of its own and returns what it prints."""

    def python(code: str, timeout: float = 60, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    return python


@pytest.fixture(scope="session")
def own_allocator(core: None) -> None:
    """Skip a test that limits or replaces the allocator where a sanitizer has done so."""
    if "-fsanitize" in fastbp._core.build_info()["switches"]:
        pytest.skip("built with a sanitizer, which has an allocator of its own")
