"""The predictions of `fastbp.bench.workloads`: one row from Python, and 10,000."""

from __future__ import annotations

import pytest

from fastbp.bench import networks
from fastbp.bench.workloads import WORKLOADS, Prediction, initial_weights, prediction_data

ROWS = {name: w for name, w in WORKLOADS.items() if isinstance(w, Prediction)}


@pytest.mark.parametrize("name", ROWS)
def test_prediction(benchmark, Network, name):
    workload = ROWS[name]
    weights, x = initial_weights(workload), prediction_data(workload)
    benchmark(networks.predictor(Network, workload, weights, x))
