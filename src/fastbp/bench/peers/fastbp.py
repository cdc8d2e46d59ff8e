"""The workloads in fastbp, as its users write them."""

from __future__ import annotations

import fastbp
from fastbp.bench import networks

VERSIONS = {"fastbp": fastbp.__version__}
DEVIATIONS: dict[str, str] = {}


def train(workload, x, y, weights, threads):
    """Train with `Network.fit`, which chooses its threads."""
    return networks.train(fastbp.Network, workload, x, y, weights)


def predictor(workload, weights, x, threads):
    """Predict with the network itself, or with `Network.predict` for many rows."""
    return networks.predictor(fastbp.Network, workload, weights, x)
