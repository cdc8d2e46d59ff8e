"""Update rules. `fastbp.optimizers` has the formulas.

Each name stands for a function of the optimizer's constants, the parameters p, their gradients g,
the optimizer's state (a row of numbers for each thing it remembers) and the number t of the step,
counted from 1. It returns new parameters and a new state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.engine import Array
from fastbp.optimizers import SGD, Adagrad, Adam, NAdam, Optimizer, Quickprop, RMSprop, Rprop


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
    lr, beta_1 = float(o.learning_rate), float(o.beta_1)
    m, v, root = moments(o, g, state, t)
    m_hat = m / (1 - beta_1**t)
    return p - lr * m_hat / root, np.stack((m, v))


def moments(o: Adam, g: Array, state: Array, t: int) -> tuple[Array, Array, Array]:
    """Return both moments, and the root of the second, corrected, as a divisor."""
    beta_1, beta_2, epsilon = map(float, (o.beta_1, o.beta_2, o.epsilon))
    m = beta_1 * state[0] + (1 - beta_1) * g
    v = beta_2 * state[1] + (1 - beta_2) * g * g
    correction = 1 - beta_2**t
    if o.epsilon_hat:
        epsilon /= math.sqrt(correction)
    return m, v, np.sqrt(v / correction) + epsilon


def nadam(o: NAdam, p: Array, g: Array, state: Array, t: int) -> tuple[Array, Array]:
    """Dozat's rule: the first moment of the next step, with the gradient of this one."""
    lr, beta_1, psi = map(float, (o.learning_rate, o.beta_1, o.momentum_decay))
    m, v, root = moments(o, g, state, t)
    mu = beta_1 * (1 - 0.5 * 0.96 ** (psi * np.arange(1, t + 2)))
    now, later = float(mu[:-1].prod()), float(mu.prod())
    m_hat = float(mu[-1]) / (1 - later) * m + (1 - float(mu[-2])) / (1 - now) * g
    return p - lr * m_hat / root, np.stack((m, v))


def rmsprop(o: RMSprop, p: Array, g: Array, state: Array, t: int) -> tuple[Array, Array]:
    """Tieleman and Hinton's rule, and Graves's, which takes the square of the mean off."""
    lr, rho, momentum, epsilon = map(float, (o.learning_rate, o.rho, o.momentum, o.epsilon))
    states = [rho * state[0] + (1 - rho) * g * g]
    variance = states[0]
    if o.centred:
        states.append(rho * state[1] + (1 - rho) * g)
        variance = np.maximum(0, states[0] - states[1] * states[1])
    step = g / (np.sqrt(variance) + epsilon)
    if momentum:
        step = momentum * state[-1] + step
        states.append(step)
    return p - lr * step, np.stack(states)


def adagrad(o: Adagrad, p: Array, g: Array, state: Array, t: int) -> tuple[Array, Array]:
    """Duchi et al.: the more a parameter has moved, the less it moves."""
    lr, epsilon = float(o.learning_rate), float(o.epsilon)
    v = state[0] + g * g
    return p - lr * g / (np.sqrt(v) + epsilon), v[None]


def rprop(o: Rprop, p: Array, g: Array, state: Array, t: int) -> tuple[Array, Array]:
    """Riedmiller and Braun's rule as Igel and Huesken have it, iRprop-."""
    turn = np.sign(g) * np.sign(state[0])
    factor = np.where(turn > 0, float(o.eta_plus), np.where(turn < 0, float(o.eta_minus), 1.0))
    length = np.clip(state[1] * factor.astype(p.dtype), float(o.min_step), float(o.max_step))
    g = np.where(turn < 0, 0, g).astype(p.dtype)
    return p - np.sign(g) * length, np.stack((g, length))


def quickprop(o: Quickprop, p: Array, g: Array, state: Array, t: int) -> tuple[Array, Array]:
    """Fahlman's rule: a parabola through the gradients before and after the last step."""
    lr, mu = float(o.learning_rate), float(o.mu)
    before, step = state
    now, then = np.copysign(1, step) * g, np.copysign(1, step) * before  # downhill if negative
    jump = np.where(now < mu / (1 + mu) * then, mu * step, step * g / (before - g))
    moved = np.abs(step) > 0.001
    new = np.where(moved, jump, 0) - lr * np.where(moved & (now >= 0), 0, g)
    return p + new, np.stack((g, new))


# A new optimizer is a line here.
OPTIMIZERS: dict[str, Callable[[Any, Array, Array, Array, int], tuple[Array, Array]]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adam,
    "nadam": nadam,
    "rmsprop": rmsprop,
    "adagrad": adagrad,
    "rprop": rprop,
    "quickprop": quickprop,
}


def clipping_scale(o: Optimizer, gradients: list[Array]) -> float:
    """Return what brings the norm of all gradients together down to `clip_norm`."""
    if o.clip_norm is None:
        return 1.0
    norm = math.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in gradients))
    return o.clip_norm / norm if norm > o.clip_norm else 1.0


def update(
    o: Optimizer, p: Array, g: Array, state: Array, t: int, scale: float
) -> tuple[Array, Array]:
    """Clip gradients, let parameters decay, take a step."""
    g = scale * g
    if o.clip_value is not None:
        g = np.clip(g, -o.clip_value, o.clip_value)
    if o.decoupled_weight_decay:
        p = p - float(o.learning_rate) * o.weight_decay * p
    elif o.weight_decay:
        g = g + o.weight_decay * p
    return OPTIMIZERS[o.name](o, p, g, state, t)
