"""One program in a process of its own: it prepares and measures one row after the other.

Run by path, so that subnormal numbers are flushed before NumPy starts its threads:
``python child.py MODULE THREADS FLUSH``. Says one JSON line when the program is imported, then
answers each JSON line of standard input with one:

- ``["prepare", ROW, SHORT, EXPECTED]``, with EXPECTED the fall of the loss that the reduced
  workload must show: whether it is prepared and run once, or why not;
- ``["measure", SECONDS]``: the median time of a run, repeated for so long;
- ``["finish"]``: the verdict on the work that was timed; then the row is forgotten.

A program is a module with

- ``VERSIONS``: dict of what it uses;
- ``DEVIATIONS``: dict from a row's name to how its work differs there from the row's;
- ``train(workload, x, y, weights, threads)``, which returns two calls, one that does a run and one
  that returns the weights; ``weights=None`` means its own default initialisation;
- ``predictor(workload, weights, x, threads)``, which returns two calls, one that predicts all of
  `x`, into arrays allocated once where the library can, and one that returns what it predicts.

Either raises NotImplementedError with the reason where it cannot do a row.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import platform
import struct
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

X86_MXCSR_OFFSET = 28  # in glibc's fenv_t
X86_FLUSH_BITS = 0x8040  # flush to zero, denormals are zero


def flush_subnormals() -> bool:
    """Make this thread, and those it starts, take subnormal numbers as zero; say if it worked.

    Adam's moments of inputs that are always zero decay into subnormal numbers, which cost some
    programs a factor of 2 to 5. Done through the C library's floating-point environment.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    libm = ctypes.CDLL("libm.so.6")
    environment = ctypes.create_string_buffer(64)
    libm.fegetenv(environment)
    (mode,) = struct.unpack_from("<I", environment, X86_MXCSR_OFFSET)
    struct.pack_into("<I", environment, X86_MXCSR_OFFSET, mode | X86_FLUSH_BITS)
    libm.fesetenv(environment)
    tiny = sys.float_info.min
    return tiny / 2 == 0


def measure(run: Callable[[], Any], seconds: float) -> float:
    """Return the median time of one run, repeated until `seconds` are over, at least once."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def prepare(
    program: Any, workload: Any, threads: int | None, expected: float
) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    """Return a run of the row and its final verdict, having compared the program's answers."""
    from fastbp.bench import workloads

    if isinstance(workload, workloads.Training):
        return _prepare_training(program, workload, threads, expected)
    return _prepare_prediction(program, workload, threads)


def _prepare_training(
    program: Any, workload: Any, threads: int | None, expected: float
) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    from fastbp.bench import data, judge

    if workload.name not in program.DEVIATIONS:
        _compare_training(program, workload.reduced(), threads, expected)
    x, y = data.training_data(workload)
    run, weights = program.train(workload, x, y, None, threads)
    sample = x[:1024], y[:1024]
    before = judge.loss(workload, weights(), *sample)

    def verdict() -> dict[str, Any]:
        after = judge.loss(workload, weights(), *sample)
        return {"works": judge.fell(before, after), "work": f"loss {before:.5g} -> {after:.5g}"}

    return run, verdict


def _compare_training(program: Any, workload: Any, threads: int | None, expected: float) -> None:
    """Raise ValueError unless the program's loss falls as the reference's does, within 1 %.

    That allows for float32 and for Adam's epsilon before bias correction, and for no step more or
    less. Dropout is off here, since every program draws its own masks: that a row with dropout
    drops anything is not looked at.
    """
    from fastbp.bench import data, judge

    x, y = data.training_data(workload)
    start = data.initial_weights(workload)
    run, weights = program.train(workload, x, y, start, threads)
    run()
    if workload.dtype == "float64" and (kind := weights()[0][0].dtype) != workload.dtype:
        raise ValueError(f"trained in {kind}, not in float64")
    fall = judge.loss(workload, start, x, y) - judge.loss(workload, weights(), x, y)
    if not judge.agree(fall, expected, 0.01):
        raise ValueError(f"loss fell by {fall:.6g}, the reference's by {expected:.6g}")


def _prepare_prediction(
    program: Any, workload: Any, threads: int | None
) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    from fastbp.bench import data, judge

    x, weights = data.prediction_data(workload), data.initial_weights(workload)
    predict, outputs = program.predictor(workload, weights, x, threads)

    def run() -> None:
        for _ in range(workload.calls):
            predict()

    def verdict() -> dict[str, Any]:
        works = judge.outputs_agree(workload, weights, x, outputs())
        return {"works": works, "work": "outputs agree" if works else "outputs differ"}

    predict()
    if not verdict()["works"]:
        raise ValueError("outputs differ from the network's")
    return run, verdict


Say = Callable[[dict[str, Any]], None]


def serve(module: str, threads: int | None, requests: Iterable[str], say: Say) -> None:
    """Import the program, then answer each request; see the top of the file."""
    from fastbp.bench import rows

    try:
        program = importlib.import_module(module)
    except ImportError as error:
        say({"status": "missing", "note": str(error)})
        return
    say({"status": "ready", "versions": program.VERSIONS})
    for request in requests:
        match json.loads(request):
            case ["prepare", name, short, expected]:
                workload = rows.ROWS[name].short() if short else rows.ROWS[name]
                run, verdict = _first_run(program, workload, threads, expected, say)
            case ["measure", seconds]:
                say({"seconds": measure(run, seconds)})
            case ["finish"]:
                say(verdict())
                run = verdict = _forgotten
                gc.collect()


def _forgotten() -> dict[str, Any]:
    raise RuntimeError("no row is prepared")


def _first_run(
    program: Any, workload: Any, threads: int | None, expected: float, say: Say
) -> tuple[Callable[[], Any], Callable[[], dict[str, Any]]]:
    """Prepare the row and run it once, which warms caches, compilers and thread pools."""
    note = program.DEVIATIONS.get(workload.name, "")
    try:
        run, verdict = prepare(program, workload, threads, expected)
        run()
        say({"status": "ready", "note": note})
    except NotImplementedError as reason:
        say({"status": "lacks", "note": str(reason)})
    except Exception as error:  # whatever it is, the other programs go on
        say({"status": "failed", "note": f"{type(error).__name__}: {error}"})
    else:
        return run, verdict
    return _forgotten, _forgotten


def _private_output() -> TextIO:
    """Return standard output, and send what programs print there to standard error."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return output


def main(module: str, threads: str, flush: str) -> None:
    """Serve standard input; the arguments are those of the command line."""
    flushed = flush == "flush" and flush_subnormals()
    output = _private_output()

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer | {"flushed": flushed}), file=output, flush=True)

    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        serve(module, int(threads) or None, sys.stdin, say)


if __name__ == "__main__":
    main(*sys.argv[1:])
