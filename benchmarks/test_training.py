"""One step and one epoch of the trainings of `fastbp.bench.rows`.

Without W7, and without what takes the reference minutes: `compare` has them.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastbp.bench import networks
from fastbp.bench.data import training_data
from fastbp.bench.rows import ROWS

LARGEST = 4_096  # rows of an epoch


@pytest.mark.parametrize("name", ["W1", "W2", "W3", "W4a", "W4b", "W5", "W6"])
def test_one_step(benchmark, Network, name):
    workload = replace(ROWS[name], rows=ROWS[name].batch_size)
    x, y = training_data(workload)
    net = networks.build(Network, workload, None)
    benchmark(net.train_on_batch, x, y)


@pytest.mark.parametrize("name", ["W3", "W4a", "W4b"])
def test_one_epoch(benchmark, Network, name):
    workload = replace(ROWS[name], rows=min(ROWS[name].rows, LARGEST), epochs=1)
    x, y = training_data(workload)
    run, _ = networks.train(Network, workload, x, y, None)
    benchmark(run)


@pytest.mark.parametrize("name", ["W1", "W2"])
def test_a_thousand_epochs(benchmark, Network, name):
    workload = replace(ROWS[name], epochs=1_000)
    x, y = training_data(workload)
    run, _ = networks.train(Network, workload, x, y, None)
    benchmark(run)
