"""How much memory there is: the least of what machine and cgroups leave."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest

from fastbp import memory

CASES = {
    "version 1": (
        "9:name=systemd:/\n4:memory:/one/two\n1:cpu:/x",
        {"memory/one/two/memory.limit_in_bytes": "5000", "memory/memory.limit_in_bytes": "9000"},
        5000,
    ),
    "version 2": ("0::/one/two", {"one/two/memory.max": "max", "one/memory.max": "7000"}, 7000),
    "both": (
        "4:cpu,memory:/a\n0::/b",
        {"memory/a/memory.limit_in_bytes": "9", "b/memory.max": "8"},
        8,
    ),
    "a container, where the path is that of the host": (
        "4:memory:/docker/1f",
        {"memory/memory.limit_in_bytes": "6000"},
        6000,
    ),
    "no limit": ("0::/", {"memory.max": "max"}, math.inf),
    "of another controller": ("1:cpu:/a", {"memory/a/memory.limit_in_bytes": "9"}, math.inf),
    "nothing there": ("0::/a", {}, math.inf),
}


@pytest.mark.parametrize("case", CASES)
def test_limits_of_groups_are_found(case: str, tmp_path: Path, monkeypatch: Any) -> None:
    lines, files, expected = CASES[case]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "groups").write_text(lines + "\n")
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    monkeypatch.setattr(memory, "GROUPS_OF_PROCESS", tmp_path / "groups")
    monkeypatch.setattr(memory, "_of_machine", lambda: iter(()))
    assert memory.most() == expected


def test_a_system_that_does_not_tell_has_no_limit(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(memory, "GROUPS_OF_PROCESS", tmp_path / "none")
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert memory.most() == math.inf


def test_memory_is_that_of_the_machine_at_most() -> None:
    if not hasattr(os, "sysconf"):
        pytest.skip("the system does not tell")
    assert 0 < memory.most() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
