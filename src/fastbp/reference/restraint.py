"""What holds parameters back: penalties in the loss, constraints behind an update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.constraints import MaxNorm, NonNeg
from fastbp.engine import Array
from fastbp.plan import Plan


def cost(w: Array, l1: float, l2: float) -> float:
    """Return what an array costs: l1 sum |w| + l2 sum w^2."""
    size = np.abs(w.astype(np.float64))
    return l1 * float(size.sum()) + l2 * float((size * size).sum())


def cost_gradient(w: Array, l1: float, l2: float) -> Array:
    """Return the gradient of that, l1 sign(w) + 2 l2 w."""
    gradient: Array = l1 * np.sign(w) + 2 * l2 * w
    return gradient


def penalty(plan: Plan, parameters: Array) -> float:
    """Return what all parameters cost."""
    return sum(cost(parameters[p.start : p.stop], l1, l2) for p, l1, l2 in plan.penalties)


def add_penalty_gradient(plan: Plan, parameters: Array, gradients: Array, share: float) -> None:
    """Add the gradient of a share of that."""
    for p, l1, l2 in plan.penalties:
        w = parameters[p.start : p.stop]
        gradients[p.start : p.stop] += cost_gradient(w, share * l1, share * l2)


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
