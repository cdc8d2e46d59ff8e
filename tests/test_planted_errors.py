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
from pathlib import Path
from typing import Any

import numpy as np
import planted_core
import pytest
from gradient_check import failures

import fastbp
from fastbp import reference
from fastbp.reference import optimizers, propagation
from fastbp.reference.activations import ACTIVATIONS

WRONG = 1 + 1e-6
GRADIENTS = {
    f"{check} ({size})"
    for check in ("gradients", "backward")
    for size in ("narrow", "tiled", "wide")
}
TILED = {check for check in GRADIENTS if "narrow" not in check}
NARROW = GRADIENTS - TILED


def updates(*rules: str) -> set[str]:
    return {f"{rule} ({size})" for rule in rules for size in ("narrow", "tiled", "wide")}


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
    ("rule", "red"), [("sgd", updates("sgd", "momentum", "nesterov")), ("adam", updates("adam"))]
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
def with_errors(core: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Which checks fail with each error planted in the compiled core; without one under ""."""
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
    answer = json.loads(done.stdout)
    assert Path(answer["core"]).is_relative_to(sources)
    return {place: set(failed) for place, failed in answer["failed"].items()}


def test_the_core_with_sleeping_errors_is_right(with_errors: dict[str, set[str]]) -> None:
    assert with_errors[""] == set()


@pytest.mark.parametrize(
    ("place", "red"),
    [
        ("forward", GRADIENTS),
        ("delta", GRADIENTS),
        ("activation's derivative", GRADIENTS),
        ("weight gradient", TILED),
        ("bias gradient", TILED),
        ("narrow weight gradient", NARROW),
        ("narrow bias gradient", NARROW),
        ("sum over slots", GRADIENTS - {"gradients (wide)", "backward (wide)"}),
        ("update", updates("sgd", "momentum", "nesterov")),
        ("update by Adam", updates("adam")),
    ],
)
def test_an_error_in_the_compiled_core_is_found(
    with_errors: dict[str, set[str]], place: str, red: set[str]
) -> None:
    assert with_errors[place] == red


def test_every_place_with_a_planted_error_is_looked_at(with_errors: dict[str, set[str]]) -> None:
    assert set(with_errors) == {"", *planted_core.PLACES}
    assert all(failed for place, failed in with_errors.items() if place)
