"""Fixtures that run a test on every engine, in both precisions, on several threads."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastbp
import fastbp.reference

NETWORKS = {"reference": fastbp.reference.Network, "compiled": fastbp.Network}


def core_is_missing() -> str:
    """Return why the compiled core can't be loaded, or nothing."""
    try:
        fastbp.network.compiled_core()
    except ImportError as error:
        return str(error)
    return ""


def pytest_sessionstart() -> None:
    if os.environ.get("FASTBP_EXPECT_CORE") == "1" and (reason := core_is_missing()):
        pytest.exit(f"FASTBP_EXPECT_CORE=1, but {reason}", returncode=1)
    # A shell that starts them in the background lets them ignore Ctrl-C, which some tests send.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The fixtures live as long as the session, so that hypothesis may use them too.
@pytest.fixture(params=sorted(NETWORKS), scope="session")
def Network(request: pytest.FixtureRequest) -> type[fastbp.Network]:
    """The Network class of each engine; of the compiled one only where it was built."""
    if request.param == "compiled" and (reason := core_is_missing()):
        pytest.skip(reason)
    return NETWORKS[request.param]


@pytest.fixture(scope="session")
def core() -> None:
    """Skip a test that needs the compiled core where it was not built."""
    if reason := core_is_missing():
        pytest.skip(reason)


@pytest.fixture(params=["float32", "float64"], scope="session")
def dtype(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[1, 2, 3], scope="session")
def n_threads(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="session")
def standing() -> Callable[[fastbp.Network], dict[str, Any]]:
    """A function that returns where a network stands, as plain values that compare with ==."""

    def standing(network: fastbp.Network) -> dict[str, Any]:
        state = network.__getstate__()
        trained = dict(state.pop("trained") or {})
        for name, value in trained.items():
            if isinstance(value, dict):
                trained[name] = {key: part.tobytes() for key, part in value.items()}
            elif isinstance(value, np.ndarray):
                trained[name] = value.tobytes()
        return {name: state[name] for name in ("_seed", "_optimizer", "input_shape")} | trained

    return standing
