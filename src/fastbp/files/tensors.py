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
from collections.abc import Iterable, Iterator, Mapping
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

    No more memory is taken than the file is long, and a header of at most 8 MiB needs. The header
    is checked before any array is read: gaps, overlaps and keys that come twice are refused, and
    then a wrong digest.

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
    with opened(path) as file:
        tensors = file.read(file.forms)
        file.require_whole()
        return Contents(tensors, file.metadata, verified=file.has_digest)


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[TensorFile]:
    """Open a safetensors file; errors of its format name it."""
    try:
        with _regular(path) as file:
            yield TensorFile(file)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error.__cause__


class TensorFile:
    """A file whose header has been read and checked; its arrays are read when they are asked for.

    Attributes
    ----------
    forms : dict of str to ndarray
        For each array one of its shape and dtype that takes no memory, in the order of the file.
    metadata : dict of str to str
        The texts beside them, without the digest.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = _size(file)
        length = file.read(8)
        head_bytes = int.from_bytes(length, "little")
        if len(length) < 8 or head_bytes > min(self._size - 8, header.MOST_BYTES):
            raise FileFormatError("expected a safetensors file, got no length of its header")
        raw = file.read(head_bytes)
        _require_bytes(head_bytes, len(raw))
        self._head, self._begin = length + raw, 8 + head_bytes
        entries, self.metadata = header.parse(raw, self._size - self._begin)
        self._expected = self.metadata.pop(DIGEST, None)
        self._entries = {entry.name: entry for entry in entries}
        self._arrays: dict[str, Array] = {}
        self.forms = {entry.name: entry.form for entry in entries}

    @property
    def has_digest(self) -> bool:
        """Whether there is a digest."""
        return self._expected is not None

    def read(self, names: Iterable[str]) -> dict[str, Array]:
        """Return arrays by their names, in native byte order."""
        return {
            name: self._array(name).astype(self.forms[name].dtype, copy=False) for name in names
        }

    def _array(self, name: str) -> Array:
        """Return an array as it stands in the file, of which no byte is read twice."""
        if name not in self._arrays:
            entry = self._entries[name]
            self._file.seek(self._begin + entry.begin)
            self._arrays[name] = _read(self._file, entry)
        return self._arrays[name]

    def require_whole(self) -> None:
        """Refuse a file that is not what its digest says, or has grown; reads what was not read."""
        expected, head = self._expected, self._head
        digest = hashlib.sha256(head if expected is None else _without_digest(head, expected))
        for name in self._entries:
            digest.update(_bytes(self._array(name)))
        if _size(self._file) != self._size:
            raise FileFormatError("expected a file that stays as it is while it is read")
        if expected not in (None, digest.hexdigest()):
            raise FileFormatError(
                f"expected a file with the digest {expected}, got {digest.hexdigest()}: it was "
                f"damaged, or changed by another program"
            )


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _regular(path: str | os.PathLike[str]) -> BinaryIO:
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


def _read(file: BinaryIO, entry: header.Entry) -> Array:
    array = np.empty(entry.shape, entry.dtype)
    data = _bytes(array)
    _require_bytes(len(data), file.readinto(data))  # type: ignore[attr-defined]
    if entry.dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
        raise FileFormatError(f"{entry.name!r}: expected truth values of 0 or 1")
    return array


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
