"""Constraints, described: what a layer's parameters are brought back to after each update.

An update projects the parameters that it changes: in `fit`, `train_on_batch` and `step`. Initial
values and those of `set_parameters` stay as they are until the first update, as in Keras; frozen
parameters stay so. L-BFGS is refused: its search for a lower loss along a line would leave the
constraint, and a projection behind it would undo what it found.
"""

from __future__ import annotations

import numbers
from typing import Any, ClassVar

from fastbp import validate
from fastbp.description import Description


class Constraint(Description):
    """Base of the constraint descriptions."""

    name: ClassVar[str]
    formula: ClassVar[str]


class MaxNorm(Constraint):
    """The norm of each unit's incoming weights is at most a maximum, but for rounding.

    Parameters
    ----------
    max_value : float, default 2.0
        The maximum; above 0. Keras's default.
    axis : int, default 0
        The axis of the (inputs, units) matrix along which norms are taken: 0 for the incoming
        weights of each unit, 1 for the outgoing ones of each input. Biases have axis 0 alone, and
        one norm.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Notes
    -----
    Norms up to the maximum leave their weights as they are; Keras shrinks those too, by 1e-7
    of them, as it adds 1e-7 to the norm.

    References
    ----------
    Srebro and Shraibman 2005; Srivastava et al. 2014, section 5.1.
    """

    name = "max_norm"
    formula = "w <- w min(1, max_value / |w|), |w| the root of the sum of w^2 along axis"
    max_value: float = 2.0
    axis: int = 0

    def __post_init__(self) -> None:
        validate.positive("max_value", self.max_value)
        validate.integer("axis", self.axis, 0, 1)


class NonNeg(Constraint):
    """No parameter is negative.

    References
    ----------
    Chorowski and Zurada 2015, for networks; as a projection, Lin 2007, eq. 4.
    """

    name = "non_neg"
    formula = "w <- max(0, w)"


CONSTRAINTS: dict[str, type[Constraint]] = {kind.name: kind for kind in (MaxNorm, NonNeg)}


def resolve(argument: str, constraint: Any) -> Constraint | None:
    """Return the description that a name, a maximum norm, a description or None stands for."""
    if constraint is None or isinstance(constraint, Constraint):
        return constraint
    if not isinstance(constraint, bool) and isinstance(constraint, numbers.Real):
        return MaxNorm(validate.positive(argument, constraint))
    return CONSTRAINTS[validate.choice(argument, constraint, CONSTRAINTS)]()


def resolve_of_vector(argument: str, constraint: Any) -> Constraint | None:
    """Return the same for a vector, which has one axis."""
    resolved = resolve(argument, constraint)
    if isinstance(resolved, MaxNorm) and resolved.axis != 0:
        raise ValueError(f"{argument}: expected axis 0, the one of a vector, got {resolved!r}")
    return resolved
