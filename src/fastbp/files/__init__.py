"""Files: networks and arrays in the safetensors format, and networks as C source.

`Network.save` and `Network.load` keep a network; `read_tensors` and `write_tensors` exchange arrays
with other programs; `to_c` writes C99. ``docs/files.md`` and ``docs/c-source.md`` describe both.
"""

from __future__ import annotations

from fastbp.exceptions import FileFormatError
from fastbp.files.c_source import to_c
from fastbp.files.network import load, save
from fastbp.files.tensors import read_tensors, write_tensors

__all__ = ["FileFormatError", "load", "read_tensors", "save", "to_c", "write_tensors"]
