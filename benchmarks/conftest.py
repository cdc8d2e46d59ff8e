"""Fixtures of the pytest-benchmark suites: every benchmark runs on both engines."""

from __future__ import annotations

import pytest

import fastbp
import fastbp.reference

NETWORKS = {"compiled": fastbp.Network, "reference": fastbp.reference.Network}


@pytest.fixture(params=list(NETWORKS))
def Network(request):
    """Give the Network class of each engine."""
    return NETWORKS[request.param]
