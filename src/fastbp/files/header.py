"""The header of a safetensors file: where each array stands, checked before any of it is used."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fastbp.engine import Array
from fastbp.exceptions import FileFormatError
from fastbp.files import strict_json

# What a header may come to: a thousand layers need less than one of these eight.
MOST_BYTES = 8 << 20
MOST_AXES = 32
METADATA = "__metadata__"

DTYPES = {
    name: np.dtype(code)
    for name, code in {
        "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2",
        "U32": "<u4", "I32": "<i4", "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8",
    }.items()
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Entry(NamedTuple):
    """One array: its name and form, and its bytes, counted from the end of the header."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def form(self) -> Array:
        """An array of its shape and dtype, in native byte order, that takes no memory."""
        return np.broadcast_to(np.empty((), self.dtype.newbyteorder("=")), self.shape)


class Header(NamedTuple):
    """What a file holds: its arrays in the order of their bytes, and texts by name."""

    entries: tuple[Entry, ...]
    metadata: dict[str, str]


def dump(entries: tuple[Entry, ...], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a header, padded so that data begin at a multiple of 8."""
    tree: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    for entry in entries:
        tree[entry.name] = {
            "dtype": NAMES[entry.dtype],
            "shape": entry.shape,
            "data_offsets": (entry.begin, entry.end),
        }
    text = strict_json.write("header", tree).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MOST_BYTES:
        raise ValueError(
            f"metadata: expected a header of at most {MOST_BYTES} bytes, got {len(text)}"
        )
    return text


def parse(raw: bytes, data_bytes: int) -> Header:
    """Return what a header says, if it accounts for each of `data_bytes` bytes once."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise FileFormatError(f"header: expected UTF-8, got {error}") from None
    tree = strict_json.read("header", text)
    if not (text.startswith("{") and isinstance(tree, dict)):
        raise FileFormatError("header: expected a JSON object")
    metadata = _metadata(tree.pop(METADATA, {}))
    entries = sorted(map(_entry, tree, tree.values()), key=lambda entry: entry[3:])
    end = 0
    for entry in entries:
        if entry.begin != end:
            raise FileFormatError(
                f"{entry.name!r}: expected data from byte {end} on, without gap or overlap, "
                f"got {entry.begin}"
            )
        end = entry.end
    if end != data_bytes:
        raise FileFormatError(f"header: expected arrays of {data_bytes} bytes, got {end}")
    return Header(tuple(entries), metadata)


def _metadata(tree: Any) -> dict[str, str]:
    if not (isinstance(tree, dict) and all(isinstance(text, str) for text in tree.values())):
        raise FileFormatError(f"header: expected texts in {METADATA}")
    return tree


def _entry(name: str, tree: Any) -> Entry:
    if not isinstance(tree, dict) or tree.keys() != {"dtype", "shape", "data_offsets"}:
        raise FileFormatError(f"{name!r}: expected dtype, shape and data_offsets")
    dtype, shape, offsets = tree["dtype"], tree["shape"], tree["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        known = ", ".join(DTYPES)
        raise FileFormatError(f"{name!r}: expected a dtype of {known}, got {str(dtype)[:24]!r}")
    if not (_are_sizes(shape, MOST_AXES) and _are_sizes(offsets, 2) and len(offsets) == 2):
        raise FileFormatError(
            f"{name!r}: expected at most {MOST_AXES} sizes in shape, and two in data_offsets"
        )
    needs = math.prod(shape) * DTYPES[dtype].itemsize
    span = math.prod(filter(None, shape)) * DTYPES[dtype].itemsize  # as if no axis were empty
    if span > sys.maxsize:
        raise FileFormatError(f"{name!r}: expected a shape of this machine, got {shape}")
    begin, end = offsets
    if end - begin != needs:
        raise FileFormatError(
            f"{name!r}: expected {needs} bytes for {dtype} of shape {shape}, got {end - begin}"
        )
    return Entry(name, DTYPES[dtype], tuple(shape), begin, end)


def _are_sizes(tree: Any, most: int) -> bool:
    """Whether it is a list of at most so many sizes."""
    is_short = isinstance(tree, list) and len(tree) <= most
    return is_short and all(type(size) is int and size >= 0 for size in tree)
