"""Files: a network as C source."""

from __future__ import annotations

from fastbp.files.c_source import to_c

__all__ = ["to_c"]
