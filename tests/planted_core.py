"""A copy of the compiled core with errors in it, one of which an environment variable wakes.

    python tests/planted_core.py PLACE...

prints, as JSON, which checks of `gradient_check` fail with an error of one in a million at each
place, which of FITS run in one kernel, and where the core was loaded from.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VARIABLE = "FASTBP_PLANTED"

# Place -> module, how a statement in it begins, and a line to put behind it (before, if it has a
# block). wrong(name) is 1 + 1e-6 if the variable is set to that name, else 1.
SCALE = "plan.kernels.scale"
PLACES = {
    "forward": (
        "activation",
        "dense_forward(",
        f'{SCALE}(rows * op.n_out, wrong(b"forward"), z, z)',
    ),
    "delta": (
        "delta",
        "input_gradient(",
        f'{SCALE}(rows * op.n_in, wrong(b"delta"), dx, dx)',
    ),
    "activation's derivative": (
        "delta",
        "backward_activation(",
        f'{SCALE}(n, wrong(b"activation\'s derivative"), delta, delta)',
    ),
    "weight gradient": (
        "delta",
        "weights_gradient(",
        f'{SCALE}(op.n_out, wrong(b"weight gradient"), to.weights, to.weights)',
    ),
    "bias gradient": (
        "delta",
        "biases_gradient(",
        f'{SCALE}(op.n_out, wrong(b"bias gradient"), to.biases, to.biases)',
    ),
    "narrow weight gradient": (
        "delta",
        "plan.kernels.narrow_sum(",
        f'{SCALE}(op.n_in * op.n_out, wrong(b"narrow weight gradient"), chains, chains)',
    ),
    "narrow bias gradient": (
        "delta",
        "fold(plan, lanes, weights,",
        f'{SCALE}(weights + op.n_out, wrong(b"narrow bias gradient"), lanes, <char *>lanes)',
    ),
    "forward in lanes": (
        "narrow",
        "plan.kernels.narrow_forward(",
        f'{SCALE}(rows * last.n_out, wrong(b"forward in lanes"), y, y)',
    ),
    "gradient in lanes": (
        "narrow",
        "plan.kernels.narrow_backward(",
        f'{SCALE}(ops.n_in * ops.n_out, wrong(b"gradient in lanes"), lanes, lanes)',
    ),
    "sum over slots": (
        "update",
        "for s from ",
        f'{SCALE}(n, wrong(b"sum over slots"), others, others)',
    ),
    "fit in one kernel": (
        "repeat",
        "gather(&run, t.data.x",
        f'{SCALE}(run.rows * plan.sizes[0], wrong(b"fit in one kernel"), x, x)',
    ),
    "update": (
        "update",
        "k[i] =",
        'k[i] *= wrong(b"update")',
    ),
    "update by Adam": (
        "update",
        "k[0] = c[0] / (1.0",
        'k[0] *= wrong(b"update by Adam")',
    ),
}
WRONG = f'''

from libc.stdlib cimport getenv
from libc.string cimport strcmp


cdef double wrong(const char *place) noexcept nogil:
    cdef const char *planted = getenv("{VARIABLE}")
    return 1.000001 if planted != NULL and strcmp(planted, place) == 0 else 1.0
'''


def plant(module: str, source: str) -> str:
    """Return the source of a module with all errors that belong there."""
    lines = source.splitlines()
    for place, (where, beginning, error) in PLACES.items():
        if where != module:
            continue
        found = [i for i, line in enumerate(lines) if line.strip().startswith(beginning)]
        assert len(found) == 1, f"{place}: expected {beginning!r} once in {module}.pyx"
        start, stop = found[0], found[0] + 1
        indent = lines[start][: -len(lines[start].lstrip())]
        while (statement := "".join(lines[start:stop])).count("(") > statement.count(")"):
            stop += 1
        lines.insert(start if statement.endswith(":") else stop, indent + error)
    return "\n".join(lines) + WRONG


def build(package: Path, folder: Path) -> Path:
    """Copy an installed fastbp, compile the modules anew that hold errors; return its parent."""
    modules = {module for module, _, _ in PLACES.values()}
    compiled = [f"{module}.*" for module in modules]
    shutil.copytree(
        package, folder / "src" / "fastbp", ignore=shutil.ignore_patterns("*.pyx", *compiled)
    )
    core, sources = folder / "src" / "fastbp" / "_core", ROOT / "src" / "fastbp" / "_core"
    for path in sources.glob("*.pxd"):
        shutil.copy(path, core)
    for module in modules:
        planted = plant(module, (sources / f"{module}.pyx").read_text())
        (core / f"{module}.pyx").write_text(planted)
    shutil.copy(ROOT / "setup.py", folder)
    shutil.copytree(ROOT / "csrc", folder / "csrc")
    command = [sys.executable, "setup.py", "build_ext", "--build-lib", "src"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "src"


def main(places: list[str]) -> None:
    """Print the failures with each error awake."""
    import fastbp._core.delta
    from fits_in_one_kernel import FITS, fits
    from gradient_check import failures

    failed = {}
    for place in places:
        os.environ[VARIABLE] = place
        failed[place] = sorted(failures(fastbp.Network))
    os.environ[VARIABLE] = "fit in one kernel"
    repeating = []
    for name, (given, fields) in FITS.items():
        repeated, general = fits(*given, **fields)
        repeating += [name] if repeated != general else []
    print(
        json.dumps({"core": fastbp._core.delta.__file__, "failed": failed, "repeating": repeating})
    )


if __name__ == "__main__":
    main(sys.argv[1:])
