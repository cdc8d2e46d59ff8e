"""The checker of gradients and updates is shown to fail: an error of one in a million at any place.

In the reference a function is replaced; the compiled core is compiled with the error in it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import planted_core
import pytest
from fits_in_one_kernel import IN_ONE_KERNEL
from gradient_check import SIZES, failures

import fastbp
from fastbp import reference
from fastbp.reference import optimizers, propagation
from fastbp.reference.activations import ACTIVATIONS

WRONG = 1 + 1e-6


def checks(*names: str, sizes: Iterable[str] = SIZES) -> set[str]:
    return {f"{name} ({size})" for name in names for size in sizes}


def gradients(*sizes: str) -> set[str]:
    return checks("gradients", "backward", sizes=sizes)


GRADIENTS = gradients(*SIZES)
# A fit in one kernel, where it is wrong or where what its steps are held against is.
SMALL_SGD = checks("sgd", sizes=["small"])
# Narrow layers run with rows in the lanes, but layer by layer where `backward` follows.
IN_LANES = checks("gradients", sizes=["small", "narrow"])
BY_LAYERS = GRADIENTS - IN_LANES


def test_nothing_fails_without_a_planted_error(Network: type[fastbp.Network]) -> None:
    assert failures(Network) == set()


@pytest.mark.parametrize(
    "place", ["net_input", "input_delta", "weights_gradient", "biases_gradient"]
)
def test_an_error_in_the_propagation_of_the_reference_is_found(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(propagation, place)
    monkeypatch.setattr(propagation, place, lambda *given: right(*given) * WRONG)
    assert failures(reference.Network) == GRADIENTS


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_an_error_in_an_activation_of_the_reference_is_found(
    direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = ACTIVATIONS["tanh"]
    wrong = right._replace(**{direction: lambda *given: getattr(right, direction)(*given) * WRONG})
    monkeypatch.setitem(ACTIVATIONS, "tanh", wrong)
    assert failures(reference.Network) == GRADIENTS


@pytest.mark.parametrize(
    ("rule", "red"), [("sgd", checks("sgd", "momentum", "nesterov")), ("adam", checks("adam"))]
)
def test_an_error_in_an_update_of_the_reference_is_found(
    rule: str, red: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = optimizers.OPTIMIZERS[rule]

    def wrong(o: Any, p: np.ndarray, *given: Any) -> Any:
        after, state = right(o, p, *given)
        return p + (after - p) * WRONG, state

    monkeypatch.setitem(optimizers.OPTIMIZERS, rule, wrong)
    assert failures(reference.Network) == red


@pytest.fixture(scope="module")
def planted(core: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What planted_core.py finds, with each error planted in the compiled core and without."""
    for tool in ("Cython", "setuptools"):
        if importlib.util.find_spec(tool) is None:
            pytest.skip(f"needs {tool} to compile the core with errors in it")
    if not (planted_core.ROOT / "setup.py").exists() or not shutil.which("cc"):
        pytest.skip("needs the core's sources and a C compiler")
    package = Path(fastbp.__file__).parent
    sources = planted_core.build(package, tmp_path_factory.mktemp("planted"))
    command = [sys.executable, planted_core.__file__, "", *planted_core.PLACES]
    environment = os.environ | {"PYTHONPATH": str(sources)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    assert Path(answer["core"]).is_relative_to(sources)
    return answer


@pytest.fixture(scope="module")
def with_errors(planted: dict[str, Any]) -> dict[str, set[str]]:
    """Which checks fail with each error; without one under ""."""
    return {place: set(failed) for place, failed in planted["failed"].items()}


def test_fits_run_in_one_kernel_where_they_should(planted: dict[str, Any]) -> None:
    recorded = {f"{name}, recorded" for name in IN_ONE_KERNEL}
    assert set(planted["repeating"]) == set(IN_ONE_KERNEL) | recorded


def test_the_core_with_sleeping_errors_is_right(with_errors: dict[str, set[str]]) -> None:
    assert with_errors[""] == set()


@pytest.mark.parametrize(
    ("place", "red"),
    [
        ("forward", BY_LAYERS),
        ("delta", BY_LAYERS),
        ("activation's derivative", BY_LAYERS),
        ("forward in lanes", IN_LANES | SMALL_SGD),
        ("gradient in lanes", IN_LANES | SMALL_SGD),
        ("weight gradient", gradients("tiled", "wide")),
        ("bias gradient", gradients("tiled", "wide")),
        ("narrow weight gradient", checks("backward", sizes=["small", "narrow"])),
        ("narrow bias gradient", gradients("small", "narrow") | SMALL_SGD),
        ("sum over slots", gradients("narrow", "tiled")),
        ("fit in one kernel", SMALL_SGD),
        ("update", checks("sgd", "momentum", "nesterov")),
        ("update by Adam", checks("adam")),
    ],
)
def test_an_error_in_the_compiled_core_is_found(
    with_errors: dict[str, set[str]], place: str, red: set[str]
) -> None:
    assert with_errors[place] == red


def test_every_place_with_a_planted_error_is_looked_at(with_errors: dict[str, set[str]]) -> None:
    assert set(with_errors) == {"", *planted_core.PLACES}
    assert all(failed for place, failed in with_errors.items() if place)
