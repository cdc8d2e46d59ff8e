"""Every activation with every loss that may follow it, for tests of all of them."""

from __future__ import annotations

from typing import Any

import pytest

from fastbp.activations import ACTIVATIONS
from fastbp.losses import LOSSES, CrossEntropy, Loss

PROBABILITIES = {loss.probability for loss in LOSSES.values()} - {None}


def activations_with_losses() -> list[Any]:
    """Return parameters of a test: an activation's name and a loss."""
    found = []
    for activation in ACTIVATIONS:
        for name, kind in LOSSES.items():
            losses: list[Loss] = [kind()]
            if issubclass(kind, CrossEntropy):
                losses = [kind()] if activation == kind.probability else []
                losses += [kind(from_logits=True)] if activation not in PROBABILITIES else []
            found += [pytest.param(activation, loss, id=f"{activation}-{name}") for loss in losses]
    return found
