"""What holds parameters back: penalties in the loss, constraints behind an update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.constraints import MaxNorm, NonNeg
from fastbp.engine import Array
from fastbp.plan import Plan


def penalty(plan: Plan, parameters: Array) -> float:
    """Return what all parameters cost: l1 sum |w| + l2 sum w^2 of each."""
    total = 0.0
    for p, l1, l2 in plan.penalties:
        size = np.abs(parameters[p.start : p.stop].astype(np.float64))
        total += l1 * float(size.sum()) + l2 * float((size * size).sum())
    return total


def add_penalty_gradient(plan: Plan, parameters: Array, gradients: Array) -> None:
    """Add the gradient of that, l1 sign(w) + 2 l2 w."""
    for p, l1, l2 in plan.penalties:
        w = parameters[p.start : p.stop]
        gradients[p.start : p.stop] += l1 * np.sign(w) + 2 * l2 * w


def max_norm(constraint: MaxNorm, w: Array) -> Array:
    """Shrink what is longer than the maximum."""
    squares = np.square(w, dtype=np.float64).sum(axis=constraint.axis, keepdims=True)
    shrinkage = constraint.max_value / np.maximum(np.sqrt(squares), constraint.max_value)
    return w * shrinkage.astype(w.dtype)


def non_neg(constraint: NonNeg, w: Array) -> Array:
    """Set what is negative to 0."""
    return np.maximum(0, w)


# A new constraint is a line here.
CONSTRAINTS: dict[str, Callable[[Any, Array], Array]] = {"max_norm": max_norm, "non_neg": non_neg}


def project(plan: Plan, parameters: Array) -> None:
    """Bring parameters back to their constraints."""
    for p in plan.constrained:
        assert p.constraint is not None
        w = parameters[p.start : p.stop].reshape(p.shape)
        w[...] = CONSTRAINTS[p.constraint.name](p.constraint, w)
