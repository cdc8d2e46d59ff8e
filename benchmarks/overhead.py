"""What a step of the smallest network costs over a loop in C.

    python -m benchmarks.overhead

from the root of the repository, on a machine with a C compiler, AVX2 and FMA: nanoseconds a step of
W1, in C (neuron.c), and in `Network.fit`, the cost of the call included.
"""

from __future__ import annotations

import shlex
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path

import fastbp
from fastbp.bench import networks
from fastbp.bench.data import initial_weights, training_data
from fastbp.bench.rows import ROWS
from fastbp.bench.workloads import Training

HERE = Path(__file__).parent
FLAGS = "-std=gnu11 -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math -mavx2 -mfma"
RUNS = 15


def in_c() -> float:
    """Return what neuron.c says."""
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder, "neuron"))
        source = [f"-I{HERE.parent / 'csrc'}", str(HERE / "neuron.c"), "-o", program, "-lm"]
        subprocess.run([*compiler, *FLAGS.split(), *source], check=True)
        return float(subprocess.run([program], check=True, capture_output=True).stdout)


def in_fastbp() -> float:
    """Return the same of a fit."""
    workload = ROWS["W1"]
    assert isinstance(workload, Training)
    x, y = training_data(workload)
    run, _ = networks.train(fastbp.Network, workload, x, y, initial_weights(workload))
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times) / workload.steps * 1e9


if __name__ == "__main__":
    c, ours = in_c(), in_fastbp()
    print(f"W1, ns a step: C {c:.1f}, fastbp {ours:.1f}, over it {ours - c:.1f}")
