"""Files made by hand, for what no writer would write."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

ZEROS = "0" * 64


def packed(header: bytes | str | dict[str, Any], data: bytes = b"") -> bytes:
    """Return a file of a header, which may be anything, and data."""
    if isinstance(header, dict):
        header = json.dumps(header)
    raw = header.encode() if isinstance(header, str) else header
    return len(raw).to_bytes(8, "little") + raw + data


def opened(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header of a file as a tree, and its data."""
    end = 8 + int.from_bytes(raw[:8], "little")
    return json.loads(raw[8:end]), raw[end:]


def sealed(header: dict[str, Any], data: bytes) -> bytes:
    """Return a file with the digest that belongs to it: what a forger can do too."""
    header = json.loads(json.dumps(header))
    header.setdefault("__metadata__", {})["fastbp.sha256"] = ZEROS
    text = json.dumps(header, separators=(",", ":"))
    raw = packed(text, data)
    digest = hashlib.sha256(raw).hexdigest()
    return packed(text.replace(f'"fastbp.sha256":"{ZEROS}"', f'"fastbp.sha256":"{digest}"'), data)


def written(folder: Path, raw: bytes) -> Path:
    path = folder / "forged.safetensors"
    path.write_bytes(raw)
    return path
