"""Check a wheel: under 2 MB, no sources of the core, the core and the typing files inside."""

import sys
import zipfile
from pathlib import Path

MOST_BYTES = 2_000_000
SOURCES = (".pyx", ".pxd", ".c", ".h")
REQUIRED = ("fastbp/py.typed", "fastbp/_core/training.pyi", "fastbp/datasets/digits.idx.gz")

wheel = Path(sys.argv[1])
names = zipfile.ZipFile(wheel).namelist()
problems = [f"holds {name}" for name in names if name.endswith(SOURCES)]
problems += [f"lacks {name}" for name in REQUIRED if name not in names]
if not any(name.startswith("fastbp/_core/training.") and name.endswith(".so") for name in names):
    problems.append("lacks the compiled core")
if wheel.stat().st_size >= MOST_BYTES:
    problems.append(f"has {wheel.stat().st_size} bytes, {MOST_BYTES} or more")
if problems:
    sys.exit("\n".join(f"{wheel.name} {problem}" for problem in problems))
print(f"{wheel.name}: {wheel.stat().st_size} bytes, {len(names)} files")
