"""Rows of files, through the page cache and past it: the same bytes, and which of both is taken."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import Batches, Dense, mapped, memory

ROWS = 1001

needs_direct_reads = pytest.mark.skipif(
    not hasattr(os, "O_DIRECT"), reason="the system has no direct reads"
)


@pytest.fixture
def no_memory(monkeypatch: Any) -> None:
    """Let no file fit into memory."""
    monkeypatch.setattr(memory, "most", lambda: 0)


def in_file(folder: Path, x: Any, name: str = "x") -> Any:
    np.save(folder / f"{name}.npy", x)
    return np.load(folder / f"{name}.npy", mmap_mode="r")


def directly(rows: Any) -> mapped.FileRows:
    (planned,) = mapped.planned([mapped.rows_of(rows, "y")])
    return planned


@needs_direct_reads
@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("page", [2 * mapped.SECTOR, mapped.LARGE_PAGE])
@pytest.mark.parametrize(
    ("dtype", "width"), [("u1", 1), ("u1", 783), ("f4", 1024), ("f8", 3), ("i2", 4095)]
)
def test_direct_reads_find_the_bytes_of_the_file(
    dtype: str, width: int, page: int, monkeypatch: Any, tmp_path: Path
) -> None:
    memory_of_thread = mapped._own_memory()
    monkeypatch.setattr(mapped, "_own_memory", lambda: memory_of_thread[:page])
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (ROWS, width * np.dtype(dtype).itemsize), np.uint8)
    rows = directly(in_file(tmp_path, x.view(dtype)))
    assert rows.directly
    row = x.shape[1]
    near_a_sector = (mapped.SECTOR - rows.offset) // row
    starts = {0, 1, max(0, near_a_sector - 1), near_a_sector, near_a_sector + 1, 500, ROWS - 1}
    for first in starts:
        for count in (1, 2, mapped.SECTOR // row, mapped.SECTOR // row + 1, ROWS):
            stop = min(first + count, ROWS)
            if first < stop:
                into = np.empty((stop - first, width), dtype)
                assert rows._read_directly(
                    rows.offset + first * row, memoryview(into.reshape(-1).view(np.uint8).data)
                ) in (into.nbytes, 0)  # 0: the file system has no such reads
                rows.read(first, into)
                assert into.tobytes() == x[first:stop].tobytes()


@pytest.mark.usefixtures("no_memory")
def test_a_fit_past_the_cache_is_that_of_the_arrays(Network: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(ROWS, 5)).astype("f4")
    nets = [Network([Dense(1)], input_shape=5, loss="squared_error", seed=0) for _ in range(2)]
    rows = in_file(tmp_path, x)[3:]
    for net, given in zip(nets, (rows, x[3:]), strict=True):
        net.fit(Batches(given, x[3:, 0], block_rows=17, buffer_rows=100), epochs=2)
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()


@needs_direct_reads
@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("call", ["open", "preadv"])
def test_what_can_not_be_read_directly_is_read_through_the_cache(
    call: str, monkeypatch: Any, tmp_path: Path
) -> None:
    x = np.arange(ROWS, dtype="f8")
    rows = directly(in_file(tmp_path, x))

    def refuse(*arguments: Any) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, call, refuse)
    into = np.empty(ROWS)
    rows.read(0, into)
    assert into.tobytes() == x.tobytes()


@pytest.mark.usefixtures("no_memory")
def test_a_file_that_becomes_shorter_is_an_error(tmp_path: Path) -> None:
    rows = directly(in_file(tmp_path, np.zeros((ROWS, 9))))
    os.truncate(tmp_path / "x.npy", 1000)
    with pytest.raises(ValueError, match=f"y: expected {ROWS} rows in .*x.npy, got fewer"):
        rows.read(0, np.empty((ROWS, 9)))


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("is_direct", [False, True])
def test_another_file_that_takes_the_name_is_an_error(is_direct: bool, tmp_path: Path) -> None:
    x, into = np.zeros((ROWS, 9)), np.empty((ROWS, 9))
    rows = dataclasses.replace(directly(in_file(tmp_path, x)), directly=is_direct)
    rows.read(0, into)
    in_file(tmp_path, x + 1, "other")
    os.replace(tmp_path / "other.npy", tmp_path / "x.npy")
    with pytest.raises(ValueError, match=r"y: expected .*x.npy as it was, got another file"):
        rows.read(0, into)
    assert not into.any()


@needs_direct_reads
def test_files_are_read_directly_if_memory_can_not_hold_them_all(
    monkeypatch: Any, tmp_path: Path
) -> None:
    a, b = (mapped.rows_of(in_file(tmp_path, np.zeros((ROWS, 8)), name), name) for name in "ab")
    size = (tmp_path / "a.npy").stat().st_size
    few = mapped.rows_of(np.load(tmp_path / "a.npy", mmap_mode="r")[:1], "a")
    for given, most, expected in (
        ([a], size, False),
        ([a], size - 1, True),
        ([a, few, a], size, False),  # a file counts once
        ([few], size - 1, True),  # and whole
        ([a, b], 2 * size, False),
        ([a, b, np.zeros(3)], 2 * size - 1, True),
    ):
        monkeypatch.setattr(memory, "most", lambda most=most: most)
        files = [part for part in mapped.planned(given) if isinstance(part, mapped.FileRows)]
        assert {part.directly for part in files} == {expected}


def test_no_descriptor_is_left_open(tmp_path: Path, monkeypatch: Any) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    rows = in_file(tmp_path, np.zeros((ROWS, 9)))
    monkeypatch.setattr(memory, "most", lambda: 0)
    batches = Batches(rows, np.zeros(ROWS), buffer_rows=64)
    net = fastbp.Network([Dense(1)], input_shape=9, loss="squared_error")
    before = len(os.listdir("/proc/self/fd"))
    net.fit(batches)
    os.truncate(tmp_path / "x.npy", 1000)
    with pytest.raises(ValueError, match="got fewer"):
        net.fit(batches)
    assert len(os.listdir("/proc/self/fd")) == before
