"""Kernels that work on spans or rows: ``python -m benchmarks.kernels``, from the root.

Compiles kernels.c beside the tables of this machine, with the switches of the installed core, and
prints for each kernel its time an element, the floor that the same run measured (see kernels.c),
and the share of the floor that it reaches. One thread.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import fastbp
from fastbp.bench.machine import facts

ROOT = Path(__file__).parents[1]
FLAGS = {
    "scalar": "",
    "scalar_fma": "-mavx2 -mfma",
    "avx2": "-mavx2 -mfma",
    "avx512": "-mavx512f",
    "neon": "",
}
SPANS = {  # elements: what runs on so many
    320: ["softmax", "softmax_backward", "sparse_crossentropy", "crossentropy", "accuracy"],
    2_410: [],  # everything; the parameters of 64-32-10
    101_770: [
        "sgd",
        "sgd_momentum",
        "sgd_nesterov",
        "adam",
        "adamw",
        "nadam",
        "rmsprop",
        "rmsprop_centred",
        "adagrad",
        "rprop",
        "quickprop",
        "square",
    ],  # of 784-128-10
}


def program(folder: Path, table: str, bits: int) -> Path:
    """Compile kernels.c for one table and precision; return the program."""
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    simd = "scalar" if table.startswith("scalar") else table
    path = folder / f"{table}_{bits}"
    defines = [f"-DFBP_ISA={table}", f"-DFBP_REAL_BITS={bits}", f'-DFBP_SIMD="simd/{simd}.h"']
    defines.append(f"-DTABLE=fbp_kernels_{table}_{bits}")
    table_object = path.with_suffix(".o")
    command = [*compiler, *fastbp.build_info()["switches"].split(), *FLAGS[table].split()]
    command += [f"-I{ROOT / 'csrc'}"]
    source = ROOT / "csrc" / "kernels" / f"isa_{simd}.c"
    subprocess.run([*command, *defines[:2], "-c", source, "-o", table_object], check=True)
    measuring = [Path(__file__).with_suffix(".c"), table_object, "-o", path, "-lm"]
    subprocess.run([*command, *defines[1:], *measuring], check=True)
    return path


def lines(path: Path) -> list[str]:
    """Run a program; return a line for each kernel."""
    printed = []
    for elements, names in SPANS.items():
        command = [path, str(elements), *names]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        for name, count, time, floor, kind in map(str.split, answer.stdout.splitlines()):
            share = float(floor) / float(time)
            printed.append(
                f"{name:<22} {int(count):>8,} {float(time):>9.4f} {float(floor):>9.4f}"
                f" {share:>7.0%}  {kind}"
            )
    return printed


def main() -> None:
    """Print a table for every instruction set asked for, in both precisions."""
    tables = fastbp.build_info()["available_isas"]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    parser.add_argument("--isa", default=tables[-1], choices=tables, help="a table (the best)")
    options = parser.parse_args()
    for name, value in facts().items():
        print(f"{name}: {value}")
    with tempfile.TemporaryDirectory() as folder:
        for bits in (32, 64):
            print(f"\n{options.isa}, float{bits}")
            print(f"{'kernel':<22} {'elements':>8} {'ns each':>9} {'floor':>9} {'share':>7}  floor")
            print("\n".join(lines(program(Path(folder), options.isa, bits))))


if __name__ == "__main__":
    main()
