"""A network as C99 source: `to_c`. ``docs/c-source.md`` describes what it writes."""

from __future__ import annotations

import math
import os
import re
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fastbp._version import __version__
from fastbp.activations import ACTIVATIONS
from fastbp.files.c_excerpt import excerpt
from fastbp.files.c_program import array_name, literal, program
from fastbp.files.whole import checked_path, write_whole
from fastbp.plan import Op, Parameter, Plan
from fastbp.state import NetworkState

if TYPE_CHECKING:
    from fastbp.engine import Array
    from fastbp.network import Network

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
MOST_LETTERS = 63 - len("_predict")  # of an identifier that every compiler tells from others
OTHERS = re.compile(r"\W", re.ASCII)  # which a name of one's own may have: the end of a comment
FILE = re.compile(r"[\w .+-]+", re.ASCII)
BITS = {"float": 32, "double": 64}
PER_LINE = 6
STACK = 500  # bytes beside the buffers, about
WIDTH = 100

ABOUT = """\
computes {outputs}, from {inputs}, with the bits of net.predict. No output may overlap another \
array. It keeps no state, so that threads may call it at the same time, and allocates nothing; it \
takes about {stack} bytes of the stack. Compile {stem}.c with"""

HEADER = """\
/* {title}
 *
{quoted}
 *
{about}
 *
 *     cc -std=c99 -O2 -ffp-contract=off -mavx2 -mfma -c {stem}.c
 *
 * on x86 (-mavx2 -mfma: for processors from 2013 on; without them the same bits, many times
 * slower), elsewhere without these two, and link with -lm. Never with -ffast-math, -Ofast or
 * flags that they are made of, such as -fassociative-math.
 */
#ifndef {guard}_H
#define {guard}_H

{sizes}

#ifdef __cplusplus
extern "C" {{
#endif

{declared}

#ifdef __cplusplus
}}
#endif

#endif
"""

PREAMBLE = """\
/* {title} See {stem}.h. */
#include "{stem}.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Every operation rounds once, as written: that makes the bits the same everywhere. */
#if defined __FAST_MATH__ || (defined __FINITE_MATH_ONLY__ && __FINITE_MATH_ONLY__) || \\
    defined __ASSOCIATIVE_MATH__ || defined __RECIPROCAL_MATH__ || defined __NO_SIGNED_ZEROS__
#error "compile without -ffast-math and the flags that it is made of"
#endif
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "compile with -msse2 -mfpmath=sse, which round each operation"
#endif
/* Constants of the arrays below have the precision that they are written for. */
typedef char without_fsingle_precision_constant[sizeof {one} == sizeof({real}) ? 1 : -1];
#if defined __clang__ || !defined __GNUC__
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off", "no-trapping-math")
#endif

#if defined __GNUC__
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

"""


def to_c(network: Network, path: str | os.PathLike[str], name: str | None = None) -> None:
    """Write a network as C99 source and its header: ``model.c`` and ``model.h``.

    The source needs no other library than C's own, of which it calls `fma` or `fmaf`, allocates
    nothing and is reentrant. ``void NAME_predict(const float *x, float *y)``, with double for a
    network of float64, gives one row the bits of `Network.predict`. A network of several inputs or
    outputs has a pointer for each, in their order: ``const float *x_0, const float *x_1, float
    *y_0, float *y_1``.

    Parameters
    ----------
    network : Network
        A network whose sizes are known.
    path : str or path
        Where to write the source; ends in ".c". The header goes beside it.
    name : str, optional
        What the names of the header begin with: letters, digits and _, a letter first. Left out,
        that of the file.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind; if there is no C source for a part of the network; if a
        parameter is not finite.
    RuntimeError
        If the network has no `input_shape` and was never fitted.
    OSError
        If a file can't be written; what was there stays.

    Notes
    -----
    Each of the two files is replaced as a whole, the header last. C99 can't set the modes in which
    subnormal numbers count as zero. The source flushes parameters, products and quotients by hand;
    inputs, growing sums and elu that come below the smallest normal number (1.2e-38 in float32)
    without being 0 may give other bits, unless the caller has set those modes.
    """
    source, called = _names(path, name)
    text = _Source(called, *_contents(network))
    stem = os.path.basename(source)[:-2]
    write_whole(source, (part.encode("ascii") for part in text.source(stem)))
    write_whole(f"{source[:-2]}.h", [text.header(stem).encode("ascii")])


def _names(path: str | os.PathLike[str], name: str | None) -> tuple[str, str]:
    """Return the source's path and what names begin with."""
    source = checked_path(path)
    stem, suffix = os.path.splitext(os.path.basename(source))
    if suffix != ".c" or not FILE.fullmatch(stem):
        raise ValueError(
            f"path: expected a name of letters, digits, spaces and ._+- that ends in .c, "
            f"got {source!r}"
        )
    called = stem if name is None else name
    if not isinstance(called, str):
        raise TypeError(f"name: expected a str, got {type(called).__name__} {called!r}")
    if not NAME.fullmatch(called) or len(called) > MOST_LETTERS:
        raise ValueError(
            f"name: expected at most {MOST_LETTERS} letters, digits and _, a letter first, "
            f"got {called!r}"
        )
    return source, called


