"""A checker of gradients and updates, for networks of float64.

Gradients are held against central differences of the loss, updates against the formula of the
optimizer. `failures` does so on networks that between them take every path through an engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastbp

STEP = 1e-5
# A central difference is wrong by STEP^2 |L'''| / 6 and by the rounding of L, eps |L| / STEP: with
# |L| and |L'''| up to about 10, each is below 3e-10.
TOLERANCE = 1e-9
# A step is a few roundings of numbers of the size of the parameters, which are below 10.
STEP_TOLERANCE = 100 * np.finfo(np.float64).eps


def central_differences(
    function: Callable[[], float], at: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """Return the derivative of `function` at `places` of the flat array `at`, moved in place."""
    differences = np.empty(len(places))
    for i, place in enumerate(places):
        value = at[place]
        at[place] = value + STEP
        above = function()
        at[place] = value - STEP
        differences[i] = (above - function()) / (2 * STEP)
        at[place] = value
    return differences


def some_places(net: fastbp.Network, count: int) -> np.ndarray:
    """Return where the first, the last and some other elements of each parameter stand."""
    rng = np.random.default_rng(3)
    ends = [[p.start, p.stop - 1] for p in net.plan.parameters]
    others = [rng.integers(p.start, p.stop, count - 2) for p in net.plan.parameters]
    return np.unique(np.concatenate([*ends, *others]))


def check_gradients(
    net: fastbp.Network,
    x: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray | None = None,
    places: np.ndarray | None = None,
) -> None:
    """Assert that gradients of trainable parameters are right and the others 0.

    Parameters
    ----------
    net : Network
        What is checked, in float64.
    x, y, sample_weight
        One batch.
    places : ndarray, optional
        Which parameters to look at; left out, all.
    """

    def loss() -> float:
        return net.loss_and_gradients(x, y, sample_weight=sample_weight)[0]

    places = np.arange(net.n_parameters) if places is None else places
    differences = central_differences(loss, net.parameters, places)
    trainable = np.zeros(net.n_parameters, bool)
    for start, stop in net.plan.trainable_spans:
        trainable[start:stop] = True
    differences[~trainable[places]] = 0
    loss()
    scale = np.abs(differences).max(initial=1)
    np.testing.assert_allclose(
        net.gradients[places], differences, rtol=0, atol=TOLERANCE * scale, err_msg="gradients"
    )
    np.testing.assert_array_equal(net.gradients[~trainable], 0)


def check_backward(
    net: fastbp.Network, x: np.ndarray, training: bool = False, places: np.ndarray | None = None
) -> None:
    """Assert that backward gives the gradients of sum(g y), for some g, with respect to x too."""
    x = np.array(x, np.float64)
    places = np.arange(net.n_parameters) if places is None else places
    g = np.random.default_rng(2).normal(size=net.forward(x).shape) / len(x)

    def function() -> float:
        return float((g * net.forward(x, training=training)).sum())

    inputs = np.random.default_rng(4).permutation(x.size)[:100]
    with_x = central_differences(function, x.reshape(-1), inputs)
    with_parameters = central_differences(function, net.parameters, places)
    function()
    dx = net.backward(g).reshape(-1)
    np.testing.assert_allclose(
        dx[inputs], with_x, rtol=0, atol=TOLERANCE, err_msg="gradient with respect to the input"
    )
    np.testing.assert_allclose(
        net.gradients[places], with_parameters, rtol=0, atol=TOLERANCE, err_msg="gradients"
    )


def stepped(optimizer: Any, p: np.ndarray, g: np.ndarray, memory: list, t: int) -> np.ndarray:
    """Return parameters after step t, as the papers write it; `memory` starts as zeros."""
    lr = optimizer.learning_rate
    if isinstance(optimizer, fastbp.SGD):
        memory[0] = optimizer.momentum * memory[0] - lr * g
        return p + (optimizer.momentum * memory[0] - lr * g if optimizer.nesterov else memory[0])
    memory[0] = optimizer.beta_1 * memory[0] + (1 - optimizer.beta_1) * g
    memory[1] = optimizer.beta_2 * memory[1] + (1 - optimizer.beta_2) * g**2
    m, v = memory[0] / (1 - optimizer.beta_1**t), memory[1] / (1 - optimizer.beta_2**t)
    return p - lr * m / (np.sqrt(v) + optimizer.epsilon)


def check_updates(net: fastbp.Network, x: np.ndarray, y: np.ndarray) -> None:
    """Assert that three steps, and three epochs of one batch each, follow the formula."""
    fitted, memory = net.copy(), [0.0, 0.0]
    for t in (1, 2, 3):
        _, gradients = net.loss_and_gradients(x, y)
        expected = stepped(net.optimizer, net.parameters.copy(), gradients, memory, t)
        net.step()
        fitted.fit(x, y, batch_size=len(x), shuffle=False, verbose=0)
        for after in (net.parameters, fitted.parameters):
            np.testing.assert_allclose(after, expected, rtol=0, atol=STEP_TOLERANCE)


OPTIMIZERS = {
    "sgd": fastbp.SGD(0.5),
    "momentum": fastbp.SGD(0.5, momentum=0.9),
    "nesterov": fastbp.SGD(0.5, momentum=0.9, nesterov=True),
    "adam": fastbp.Adam(0.1),
}
# Inputs, units of two layers, rows: fits in one kernel; layers narrower than a vector; products by
# tiles; more weights than are summed over slots of rows. 70 rows are two slots.
SIZES = {
    "small": (3, 3, 1, 4),
    "narrow": (4, 3, 2, 70),
    "tiled": (9, 12, 3, 70),
    "wide": (130, 130, 3, 20),
}


def networks(Network: type[fastbp.Network]) -> Iterator[tuple[str, Any, np.ndarray, np.ndarray]]:
    """Yield names, functions of an optimizer that make a network, inputs and targets."""
    rng = np.random.default_rng(1)
    for name, (inputs, hidden, outputs, rows) in SIZES.items():
        layers = [
            fastbp.Dense(hidden, activation="tanh", bias_initializer="uniform"),
            fastbp.Dense(outputs, activation="sigmoid", bias_initializer="uniform"),
        ]

        def make(optimizer: Any, layers: Any = layers, inputs: int = inputs) -> fastbp.Network:
            return Network(
                layers,
                input_shape=inputs,
                loss="squared_error",
                optimizer=optimizer,
                dtype="float64",
                seed=5,
                n_threads=1,
            )

        yield name, make, rng.normal(size=(rows, inputs)), rng.uniform(size=(rows, outputs))


def failures(Network: type[fastbp.Network]) -> set[str]:
    """Return which checks an engine fails, as in "gradients (narrow)"."""
    failed = set()

    def attempt(what: str, check: Callable[..., None], *given: Any, **more: Any) -> None:
        try:
            check(*given, **more)
        except AssertionError:
            failed.add(what)

    for name, make, x, y in networks(Network):
        net = make("sgd")
        places = some_places(net, math.isqrt(net.n_parameters) // 4 + 4)
        attempt(f"gradients ({name})", check_gradients, net, x, y, places=places)
        attempt(f"backward ({name})", check_backward, net, x, places=places)
        for rule, optimizer in OPTIMIZERS.items():
            attempt(f"{rule} ({name})", check_updates, make(optimizer), x, y)
    return failed
