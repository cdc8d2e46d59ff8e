"""Custom parts, checked: whether their derivatives agree with central differences.

The parts themselves are `fastbp.activations.Custom`, `fastbp.losses.Custom`,
`fastbp.metrics.Custom`, `fastbp.layers.Custom` and `fastbp.initializers.Custom`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp import activations, layers, losses, random
from fastbp.calls import ActivationCalls, Array, LayerCalls, loss_gradient, row_losses
from fastbp.several import indexed

# The step that balances the error of the formula, h^2, with that of rounding, 1 / h.
STEP = float(np.finfo(np.float64).eps) ** (1 / 3)
# What a difference of sums has of their rounding, a few units in the last place.
ROUNDING = 16 * float(np.finfo(np.float64).eps) / STEP
TOLERANCE = 1e-5


def check(part: Any, *samples: Any) -> None:
    """Compare the derivative of a custom part with central differences, in float64.

    Parameters
    ----------
    part : fastbp.activations.Custom, fastbp.losses.Custom or fastbp.layers.Custom
        The part.
    *samples : array_like
        Where to look, away from points without a derivative. For an activation z; for a loss y,
        shape (rows, outputs), and t; for a layer x, shape (rows, *shape of an input row), of each
        input. Each element of these, and of a layer's parameters, takes two calls of the function.

    Raises
    ------
    TypeError
        If `part` is none of the three, or the samples are not those it takes.
    ValueError
        If a derivative is off by more than a hundred thousandth of the largest one: the message
        names the part, and place and values of the worst.

    Examples
    --------
    >>> fastbp.custom.check(fastbp.activations.Custom(np.sin, np.cos), np.linspace(-3, 3, 13))
    """
    for kind, (checked, names) in CHECKS.items():
        if isinstance(part, kind):
            if len(samples) != len(names) and not (samples and kind is layers.Custom):
                expected = ", ".join(names)
                raise TypeError(f"samples: expected {expected}, got {len(samples)} arrays")
            checked(part, *samples)
            return
    raise TypeError(f"part: expected a custom activation, loss or layer, got {part!r}")


def _check_activation(part: activations.Custom, z: Any) -> None:
    rows = _rows(z)
    calls = ActivationCalls(part, rows.shape[1:])
    _compare_layer("activations.Custom", calls, (rows,), [], ())


def _check_layer(part: layers.Custom, *x: Any) -> None:
    rows = tuple(map(_rows, x))
    shapes = tuple(array.shape[1:] for array in rows)
    given = part.parameters_for(shapes)
    names = tuple(name for name, _, _ in given)
    calls = LayerCalls(part, shapes, part.shape_for(shapes), names)
    # Away from where they start: a gradient that counts for nothing at 0 is to be seen too.
    rng = np.random.default_rng(1)
    own = [
        random.draw(initializer, shape, 0, place, np.float64) + rng.uniform(-0.5, 0.5, shape)
        for place, (_, shape, initializer) in enumerate(given)
    ]
    _compare_layer("layers.Custom", calls, rows, own, names)


def _check_loss(part: losses.Custom, y: Any, t: Any) -> None:
    outputs = _rows(y)
    targets = np.asarray(t, np.int32 if part.labels else np.float64)
    given = loss_gradient(part, outputs, targets)
    differences, noise = _differences(
        lambda: row_losses(part, outputs, targets), outputs, np.ones(len(outputs))
    )
    _compare("losses.Custom: dL/dy", given, differences, noise)


def _compare_layer(
    name: str, calls: Any, x: tuple[Array, ...], own: Sequence[Array], names: Sequence[str]
) -> None:
    """Check dL/dx and each gradient of L = sum c y, with c drawn at random."""
    flat = tuple(rows.reshape(len(rows), -1) for rows in x)
    y = calls.forward(flat, own)
    c = np.random.default_rng(0).uniform(0.5, 1.5, y.shape)
    dx, gradients = calls.backward(flat, y, c, own)
    arrays = [
        (f"{name}: {what}", given, at, rows.shape)
        for what, given, at, rows in zip(indexed("dL/dx", len(x)), dx, flat, x, strict=True)
    ]
    arrays += [
        (f"{name}: gradient of {n}", g, p, p.shape)
        for n, g, p in zip(names, gradients, own, strict=True)
    ]
    for what, given, array, shape in arrays:
        differences, noise = _differences(lambda: calls.forward(flat, own), array, c)
        _compare(what, given.reshape(shape), differences.reshape(shape), noise)


def _differences(function: Callable[[], Array], array: Array, c: Array) -> tuple[Array, float]:
    """Return d(sum c f)/d(array), by central differences, and how much of it may be rounding."""
    slopes = np.empty_like(array)
    for place in np.ndindex(array.shape):
        middle = float(array[place])
        h = STEP * max(1.0, abs(middle))
        array[place] = middle + h
        above = function()
        array[place] = middle - h
        below = function()
        array[place] = middle
        slopes[place] = float((c * (above - below)).sum()) / (2 * h)
    return slopes, ROUNDING * float(np.abs(c * function()).sum())


def _compare(what: str, given: Array, differences: Array, noise: float) -> None:
    """Refuse a derivative that is off, with its worst element."""
    off = np.abs(given - differences)
    off[~np.isfinite(off)] = np.inf
    limit = TOLERANCE * float(np.abs(differences).max(initial=0)) + noise
    if off.max(initial=0) <= limit:
        return
    worst = np.unravel_index(int(off.argmax()), off.shape)
    place = ", ".join(str(int(i)) for i in worst)
    raise ValueError(
        f"{what}: expected {differences[worst]:.9g} at [{place}], by central differences, "
        f"got {given[worst]:.9g}; {int((off > limit).sum())} of {off.size} elements are off"
    )


def _rows(value: Any) -> Array:
    """Return a copy as rows, a vector as one element each."""
    array = np.array(value, np.float64)
    if not np.isfinite(array).all():
        raise ValueError("samples: expected finite numbers, got NaN or infinity among them")
    return array.reshape(-1, 1) if array.ndim < 2 else array


# A new kind of part is a line here: what checks it, and what it takes.
CHECKS: dict[type[Any], tuple[Callable[..., None], tuple[str, ...]]] = {
    activations.Custom: (_check_activation, ("z",)),
    losses.Custom: (_check_loss, ("y", "t")),
    layers.Custom: (_check_layer, ("x",)),
}