def _contents(network: Network) -> tuple[Plan, dict[str, Array]]:
    """Return what a network computes, if there is C for it, and its parameters."""
    if not isinstance(network, NetworkState):
        raise TypeError(f"network: expected a Network, got {type(network).__name__} {network!r}")
    plan = network.plan
    for op in plan.ops:
        _require_source(op)
    parameters = {name: values.copy() for name, values in network.named_parameters().items()}
    for name, values in parameters.items():
        if not np.isfinite(values).all():
            raise ValueError(f"network: expected finite parameters, got others in {name}")
    return plan, parameters


def _require_source(op: Op) -> None:
    """Refuse an operation that has no C source."""
    if op.calls or ACTIVATIONS.get(op.activation.name) is not type(op.activation):
        kind = op.kind if op.calls else op.activation.name
        raise ValueError(f"network: expected layers that have C source, got {kind!r}")


class _Source:
    """A network's C source in the making."""

    def __init__(self, name: str, plan: Plan, parameters: dict[str, Array]) -> None:
        self.name, self.plan, self.parameters = name, plan, parameters
        self.real = "float" if plan.dtype == "float32" else "double"
        self.inputs = _numbered("x", [math.prod(shape) for shape in plan.inputs])
        self.outputs = _numbered("y", [math.prod(output.shape) for output in plan.outputs])
        self.program = program(plan, self.inputs, self.outputs)
        arguments = [f"const {self.real} *{x}" for x in self.inputs]
        arguments += [f"{self.real} *{y}" for y in self.outputs]
        self.function = f"void {name}_predict({', '.join(arguments)})"

    def header(self, stem: str) -> str:
        """Return the text of the header of the source `stem`.c."""
        itemsize = np.dtype(self.plan.dtype).itemsize
        about = ABOUT.format(
            outputs=", ".join(self._described_outputs()),
            inputs=", ".join(f"{x} ({size} inputs)" for x, size in self.inputs.items()),
            stack=STACK + sum(self.program.buffers.values()) * itemsize,
            stem=stem,
        )
        return HEADER.format(
            title=self._title(),
            stem=stem,
            guard=self.name,
            quoted=_wrapped(f"{self.function};", " * ", 8),
            about=_wrapped(about, " * "),
            sizes="\n".join(self._sizes()),
            declared=_wrapped(f"{self.function};", "", 8),
        )

    def _described_outputs(self) -> Iterator[str]:
        """Yield what each output is; of several, whose."""
        several = len(self.outputs) > 1
        for (y, size), output in zip(self.outputs.items(), self.plan.outputs, strict=True):
            whose = f" of {OTHERS.sub('_', output.name)}" if several else ""
            yield f"{y} ({size} outputs{whose})"

    def _sizes(self) -> Iterator[str]:
        """Yield the definition of the size of each input and output."""
        sizes = {f"INPUTS{x[1:]}": size for x, size in self.inputs.items()}
        sizes |= {f"OUTPUTS{y[1:]}": size for y, size in self.outputs.items()}
        longest = max(map(len, sizes))
        for array, size in sizes.items():
            yield f"#define {self.name}_{array.ljust(longest)} {size}"

    def source(self, stem: str) -> Iterator[str]:
        """Yield the text of the source, which includes `stem`.h, in pieces."""
        one = literal(1, self.plan.dtype)
        yield PREAMBLE.format(title=self._title(), stem=stem, real=self.real, one=one)
        used = {"real", *re.findall(r"\w+", " ".join(self.program.lines))}
        yield excerpt(used, BITS[self.real])
        for parameter in self.plan.parameters:
            if array_name(parameter) in used:
                yield from self._array(parameter)
        yield f"\n\n{_wrapped(self.function, '', 8)}\n{{\n"
        for buffer, size in self.program.buffers.items():
            yield f"    real {buffer}[{size}];\n"
        yield "".join(f"    {line}\n" for line in self.program.lines) + "}\n"

    def _title(self) -> str:
        count = self.plan.n_parameters
        return f"A neural network of {count:,} parameters, written by fastbp {__version__}."

    def _array(self, parameter: Parameter) -> Iterator[str]:
        """Yield the definition of an array of parameters."""
        values = self.parameters[parameter.name].ravel()
        shape = " x ".join(map(str, parameter.shape))
        yield f"\n\n/* {shape} */\nstatic const real {array_name(parameter)}[{values.size}] = {{"
        for start in range(0, values.size, PER_LINE):
            numbers = values[start : start + PER_LINE].tolist()
            line = ", ".join(literal(number, self.plan.dtype) for number in numbers)
            yield f"\n    {line},"
        yield "\n};"


def _numbered(letter: str, sizes: list[int]) -> dict[str, int]:
    """Return the size of each array by its name: x, or x_0, x_1 and so on where there are more."""
    names = [f"{letter}_{number}" for number in range(len(sizes))] if len(sizes) > 1 else [letter]
    return dict(zip(names, sizes, strict=True))


def _wrapped(text: str, prefix: str, indent: int = 0) -> str:
    """Return a text in lines, all but the first indented by so many spaces more."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=prefix,
        subsequent_indent=prefix + " " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
