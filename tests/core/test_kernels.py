"""Every kernel of every instruction set writes the recorded bits, in C alone, without Python.

kernel_digests.c runs the kernels of one table; kernel_digests.txt holds what the scalar table, the
definition, writes. Where a line of it changes, trained networks change: see CHANGELOG.md, Numerics.
NEON runs under user-mode emulation where qemu-aarch64 and a cross compiler are installed.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"
RECORDED = HERE / "kernel_digests.txt"
FLAGS = "-std=c11 -O2 -ffp-contract=off -fno-math-errno -fno-trapping-math -Wall -Wextra -Werror"
X86 = "x86_64"
CROSS = "aarch64-linux-gnu-gcc"
EMULATOR = "qemu-aarch64"
# Name of the table: its source, flags, and the machine it runs on.
TABLES = {
    "scalar": ("isa_scalar.c", "", None),
    "scalar_fma": ("isa_scalar.c", "-mavx2 -mfma", X86),
    "avx2": ("isa_avx2.c", "-mavx2 -mfma", X86),
    "neon": ("isa_neon.c", "", "aarch64"),
}


def tools(machine: str | None) -> tuple[list[str], list[str]]:
    """Return compiler and runner for a machine, or skip where it can't be run here."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if machine in (None, platform.machine()):
        if machine == X86 and not {"avx2", "fma"} <= set(Path("/proc/cpuinfo").read_text().split()):
            pytest.skip("needs AVX2 and FMA")
        if not shutil.which(compiler[0]):
            pytest.skip(f"no C compiler {compiler[0]!r}")
        return compiler, []
    if machine == "aarch64" and shutil.which(CROSS) and shutil.which(EMULATOR):
        return [CROSS, "-static"], [EMULATOR]
    pytest.skip(f"needs {machine}, or {CROSS} and {EMULATOR}")


def digests(folder: Path, table: str, bits: int, csrc: Path = CSRC) -> list[str]:
    """Compile and run kernel_digests.c against one table; return its lines."""
    source, flags, machine = TABLES[table]
    compiler, runner = tools(machine)
    program = folder / f"digests_{table}_{bits}"
    defines = [f"-DFBP_ISA={table}", f"-DFBP_REAL_BITS={bits}"]
    defines.append(f"-DTABLE=fbp_kernels_{table}_{bits}")
    sources = [str(csrc / "kernels" / source), str(HERE / "kernel_digests.c")]
    command = [*compiler, *FLAGS.split(), *flags.split(), *defines, f"-I{csrc}", *sources]
    subprocess.run([*command, "-o", str(program), "-lm"], check=True)
    ran = subprocess.run([*runner, str(program)], check=True, capture_output=True, text=True)
    return [f"{bits} {line}" for line in ran.stdout.splitlines()]


def recorded(bits: int) -> list[str]:
    lines = RECORDED.read_text().splitlines()
    return [line for line in lines if line.startswith(f"{bits} ")]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("table", TABLES)
def test_kernels_write_the_recorded_bits(table: str, bits: int, tmp_path: Path) -> None:
    assert digests(tmp_path, table, bits) == recorded(bits)


def test_digests_show_a_product_that_is_not_fused(tmp_path: Path) -> None:
    mutant = tmp_path / "csrc"
    shutil.copytree(CSRC, mutant)
    path = mutant / "kernels" / "narrow.inc.h"
    right, wrong = "real_fma(x_i, delta[o], *sum)", "x_i * delta[o] + *sum"
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    ours, theirs = digests(tmp_path, "scalar", 32, mutant), recorded(32)
    changed = {a.split()[1] for a, b in zip(ours, theirs, strict=True) if a != b}
    assert changed == {"narrow_gradient"}
