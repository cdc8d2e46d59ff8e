"""Ailments of layers: what a monitor's norms and shares of units give away."""

from __future__ import annotations

import numpy as np

from fastbp.insight.diagnosis_case import Case, FloatArray
from fastbp.insight.diagnosis_sign import Sign

# The first layers learn fifty times more slowly than the last.
VANISHING = 0.02
# What goes into the last layer is ten times what comes out of the first.
EXPLODING = 10.0
# Units without a derivative: half of a layer.
DEAD = 0.5
# Units in saturation: three quarters of a layer, which then passes on little more than a quarter.
SATURATED = 0.75


def vanishing_gradients(case: Case) -> Sign | None:
    """Look for a layer, of three or more, with a gradient below 1/50 of the last one's.

    Medians are compared, over all records and over the first tenth: both fall as the loss does.

    References
    ----------
    Bengio, Simard and Frasconi 1994, "Learning long-term dependencies with gradient descent is
    difficult"; Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward
    neural networks", section 4.2.
    """
    monitor = case.monitor
    # A layer that never had a gradient is frozen, or dead.
    moved = (monitor.gradient_norms > 0).any(axis=0)
    norms = monitor.gradient_norms[:, moved]
    layers = np.array(monitor.layers)[moved]
    sizes = np.median(norms, axis=0)
    early = np.median(norms[: max(1, len(norms) // 10)], axis=0)
    if len(sizes) < 3 or early[:-1].min() >= VANISHING * early[-1]:
        return None
    small = sizes < VANISHING * sizes[-1]
    if not small.any():
        return None
    share = float(sizes.min() / sizes[-1])
    evidence = (
        f"the gradient of {layers[sizes.argmin()]} has a norm of {sizes.min():.2g}, that of "
        f"{layers[-1]} {sizes[-1]:.2g}: {share:.2g} of it, below {VANISHING:g}"
    )
    return Sign(_names(list(layers[small])), evidence, VANISHING / max(share, 1e-300))


def exploding_gradients(case: Case) -> Sign | None:
    """Look for outputs that grow ten-fold or more from the first hidden layer to the last.

    That is in the first record. What multiplies a signal on its way forward does so with the
    derivatives on their way back.

    References
    ----------
    Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks",
    section 2; He, Zhang, Ren and Sun 2015, "Delving deep into rectifiers", section 2.2.
    """
    monitor = case.monitor
    sizes = monitor.activation_norms[0, :-1]
    if len(sizes) < 2 or not sizes[0]:
        return None
    growth = float(sizes[-1] / sizes[0])
    if not growth > EXPLODING:
        return None
    evidence = (
        f"outputs of hidden layers grow from {sizes[0]:.2g} to {sizes[-1]:.2g}, {growth:.3g} "
        f"times, above {EXPLODING:g}; the first gradient has a norm of {case.norms[1][0]:.2g}"
    )
    return Sign(_names(monitor.layers[1:-1]), evidence, growth / EXPLODING)


def dead_relus(case: Case) -> Sign | None:
    """Look for layers half of whose units are 0 in all rows of each batch of the last quarter.

    References
    ----------
    Maas, Hannun and Ng 2013, "Rectifier nonlinearities improve neural network acoustic models",
    section 2; Lu, Shin, Su and Karniadakis 2019, "Dying ReLU and initialization", arXiv 1903.06733.
    """
    monitor = case.monitor
    shares = _last_quarter(monitor.dead).min(axis=0)
    return _share_sign(monitor.layers, shares, DEAD, "of the units of {} are 0 for every row")


def saturated_sigmoids(case: Case) -> Sign | None:
    """Look for hidden layers three quarters of whose outputs are in saturation, half the time.

    There a sigmoid has less than a fifth of its slope and tanh less than a tenth. The last layer is
    left out: it is to come near 0 and 1.

    References
    ----------
    Glorot and Bengio 2010, section 3; LeCun, Bottou, Orr and Mueller 1998, "Efficient BackProp",
    sections 4.3 to 4.6.
    """
    monitor = case.monitor
    shares = np.median(monitor.saturated, axis=0)[:-1]
    return _share_sign(monitor.layers, shares, SATURATED, "of the outputs of {} are saturated")


def _share_sign(
    layers: tuple[str, ...], shares: FloatArray, limit: float, words: str
) -> Sign | None:
    """Return a sign where the share of some layer is not below a limit."""
    found = [name for name, share in zip(layers, shares, strict=False) if share >= limit]
    if not found:
        return None
    worst = float(np.nanmax(shares))
    evidence = f"{worst:.0%} {words.format(layers[int(np.nanargmax(shares))])}, at least {limit:g}"
    return Sign(_names(found), evidence, worst / limit)


def _last_quarter(records: FloatArray) -> FloatArray:
    return records[len(records) * 3 // 4 :]


def _names(layers: list[str] | tuple[str, ...]) -> str:
    return ", ".join(layers)
