"""Update rules. `fastbp.optimizers` has the formulas.

Each name stands for a function of the optimizer's constants, the parameters p, their gradients g,
the optimizer's state (a row of numbers for each thing it remembers) and the number t of the step,
counted from 1. It returns new parameters and a new state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.engine import Array
from fastbp.optimizers import SGD, Adam


def sgd(o: SGD, p: Array, g: Array, state: Array, t: int) -> tuple[Array, Array]:
    """Without momentum p <- p - lr g; with it, the last step is repeated in part."""
    lr, momentum = float(o.learning_rate), float(o.momentum)
    if momentum == 0:
        return p - lr * g, state
    v = momentum * state[0] - lr * g
    step = momentum * v - lr * g if o.nesterov else v
    return p + step, v[None]


def adam(o: Adam, p: Array, g: Array, state: Array, t: int) -> tuple[Array, Array]:
    """Kingma and Ba, Algorithm 1: both moments start at 0, which their divisors make good."""
    lr, beta_1, beta_2, epsilon = map(float, (o.learning_rate, o.beta_1, o.beta_2, o.epsilon))
    m = beta_1 * state[0] + (1 - beta_1) * g
    v = beta_2 * state[1] + (1 - beta_2) * g * g
    m_hat = m / (1 - beta_1**t)
    v_hat = v / (1 - beta_2**t)
    return p - lr * m_hat / (np.sqrt(v_hat) + epsilon), np.stack((m, v))


# A new optimizer is a line here.
OPTIMIZERS: dict[str, Callable[[Any, Array, Array, Array, int], tuple[Array, Array]]] = {
    "sgd": sgd,
    "adam": adam,
}
