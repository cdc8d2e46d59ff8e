"""The workloads in fastbp's reference engine, which is NumPy written to be read."""

from __future__ import annotations

import fastbp
from fastbp import reference
from fastbp.bench import networks

VERSIONS = {"fastbp": fastbp.__version__}
DEVIATIONS: dict[str, str] = {}


def train(workload, x, y, weights, threads):
    """Train with `Network.fit`."""
    return networks.train(reference.Network, workload, x, y, weights)


def predictor(workload, weights, x, threads):
    """Predict with the network itself, or with `Network.predict` for many rows."""
    return networks.predictor(reference.Network, workload, weights, x)
