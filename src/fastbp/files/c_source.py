"""A network as C99 source: `to_c`. ``docs/c-source.md`` describes what it writes."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastbp._version import __version__
from fastbp.activations import ACTIVATIONS
from fastbp.files.c_excerpt import excerpt
from fastbp.files.whole import checked_path, write_whole
from fastbp.plan import Op, Parameter, Plan
from fastbp.state import NetworkState

if TYPE_CHECKING:
    from fastbp.engine import Array
    from fastbp.network import Network

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
MOST_LETTERS = 63 - len("_predict")  # of an identifier that every compiler tells from others
FILE = re.compile(r"[\w .+-]+", re.ASCII)
BITS = {"float": 32, "double": 64}
KINDS = {"dense", "activation", "rescale", "dropout", "structured_dropout"}
PER_LINE = 6
STACK = 500  # bytes beside the buffers, about

HEADER = """\
/* {title}
 *
 * void {name}_predict(const {real} *x, {real} *y);
 *
 * computes y, {n_out} outputs, from x, {n_in} inputs, with the bits of net.predict. x and y must
 * not overlap. It keeps no state, so that threads may call it at the same time, and allocates
 * nothing; it takes about {stack} bytes of the stack. Compile {stem}.c with
 *
 *     cc -std=c99 -O2 -ffp-contract=off -mavx2 -mfma -c {stem}.c
 *
 * on x86 (-mavx2 -mfma: for processors from 2013 on; without them the same bits, many times
 * slower), elsewhere without these two, and link with -lm. Never with -ffast-math or -Ofast.
 */
#ifndef {guard}_H
#define {guard}_H

#define {guard}_INPUTS  {n_in}
#define {guard}_OUTPUTS {n_out}

