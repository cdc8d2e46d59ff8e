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


@pytest.mark.parametrize("level", ["-Og", pytest.param("-O3", marks=pytest.mark.thorough)])
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("table", by_name(*TABLES))
def test_kernels_write_the_recorded_bits(table: str, bits: int, level: str, tmp_path: Path) -> None:
    assert digests(tmp_path, table, bits, level=level) == recorded(bits)


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


def test_digests_show_a_product_that_is_not_fused(tmp_path: Path) -> None:
    right, wrong = "v_fma(x_b[j], delta_j, chain[j])", "v_add(v_mul(x_b[j], delta_j), chain[j])"
    csrc = mutant(tmp_path, "kernels/narrow.inc.h", right, wrong)
    assert changed(tmp_path, quickest(), csrc) == {"narrow_gradient", "narrow_run"}


def test_digests_show_a_product_left_out_of_a_run_of_narrow_layers(tmp_path: Path) -> None:
    right, wrong = "v_fma(v_load(x + j * LANES), w_t, sum[i][j])", "v_add(sum[i][j], w_t)"
    csrc = mutant(tmp_path, "kernels/narrow_run.inc.h", right, wrong)
    assert changed(tmp_path, quickest(), csrc) == {"narrow_run"}


def test_digests_show_outputs_recorded_over_those_of_another_epoch(tmp_path: Path) -> None:
    right, wrong = "if (k.records) outputs += r->n_rows;", "if (k.records) outputs += 1;"
    csrc = mutant(tmp_path, "kernels/repeat.inc.h", right, wrong)
    assert changed(tmp_path, quickest(), csrc) == {"repeat_recorded"}


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
