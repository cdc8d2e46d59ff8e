"""Training from a file that the page cache can't hold, beside training from arrays.

    python -m benchmarks.streams [--folder FOLDER] [--threads N]

from the root of the repository, as root where memory is to be limited by a cgroup (version 1); else
the file's pages are thrown out before each round, which is said. A file of 784 bytes a row and one
of labels are made in the folder, filled with random numbers, and trained on by `fastbp.Batches`
with its defaults, shuffled by block: 784-128-10, Adam, batch 128. Each round trains on the next
part of the file, and in turn on a part of the same rows in memory, a line for each: microseconds a
row, the share of the arrays' speed, the megabytes read a second, and what memory the process has of
its own. The rounds go through the file twice, so that nothing is in the cache when it is read.

Before that it prints what a row costs a reader of the core that it takes: its bytes copied in
memory, which is the floor, read through a page cache that lacks them, and read past it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import fastbp
from fastbp import mapped

INPUTS, CLASSES = 784, 10
FILE_ROWS, ROUND_ROWS, ARRAY_ROWS = 2_000_000, 250_000, 100_000
BLOCK = 1 << 20
LIMIT_BYTES = 640 << 20
PASSES = 2
CGROUPS = Path("/sys/fs/cgroup/memory")


def network(n_threads: int | None) -> fastbp.Network:
    """Return a network that takes bytes."""
    layers = [
        fastbp.Rescale(1 / 255),
        fastbp.Dense(128, activation="relu"),
        fastbp.Dense(CLASSES, activation="softmax"),
    ]
    return fastbp.Network(
        layers,
        input_shape=INPUTS,
        loss="sparse_categorical_crossentropy",
        seed=0,
        n_threads=n_threads,
    )


def make_files(folder: Path) -> tuple[Path, Path]:
    """Fill both files with random numbers."""
    x_path, y_path = folder / "x.npy", folder / "y.npy"
    rng = np.random.default_rng(0)
    np.save(y_path, rng.integers(0, CLASSES, FILE_ROWS, np.int32))
    shape = FILE_ROWS, INPUTS
    x = np.lib.format.open_memmap(x_path, "w+", np.uint8, shape)
    for start in range(0, FILE_ROWS, ARRAY_ROWS):
        part = x[start : start + ARRAY_ROWS]
        part[:] = rng.integers(0, 256, part.shape, np.uint8)
    x.flush()
    return x_path, y_path


@contextlib.contextmanager
def limited_memory() -> Iterator[bool]:
    """Limit the process to `LIMIT_BYTES` with its page cache; whether that could be done."""
    group, here = CGROUPS / f"fastbp_{os.getpid()}", CGROUPS / "cgroup.procs"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
        (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        here.write_text(str(os.getpid()))
        group.rmdir()


def evict(path: Path) -> None:
    """Throw a file's pages out of the cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def disk_speed(path: Path, share: float = 0.25) -> float:
    """Return the megabytes a second of reading the begin of a file, a block at a time."""
    evict(path)
    size, block = int(share * path.stat().st_size), bytearray(BLOCK)
    began = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        for _ in range(0, size, BLOCK):
            file.readinto(block)
    return size / (time.perf_counter() - began) / 1e6


def processor_seconds(read: Callable[[int, np.ndarray], None]) -> float:
    """Return the processor time of a row, read in blocks at random places: the median of 128."""
    rows = BLOCK // INPUTS
    blocks = np.random.default_rng(0).permutation(FILE_ROWS // rows)[:128]
    buffer = np.ones((16, rows, INPUTS), np.uint8)
    times = []
    for at, block in enumerate(blocks):
        began = time.thread_time()
        read(int(block) * rows, buffer[at % 16])
        times.append(time.thread_time() - began)
    return float(np.median(times)) / rows


def reading(x_path: Path) -> Iterator[tuple[str, float]]:
    """Go through the ways to read, with the processor time of each."""
    in_file = mapped.rows_of(np.load(x_path, mmap_mode="r"), "x")
    rows = BLOCK // INPUTS
    in_memory = np.ones((16 * rows, INPUTS), np.uint8)

    def copy(first: int, into: np.ndarray) -> None:
        start = first % len(in_memory)
        into[...] = in_memory[start : start + rows]

    yield "copied", processor_seconds(copy)
    evict(x_path)
    yield "read through the page cache", processor_seconds(in_file.read)
    evict(x_path)
    yield "read past it", processor_seconds(replace(in_file, directly=True).read)


def own_memory() -> float:
    """Return the megabytes of the process that are no file's."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def seconds_per_row(net: fastbp.Network, data: tuple, rows: int, **options: int) -> float:
    """Return the time of an epoch, by its rows."""
    began = time.perf_counter()
    net.fit(*data, verbose=0, **options)
    return (time.perf_counter() - began) / rows


def main() -> None:
    """Print the floor and the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build"))
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    x_path, y_path = make_files(arguments.folder)
    try:
        with limited_memory() as is_limited:
            compare(x_path, y_path, arguments.threads, is_limited)
    finally:
        x_path.unlink()
        y_path.unlink()


def compare(x_path: Path, y_path: Path, n_threads: int | None, is_limited: bool) -> None:
    """Train from arrays and from the files in turn."""
    size = x_path.stat().st_size >> 20
    how = f"a cgroup of {LIMIT_BYTES >> 20} MB" if is_limited else "pages thrown out, no cgroup"
    print(f"{size} MB on disk, {how}; reading alone: {disk_speed(x_path):.0f} MB/s")
    for name, seconds in reading(x_path):
        print(f"{seconds * 1e6:.3f} us of a core for a row that is {name}")
    x = np.load(x_path, mmap_mode="r")[:ARRAY_ROWS].copy()
    y = np.load(y_path)[:ARRAY_ROWS]
    x_file, y_file = (np.load(path, mmap_mode="r") for path in (x_path, y_path))
    net, shares = network(n_threads), []
    seconds_per_row(net, (x, y), len(x), batch_size=128)
    evict(x_path)
    for start in PASSES * list(range(0, FILE_ROWS, ROUND_ROWS)):
        arrays = seconds_per_row(net, (x, y), 2 * len(x), batch_size=128, epochs=2)
        if not is_limited:
            evict(x_path)
        part = slice(start, start + ROUND_ROWS)
        batches = fastbp.Batches(x_file[part], y_file[part], batch_size=128)
        stream = seconds_per_row(net, (batches,), ROUND_ROWS)
        shares.append(arrays / stream)
        print(
            f"arrays {arrays * 1e6:.2f}  Batches {stream * 1e6:.2f}  {shares[-1]:.1%}  "
            f"{INPUTS / stream / 1e6:.0f} MB/s  {own_memory():.0f} MB"
        )
    print(f"median {np.median(shares):.1%}")


if __name__ == "__main__":
    main()
