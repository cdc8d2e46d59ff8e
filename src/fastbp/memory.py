"""How much memory there is for a process and what the system keeps of the files it reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

GROUPS, GROUPS_OF_PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def most() -> float:
    """Return how many bytes there are at most, infinity if the system does not tell."""
    return min([*_of_machine(), *_of_groups()], default=float("inf"))


def _of_machine() -> Iterator[int]:
    try:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not there, or not of this system
        return


def _of_groups() -> Iterator[int]:
    """Go through the limits of the process's cgroups, version 1 or 2, and of those above."""
    try:
        lines = GROUPS_OF_PROCESS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            root, name = GROUPS / "memory", "memory.limit_in_bytes"
        elif not controllers:
            root, name = GROUPS, "memory.max"
        else:
            continue
        # In a container the path may be that of the host, and the root is the container's own.
        group = root / path.lstrip("/")
        for folder in (group, *group.parents[: len(group.parts) - len(root.parts)]):
            yield from _limit(folder / name)


def _limit(file: Path) -> Iterator[int]:
    try:
        text = file.read_text().strip()
    except OSError:
        return
    if text.isdigit():  # else "max"
        yield int(text)
