"""Small problems, for trainings that go well or badly: rows to learn from and rows to test with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fastbp.datasets import digits

Rows: TypeAlias = tuple[Any, Any]


class Problem(NamedTuple):
    """Rows to learn from and to test with; y has class numbers, or numbers to approximate."""

    name: str
    x: Any
    y: Any
    test_x: Any
    test_y: Any
    classes: int  # 0 for regression
    goal: float  # what a healthy run reaches with test rows: the mean recall of classes, or R2

    @property
    def outputs(self) -> int:
        if self.classes:
            return 1 if self.classes == 2 else self.classes
        return 1 if self.y.ndim == 1 else self.y.shape[1]

    def with_rows(self, rows: Any) -> Problem:
        """Return the problem with some of the rows to learn from, in their order."""
        return self._replace(x=self.x[rows], y=self.y[rows])


def blobs(rng: Any, n: int) -> Rows:
    centres = np.array([[1.5, 0, 0, 1], [0, 1.5, 1, 0], [-1.2, -1.2, 0, 0]])
    y = rng.integers(3, size=n)
    return centres[y] + 0.5 * rng.normal(size=(n, 4)), y


def moons(rng: Any, n: int) -> Rows:
    y, angle = rng.integers(2, size=n), rng.uniform(0, np.pi, n)
    side = np.where(y, -1, 1)
    x = np.stack([np.cos(angle) * side + 0.5 * y, np.sin(angle) * side + 0.25 * y], axis=1)
    return 1.5 * (x - [0.25, 0.125]) + 0.15 * rng.normal(size=(n, 2)), y


def sine(rng: Any, n: int) -> Rows:
    x = rng.uniform(-1.7, 1.7, (n, 1))
    return x, np.sin(3 * x[:, 0]) + 0.1 * rng.normal(size=n)


def friedman(rng: Any, n: int) -> Rows:
    """Friedman 1991, "Multivariate adaptive regression splines", eq. 61, scaled."""
    u = rng.uniform(size=(n, 5))
    y = 10 * np.sin(np.pi * u[:, 0] * u[:, 1]) + 20 * (u[:, 2] - 0.5) ** 2
    y += 10 * u[:, 3] + 5 * u[:, 4] + rng.normal(size=n)
    return (u - 0.5) * np.sqrt(12), (y - 14.4) / 4.9


def small_digits(rng: Any, n: int) -> Rows:
    x, y = digits()
    rows = rng.permutation(len(x))[:n]
    return x[rows] / 8 - 0.6, y[rows]


def rings(rng: Any, n: int) -> Rows:
    y, angle = rng.integers(2, size=n), rng.uniform(0, 2 * np.pi, n)
    radius = 0.7 + y + 0.15 * rng.normal(size=n)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), y


def petals(rng: Any, n: int) -> Rows:
    """Five classes, each two sectors that lie opposite each other."""
    y = rng.integers(5, size=n)
    angle = (y + rng.uniform(0.15, 0.85, n) + 5 * rng.integers(2, size=n)) * np.pi / 5
    radius = rng.uniform(0.6, 2, n)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), y


def clouds(rng: Any, n: int) -> Rows:
    """Exclusive or, each corner a cloud, with two columns of noise beside it."""
    corners = rng.integers(2, size=(n, 2))
    x = np.hstack([2 * corners - 1 + 0.3 * rng.normal(size=(n, 2)), 0.5 * rng.normal(size=(n, 2))])
    return x, corners[:, 0] ^ corners[:, 1]


def waves(rng: Any, n: int) -> Rows:
    x = rng.uniform(-1.7, 1.7, (n, 2))
    return x, np.sin(1.5 * x[:, 0]) * np.cos(1.5 * x[:, 1]) + 0.05 * rng.normal(size=n)


def teacher(rng: Any, n: int) -> Rows:
    """Three outputs of a fixed random network."""
    fixed = np.random.default_rng(7)
    first, second = fixed.normal(size=(6, 8)) / 2, fixed.normal(size=(8, 3)) / 2
    x = rng.normal(size=(n, 6))
    return x, np.tanh(x @ first) @ second + 0.1 * rng.normal(size=(n, 3))


def board(rng: Any, n: int) -> Rows:
    """A board of three by three fields in two colours."""
    x = rng.uniform(-1.5, 1.5, (n, 2))
    return x, (np.floor(x[:, 0] + 1.5) + np.floor(x[:, 1] + 1.5)).astype(int) % 2


def shells(rng: Any, n: int) -> Rows:
    """Three classes by the distance from the centre, in three dimensions."""
    y = rng.integers(3, size=n)
    x = rng.normal(size=(n, 3))
    radius = 0.4 + 0.8 * y + 0.15 * rng.normal(size=n)
    return radius[:, None] * x / np.linalg.norm(x, axis=1, keepdims=True), y


def words(rng: Any, n: int) -> Rows:
    """Four words of 16 bits, of which some are turned on the way."""
    fixed = np.random.default_rng(3).integers(2, size=(4, 16))
    y = rng.integers(4, size=n)
    return (fixed[y] ^ (rng.uniform(size=(n, 16)) < 0.12)) * 2.0 - 1.0, y


def bumps(rng: Any, n: int) -> Rows:
    x = rng.uniform(-1.7, 1.7, (n, 2))
    places = np.array([[1, 1], [-1, 0.5], [0, -1]])
    squares = ((x[:, None] - places) ** 2).sum(axis=2)
    return x, np.exp(-2 * squares) @ [1, -1.2, 1.5] + 0.05 * rng.normal(size=n)


def pairs(rng: Any, n: int) -> Rows:
    """Two outputs: a product, and a distance."""
    x = rng.uniform(-1.7, 1.7, (n, 4))
    y = np.stack([x[:, 0] * x[:, 1], np.abs(x[:, 2] - x[:, 3]) - 1.1], axis=1)
    return x, y + 0.1 * rng.normal(size=y.shape)


# How many classes each has, and the goal: 95 % of what the best of many networks reached.
ABOUT: dict[Callable[..., Rows], tuple[int, float]] = {
    blobs: (3, 0.95),
    moons: (2, 0.95),
    sine: (0, 0.91),
    friedman: (0, 0.87),
    small_digits: (10, 0.92),
    rings: (2, 0.95),
    petals: (5, 0.95),
    clouds: (2, 0.95),
    waves: (0, 0.93),
    teacher: (0, 0.92),
    board: (2, 0.92),
    shells: (3, 0.95),
    words: (4, 0.935),
    bumps: (0, 0.93),
    pairs: (0, 0.93),
}
TUNING = (
    blobs, moons, sine, friedman, small_digits, rings, petals, clouds, waves, teacher,
)  # fmt: skip
HELD_OUT = (board, shells, words, bumps, pairs)


def draw(
    make: Callable[..., Rows],
    rng: Any,
    rows: int = 400,
    noise: float = 0.0,
    blur: float = 0.0,
    tests: int = 400,
) -> Problem:
    """Return a problem.

    `noise` is a share of wrong labels, or of the variance of targets; `blur` is noise of the
    inputs, in standard deviations.
    """
    x, y = make(rng, rows + tests)
    x = x + blur * x.std() * rng.normal(size=x.shape)
    classes, goal = ABOUT[make]
    if classes:
        wrong = rng.uniform(size=len(y)) < noise
        y = np.where(wrong, (y + rng.integers(1, classes, len(y))) % classes, y)
        goal *= 1 - noise
    else:
        y = y + np.sqrt(noise / (1 - noise)) * y.std(0) * rng.normal(size=y.shape)
        goal *= 1 - noise
    return Problem(make.__name__, x[:rows], y[:rows], x[rows:], y[rows:], classes, goal)
