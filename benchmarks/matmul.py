"""Matrix products beside their limit: ``python -m benchmarks.matmul``, from the repository's root.

Prints, for every size, the share of the FMA peak that the three products of a dense layer reach in
fastbp, NumPy and (where it is installed) PyTorch, all on one thread. The peak is that of the
instruction set in use, measured in the same run. Rounds of all contenders alternate and each keeps
its best time. Needs Cython and the C compiler, for benchmarks/products.pyx; one core to itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from Cython.Build import cythonize
from setuptools import Distribution, Extension
from threadpoolctl import threadpool_limits

import fastbp
from fastbp._core import training

try:
    import torch
except ImportError:
    torch = None

# Bytes of a vector, chains of multiply-adds that fit the registers, flags of the compiler.
SETS = {
    "avx2": (32, 12, ["-mavx2", "-mfma"]),
    "avx512": (64, 24, ["-mavx512f"]),
    "neon": (16, 24, []),
}
SQUARE = [(n, n, n) for n in (64, 128, 256, 512, 1024, 2048)]
SIDES = (64, 128, 256, 784, 1024)
LAYERS = [(m, k, n) for m in (32, 128, 512) for k in SIDES for n in SIDES]
SMALL = [(32, 128, 10), (128, 128, 10), (32, 64, 32), (32, 32, 10), (50, 64, 100), (50, 100, 10)]
ROUNDS = 5
ROUND_SECONDS = 0.004


def translated(isa: str, folder: str) -> Extension:
    """Translate products.pyx to C in a folder, to be compiled for an instruction set."""
    vector_bytes, chains, flags = SETS[isa]
    extension = Extension(
        "products",
        ["benchmarks/products.pyx"],
        include_dirs=["csrc"],
        define_macros=[("VECTOR_BYTES", str(vector_bytes)), ("CHAINS", str(chains))],
        extra_compile_args=["-O3", "-ffp-contract=fast", *flags],
    )
    (found,) = cythonize(
        [extension], include_path=["src"], build_dir=folder, language_level=3, quiet=True
    )
    return found


def timer(isa: str) -> ModuleType:
    """Compile and import products.pyx for an instruction set."""
    with tempfile.TemporaryDirectory() as folder:
        distribution = Distribution({"ext_modules": [translated(isa, folder)]})
        command = distribution.get_command_obj("build_ext")
        command.build_lib = command.build_temp = folder
        command.ensure_finalized()
        command.run()
        path = command.get_ext_fullpath("products")
        spec = importlib.util.spec_from_file_location("products", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def clocked(call: Callable[[], Any]) -> Callable[[int], float]:
    """Return what gives the seconds of one call, the mean of some repeats."""

    def seconds(repeats: int) -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats

    return seconds


def aligned(rows: int, columns: int, dtype: str) -> np.ndarray:
    """Return random numbers that start with a cache line, as fastbp's tensors do."""
    numbers = np.random.default_rng(0).normal(size=(rows, columns)).astype(dtype)
    memory = np.empty(numbers.nbytes + 64, "int8")
    start = -memory.ctypes.data % 64
    place = memory[start : start + numbers.nbytes].view(dtype).reshape(rows, columns)
    place[:] = numbers
    return place


def contenders(
    products: ModuleType, product: str, m: int, k: int, n: int, dtype: str
) -> dict[str, Callable[[int], float]]:
    """Return the ways to one product; each takes a number of repeats and gives seconds."""
    net = fastbp.Network([fastbp.Dense(n, use_bias=False)], input_shape=k, dtype=dtype, seed=0)
    x, w, z = aligned(m, k, dtype), aligned(k, n, dtype), aligned(m, n, dtype)
    given = [a.view("int8") for a in (x, w, z)]
    a, b, out = {"forward": (x, w, z), "weights": (x.T, z, w), "input": (z, w.T, x)}[product]
    ways = {
        "fastbp": lambda r: products.seconds(net._engine, product, *given, r),
        "numpy": clocked(lambda: np.matmul(a, b, out=out)),
    }
    if torch is not None:
        ta, tb, tout = (torch.from_numpy(array) for array in (a, b, out))
        ways["torch"] = clocked(lambda: torch.mm(ta, tb, out=tout))
    return ways


def best_times(ways: dict[str, Callable[[int], float]]) -> dict[str, float]:
    best = {name: seconds(1) for name, seconds in ways.items()}
    for _ in range(ROUNDS):
        for name, seconds in ways.items():
            best[name] = min(best[name], seconds(max(1, int(ROUND_SECONDS / best[name]))))
    return best


def print_head(build: dict[str, Any], peak: float) -> None:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if platform.system() == "Linux" else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    parts = [(names or [platform.processor()])[0], build["isa"], build["compiler"]]
    parts += [f"fastbp {fastbp.__version__}", f"numpy {np.__version__}"]
    parts += [f"torch {torch.__version__}"] if torch is not None else []
    print(", ".join(parts))
    print(f"one thread; shares of the FMA peak, {peak / 1e9:.1f} GFLOP/s in float32")
    print("fastbp's loops are called from Cython, the others from Python: some 1 us a product\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--products", nargs="+", default=["forward", "input", "weights"])
    parser.add_argument("--sizes", choices=["square", "layers", "small"], nargs="+",
                        default=["square", "layers", "small"])  # fmt: skip
    arguments = parser.parse_args()
    build = training.build_info()
    if build["isa"] not in SETS:
        parser.error(f"FASTBP_ISA: expected one of {', '.join(SETS)}, got {build['isa']}")
    products = timer(build["isa"])
    peak = products.fma_peak()
    print_head(build, peak)
    peak /= 1 if arguments.dtype == "float32" else 2
    print("  m    k    n  product    fastbp  numpy  torch")
    for name in arguments.sizes:
        for m, k, n in {"square": SQUARE, "layers": LAYERS, "small": SMALL}[name]:
            for product in arguments.products:
                ways = contenders(products, product, m, k, n, arguments.dtype)
                shares = [2 * m * k * n / t / peak for t in best_times(ways).values()]
                print(f"{m:4} {k:4} {n:4}  {product:9}", *(f"{s:6.1%}" for s in shares), flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        if torch is not None:
            torch.set_num_threads(1)
        main()
