"""Networks as C beside `net(x)`: size, and nanoseconds a call.

    python -m benchmarks.c_export

from the root of the repository, with gcc, clang or both. Each network is compiled as its header
says. A line has the bytes of the source and of what the compiler makes of it, the nanoseconds a
call of rows in turn, and of rows that wait for the result before, and those of ``net(x)``.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import tempfile
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import fastbp
from fastbp.bench.machine import facts
from fastbp.files import to_c

HERE = Path(__file__).parent
CALLS, ROUNDS = 2000, 7


def dense(sizes: tuple[int, ...], hidden: str, last: str, dtype: str) -> fastbp.Network:
    """Return a network of dense layers."""
    functions = [hidden] * (len(sizes) - 2) + [last]
    layers = [fastbp.Dense(n, activation=f) for n, f in zip(sizes[1:], functions, strict=True)]
    return fastbp.Network(layers, input_shape=sizes[0], dtype=dtype, seed=0)


def residual(dtype: str) -> fastbp.Network:
    """Return a network of two residual blocks of 16 units, each with a hidden layer of 16."""
    x = fastbp.Input(8)
    h = fastbp.Dense(16, "relu")(x)
    for _ in range(2):
        h = fastbp.Add()([h, fastbp.Dense(16)(fastbp.Dense(16, "relu")(h))])
    return fastbp.Network(inputs=x, outputs=fastbp.Dense(2)(h), dtype=dtype, seed=0)


NETWORKS: dict[str, Callable[[str], fastbp.Network]] = {
    "4-16-16-2 relu": partial(dense, (4, 16, 16, 2), "relu", "identity"),
    "4-32-16-4 tanh": partial(dense, (4, 32, 16, 4), "tanh", "identity"),
    "64-32-10 relu softmax": partial(dense, (64, 32, 10), "relu", "softmax"),
    "784-128-10 relu softmax": partial(dense, (784, 128, 10), "relu", "softmax"),
    "8-16+16+16-2 residual": residual,
}


def command(header: str, compiler: str) -> list[str]:
    """Return the command that a header gives, for a compiler."""
    (flags,) = re.findall(r"\bcc (-.*) -c", header)
    is_x86 = platform.machine() == "x86_64"
    return [compiler, *(flag for flag in flags.split() if is_x86 or not flag.startswith("-m"))]


def compiled(net: fastbp.Network, compiler: str, folder: Path) -> tuple[int, list[float]]:
    """Return the bytes of the object, and the two times of a call."""
    line = command((folder / "net.h").read_text(), compiler)
    subprocess.run([*line, "-c", "net.c"], cwd=folder, check=True)
    listed = subprocess.run(["size", "net.o"], cwd=folder, check=True, capture_output=True)
    real = {"float32": "float", "float64": "double"}[net.dtype]
    defines = {"HEADER": '"net.h"', "PREDICT": "net_predict", "INPUTS": "net_INPUTS",
               "OUTPUTS": "net_OUTPUTS", "REAL": real, "CALLS": CALLS}  # fmt: skip
    given = [f"-D{name}={value}" for name, value in defines.items()]
    source = ["-I.", str(HERE / "c_export.c"), "net.o", "-o", "program", "-lm"]
    subprocess.run([*line, *given, *source], cwd=folder, check=True)
    times = subprocess.run([folder / "program"], check=True, capture_output=True).stdout
    return int(listed.stdout.splitlines()[1].split()[3]), [float(each) for each in times.split()]


def of_call(net: fastbp.Network) -> float:
    """Return the nanoseconds of net(x)."""
    x = np.linspace(0, 1, net.plan.tensors[0], dtype=net.dtype)
    return min(timeit.repeat(lambda: net(x), number=CALLS, repeat=ROUNDS)) / CALLS * 1e9


def main() -> None:
    """Print a line for each network and compiler."""
    print("; ".join(f"{key} {value}" for key, value in facts().items()))
    print(f"{'network':24} {'dtype':8} {'compiler':8} {'source':>8} {'object':>8} "
          f"{'in turn':>8} {'waiting':>8} {'net(x)':>8}")  # fmt: skip
    compilers = [name for name in ("gcc", "clang") if shutil.which(name)]
    for name, build in NETWORKS.items():
        for dtype in ("float32", "float64"):
            net = build(dtype)
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                to_c(net, folder / "net.c")
                source, own = (folder / "net.c").stat().st_size, of_call(net)
                for compiler in compilers:
                    size, (in_turn, waiting) = compiled(net, compiler, folder)
                    print(f"{name:24} {dtype:8} {compiler:8} {source:8} {size:8} "
                          f"{in_turn:8.1f} {waiting:8.1f} {own:8.0f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
