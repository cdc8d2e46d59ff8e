"""Regularizers, described: what a layer's parameters cost in the loss.

The cost of trainable parameters is added to every loss, in training and in `evaluate`, as Keras
does it: once for each batch, whatever its rows, sample weights and the loss's reduction, and its
gradient to theirs, before clipping and the optimizer. Of several outputs it counts in the sum of
their losses, once, and in none of theirs. Frozen parameters cost nothing.

w is an element of the parameters; sums are over all of them.
"""

from __future__ import annotations

import numbers
from typing import Any, ClassVar

from fastbp import validate
from fastbp.description import Description


class Regularizer(Description):
    """Base of the regularizer descriptions."""

    name: ClassVar[str]
    formula: ClassVar[str]

    @property
    def factors(self) -> tuple[float, float]:
        """What the sum of |w| and that of w^2 are multiplied with."""
        raise NotImplementedError


class L1(Regularizer):
    """Drives parameters that matter little to 0; the gradient at 0 is taken for 0.

    Parameters
    ----------
    l1 : float, default 0.01
        The factor; at least 0. Keras's default.

    Raises
    ------
    TypeError, ValueError
        If the factor is no number, negative or not finite.

    References
    ----------
    Tibshirani 1996, the lasso.
    """

    name = "l1"
    formula = "l1 sum |w|"
    l1: float = 0.01

    def __post_init__(self) -> None:
        validate.at_least("l1", self.l1, 0)

    @property
    def factors(self) -> tuple[float, float]:
        return float(self.l1), 0.0


class L2(Regularizer):
    """Keeps parameters small: with plain gradient descent, a weight decay of twice the factor.

    Parameters
    ----------
    l2 : float, default 0.01
        The factor; at least 0. Keras's default.

    Raises
    ------
    TypeError, ValueError
        If the factor is no number, negative or not finite.

    References
    ----------
    Hoerl and Kennard 1970, ridge regression; Krogh and Hertz 1992, for networks, with one half.
    """

    name = "l2"
    formula = "l2 sum w^2"
    l2: float = 0.01

    def __post_init__(self) -> None:
        validate.at_least("l2", self.l2, 0)

    @property
    def factors(self) -> tuple[float, float]:
        return 0.0, float(self.l2)


class L1L2(Regularizer):
    """Both at once.

    Parameters
    ----------
    l1, l2 : float, default 0.0
        The factors; at least 0. Keras's defaults.

    Raises
    ------
    TypeError, ValueError
        If a factor is no number, negative or not finite.

    References
    ----------
    Zou and Hastie 2005, the elastic net.
    """

    name = "l1_l2"
    formula = "l1 sum |w| + l2 sum w^2"
    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        validate.at_least("l1", self.l1, 0)
        validate.at_least("l2", self.l2, 0)

    @property
    def factors(self) -> tuple[float, float]:
        return float(self.l1), float(self.l2)


REGULARIZERS: dict[str, type[Regularizer]] = {kind.name: kind for kind in (L1, L2, L1L2)}


def resolve(argument: str, regularizer: Any) -> Regularizer | None:
    """Return the description that a name, the factor of an L2, a description or None stands for."""
    if regularizer is None or isinstance(regularizer, Regularizer):
        return regularizer
    if not isinstance(regularizer, bool) and isinstance(regularizer, numbers.Real):
        return L2(validate.at_least(argument, regularizer, 0))
    return REGULARIZERS[validate.choice(argument, regularizer, REGULARIZERS)]()
