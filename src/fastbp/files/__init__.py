"""Files: networks and arrays in the safetensors format, read strictly and written whole.

`Network.save` and `Network.load` keep a network; `read_tensors` and `write_tensors` exchange arrays
with other programs. ``docs/files.md`` describes the format.
"""

from __future__ import annotations

from fastbp.exceptions import FileFormatError
from fastbp.files.network import load, save
from fastbp.files.tensors import read_tensors, write_tensors

__all__ = ["FileFormatError", "load", "read_tensors", "save", "write_tensors"]
