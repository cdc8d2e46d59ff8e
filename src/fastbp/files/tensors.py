"""Arrays by name in a safetensors file.

A file is the length of the header (8 bytes, little-endian), the header (JSON) and the arrays, each
little-endian in C order, one behind the other. Among the texts of the header stands the SHA-256 of
the whole file, as it is with 64 zeros in its place.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from fastbp.engine import Array
from fastbp.exceptions import FileFormatError
from fastbp.files import header
from fastbp.files.whole import checked_path, write_whole

DIGEST = "fastbp.sha256"
ZEROS = "0" * 64
DIGEST_IN_HEADER = re.compile(b'"' + re.escape(DIGEST.encode()) + b'":"([0-9a-f]{64})"')


class Contents(NamedTuple):
    """What was in a file.

    Attributes
    ----------
    tensors : dict of str to ndarray
        The arrays, in native byte order.
    metadata : dict of str to str
        The texts beside them, without the digest.
    verified : bool
        Whether there was a digest, which then was right.
    """

    tensors: dict[str, Array]
    metadata: dict[str, str]
    verified: bool


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Array],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write arrays to a safetensors file, which any program that knows the format can read.

    Parameters
    ----------
    path : str or path
        The file; it is replaced when the new one is whole and on the disk.
    tensors : mapping of str to array
        Arrays of booleans, integers, or floats of 16, 32 or 64 bits.
    metadata : mapping of str to str, optional
        Texts to go with them; a digest of the file is added.

    Raises
    ------
    TypeError, ValueError
        If a name or a text is no text, or an array of another dtype.
    OSError
        If the file can't be written; an old one is then as it was.
    """
    texts = {**_texts(metadata or {}), DIGEST: ZEROS}
    arrays = {_name(name): _little_endian(name, array) for name, array in tensors.items()}
    # Widest elements first, so that each array begins at a multiple of its element.
    order = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    entries, end = [], 0
    for name in order:
        array, begin = arrays[name], end
        end += array.nbytes
        entries.append(header.Entry(name, array.dtype, array.shape, begin, end))
    head = header.dump(tuple(entries), texts)
    parts: list[bytes | memoryview] = [
        len(head).to_bytes(8, "little"),
        head,
        *(_bytes(arrays[name]) for name in order),
    ]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    parts[1] = _with_digest(head, digest.hexdigest())
    write_whole(path, parts)


def read_tensors(path: str | os.PathLike[str]) -> Contents:
    """Return the arrays and texts of a safetensors file, from whatever program it comes.

    No more memory is taken than the file is long, and a header of at most 8 MiB needs. Files with
    gaps, overlaps, keys that come twice or a wrong digest are refused.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    Contents
        A named tuple of `tensors`, `metadata` and `verified`.

    Raises
    ------
    FileFormatError
        If it is not a regular file, is damaged, or has a dtype that NumPy lacks.
    OSError
        If it can't be read.
    """
    with naming(path), _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = file.read(8)
        head_bytes = int.from_bytes(length, "little")
        if len(length) < 8 or head_bytes > min(size - 8, header.MOST_BYTES):
            raise FileFormatError("expected a safetensors file, got no length of its header")
        raw = file.read(head_bytes)
        _require_bytes(head_bytes, len(raw))
        entries, metadata = header.parse(raw, size - 8 - head_bytes)
        expected = metadata.pop(DIGEST, None)
        digest = hashlib.sha256(length)
        digest.update(raw if expected is None else _without_digest(raw, expected))
        tensors = {entry.name: _read(file, entry, digest) for entry in entries}
        if file.read(1):
            raise FileFormatError("expected a file that stays as it is while it is read")
        if expected not in (None, digest.hexdigest()):
            raise FileFormatError(
                f"expected a file with the digest {expected}, got {digest.hexdigest()}: it was "
                f"damaged, or changed by another program"
            )
        return Contents(tensors, metadata, verified=expected is not None)


@contextlib.contextmanager
def naming(path: Any) -> Iterator[None]:
    """Name the file in errors of its format."""
    try:
        yield
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error.__cause__


def _opened(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file; anything else might keep the reader waiting for ever."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(checked_path(path), flags)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"path: expected a file, got the folder {path}")
    raise FileFormatError("expected a regular file")


def _read(file: BinaryIO, entry: header.Entry, digest: Any) -> Array:
    array = np.empty(entry.shape, entry.dtype)
    data = _bytes(array)
    _require_bytes(len(data), file.readinto(data))  # type: ignore[attr-defined]
    digest.update(data)
    if entry.dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
        raise FileFormatError(f"{entry.name!r}: expected truth values of 0 or 1")
    return array.astype(entry.dtype.newbyteorder("="), copy=False)


def _require_bytes(expected: int, got: int) -> None:
    if got != expected:
        raise FileFormatError(f"expected {expected} bytes, got {got}: the file was cut off")


def _bytes(array: Array) -> memoryview:
    """Return the bytes of a contiguous array, in place."""
    data: Any = array.reshape(-1).view(np.uint8)
    return memoryview(data)


def _with_digest(head: bytes, digest: str) -> bytes:
    return head.replace(f'"{DIGEST}":"{ZEROS}"'.encode(), f'"{DIGEST}":"{digest}"'.encode())


def _without_digest(head: bytes, digest: str) -> bytes:
    """Return a header with zeros for its digest.

    Quotes within a text have a backslash before them, so none of them can look like it.
    """
    found = list(DIGEST_IN_HEADER.finditer(head))
    if len(found) != 1 or found[0][1].decode() != digest:
        raise FileFormatError("expected a digest of 64 hexadecimal digits")
    begin, end = found[0].span(1)
    return head[:begin] + ZEROS.encode() + head[end:]


def _texts(metadata: Mapping[str, str]) -> dict[str, str]:
    for name, text in metadata.items():
        if not (isinstance(name, str) and isinstance(text, str)):
            raise TypeError(f"metadata: expected texts by name, got {name!r}: {text!r}")
    if DIGEST in metadata:
        raise ValueError(f"metadata: expected another name than {DIGEST!r}")
    return dict(metadata)


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"tensors: expected texts as names, got {name!r}")
    if name == header.METADATA:
        raise ValueError(f"tensors: expected another name than {name!r}")
    return name


def _little_endian(name: str, array: Array) -> Array:
    """Return an array as its bytes stand in a file."""
    given = np.asarray(array)
    dtype = given.dtype.newbyteorder("<") if given.dtype.kind in "fiu" else given.dtype
    if dtype not in header.NAMES:
        raise TypeError(
            f"tensors[{name!r}]: expected booleans, integers or floats of at most 64 bits, "
            f"got dtype {given.dtype}"
        )
    return np.ascontiguousarray(given, dtype).reshape(given.shape)
