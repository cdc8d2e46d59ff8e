"""Builds the compiled core. All else about the package stands in pyproject.toml.

Environment variables, for developers:

FASTBP_DEBUG=1      no optimisation, debug information, Cython's bounds checks
FASTBP_SANITIZE=    address, undefined or thread
FASTBP_COVERAGE=1   counters for gcov, lines counted in the .pyx files
FASTBP_OPENMP=0     one thread, as on a machine whose compiler lacks OpenMP
"""

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError
from setuptools.modified import newer_group

DEBUG = os.environ.get("FASTBP_DEBUG") == "1"
SANITIZE = os.environ.get("FASTBP_SANITIZE")
COVERAGE = os.environ.get("FASTBP_COVERAGE") == "1"
OPENMP = os.environ.get("FASTBP_OPENMP") != "0"

# One result on every machine: no contraction of a * b + c, nothing of -ffast-math but what leaves
# results alone. -g0 undoes the -g of Python's own flags, which would triple the wheel.
FLAGS = ["-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
FLAGS += ["-fvisibility=hidden", "-Wall", "-Wextra"]
FLAGS += ["-O0", "-g", "-UNDEBUG"] if DEBUG else ["-O3", "-g" if SANITIZE or COVERAGE else "-g0"]
FLAGS += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer"] if SANITIZE else []
FLAGS += ["--coverage"] if COVERAGE else []
CYTHON_FLAGS = ["-Wno-unused-parameter", "-Wno-unused-function", "-Wno-missing-field-initializers"]
CYTHON_FLAGS += ["-Wno-sign-compare", "-Wno-discarded-qualifiers"]
# Modules that run once or a few times a fit, and are large: for size, or the wheel passes 2 MB.
SMALL = ("feeding", "program", "recording", "watch", "workspace")

DIRECTIVES = {
    "language_level": 3,
    "binding": True,
    "boundscheck": DEBUG,
    "cdivision": True,
    "embedsignature": True,
    "freethreading_compatible": True,
    "wraparound": False,
}


class InstructionSet(NamedTuple):
    """A kernel table: its name, its source in csrc/kernels, its flags and where it can be built."""

    name: str
    source: str
    flags: tuple[str, ...] = ()
    condition: str = "1"


INSTRUCTION_SETS = (
    InstructionSet("scalar", "isa_scalar.c"),
    InstructionSet("scalar_fma", "isa_scalar.c", ("-mavx2", "-mfma"), "defined __x86_64__"),
    InstructionSet("avx2", "isa_avx2.c", ("-mavx2", "-mfma"), "defined __x86_64__"),
    InstructionSet("avx512", "isa_avx512.c", ("-mavx512f",), "defined __x86_64__"),
    InstructionSet("neon", "isa_neon.c", (), "defined __aarch64__"),
)

DEPENDS = ["setup.py", *sorted(str(path) for path in Path("csrc").rglob("*.[ch]"))]
LINKED_WITH_C = "fastbp._core.training"  # one dispatch state and one fork handler


def extension(path: Path) -> Extension:
    """Return the extension module of a .pyx file below src."""
    name = ".".join(path.relative_to("src").with_suffix("").parts)
    return Extension(name, [str(path)], include_dirs=["csrc"])


class BuildCore(build_ext):
    """Compiles the C units, each with its flags, and gives them to the one module that links them.

    As many compilers run at a time as there are processors. Objects are made anew when flags have
    changed since the last build in the same place.
    """

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count() or 1

    def build_extensions(self) -> None:
        openmp = ["-fopenmp"] if OPENMP and self.builds("#include <omp.h>", ["-fopenmp"]) else []
        self.flags = [*FLAGS, *openmp]
        self.link_flags = [flag for flag in self.flags if flag.startswith(("-f", "--cov"))]
        if "-g0" in self.flags:
            self.link_flags.append("-Wl,--strip-all")
        self.defines = [("FBP_OPENMP", str(len(openmp)))]
        stamp = Path(self.build_temp, "flags")
        current = stamp.exists() and stamp.read_text() == " ".join(self.flags)
        self.force = bool(self.force) or not current
        self.extensions = [self.prepared(ext) for ext in self.extensions]
        super().build_extensions()
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(" ".join(self.flags))

    def prepared(self, ext: Extension) -> Extension:
        """Translate a module to C, and say how to compile and link it."""
        (translated,) = cythonize(
            [ext],
            include_path=["src"],
            build_dir=self.build_temp,
            compiler_directives=DIRECTIVES,
            emit_linenums=COVERAGE,
            force=self.force,
        )
        ext.sources = translated.sources
        ext.depends = DEPENDS
        ext.define_macros = self.defines
        ext.extra_compile_args = [*self.flags, *CYTHON_FLAGS]
        if ext.name.endswith(SMALL) and not DEBUG:
            ext.extra_compile_args.append("-Os")
        ext.extra_link_args = self.link_flags
        if ext.name == LINKED_WITH_C:
            ext.extra_objects = self.compile_c()
        return ext

    def compile_c(self) -> list[str]:
        """Compile csrc and return the object files."""
        sets = [
            isa
            for isa in INSTRUCTION_SETS
            if self.builds(f"#if !({isa.condition})\n#error\n#endif", isa.flags)
        ]
        defines = [("FBP_BUILD_SWITCHES", '"{}"'.format(" ".join(self.flags)))]
        defines += [(f"FBP_HAVE_{isa.name.upper()}", "1") for isa in sets]
        units = [(f"csrc/{name}.c", defines, (), "") for name in ("dispatch", "threads")]
        for isa in sets:
            for bits in ("32", "64"):
                defines = [("FBP_ISA", isa.name), ("FBP_REAL_BITS", bits)]
                units.append((f"csrc/kernels/{isa.source}", defines, isa.flags, isa.name + bits))
        with ThreadPoolExecutor(self.parallel) as compilers:
            return list(compilers.map(lambda unit: self.compile_unit(*unit), units))

    def compile_unit(
        self,
        source: str,
        defines: list[tuple[str, str]],
        flags: tuple[str, ...] = (),
        folder: str = "",
    ) -> str:
        """Compile a C file, unless nothing has changed since, and return the object file."""
        output = os.path.join(self.build_temp, folder)
        (target,) = self.compiler.object_filenames([source], output_dir=output)
        if self.force or newer_group(DEPENDS, target):
            self.compiler.compile(
                [source],
                output_dir=output,
                macros=[*self.defines, *defines],
                include_dirs=["csrc"],
                extra_postargs=[*self.flags, *flags],
            )
        return target

    def builds(self, code: str, flags: list[str] | tuple[str, ...]) -> bool:
        """Whether a program that begins with `code` compiles and links with `flags`."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(f"{code}\nint main(void) {{ return 0; }}\n")
            try:
                (target,) = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=list(flags)
                )
                self.compiler.link_executable(
                    [target], "probe", output_dir=folder, extra_postargs=list(flags)
                )
            except CCompilerError:
                return False
            return True


setup(
    ext_modules=[extension(path) for path in sorted(Path("src/fastbp/_core").glob("*.pyx"))],
    cmdclass={"build_ext": BuildCore},
)
