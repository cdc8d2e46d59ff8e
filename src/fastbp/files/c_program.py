"""What an exported program calls, in order, and which arrays each call reads and writes.

A value is a row on its way through the network: an input, or what a call makes. Values are
numbered as the plan's tensors are; those that no tensor holds have numbers behind these.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from itertools import count
from typing import NamedTuple

import numpy as np

from fastbp.activations import ActivationFunction
from fastbp.plan import Op, Parameter, Plan


class Call(NamedTuple):
    """A call.

    Attributes
    ----------
    text : str
        C, with {y} for the array that it writes and {0}, {1} and so on for those that it reads.
    reads : tuple of int
        The values that it reads.
    writes : int
        The value that it makes.
    size : int
        Elements of that.
    in_place : bool
        Whether the array may be one of those that it reads.
    """

    text: str
    reads: tuple[int, ...]
    writes: int
    size: int
    in_place: bool = True


class Program(NamedTuple):
    """The body of a function that computes a network's outputs.

    Attributes
    ----------
    lines : list of str
        Statements.
    buffers : dict of str to int
        Elements of each array that they need beside inputs and outputs.
    """

    lines: list[str]
    buffers: dict[str, int]


def program(plan: Plan, inputs: Iterable[str], outputs: Iterable[str]) -> Program:
    """Return the program of a plan, whose inputs and outputs are in arrays of these names."""
    making = _Making(plan)
    for op in plan.ops:
        making.run(op)
    ends = (making.end(output.tensor) for output in plan.outputs)
    return _placed(dict(enumerate(inputs)), dict(zip(ends, outputs, strict=True)), making.calls)


class _Making:
    """The calls so far."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.calls: list[Call] = []
        self.values = {tensor: tensor for tensor in range(len(plan.inputs))}  # of tensors
        self.activated: dict[tuple[int, ActivationFunction], int] = {}
        self.ends: set[int] = set()
        self.numbers = count(len(plan.tensors))

    def run(self, op: Op) -> None:
        """Append the calls of an operation."""
        reads = tuple(self.values[edge.tensor] for edge in op.inputs)
        self.size, value = self.plan.tensors[op.output], reads[0]
        if op.kind == "dense":
            n_in = self.plan.tensors[op.inputs[0].tensor]
            arrays = f"{array_name(op.weights)}, {array_name(op.biases)}"
            value = self.call(f"dense({n_in}, {self.size}, {arrays}, {{0}}, {{y}});", reads, False)
        elif op.kind == "rescale":
            value = self.map("scaled", op.value, value)
        elif op.kind == "add":
            for other in reads[1:]:
                value = self.call(f"add({self.size}, {{0}}, {{1}}, {{y}});", (value, other))
        elif op.kind == "concatenate":
            value = self.concatenate(op, reads)
        self.values[op.output] = self.activate(op.activation, value)

    def call(self, text: str, reads: tuple[int, ...], in_place: bool = True) -> int:
        """Append a call and return what it makes."""
        value = next(self.numbers)
        self.calls.append(Call(text, reads, value, self.size, in_place))
        return value

    def map(self, function: str, constant: float, value: int) -> int:
        """Append a call for each element."""
        number = literal(constant, self.plan.dtype)
        return self.call(f"map({function}, {self.size}, {number}, {{0}}, {{y}});", (value,))

    def concatenate(self, op: Op, reads: tuple[int, ...]) -> int:
        """Append what puts pieces of several values behind each other."""
        puts, start, whole = [], 0, self.size // op.pieces
        for place, edge in enumerate(op.inputs):
            piece = self.plan.tensors[edge.tensor] // op.pieces
            to = f"{{y}} + {start}" if start else "{y}"
            puts.append(f"put({op.pieces}, {piece}, {whole}, {{{place}}}, {to});")
            start += piece
        return self.call("\n".join(puts), reads, in_place=False)

    def activate(self, function: ActivationFunction, value: int) -> int:
        """Append an activation; one that a loss has had computed for itself is there already."""
        if function.name == "identity":
            return value
        if (value, function) not in self.activated:
            self.activated[value, function] = (
                self.call(f"softmax({self.size}, {{0}}, {{y}});", (value,))
                if function.name == "softmax"
                else self.map(f"{function.name}_of", function.parameter, value)
            )
        return self.activated[value, function]

    def end(self, tensor: int) -> int:
        """Return the value of an output: its own, so that it can have an array of its own."""
        value, self.size = self.values[tensor], self.plan.tensors[tensor]
        if value < len(self.plan.inputs) or value in self.ends:
            copy = f"put(1, {self.size}, {self.size}, {{0}}, {{y}});"
            value = self.call(copy, (value,), in_place=False)
        self.ends.add(value)
        return value


def _placed(inputs: dict[int, str], ends: dict[int, str], calls: list[Call]) -> Program:
    """Give each value its array: an input's, an output's, or a buffer, of which they take turns."""
    homes, until = _homes(calls, ends)
    arrays = inputs | {homes[value]: name for value, name in ends.items()}
    lines, buffers, busy = [], dict[str, int](), dict[str, int]()
    for at, call in enumerate(calls):
        home = homes[call.writes]
        if home not in arrays:
            free = [name for name, end in busy.items() if end < at]
            nearest = min(free, key=lambda name: abs(buffers[name] - call.size), default=None)
            arrays[home] = name = nearest or f"h_{len(buffers)}"
            busy[name], buffers[name] = until[home], max(call.size, buffers.get(name, 0))
        read = (arrays[homes.get(value, value)] for value in call.reads)
        lines += call.text.format(*read, y=arrays[home]).split("\n")
    return Program(lines, buffers)


def _homes(calls: list[Call], ends: Container[int]) -> tuple[dict[int, int], dict[int, int]]:
    """Return the first value of each one's array, and the call at which such an array is free.

    A call takes over the array of a value that nobody reads later, if it may.
    """
    last = {value: at for at, call in enumerate(calls) for value in call.reads}
    homes, until = dict[int, int](), dict[int, int]()
    for at, call in enumerate(calls):
        left = (v for v in call.reads if v in homes and v not in ends and last[v] == at)
        heir = next(left, None) if call.in_place else None
        home = call.writes if heir is None else homes[heir]
        homes[call.writes], until[home] = home, last.get(call.writes, at)
    return homes, until


def array_name(parameter: Parameter | None) -> str:
    """Return the name of the array of a parameter."""
    return f"{parameter.role}_{parameter.layer}" if parameter else "NULL"


def literal(value: float, dtype: str) -> str:
    """Return a C constant of this value, rounded to the precision; subnormal numbers are 0."""
    with np.errstate(over="ignore"):
        rounded = float(np.dtype(dtype).type(value))
    if not math.isfinite(rounded):
        raise ValueError(f"network: expected constants that {dtype} can hold, got {value}")
    if abs(rounded) < np.finfo(dtype).tiny:
        rounded = math.copysign(0.0, rounded)
    mantissa, exponent = rounded.hex().split("p")
    suffix = "f" if dtype == "float32" else ""
    return f"{mantissa.rstrip('0').rstrip('.')}p{exponent}{suffix}"
