"""The predictions of `fastbp.bench.rows`: one row from Python, and 10,000."""

from __future__ import annotations

import pytest

from fastbp.bench import networks
from fastbp.bench.data import initial_weights, prediction_data
from fastbp.bench.rows import ROWS
from fastbp.bench.workloads import Prediction

PREDICTIONS = {name: w for name, w in ROWS.items() if isinstance(w, Prediction)}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_prediction(benchmark, Network, name):
    workload = PREDICTIONS[name]
    weights, x = initial_weights(workload), prediction_data(workload)
    predict, _ = networks.predictor(Network, workload, weights, x)
    benchmark(predict)
