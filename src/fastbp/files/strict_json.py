"""JSON, read strictly: no key twice, no numbers that are not finite, no integers past 64 bits."""

from __future__ import annotations

import json
import math
from typing import Any

from fastbp.exceptions import FileFormatError


def read(what: str, text: str) -> Any:
    """Return the value that a text stands for; `what` names it in errors."""
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_refuse,
        )
    except FileFormatError as error:
        raise FileFormatError(f"{what}: {error}") from None
    except RecursionError:
        raise FileFormatError(f"{what}: expected less deeply nested JSON") from None
    except ValueError as error:
        raise FileFormatError(f"{what}: expected JSON, got an error: {error}") from None


def write(what: str, value: Any) -> str:
    """Return a value as text, in ASCII, without spaces; ValueError if its text is not Unicode."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what}: expected Unicode text, got lone surrogates") from None
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        last = {key: place for place, (key, _) in enumerate(pairs)}
        twice = next(key for place, (key, _) in enumerate(pairs) if last[key] > place)
        raise FileFormatError(f"expected each key once, got {twice[:80]!r} twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise FileFormatError(f"expected integers of 64 bits, got {digits[:24]}")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise FileFormatError(f"expected finite numbers, got {digits[:24]}")
    return number


def _refuse(constant: str) -> Any:
    raise FileFormatError(f"expected finite numbers, got {constant}")
