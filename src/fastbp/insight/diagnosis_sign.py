"""What the search for one ailment comes to."""

from __future__ import annotations

from typing import NamedTuple


class Sign(NamedTuple):
    """The sign of an ailment.

    Attributes
    ----------
    where : str
        Layers or epochs; empty for the training as a whole.
    evidence : str
        The numbers found, and the limit that they passed.
    severity : float
        How many times beyond the limit they are; at least 1.
    """

    where: str
    evidence: str
    severity: float
