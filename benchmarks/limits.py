"""The limits of this machine: operations a second from registers, bytes a second from each cache.

They are measured by two loops in C, compiled with gcc when asked for, in vectors of the instruction
set that fastbp uses.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import fastbp

SOURCE = Path(__file__).with_name("limits.c")
CHAINS = 12  # as in limits.c
VECTORS = {
    "avx512": (64, ["-mavx512f"]),
    "avx2": (32, ["-mavx2", "-mfma"]),
    "neon": (16, []),
}
REALS = {"float32": ("float", ctypes.c_float), "float64": ("double", ctypes.c_double)}
SECONDS = 0.03  # of one measurement
REPEATS = 5  # the best of so many: a limit is what nothing disturbed


class Limits:
    """The two loops for one precision.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Precision of the operations.

    Raises
    ------
    NotImplementedError
        If there is no compiler, or no vectors are known for the instruction set.
    """

    def __init__(self, dtype="float32"):
        isa = fastbp.build_info()["isa"]
        if isa not in VECTORS:
            raise NotImplementedError(f"no limits are measured for {isa}")
        self.isa, self.dtype = isa, dtype
        self.width, flags = VECTORS[isa]
        name, self._real = REALS[dtype]
        definitions = [f"-DREAL={name}", f"-DWIDTH={self.width}"]
        self._library = _compiled([*flags, *definitions])
        self._library.multiply_add.restype = self._real
        self._library.read_all.restype = self._real
        self._times = self._long_enough()

    def _multiply_add(self, times):
        self._library.multiply_add(ctypes.c_size_t(times), self._real(0.5), self._real(0.25))

    def _long_enough(self):
        """Return how often the loop must turn to take `SECONDS`."""
        times = 100_000
        while _seconds(self._multiply_add, times) < SECONDS / 4:
            times *= 2
        taken = min(_seconds(self._multiply_add, times) for _ in range(REPEATS))
        return int(times * SECONDS / taken)

    def peak(self, threads=1, repeats=REPEATS):
        """Return operations a second (two for each multiply-add) of so many threads together."""
        operations = 2 * CHAINS * self.width // np.dtype(self.dtype).itemsize * self._times
        together = threading.Barrier(threads)

        def work(_):
            together.wait()
            return _seconds(self._multiply_add, self._times)

        with ThreadPoolExecutor(threads) as pool:
            taken = [max(pool.map(work, range(threads))) for _ in range(repeats)]
        return threads * operations / min(taken)

    def bandwidth(self, size):
        """Return bytes a second at which one thread reads `size` bytes again and again."""
        count = max(1, size // (CHAINS * self.width)) * CHAINS
        bytes_ = np.ones(count * self.width + 64, np.uint8)
        start = bytes_.ctypes.data + -bytes_.ctypes.data % 64
        times = max(1, int(SECONDS * 20e9 / (count * self.width)))
        arguments = ctypes.c_void_p(start), ctypes.c_size_t(count), ctypes.c_size_t(times)
        taken = [_seconds(self._library.read_all, *arguments) for _ in range(REPEATS)]
        return count * self.width * times / min(taken)


def _compiled(options):
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "limits.so"
        flags = ["-std=gnu11", "-O3", "-ffp-contract=fast", "-fno-tree-vectorize"]
        command = ["gcc", *flags, "-shared", "-fPIC", *options, str(SOURCE), "-o", str(library)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise NotImplementedError("no gcc to measure limits with") from None
        return ctypes.CDLL(str(library))


def _seconds(work, *arguments):
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def main():
    """Print the limits."""
    for dtype in REALS:
        limits = Limits(dtype)
        print(f"{dtype}, {limits.isa}: {limits.peak() / 1e9:.1f} GFLOP/s on one thread")
    for power in range(14, 28, 2):
        print(f"read {2**power // 1024:>7} KB: {limits.bandwidth(2**power) / 1e9:.1f} GB/s")


if __name__ == "__main__":
    main()
