"""Every kernel of every instruction set writes the recorded bits, in C alone, without Python.

kernel_digests.c runs the kernels of one table; kernel_digests.txt holds what the scalar table, the
definition, writes. Where a line of it changes, trained networks change: see CHANGELOG.md, Numerics.
NEON runs under user-mode emulation where qemu-aarch64 and a cross compiler are installed. The
source of the AVX-512 table runs on CPUs that lack it too, where SIMDe is installed, which puts its
intrinsics in terms of AVX2 (simde/immintrin.h). Both are slow: `pytest -m emulated`.

Most of the time goes into compiling, which takes a third of it for -Og; what -O3, the level of the
core, makes of every table is among the thorough tests, and under the digests of trained networks.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from instruction_sets import missing_tables, reported_features

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"
RECORDED = HERE / "kernel_digests.txt"
FLAGS = "-std=c11 -ffp-contract=off -fno-math-errno -fno-trapping-math -Wall -Wextra -Werror"
CROSS = "aarch64-linux-gnu-gcc"
EMULATOR = "qemu-aarch64"
SIMDE = Path("/usr/include/simde/x86/avx512.h")


class Table(NamedTuple):
    """A kernel table: its name in fastbp, its source and how to compile that."""

    name: str
    source: str
    flags: str = ""


TABLES = {
    "scalar": Table("scalar", "isa_scalar.c"),
    "scalar_fma": Table("scalar_fma", "isa_scalar.c", "-mavx2 -mfma"),
    "avx2": Table("avx2", "isa_avx2.c", "-mavx2 -mfma"),
    "avx512": Table("avx512", "isa_avx512.c", "-mavx512f"),
    "avx512 by SIMDe": Table(
        "avx512", "isa_avx512.c", f"-mavx2 -mfma -Wno-psabi -I{HERE / 'simde'}"
    ),
    "neon": Table("neon", "isa_neon.c"),
}


def by_name(*names: str) -> list[Any]:
    """Return parameters of a test, with a mark on the tables that are emulated."""
    slow = {"avx512 by SIMDe"} if platform.machine() == "aarch64" else {"avx512 by SIMDe", "neon"}
    marks = {name: [pytest.mark.emulated] if name in slow else [] for name in names}
    return [pytest.param(name, marks=marks[name]) for name in names]


def tools(table: str) -> tuple[list[str], list[str]]:
    """Return compiler and runner for a table, or skip where it can't be run here."""
    name = TABLES[table].name
    if name == "neon" and platform.machine() != "aarch64":
        if shutil.which(CROSS) and shutil.which(EMULATOR):
            return [CROSS, "-static"], [EMULATOR]
        pytest.skip(f"needs aarch64, or {CROSS} and {EMULATOR}")
    if table == "avx512 by SIMDe":
        if not SIMDE.exists():
            pytest.skip(f"needs SIMDe, {SIMDE}")
        name = "avx2"  # what runs
    if name in missing_tables([], reported_features()):
        return c_compiler(), []
    pytest.skip(f"this processor can't run {name}")


def c_compiler() -> list[str]:
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if not shutil.which(command[0]):
        pytest.skip(f"no C compiler {command[0]!r}")
    return command


def digests(
    folder: Path, table: str, bits: int, csrc: Path = CSRC, level: str = "-Og"
) -> list[str]:
    """Compile and run kernel_digests.c against one table; return its lines."""
    compiler, runner = tools(table)
    name, source, flags = TABLES[table]
    program = folder / f"digests_{name}_{bits}"
    defines = [f"-DFBP_ISA={name}", f"-DFBP_REAL_BITS={bits}"]
    defines.append(f"-DTABLE=fbp_kernels_{name}_{bits}")
    sources = [str(csrc / "kernels" / source), str(HERE / "kernel_digests.c")]
    command = [*compiler, level, *FLAGS.split(), *flags.split(), *defines, f"-I{csrc}", *sources]
    subprocess.run([*command, "-o", str(program), "-lm"], check=True)
    ran = subprocess.run([*runner, str(program)], check=True, capture_output=True, text=True)
    return [f"{bits} {line}" for line in ran.stdout.splitlines()]


def recorded(bits: int) -> list[str]:
    lines = RECORDED.read_text().splitlines()
    return [line for line in lines if line.startswith(f"{bits} ")]


def side_by_side(*calls: Callable[[], Any]) -> list[Any]:
    """Return what some calls come to, most of whose time is that of compilers."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return [done.result() for done in [threads.submit(call) for call in calls]]


@pytest.mark.parametrize("level", ["-Og", pytest.param("-O3", marks=pytest.mark.thorough)])
@pytest.mark.parametrize("table", by_name(*TABLES))
def test_kernels_write_the_recorded_bits(table: str, level: str, tmp_path: Path) -> None:
    written = side_by_side(
        *(partial(digests, tmp_path, table, bits, level=level) for bits in (32, 64))
    )
    assert written == [recorded(32), recorded(64)]


def mutant(folder: Path, file: str, right: str, wrong: str) -> Path:
    """Return a copy of csrc in which one piece of a file is wrong."""
    copy = folder / "csrc"
    shutil.copytree(CSRC, copy)
    path = copy / file
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    return copy


def quickest() -> str:
    """Return the table of this machine whose digests take the least time."""
    return "avx2" if "avx2" in missing_tables([], reported_features()) else "scalar"


def changed(folder: Path, table: str, csrc: Path) -> set[str]:
    """Return the kernels of a float32 table whose digests are not the recorded ones."""
    pairs = zip(digests(folder, table, 32, csrc), recorded(32), strict=True)
    return {ours.split()[1] for ours, theirs in pairs if ours != theirs}


# A line of a kernel's source, what an error makes of it, and the digests that show it.
MUTANTS = [
    (
        "kernels/narrow.inc.h",
        "v_fma(x_b[j], delta_j, chain[j])",
        "v_add(v_mul(x_b[j], delta_j), chain[j])",
        {"narrow_gradient", "narrow_run", "narrow_run_later"},
    ),
    (
        "kernels/narrow_run.inc.h",
        "v_fma(v_load(x + j * LANES), w_t, sum[i][j])",
        "v_add(sum[i][j], w_t)",
        {"narrow_run", "narrow_run_later"},
    ),
    (
        "kernels/repeat.inc.h",
        "if (k.records) outputs += r->n_rows;",
        "if (k.records) outputs += 1;",
        {"repeat_recorded"},
    ),
]


def test_digests_show_errors_in_the_source(tmp_path: Path) -> None:
    """A product that is not fused, one that is left out, outputs written over others."""
    calls = []
    for i, (file, right, wrong, _) in enumerate(MUTANTS):
        csrc = mutant(tmp_path / str(i), file, right, wrong)
        calls.append(partial(changed, tmp_path / str(i), quickest(), csrc))
    assert side_by_side(*calls) == [kernels for *_, kernels in MUTANTS]


# Rows of the digests: "update" is Adam, "decoupled" AdamW.
RULES_WITH_ROOTS = {
    "update",
    "decoupled",
    "nadam",
    "adagrad",
    "rmsprop",
    "rmsprop_momentum",
    "rmsprop_centred",
    "rmsprop_both",
}


@pytest.mark.parametrize("table", by_name("avx512", "avx512 by SIMDe"))
def test_digests_show_an_error_in_the_avx512_source(table: str, tmp_path: Path) -> None:
    csrc = mutant(tmp_path, "simd/avx512.h", "OP(sqrt)(a)", "OP(add)(a, a)")
    assert changed(tmp_path, table, csrc) == RULES_WITH_ROOTS
