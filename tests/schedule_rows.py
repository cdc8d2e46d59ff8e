"""Schedules that tests share: every kind, in each of its forms, with constants of its own."""

from __future__ import annotations

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

ROWS: dict[str, Schedule] = {
    "piecewise": Piecewise((0.1, 0.01, 0.05), (3, 7)),
    "exponential": Exponential(0.1, 0.9, 3),
    "exponential, slow": Exponential(0.1, 0.99999),
    "exponential, rising": Exponential(0.001, 1.07),
    "exponential, staircase": Exponential(0.1, 0.5, 4, staircase=True),
    "polynomial": Polynomial(0.1, 10),
    "polynomial, power 2": Polynomial(0.1, 30, 0.001, 2),
    "polynomial, power 0.7": Polynomial(0.1, 30, 0.001, 0.7),
    "cosine": Cosine(0.1, 20, 0.001),
    "cosine to 0": Cosine(0.1, 37),
    "restarts": CosineRestarts(0.1, 5),
    "restarts, equal": CosineRestarts(0.1, 7, 0.01, 1, 0.8),
    "restarts, lower": CosineRestarts(0.1, 7, 0.01, 1.5, 0.8),
    "inverse scaling": InverseScaling(0.1),
    "inverse scaling, power 1": InverseScaling(0.1, 1, 0.3, 4),
    "inverse scaling, staircase": InverseScaling(0.1, 0.3, 20, 5, staircase=True),
    "one cycle": OneCycle(0.1, 40),
    "one cycle, linear": OneCycle(0.1, 40, 0.25, 10, 100, shape="linear"),
    "one cycle, three phases": OneCycle(0.1, 40, 0.4, three_phases=True),
    "cyclical": Cyclical(0.01, 0.1, 6),
    "cyclical, triangular2": Cyclical(0.01, 0.1, 6, 3, shape="triangular2"),
    "cyclical, exp_range": Cyclical(0.01, 0.1, 6, shape="exp_range", decay=0.99),
    "warm-up": Warmup(0.1, 12),
    "warm-up, then piecewise": Warmup(Piecewise((0.1, 0.01), (4,)), 3.5, 0.02),
    "warm-up, then cosine": Warmup(Cosine(0.1, 20), 5, 0.01),
}
