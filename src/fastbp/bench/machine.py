"""What figures depend on: processor, cores, instruction set, threads, system, versions."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastbp


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def moment() -> dict[str, Any]:
    """Return the date, and the average of ready processes over the last minute."""
    return {"date": time.strftime("%Y-%m-%d %H:%M"), "load": round(os.getloadavg()[0], 2)}


def facts() -> dict[str, Any]:
    """Return the facts, ready for JSON, in the order in which they are shown.

    Raises
    ------
    ImportError
        If the compiled core can't be loaded.
    """
    build = fastbp.build_info()
    return {
        **moment(),
        "processor": _processor(),
        "cores": cores(),
        "system": platform.platform(),
        "instruction set": build["isa"],
        "available sets": build["available_isas"],
        "fastbp": fastbp.__version__,
        "fastbp threads": build["threads"],
        "compiler": build["compiler"],
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
