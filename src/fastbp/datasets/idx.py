"""Reader of IDX files, the format in which MNIST and its relatives are published.

A file is two zero bytes, a type code, the number of dimensions, each dimension as a big-endian
32-bit number, then the elements, big-endian, in C order; often the whole of it under gzip.
Reference: http://yann.lecun.com/exdb/mnist, "the IDX file format".
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_DIMENSIONS = 32
# Deflate never makes data smaller than this: what a compressed file can hold is known beforehand.
MOST_COMPRESSION = 1032


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read an array from an IDX file, compressed with gzip or not.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    ndarray
        The array in the file's shape and type, in native byte order.

    Raises
    ------
    ValueError
        If the file is not exactly one IDX array: wrong magic number, unknown type, a dimension of
        zero, elements missing or too many, damaged compression. Sizes are compared with the file's
        before memory is taken.
    OSError
        If the file can't be read.
    """
    path = Path(path)
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        most = path.stat().st_size * (MOST_COMPRESSION if compressed else 1)
        file.seek(0)
        if not compressed:
            return _read(file, path, most)
        with gzip.open(file) as plain:
            try:
                return _read(plain, path, most)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                _refuse(path, "whole gzip data", str(error))


def _read(file: BufferedIOBase, path: Path, most: int) -> npt.NDArray[Any]:
    """Read one array from a stream that holds at most `most` bytes."""
    shape, dtype = _read_header(file, path)
    size = math.prod(shape) * dtype.itemsize
    if size > most:
        _refuse(path, f"{size} bytes of elements for shape {shape}", f"a file of at most {most}")
    array = np.empty(shape, dtype)
    left = array.data.cast("B")
    while left and (count := file.readinto(left)):
        left = left[count:]
    if left:
        _refuse(path, f"{size} bytes of elements for shape {shape}", f"{size - len(left)}")
    if file.read(1):
        _refuse(path, f"{size} bytes of elements for shape {shape}", "more")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_header(file: BufferedIOBase, path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and element type."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES:
        _refuse(
            path, "an IDX file, which begins 00 00 type dimensions", magic.hex(" ") or "nothing"
        )
    if not 1 <= magic[3] <= MOST_DIMENSIONS:
        _refuse(path, f"1 to {MOST_DIMENSIONS} dimensions", str(magic[3]))
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        _refuse(path, f"the sizes of {magic[3]} dimensions", f"{len(sizes)} bytes")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    if 0 in shape:
        _refuse(path, "sizes of at least 1", f"shape {shape}")
    return shape, np.dtype(TYPES[magic[2]])


def _refuse(path: Path, expected: str, got: str) -> NoReturn:
    raise ValueError(f"{path}: expected {expected}, got {got}") from None
