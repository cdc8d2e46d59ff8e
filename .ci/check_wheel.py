"""Check a wheel: under 2 MB, no sources but those of C export; the core with all tables, typing."""

import sys
import zipfile
from pathlib import Path

MOST_BYTES = 2_000_000
SOURCES = (".pyx", ".pxd", ".c", ".h")
EXPORTED = "fastbp/files/c99/"
REQUIRED = (
    "fastbp/py.typed",
    "fastbp/_core/training.pyi",
    "fastbp/datasets/digits.idx.gz",
    f"{EXPORTED}layers.h",
    f"{EXPORTED}math.inc.h",
)
TABLES = {
    "x86_64": (b"scalar", b"scalar_fma", b"avx2", b"avx512"),
    "aarch64": (b"scalar", b"neon"),
}


def core_problems(core: bytes) -> list[str]:
    """Return which kernel tables are not in the core: their names stand there as C strings."""
    machines = [tables for machine, tables in TABLES.items() if wheel.stem.endswith(machine)]
    wanted = [table for tables in machines for table in tables]
    return [f"lacks the table {t.decode()}" for t in wanted if b"\0" + t + b"\0" not in core]


wheel = Path(sys.argv[1])
archive = zipfile.ZipFile(wheel)
names = archive.namelist()
sources = [name for name in names if name.endswith(SOURCES)]
problems = [f"holds {name}" for name in sources if not name.startswith(EXPORTED)]
problems += [f"lacks {name}" for name in REQUIRED if name not in names]
cores = [n for n in names if n.startswith("fastbp/_core/training.") and n.endswith(".so")]
problems += core_problems(archive.read(cores[0])) if cores else ["lacks the compiled core"]
if wheel.stat().st_size >= MOST_BYTES:
    problems.append(f"has {wheel.stat().st_size} bytes, {MOST_BYTES} or more")
if problems:
    sys.exit("\n".join(f"{wheel.name} {problem}" for problem in problems))
print(f"{wheel.name}: {wheel.stat().st_size} bytes, {len(names)} files")
