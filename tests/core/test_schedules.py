"""Schedules in the compiled engine: the rates of the reference, the same bits on any team."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from engine_pair import Pair
from schedule_rows import ROWS

import fastbp
from fastbp.engine import Position
from fastbp.layers import Dense
from fastbp.losses import MeanSquaredError
from fastbp.lowering import lower
from fastbp.optimizers import SGD, Adam
from fastbp.reference import schedules as reference
from fastbp.schedules import SCHEDULES, Cosine, Exponential, InverseScaling, Piecewise, Schedule

pytestmark = pytest.mark.usefixtures("core")

TIMES = [*range(200), 999, 1000, 12_345, 10**6, 10**9]
# A power is e^(x log base), and x log base is at most some 700 where the rate is no 0: an error of
# 2 units there is one of 2 * 700 units in the rate.
LIMIT = 1400 * 2.0**-53
EPS = 2.0**-53


def rates(schedule: Schedule, times: list[int]) -> list[float]:
    """Return the rates that a compiled engine takes at these steps."""
    plan = lower((Dense(1),), (1,), "float64", None)
    engine = fastbp.network.compiled_core().Engine(plan, SGD(schedule), 0)
    found = []
    for t in times:
        engine.position = Position(steps=t)
        found.append(engine.learning_rate)
    return found


def check_rates(schedule: Schedule) -> None:
    expected = [reference.rate(schedule, t) for t in TIMES]
    # Near its end a cosine is a small difference of numbers of the size of the first rate.
    np.testing.assert_allclose(
        rates(schedule, TIMES), expected, rtol=LIMIT, atol=4 * EPS * max(expected[:200])
    )


@pytest.mark.parametrize("name", ROWS)
def test_rates_agree_with_the_reference(name: str) -> None:
    check_rates(ROWS[name])


def test_every_schedule_has_a_row() -> None:
    assert {schedule.name for schedule in ROWS.values()} == set(SCHEDULES)


@pytest.mark.parametrize("name", reference.SCHEDULES)
def test_an_error_of_one_in_a_billion_in_a_schedule_is_found(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = reference.SCHEDULES[name]
    monkeypatch.setitem(reference.SCHEDULES, name, lambda s, t: right(s, t) * (1 + 1e-9))
    with pytest.raises(AssertionError):
        check_rates(next(schedule for schedule in ROWS.values() if schedule.name == name))


@pytest.mark.parametrize("rule", [SGD, Adam])
@pytest.mark.parametrize("name", ROWS)
def test_training_agrees_with_the_reference(name: str, rule: Any, n_threads: int) -> None:
    pair = Pair([Dense(5, "tanh"), Dense(2)], 3, MeanSquaredError(), rule(ROWS[name]), rows=200,
                n_threads=n_threads)  # fmt: skip
    compiled, expected = pair.fit(3, batch_size=130)
    pair.agree_by_tensor("parameter", lambda e: e.parameters)
    assert pair.engines[0].position == pair.engines[1].position
    assert compiled.curves.keys() == expected.curves.keys() >= {"learning_rate"}
    for curve in compiled.curves:
        pair.agree(curve, compiled.curves[curve], expected.curves[curve])


def test_epochs_pass_as_in_the_reference() -> None:
    schedule = Cosine(0.1, 3, per="epoch")
    pair = Pair([Dense(2)], 3, MeanSquaredError(), SGD(schedule), rows=11)
    for epochs, size in ((1, 3), (2, 11), (1, 4)):
        records = pair.fit(epochs, size)
        pair.agree("rate", *(record.curves["learning_rate"] for record in records))
        pair.agree_by_tensor("parameter", lambda e: e.parameters)
        assert pair.engines[0].position == pair.engines[1].position


def test_the_fit_of_a_neuron_follows_its_schedule() -> None:
    """With a constant rate this one runs many epochs in a kernel that knows of no other."""
    pair = Pair([Dense(1, "sigmoid")], 2, MeanSquaredError(), SGD(Exponential(1.0, 0.5)), rows=4,
                metrics=())  # fmt: skip
    records = pair.fit(6, 4, shuffle=False)
    assert list(records[0].curves["learning_rate"]) == [0.5**epoch for epoch in range(6)]
    pair.agree_by_tensor("parameter", lambda e: e.parameters)


def test_half_a_cosine_is_exact_to_rounding_near_its_end_too() -> None:
    length = 2**40
    times = [0, 1, 12_345, 2**30, length // 3, length // 2, length - 2**30, length - 999, length]
    with mpmath.workdps(40):
        exact = [float((1 + mpmath.cos(mpmath.pi * t / length)) / 2) for t in times]
    np.testing.assert_allclose(rates(Cosine(1.0, length), times), exact, rtol=6 * EPS)


def test_powers_are_exact_to_their_exponents_rounding() -> None:
    for decay in (0.9, 0.99999, 1.0, 1.01):
        schedule = Exponential(1.0, decay, 7)
        times = [1, 6, 7, 8, 100, 7 * 64, 7 * 65, 10_000]
        with mpmath.workdps(40):
            exact = [mpmath.mpf(decay) ** (mpmath.mpf(t) / 7) for t in times]
        limits = [8 + 4 * t / 7 * abs(float(mpmath.log(decay))) for t in times]
        limits = [max(limit, min(t / 7, 64)) for limit, t in zip(limits, times, strict=True)]
        for got, right, limit in zip(rates(schedule, times), exact, limits, strict=True):
            assert abs(got - right) <= limit * EPS * right
    assert rates(Exponential(1.0, 0.5), [3, 64]) == [0.125, 2.0**-64]
    assert rates(InverseScaling(1.0, 2.0), [3, 7]) == [1 / 16, 1 / 64]


def test_the_values_of_a_schedule_live_as_long_as_its_engine() -> None:
    """They stand in an array of their own, however many they are."""
    values = tuple(1 / (i + 1) for i in range(1000))
    engine_rates = rates(Piecewise(values, tuple(range(1, 1000))), [0, 1, 500, 999, 5000])
    assert engine_rates == [1, 1 / 2, 1 / 501, 1 / 1000, 1 / 1000]
