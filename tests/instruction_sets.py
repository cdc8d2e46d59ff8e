"""What the operating system says of the processor, apart from what fastbp's dispatch says."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path

# Kernel tables beside the scalar one: the machine they are for, and the features they need.
NEEDS = {
    "scalar_fma": ("x86_64", {"avx2", "fma"}),
    "avx2": ("x86_64", {"avx2", "fma"}),
    "avx512": ("x86_64", {"avx512f"}),
    "neon": ("aarch64", set()),
}


def reported_features() -> set[str]:
    """Return the words of /proc/cpuinfo, or none where there is no such file."""
    path = Path("/proc/cpuinfo")
    return set(path.read_text().split()) if path.exists() else set()


def missing_tables(
    tables: Iterable[str], features: set[str], machine: str = platform.machine()
) -> list[str]:
    """Return the tables that such a processor can run and that `tables` lacks."""
    can_run = [name for name, (for_, need) in NEEDS.items() if for_ == machine and need <= features]
    return sorted({"scalar", *can_run} - set(tables))
