"""The learning rate at a time. `fastbp.schedules` has the formulas.

Each name stands for a function of the schedule's constants and the time t, in the schedule's unit.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from fastbp.engine import Position
from fastbp.optimizers import Optimizer
from fastbp.schedules import (
    Cosine,
    CosineRestarts,
    Cyclical,
    Exponential,
    InverseScaling,
    OneCycle,
    Piecewise,
    Polynomial,
    Schedule,
    Warmup,
)


def piecewise(s: Piecewise, t: float) -> float:
    """Krizhevsky et al.: one value after the other."""
    return s.values[bisect_right(s.boundaries, t)]


def exponential(s: Exponential, t: float) -> float:
    """Senior et al.: start decay^(t / length)."""
    return s.start * s.decay ** progress(t / s.length, s.staircase)


def polynomial(s: Polynomial, t: float) -> float:
    """Liu et al.: the share of time that is left, to some power."""
    return s.end + (s.start - s.end) * max(0, 1 - t / s.length) ** s.power


def cosine(s: Cosine, t: float) -> float:
    """Loshchilov and Hutter, eq. 5, once."""
    return along_cosine(s.start, s.end, min(1, t / s.length))


def cosine_restarts(s: CosineRestarts, t: float) -> float:
    """Loshchilov and Hutter, eq. 5: decays, each t_mul times as long as the last."""
    i, length = 0, s.length
    if s.t_mul == 1:
        i = math.floor(t / length)
        t -= i * length
    while s.t_mul > 1 and t >= length:
        i, t, length = i + 1, t - length, length * s.t_mul
    return s.end + np.float64(s.m_mul) ** i * (along_cosine(s.start, s.end, t / length) - s.end)


def inverse_scaling(s: InverseScaling, t: float) -> float:
    """Robbins and Monro: start / (1 + decay t)^power."""
    return s.start / (1 + s.decay * progress(t / s.length, s.staircase)) ** s.power


def one_cycle(s: OneCycle, t: float) -> float:
    """Smith and Topin: up, down, and further down; the last of `length` steps ends it."""
    along = along_cosine if s.shape == "cosine" else along_line
    low = s.peak / s.start_divisor
    lowest = low / s.end_divisor
    step = 1 if s.per == "step" else 0
    top, last = s.rise * s.length - step, s.length - step
    if t < top:
        return along(low, s.peak, t / top)
    if s.three_phases and t < 2 * top:
        return along(s.peak, low, (t - top) / top)
    begin, high = (2 * top, low) if s.three_phases else (top, s.peak)
    return along(high, lowest, (t - begin) / (last - begin)) if t < last else lowest


def cyclical(s: Cyclical, t: float) -> float:
    """Smith: triangles, each as high as the first, half as high as the last, or ever lower."""
    assert s.fall is not None
    period = s.rise + s.fall
    cycle = math.floor(t / period)
    u = t - cycle * period
    height = u / s.rise if u < s.rise else (period - u) / s.fall
    scale = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": s.decay**t}[s.shape]
    return s.low + (s.high - s.low) * height * scale


def warmup(s: Warmup, t: float) -> float:
    """Goyal et al.: along a line to where the other schedule starts."""
    if t < s.length:
        return along_line(s.start, rate(s.after, 0), t / s.length)
    return rate(s.after, t - s.length)


# A new schedule is a line here.
SCHEDULES: dict[str, Callable[[Any, float], float]] = {
    "piecewise": piecewise,
    "exponential": exponential,
    "polynomial": polynomial,
    "cosine": cosine,
    "cosine_restarts": cosine_restarts,
    "inverse_scaling": inverse_scaling,
    "one_cycle": one_cycle,
    "cyclical": cyclical,
    "warmup": warmup,
}


def progress(x: float, staircase: bool) -> float:
    """Return x, or the whole number below it."""
    return math.floor(x) if staircase else x


def along_line(start: float, end: float, x: float) -> float:
    """Return the height of a line from `start` at x = 0 to `end` at x = 1."""
    return start + (end - start) * x


def along_cosine(start: float, end: float, x: float) -> float:
    """Return the height of half a cosine from `start` at x = 0 to `end` at x = 1."""
    return end + (start - end) * (1 + math.cos(math.pi * x)) / 2


def rate(schedule: float | Schedule, t: float) -> float:
    """Return the learning rate that `schedule` has at time t: for a picture of it, as well.

    Parameters
    ----------
    schedule : float or Schedule
        A schedule, or a rate that never changes.
    t : float
        Time since the schedule was set, in its unit; at least 0.

    Returns
    -------
    float
        The rate.
    """
    if not isinstance(schedule, Schedule):
        return schedule
    # NumPy's numbers, for Python's own raise an error where a rate grows without bound.
    with np.errstate(over="ignore", under="ignore"):
        return min(float(SCHEDULES[schedule.name](schedule, np.float64(t))), sys.float_info.max)


def time(per: str, position: Position, epoch_share: float) -> float:
    """Return the time of a schedule at the next update, `epoch_share` into the newest epoch."""
    if per == "step":
        return position.steps - position.schedule_steps
    return max(0.0, position.epochs - position.schedule_epochs - 1 + epoch_share)


def scheduled(optimizer: Optimizer, position: Position, epoch_share: float = 1) -> Optimizer:
    """Return an optimizer with the rate of the next update for its schedule."""
    schedule = optimizer.learning_rate
    if not isinstance(schedule, Schedule):
        return optimizer
    return replace(
        optimizer, learning_rate=rate(schedule, time(schedule.per, position, epoch_share))
    )
