"""The command line: `fastbp`, or `python -m fastbp`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import fastbp
from fastbp.bench import command as bench


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (default: the program's own) ask for.

    Returns
    -------
    int
        The exit status: 0, or 130 after an interrupt. Unknown arguments exit with 2.
    """
    parser = _parser()
    command = parser.parse_args(arguments)
    if command.run is None:
        command = parser.parse_args(["demo"])
    try:
        command.run(command)
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastbp", description="Trains neural networks on the CPU. Without a command: demo."
    )
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="{demo,info,bench}")
    demo = commands.add_parser("demo", help="learn to read handwritten digits, and check it")
    demo.add_argument(
        "--seed", type=_seed, default=0, help="of the split and the initial values (default: 0)"
    )
    demo.set_defaults(run=_demo)
    info = commands.add_parser("info", help="show version, instruction sets, threads and build")
    info.set_defaults(run=_info)
    race = commands.add_parser("bench", help="time it beside the other libraries installed here")
    bench.add_arguments(race)
    race.set_defaults(run=bench.run)
    return parser


def _seed(text: str) -> int:
    seed = int(text)
    if not 0 <= seed < 2**64:
        raise argparse.ArgumentTypeError(f"expected an integer in [0, 2**64), got {text}")
    return seed


def _demo(command: argparse.Namespace) -> None:
    from fastbp import demo

    demo.run(command.seed)


def _info(command: argparse.Namespace) -> None:
    build = fastbp.build_info()
    openmp = "with OpenMP" if build["openmp"] else "without OpenMP: one thread"
    print(f"fastbp {fastbp.__version__}")
    print(f"instruction set  {build['isa']} (available: {', '.join(build['available_isas'])})")
    print(f"threads          {build['threads']}")
    print(f"build            {build['compiler']}, {openmp}")
    print(f"                 {build['switches']}")