#ifdef __cplusplus
extern "C" {{
#endif

void {name}_predict(const {real} *x, {real} *y);

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
#if defined __FAST_MATH__ || (FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16)
#error "compile without -ffast-math and, on 32-bit x86, with -msse2 -mfpmath=sse"
#endif
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
    network of float64, gives one row the bits of `Network.predict`.

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
    program = _Program(called, *_contents(network))
    stem = os.path.basename(source)[:-2]
    write_whole(source, (text.encode("ascii") for text in program.source(stem)))
    write_whole(f"{source[:-2]}.h", [program.header(stem).encode("ascii")])


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
    if len(plan.inputs) > 1 or len(plan.outputs) > 1:
        raise ValueError(
            f"network: expected one input and one output, got {len(plan.inputs)} and "
            f"{len(plan.outputs)}"
        )
    tensor = 0
    for op in plan.ops:
        _require_source(op, tensor)
        tensor = op.output
    if tensor != plan.output:
        raise ValueError("network: expected layers that follow one another, got a graph of them")
    parameters = {name: values.copy() for name, values in network.named_parameters().items()}
    for name, values in parameters.items():
        if not np.isfinite(values).all():
            raise ValueError(f"network: expected finite parameters, got others in {name}")
    return plan, parameters


def _require_source(op: Op, tensor: int) -> None:
    """Refuse an operation that has no C source, or that reads another tensor than the newest."""
    kind = op.kind if op.kind not in KINDS else op.activation.name
    if op.kind not in KINDS or ACTIVATIONS.get(op.activation.name) is not type(op.activation):
        raise ValueError(f"network: expected layers that have C source, got {kind!r}")
    if [edge.tensor for edge in op.inputs] != [tensor]:
        raise ValueError(
            f"network: expected layers that follow one another, got {kind!r} that reads another "
            f"than the one before it"
        )


class _Call(NamedTuple):
    """A call in the program, with {x} and {y} for the arrays that it reads and writes."""

    text: str
    size: int  # elements that it writes
    in_place: bool = True  # whether they may be those that it reads


class _Program:
    """A network's C source in the making."""

    def __init__(self, name: str, plan: Plan, parameters: dict[str, Array]) -> None:
        self.name, self.plan, self.parameters = name, plan, parameters
        self.real = "float" if plan.dtype == "float32" else "double"
        calls = [call for op in plan.ops for call in self._calls(op)]
        nothing = self._map("identity_of", plan.tensors[0], 0.0)
        self.body, self.buffers = _placed(calls or [nothing])

    def header(self, stem: str) -> str:
        """Return the text of the header of the source `stem`.c."""
        itemsize = np.dtype(self.plan.dtype).itemsize
        return HEADER.format(
            title=self._title(),
            name=self.name,
            stem=stem,
            guard=self.name.upper(),
            real=self.real,
            n_in=self.plan.tensors[0],
            n_out=self.plan.tensors[self.plan.output],
            stack=STACK + sum(self.buffers.values()) * itemsize,
        )

    def source(self, stem: str) -> Iterator[str]:
        """Yield the text of the source, which includes `stem`.h, in pieces."""
        yield PREAMBLE.format(title=self._title(), stem=stem)
        used = {"real", *re.findall(r"\w+", " ".join(self.body))}
        yield excerpt(used, BITS[self.real])
        for parameter in self.plan.parameters:
            if _identifier(parameter) in used:
                yield from self._array(parameter)
        yield f"\n\nvoid {self.name}_predict(const {self.real} *x, {self.real} *y)\n{{\n"
        for buffer, size in self.buffers.items():
            yield f"    real {buffer}[{size}];\n"
        yield "".join(f"    {line}\n" for line in self.body) + "}\n"

    def _title(self) -> str:
        count = self.plan.n_parameters
        return f"A neural network of {count:,} parameters, written by fastbp {__version__}."

    def _calls(self, op: Op) -> Iterator[_Call]:
        """Yield the calls that an operation makes."""
        size = self.plan.tensors[op.output]
        if op.kind == "dense":
            weights, biases = _identifier(op.weights), _identifier(op.biases)
            n_in = self.plan.tensors[op.inputs[0].tensor]
            text = f"dense({n_in}, {size}, {weights}, {biases}, {{x}}, {{y}});"
            yield _Call(text, size, in_place=False)
        if op.kind == "rescale":
            yield self._map("scaled", size, op.value)
        if op.activation.name == "softmax":
            yield _Call(f"softmax({size}, {{x}}, {{y}});", size)
        elif op.activation.name != "identity":
            yield self._map(f"{op.activation.name}_of", size, op.activation.parameter)

    def _map(self, function: str, size: int, constant: float) -> _Call:
        return _Call(f"map({function}, {size}, {self._literal(constant)}, {{x}}, {{y}});", size)

    def _array(self, parameter: Parameter) -> Iterator[str]:
        """Yield the definition of an array of parameters."""
        values = self.parameters[parameter.name].ravel()
        shape = " x ".join(map(str, parameter.shape))
        yield f"\n\n/* {shape} */\nstatic const real {_identifier(parameter)}[{values.size}] = {{"
        for start in range(0, values.size, PER_LINE):
            line = ", ".join(map(self._literal, values[start : start + PER_LINE].tolist()))
            yield f"\n    {line},"
        yield "\n};"

    def _literal(self, value: float) -> str:
        """Return a C constant of this value, rounded to the precision; subnormal numbers are 0."""
        rounded = float(np.dtype(self.plan.dtype).type(value))
        if abs(rounded) < np.finfo(self.plan.dtype).tiny:
            rounded = math.copysign(0.0, rounded)
        mantissa, exponent = rounded.hex().split("p")
        suffix = "f" if self.real == "float" else ""
        return f"{mantissa.rstrip('0').rstrip('.')}p{exponent}{suffix}"


def _identifier(parameter: Parameter | None) -> str:
    """Return the name of the array of a parameter."""
    return f"{parameter.role}_{parameter.layer}" if parameter else "NULL"


def _placed(calls: list[_Call]) -> tuple[list[str], dict[str, int]]:
    """Return the calls, each with its arrays, and the sizes of the buffers that they need.

    What may be done in place is; else buffers take turns, and the last of them is the result.
    """
    body, buffers, x = [], dict[str, int](), "x"
    for index, call in enumerate(calls):
        if x != "x" and call.in_place:
            y = x
        elif all(later.in_place for later in calls[index + 1 :]):
            y = "y"
        else:
            y = "b" if x == "a" else "a"
            buffers[y] = max(call.size, buffers.get(y, 0))
        body.append(call.text.format(x=x, y=y))
        x = y
    return body, buffers
