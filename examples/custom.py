"""Parts of your own: a sine for an activation, a layer with a parameter, a loss and a metric.

python examples/custom.py
"""

from __future__ import annotations

import numpy as np

import fastbp
from fastbp import Dense, custom

# An activation with its derivative.
sine = fastbp.activations.Custom(np.sin, np.cos)

# A layer: y = x * factors, one factor for each input.
scale = fastbp.layers.Custom(
    lambda x, factors: x * factors,
    lambda x, y, dy, factors: (dy * factors, (dy * x).sum(axis=0)),
    parameters=lambda shape: {"factors": (shape, fastbp.initializers.Constant(1.0))},
)

# The logarithm of the hyperbolic cosine: a square near the target, an absolute value far from it.
log_cosh = fastbp.losses.Custom(
    lambda y, t: (np.logaddexp(y - t, t - y) - np.log(2)).mean(axis=1),
    lambda y, t: np.tanh(y - t) / y.shape[1],
)


def worst_error(y: np.ndarray, t: np.ndarray) -> float:
    """Return how far the worst output is from its target."""
    return float(np.abs(y - t).max())


def check() -> None:
    """Compare every derivative with central differences."""
    rng = np.random.default_rng(0)
    custom.check(sine, np.linspace(-3, 3, 13))
    custom.check(scale, rng.normal(size=(5, 3)))
    custom.check(log_cosh, rng.normal(size=(5, 2)), rng.normal(size=(5, 2)))


def build() -> fastbp.Network:
    """Return a network that learns a wave."""
    return fastbp.Network(
        [Dense(16, sine), scale, Dense(1)],
        input_shape=1,
        loss=log_cosh,
        optimizer=fastbp.Adam(0.01),
        metrics=[fastbp.metrics.Custom(worst_error, rises=False)],
        seed=0,
    )


def main() -> dict[str, float]:
    """Check the parts, train with them, and return loss and metric."""
    check()
    x = np.linspace(-3, 3, 200)[:, None]
    y = np.sin(2 * x)
    network = build()
    network.fit(x, y, epochs=200, verbose=0)
    values = network.evaluate(x, y)
    print(f"loss {values['loss']:.5f}, worst error {values['worst_error']:.3f}")
    return values


if __name__ == "__main__":
    main()
