"""A path down a curve is what the formula says, and has the right name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fastbp.insight import gradient_descent


def quadratic(curvature: float, at: float = 0.0) -> Any:
    """Return a quadratic with its minimum at a place, and its derivative."""
    return lambda x: curvature / 2 * (x - at) ** 2, lambda x: curvature * (x - at)


@pytest.mark.parametrize("at", [0.0, 3.0, -1e3])
@pytest.mark.parametrize("curvature", [0.01, 1.0, 500.0])
@pytest.mark.parametrize(
    ("share", "regime"),
    [
        (0.01, "crawl"),
        (0.08, "crawl"),  # 0.92^50 is 0.015
        (0.09, "convergence"),  # 0.91^50 is 0.009
        (0.99, "convergence"),
        (1.01, "oscillation"),
        (1.9, "oscillation"),
        (2 - 1e-6, "oscillation"),
        (2 + 1e-6, "divergence"),
        (3.0, "divergence"),
    ],
)
def test_a_quadratic_has_the_regime_of_its_rate(
    at: float, curvature: float, share: float, regime: str
) -> None:
    path = gradient_descent(*quadratic(curvature, at), at + 2, share / curvature)
    assert path.regime == regime
    assert path.factor == pytest.approx(1 - share, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(path.x - at, 2 * (1 - share) ** np.arange(51.0), atol=1e-9 + 2e-7)


def test_swinging_for_ever_is_an_oscillation() -> None:
    path = gradient_descent(*quadratic(1.0), 1.0, 2.0)
    assert path.x.tolist() == [(-1.0) ** k for k in range(51)]
    assert (path.regime, path.at_rest) == ("oscillation", False)
    # Far out this curve is a line: a step leads to the same height on the other side, -x, where
    # rate / sqrt(1 + x^2) is 2, and from elsewhere to there.
    path = gradient_descent(
        lambda x: math.sqrt(1 + x * x), lambda x: x / math.sqrt(1 + x * x), 5.0, 4.0
    )
    assert path.regime == "oscillation"
    assert path.x[-1] == pytest.approx(-path.x[-2]) == pytest.approx(-math.sqrt(3), rel=1e-6)


def test_one_step_to_the_minimum_and_a_start_there_converge() -> None:
    assert gradient_descent(*quadratic(4.0), 1.0, 0.25).regime == "convergence"
    at_rest = gradient_descent(*quadratic(1.0), 0.0, 0.1)
    assert (at_rest.regime, at_rest.factor) == ("convergence", 0)


@pytest.mark.parametrize(
    ("f", "df"),
    [
        (lambda x: x**4, lambda x: 4 * x**3),
        (np.cosh, np.sinh),
        (lambda x: math.cosh(x), lambda x: math.sinh(x)),
    ],
)
def test_a_path_ends_where_numbers_do(f: Any, df: Any) -> None:
    path = gradient_descent(f, df, 9.0, 1.0)
    assert path.regime == "divergence"
    assert path.left
    assert len(path.x) < 51
    assert np.isfinite([path.x, path.values, path.slopes]).all()
    assert "beyond the finite numbers" in str(path)


def test_descent_ends_in_the_valley_it_began_in() -> None:
    ends = {}
    for start in (-2.0, 2.0):
        path = gradient_descent(
            lambda x: x**4 - 3 * x**2 + x, lambda x: 4 * x**3 - 6 * x + 1, start, 0.02, steps=200
        )
        assert path.regime == "convergence"
        ends[start] = path.values[-1]
    assert ends[-2.0] < -3.5 < -1.1 < ends[2.0]


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"f": 3}, TypeError, "f: expected a function, got 3"),
        ({"df": None}, TypeError, "df: expected a function, got None"),
        ({"df": lambda x, y: x}, TypeError, "df: expected a function of a number"),
        ({"f": lambda x: [x, x]}, TypeError, r"f: expected a number at x = 1, got shape \(2,\)"),
        ({"x0": math.inf}, ValueError, "x0: expected a finite number"),
        ({"x0": "1"}, TypeError, "x0: expected a real number"),
        ({"learning_rate": 0}, ValueError, "learning_rate: expected a number above 0"),
        ({"steps": 0}, ValueError, "steps: expected an integer at least 1"),
        ({"df": lambda x: math.nan}, ValueError, "x0: expected a place where f and df are finite"),
        ({"f": lambda x: 1 / (x - 1)}, ValueError, "x0: expected a place where"),
    ],
)
def test_bad_input_is_refused(given: Any, error: Any, match: str) -> None:
    f, df = quadratic(1.0)
    with pytest.raises(error, match=match):
        gradient_descent(**({"f": f, "df": df, "x0": 1, "learning_rate": 0.1} | given))


@pytest.mark.parametrize("rate", [0.001, 0.3, 1.5, 2.0, 2.1, 1e9])
@pytest.mark.parametrize("start", [-3.0, 0.0, 3.0])
def test_the_picture_has_the_path_on_its_curve(rate: float, start: float) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    path = gradient_descent(*quadratic(1.0, 0.5), start, rate)
    axes = path.plot(figure.subplots())
    curve, points, first = axes.lines
    n = len(points.get_xdata())
    np.testing.assert_array_equal(points.get_xdata(), path.x[:n])
    np.testing.assert_array_equal(points.get_ydata(), path.values[:n])
    assert (n == 51) == (path.regime != "divergence")  # what climbs is shown for a while
    assert curve.get_xdata().min() < points.get_xdata().min()
    assert curve.get_xdata().min() < 0.5 < curve.get_xdata().max()
    assert first.get_xdata()[0] == start
    assert axes.get_title() == f"learning rate {rate:g}: {path.regime}"
