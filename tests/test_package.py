"""The package as a whole: who imports whom, what an import loads, what is pinned where."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fastbp

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"

# From the ground up. A module imports from its own floor and those below it.
FLOORS = (
    "_version exceptions validate description several tensors "
    "activations constraints initializers layers losses metrics optimizers regularizers schedules",
    "graph plan watch lowering engine random arena measures calls custom memory",
    "_core reference.*",
    "arrays targets row_weights data items wanted mapped sources prefetch batches streams "
    "arguments parameters bound occupancy summary state history progress callbacks callbacks.* "
    "lbfgs fitting row_order network",
    "__init__",
    "reference datasets datasets.* files files.* plotting",
    "insight insight.* demo mlp sklearn sklearn.* bench bench.* cli __main__",
)
# Forwards from a method to a room above, imported when called.
LAZY = {("history", "plotting"), ("network", "insight"), ("state", "files")}
# What the top floor may use: public modules.
PUBLIC = {
    "__init__",
    "reference",
    "data",
    "datasets",
    "graph",
    "plotting",
    "progress",
    "random",
    "callbacks",
    "engine",
    "state",
    "watch",
}
PUBLIC |= {*FLOORS[0].split()}


def floor(module):
    """Return the floor of a module such as "network" or "bench.table"."""
    parts = module.split(".")
    for room in (module, f"{parts[0]}.*", parts[0] if parts[0] == "_core" else None):
        for level, rooms in enumerate(FLOORS):
            if room in rooms.split():
                return level
    pytest.fail(f"{module} has no place in FLOORS")


def module_name(path):
    parts = path.relative_to(SOURCE / "fastbp").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def python_imports(path):
    """Return the (module, name) pairs that a Python file imports, name None for `import module`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            yield from ((node.module, alias.name) for alias in node.names)


def cython_imports(path):
    """Return the (module, name) pairs that a Cython file imports or cimports."""
    for module, names in re.findall(r"^\s*from (\S+) c?import (.+)$", path.read_text(), re.M):
        yield from ((module, name.strip(" ()")) for name in names.split(","))
    for module in re.findall(r"^\s*c?import (\S+)", path.read_text(), re.M):
        yield module, None


def imports(path):
    """Return the modules of fastbp that a file imports."""
    found = python_imports(path) if path.suffix == ".py" else cython_imports(path)
    for module, name in found:
        if module.split(".")[0] != "fastbp":
            continue
        inside = ".".join(filter(None, [*module.split(".")[1:], name]))
        file = SOURCE / "fastbp" / inside.replace(".", "/")
        is_module = file.is_dir() or any(file.parent.glob(f"{file.name}.p*"))
        yield inside if is_module and inside else inside.rpartition(".")[0] or "__init__"


EDGES = {
    (module_name(path), target)
    for suffix in ("py", "pyx", "pxd")
    for path in (SOURCE / "fastbp").rglob(f"*.{suffix}")
    for target in imports(path)
}


def test_modules_import_from_their_own_floor_and_below():
    upward = {(a, b) for a, b in EDGES if floor(b) > floor(a)}
    assert upward <= LAZY


def test_engines_do_not_import_each_other():
    engines = [(a.split(".")[0], b.split(".")[0]) for a, b in EDGES if floor(a) == floor(b) == 2]
    assert engines
    assert all(a == b for a, b in engines)


def test_commands_use_public_modules_only():
    top = [(a, b) for a, b in EDGES if floor(a) == len(FLOORS) - 1 > floor(b)]
    assert top
    assert {b.split(".")[0] for _, b in top} <= PUBLIC


def loaded_by(statement):
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_import_loads_numpy_and_the_core_and_nothing_else():
    loaded = loaded_by("import fastbp") - loaded_by("import numpy")
    others = {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names}
    assert "fastbp.network" in others
    # Cython registers a module of its own for the types that its modules share.
    others = {name for name in others if not re.match(r"(fastbp|numpy|_?cython_)", name)}
    assert others == set()
    upstairs = {name for name in loaded if name.startswith("fastbp.")}
    assert {name for name in upstairs if floor(name.removeprefix("fastbp.")) > 4} == set()


def test_metadata_has_the_version_of_the_module():
    try:
        version = importlib.metadata.version("fastbp")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("fastbp is not installed")
    assert version == fastbp.__version__


def test_pre_commit_and_ci_pin_the_same_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = dict(line.split("==") for line in project["dependency-groups"]["lint"] if "==" in line)
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    repositories = re.findall(r"repo: \S+/(\S+)\n\s+rev: v(\S+)", hooks)
    names = {re.sub("^mirrors-|-pre-commit$", "", name): rev for name, rev in repositories}
    assert names == {name: pinned[name] for name in names}
    assert set(names) == {"clang-format", "cython-lint", "mypy", "ruff"}
