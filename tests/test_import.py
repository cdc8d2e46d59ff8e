"""What `import fastbp` brings along, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys

import fastbp


def run(program: str) -> str:
    """Run a program in a fresh interpreter and return what it prints."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_import_is_spared_the_slow_parts_of_the_standard_library():
    slow = {"logging", "argparse", "asyncio", "multiprocessing", "json", "shutil", "subprocess"}
    slow |= {"pathlib", "csv", "tqdm"}
    program = f"""
import sys, numpy
before = set(sys.modules)
import fastbp
print(sorted({slow!r} & (set(sys.modules) - before)))
"""
    assert run(program) == "[]"


def test_import_leaves_the_process_as_it_was():
    program = """
import os, signal, warnings
import numpy as np

def state():
    return (
        dict(os.environ), [signal.getsignal(s) for s in signal.valid_signals()],
        list(warnings.filters), np.geterr(), str(np.random.get_state()), 5e-324 * 1.0,
        len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1,
    )

before = state()
import fastbp
print(state() == before)
"""
    assert run(program) == "True"


def test_all_names_are_there():
    for name in fastbp.__all__:
        assert hasattr(fastbp, name)


def test_without_the_core_the_reference_works_and_network_gives_advice():
    program = """
import sys
sys.modules["fastbp._core"] = None
import fastbp, fastbp.reference
net = fastbp.reference.Network([fastbp.Dense(1)], input_shape=2, seed=0)
print(net.predict([[1, 2]]).shape)
for ask in (lambda: fastbp.Network([fastbp.Dense(1)], input_shape=2), fastbp.build_info):
    try:
        ask()
    except ImportError as error:
        print("fastbp.reference.Network" in str(error))
"""
    assert run(program).split("\n") == ["(1, 1)", "True", "True"]
