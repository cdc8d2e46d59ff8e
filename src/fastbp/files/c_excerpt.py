"""The definitions of the kernels' own C text that a program needs, and no others.

``c99`` links to the sources of the scalar kernels, which define every bit. They are formatted by
clang-format: a definition begins in the first column and ends there, or on the line it began.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterator

# In the order of an exported program. A later definition takes the place of one of the same name.
SOURCES = (
    "real.h", "scalar.h", "exported.h", "polynomials.inc.h", "math.inc.h", "activation.inc.h",
    "layers.h",
)  # fmt: skip

DEFINITION = re.compile(
    r"""
    (?: ^/\*(?:(?!\*/)[\s\S])*\*/\n )?                     # the comment before it
    ^(?: \#define\ (?:[^\n]*\\\n)*[^\n]*$
       | [^\s\#/}][^\n]*[;}](?:\ +/\*[^\n]*\*/)?$          # on one line
       | [^\s\#/}][^\n]*\n(?:(?!\})[^\n]*\n)*?\}[^\n]*$ )  # up to a brace in the first column
    """,
    re.MULTILINE | re.VERBOSE,
)
COMMENT = re.compile(r"/\*[\s\S]*?\*/")
STORAGE = re.compile(r"^static inline (__attribute__\(\(always_inline\)\) )?", re.MULTILINE)
NAME = re.compile(r"#define (\w+)|typedef [^;]*?(\w+);|(\w+)(?=[\[(])")
CONDITION = re.compile(r"#(?:el)?if FBP_REAL_BITS == (\d+)$")


def excerpt(wanted: set[str], bits: int) -> str:
    """Return the definitions of `wanted` names, and of all that these use, for reals of `bits`."""
    definitions: dict[str, str] = {}
    for source in SOURCES:
        text = (importlib.resources.files("fastbp.files") / "c99" / source).read_text("ascii")
        for definition in DEFINITION.findall(_for_precision(text, bits)):
            definition = STORAGE.sub("INLINE ", definition)
            definitions.pop(name := _name(definition), None)
            definitions[name] = definition
    needed = _closure(wanted, definitions)
    return "\n\n".join(text for name, text in definitions.items() if name in needed)


def _for_precision(text: str, bits: int) -> str:
    """Return the text for reals of `bits`, with an empty line for every condition and inclusion."""
    return "\n".join(_lines_for(text, bits))


def _lines_for(text: str, bits: int) -> Iterator[str]:
    chosen = True
    for line in text.splitlines():
        if condition := CONDITION.match(line):
            chosen = int(condition[1]) == bits
        elif line == "#else":
            chosen = not chosen
        elif line == "#endif":
            chosen = True
        elif chosen and not line.startswith(("#if", "#include", "#error")):
            yield line
            continue
        yield ""


def _name(definition: str) -> str:
    """Return the name that a definition defines."""
    match = NAME.search(COMMENT.sub("", definition))
    assert match, definition
    return next(filter(None, match.groups()))


def _closure(wanted: set[str], definitions: dict[str, str]) -> set[str]:
    """Return `wanted` and the names of all definitions that they use, however far down."""
    needed: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in needed and name in definitions:
            needed.add(name)
            waiting += re.findall(r"\w+", COMMENT.sub("", definitions[name]))
    return needed
