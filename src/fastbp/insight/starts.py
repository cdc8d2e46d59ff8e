"""Training from several starts: descent ends in a minimum nearby, which need not be the lowest."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import fastbp
from fastbp import validate
from fastbp.insight import plots
from fastbp.insight.document import Block, Heading, sentence
from fastbp.insight.layer_trace import Array
from fastbp.insight.report import PlottedReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class Restarts(PlottedReport):
    """What `restarts` came to; `print` says so.

    `plot` draws the losses in rising order: starts that end in the same minimum form a plateau.

    Attributes
    ----------
    best : Network
        The trained copy with the lowest loss.
    losses : ndarray, shape (n,)
        The loss of each copy, with dropout off, over all rows; infinity for one that diverged.
    seeds : ndarray of uint64, shape (n,)
        Their seeds.
    """

    best: fastbp.Network
    losses: Array
    seeds: Array

    def _draw(self, axes: Axes) -> None:
        plots.restarts(axes, self)

    def _summary(self) -> str:
        return f"{len(self.losses)} starts: best loss {self.losses.min():.4g}"

    def _blocks(self) -> Iterator[Block]:
        yield Heading(2, f"{len(self.losses)} starts")
        finite = np.sort(self.losses[np.isfinite(self.losses)])
        lost = len(self.losses) - len(finite)
        yield sentence(
            f"The best, seed {self.best.seed}, came to a loss of {finite[0]:.4g}, the one in the "
            f"middle to {np.median(self.losses):.4g}, the worst to {finite[-1]:.4g}"
            + (f"; {lost} diverged." if lost else ".")
        )


def restarts(net: fastbp.Network, x: Any, y: Any = None, *, n: int = 10, **fit: Any) -> Restarts:
    """Train copies of a network from several starts, and keep the best.

    The network is left alone. Each copy is reset to a seed of its own, which gives its initial
    parameters, row orders and dropout masks: the network's own seed, the next one, and so on.

    Parameters
    ----------
    net : Network
        What is copied.
    x, y
        As for `fit`. A stream has to be one that can be gone through again and again.
    n : int, default 10
        How many starts.
    **fit
        What else `fit` takes, as in ``epochs=1000``; nothing is shown unless `verbose` says so.

    Returns
    -------
    Restarts
        The copy with the lowest loss over `x` and `y` after training, and the losses of all.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or if every copy diverged.
    RuntimeError
        If the network is being changed by another operation.
    """
    n = validate.integer("n", n, 1)
    if hasattr(x, "__next__"):
        raise TypeError(
            f"x: expected arrays or what can be gone through {2 * n} times, got a "
            f"{type(x).__name__}; pass a function that returns one"
        )
    weighing = {name: fit[name] for name in ("sample_weight", "class_weight") if name in fit}
    seeds = [(net.seed + start) % 2**64 for start in range(n)]
    best, losses = None, []
    for seed in seeds:
        copy = net.copy()
        copy.reset(seed)
        diverged = _trained(copy, x, y, {"verbose": 0} | fit)
        loss = math.inf if diverged else copy.evaluate(x, y, **weighing)["loss"]
        losses.append(loss if math.isfinite(loss) else math.inf)
        if losses[-1] < min(losses[:-1], default=math.inf):
            best = copy
    if best is None:
        raise ValueError(f"net: expected a start that does not diverge, got none in {n}")
    return Restarts(best, np.array(losses), np.array(seeds, np.uint64))


def _trained(net: fastbp.Network, x: Any, y: Any, fit: dict[str, Any]) -> bool:
    """Train; whether training diverged."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", fastbp.DivergenceWarning)
        try:
            net.fit(x, y, **fit)
        except fastbp.DivergenceWarning:
            return True
    return False
