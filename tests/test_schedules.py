"""Schedules: values of PyTorch and Keras, the clock, what networks show of them.

torch_rates.json holds what PyTorch's schedulers give; where PyTorch is installed they are asked
again. The file is written by

    python tests/test_schedules.py
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Adam, Dense, schedules
from fastbp.callbacks import LambdaCallback
from fastbp.reference.schedules import rate
from fastbp.schedules import (
    SCHEDULES,
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

RECORDED = Path(__file__).with_name("torch_rates.json")
STEPS = 61
# PyTorch's schedulers, all for SGD(lr=0.1), and what they are here.
TORCH: dict[str, tuple[str, dict[str, Any], Schedule]] = {
    "StepLR": (
        "StepLR", {"step_size": 7, "gamma": 0.3}, Exponential(0.1, 0.3, 7, staircase=True),
    ),
    "MultiStepLR": (
        "MultiStepLR",
        {"milestones": [5, 20, 21], "gamma": 0.5},
        Piecewise((0.1, 0.05, 0.025, 0.0125), (5, 20, 21)),
    ),
    "ExponentialLR": ("ExponentialLR", {"gamma": 0.93}, Exponential(0.1, 0.93)),
    "PolynomialLR": (
        "PolynomialLR", {"total_iters": 50, "power": 1.7}, Polynomial(0.1, 50, power=1.7),
    ),
    "LinearLR": (
        "LinearLR",
        {"start_factor": 0.25, "end_factor": 1.0, "total_iters": 30},
        Warmup(0.1, 30, 0.025),
    ),
    "CosineAnnealingLR": (
        "CosineAnnealingLR", {"T_max": 60, "eta_min": 0.003}, Cosine(0.1, 60, 0.003),
    ),
    "CosineAnnealingWarmRestarts": (
        "CosineAnnealingWarmRestarts",
        {"T_0": 8, "T_mult": 2, "eta_min": 0.003},
        CosineRestarts(0.1, 8, 0.003),
    ),
    "equal restarts": (
        "CosineAnnealingWarmRestarts", {"T_0": 9, "T_mult": 1}, CosineRestarts(0.1, 9, t_mul=1),
    ),
    "OneCycleLR": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 61}, OneCycle(0.5, 61)),
    "OneCycleLR, linear": (
        "OneCycleLR",
        {"max_lr": 0.5, "total_steps": 61, "pct_start": 0.4, "anneal_strategy": "linear",
         "div_factor": 10, "final_div_factor": 100},
        OneCycle(0.5, 61, 0.4, 10, 100, "linear"),
    ),
    "OneCycleLR, three phases": (
        "OneCycleLR",
        {"max_lr": 0.5, "total_steps": 61, "pct_start": 0.35, "three_phase": True},
        OneCycle(0.5, 61, 0.35, three_phases=True),
    ),
    "CyclicLR": (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 7, "step_size_down": 4},
        Cyclical(0.01, 0.2, 7, 4),
    ),
    "CyclicLR, triangular2": (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 6, "mode": "triangular2"},
        Cyclical(0.01, 0.2, 6, shape="triangular2"),
    ),
    "CyclicLR, exp_range": (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 6, "mode": "exp_range", "gamma": 0.97},
        Cyclical(0.01, 0.2, 6, shape="exp_range", decay=0.97),
    ),
}  # fmt: skip
# They multiply one rate by the next factor, each with a rounding or two of its own; one cosine is
# the difference of numbers of size 1.
LIMIT = 4 * STEPS * float(np.finfo(float).eps)


def torch_rates(name: str) -> list[float]:
    """Return what a scheduler of PyTorch gives for each step."""
    import torch

    kind, given, _ = TORCH[name]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    more = {"cycle_momentum": False} if kind in ("OneCycleLR", "CyclicLR") else {}
    scheduler = getattr(torch.optim.lr_scheduler, kind)(optimizer, **given, **more)
    rates = []
    for step in range(STEPS):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if step < STEPS - 1:  # one cycle is over then
            scheduler.step()
    return rates


def network(Network: Any, schedule: Any, kind: Any = SGD, **given: Any) -> Any:
    """Return a network of one weight and one bias; its data are 12 rows."""
    return Network(
        [Dense(1)], input_shape=1, loss="squared_error", optimizer=kind(schedule),
        dtype="float64", seed=3, **given,
    )  # fmt: skip


X = np.linspace(-1, 1, 12)[:, None]
Y = 0.5 * X[:, 0] - 0.2


def fit(net: Any, epochs: int = 1, batch_size: int = 4, **given: Any) -> Any:
    return net.fit(X, Y, epochs=epochs, batch_size=batch_size, verbose=0, **given)


def taken(Network: Any, schedule: Any, steps: int) -> list[float]:
    """Return the rates of a network's steps, seen by what they do to a gradient of -1."""
    net = network(Network, schedule)
    rates = []
    for _ in range(steps):
        net.parameters[:] = 0
        net.gradients[:] = -1
        expected = net.learning_rate
        net.step()
        assert net.parameters.tolist() == [expected] * 2
        rates.append(expected)
    return rates


def check_like_torch(name: str, rates: list[float], Network: Any) -> None:
    got = taken(Network, TORCH[name][2], STEPS)
    np.testing.assert_allclose(got, rates, rtol=0, atol=LIMIT * max(rates))


@pytest.mark.parametrize("name", TORCH)
def test_rates_are_those_that_pytorch_gave(name: str, Network: Any) -> None:
    check_like_torch(name, json.loads(RECORDED.read_text())[name], Network)


@pytest.mark.parametrize("name", TORCH)
def test_rates_are_those_that_pytorch_gives(name: str, Network: Any) -> None:
    pytest.importorskip("torch")
    check_like_torch(name, torch_rates(name), Network)


def keras_restarts(step: int) -> float:
    """CosineDecayRestarts(0.1, 7, t_mul=1.5, m_mul=0.8, alpha=0.1), by its documentation."""
    length, height, t_mul, m_mul = 7.0, 1.0, 1.5, 0.8
    done = float(step)
    while done >= length:
        done, length, height = done - length, length * t_mul, height * m_mul
    return 0.1 * (0.9 * 0.5 * height * (1 + math.cos(math.pi * done / length)) + 0.1)


# Keras's schedules, their formulas as documented, and what they are here.
KERAS: dict[str, tuple[str, tuple[Any, ...], Any, Schedule]] = {
    "ExponentialDecay": (
        "ExponentialDecay", (0.1, 8, 0.7),
        lambda t: 0.1 * 0.7 ** (t / 8), Exponential(0.1, 0.7, 8),
    ),
    "ExponentialDecay, staircase": (
        "ExponentialDecay", (0.1, 8, 0.7, True),
        lambda t: 0.1 * 0.7 ** (t // 8), Exponential(0.1, 0.7, 8, staircase=True),
    ),
    "InverseTimeDecay": (
        "InverseTimeDecay", (0.1, 8, 0.7),
        lambda t: 0.1 / (1 + 0.7 * t / 8), InverseScaling(0.1, 1, 0.7, 8),
    ),
    "InverseTimeDecay, staircase": (
        "InverseTimeDecay", (0.1, 8, 0.7, True),
        lambda t: 0.1 / (1 + 0.7 * (t // 8)), InverseScaling(0.1, 1, 0.7, 8, staircase=True),
    ),
    "PolynomialDecay": (
        "PolynomialDecay", (0.1, 40, 0.01, 0.5),
        lambda t: 0.09 * (1 - min(t, 40) / 40) ** 0.5 + 0.01, Polynomial(0.1, 40, 0.01, 0.5),
    ),
    "PiecewiseConstantDecay": (
        "PiecewiseConstantDecay", ([4, 9], [0.1, 0.05, 0.02]),
        lambda t: 0.1 if t <= 4 else 0.05 if t <= 9 else 0.02,
        Piecewise((0.1, 0.05, 0.02), (5, 10)),
    ),
    "CosineDecay": (
        "CosineDecay", (0.1, 40, 0.1),
        lambda t: 0.1 * (0.9 * 0.5 * (1 + math.cos(math.pi * min(t, 40) / 40)) + 0.1),
        Cosine(0.1, 40, 0.01),
    ),
    "CosineDecay with a warm-up": (
        "CosineDecay", (0.02, 40, 0.1, "", 0.1, 10),
        lambda t: 0.02 + 0.08 * t / 10 if t < 10
        else 0.1 * (0.9 * 0.5 * (1 + math.cos(math.pi * min(t - 10, 40) / 40)) + 0.1),
        Warmup(Cosine(0.1, 40, 0.01), 10, 0.02),
    ),
    "CosineDecayRestarts": (
        "CosineDecayRestarts", (0.1, 7, 1.5, 0.8, 0.1),
        keras_restarts, CosineRestarts(0.1, 7, 0.01, 1.5, 0.8),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KERAS)
def test_rates_follow_the_formula_that_keras_documents(name: str, Network: Any) -> None:
    _, _, formula, schedule = KERAS[name]
    expected = [formula(t) for t in range(STEPS)]
    np.testing.assert_allclose(taken(Network, schedule, STEPS), expected, rtol=0, atol=1e-16)


@pytest.mark.parametrize("name", KERAS)
def test_rates_are_those_that_keras_gives(name: str) -> None:
    """Which counts in float32."""
    keras = pytest.importorskip("keras")
    kind, given, _, schedule = KERAS[name]
    theirs = getattr(keras.optimizers.schedules, kind)(*given)
    rates = [float(theirs(t)) for t in range(STEPS)]
    np.testing.assert_allclose([rate(schedule, t) for t in range(STEPS)], rates, rtol=2e-5)


def test_inverse_scaling_is_that_of_scikit_learns_networks(Network: Any) -> None:
    """Which is eta0 / (t + 1)^power_t, t the rows of the epochs that are over."""
    n = len(X)
    schedule = InverseScaling(0.1, 0.4, decay=n, staircase=True, per="epoch")
    history = fit(network(Network, schedule), 5)
    expected = [0.1 / (epoch * n + 1) ** 0.4 for epoch in range(5)]
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=4e-16)


def recorded_rates(name: str) -> list[float]:
    rates: list[float] = json.loads(RECORDED.read_text())[name]
    return rates


def test_a_wrong_rate_is_found(Network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One part in a billion, or the same rates a step late."""
    kind, given, schedule = TORCH["OneCycleLR"]
    assert isinstance(schedule, OneCycle)
    for wrong in (
        OneCycle(0.5 * (1 + 1e-9), 61),
        OneCycle(0.5, 61, rise=0.3 + 1e-9),
        OneCycle(0.5, 62),
    ):
        monkeypatch.setitem(TORCH, "OneCycleLR", (kind, given, wrong))
        with pytest.raises(AssertionError):
            check_like_torch("OneCycleLR", recorded_rates("OneCycleLR"), Network)


# The clock.


def test_a_schedule_goes_on_over_fits_and_single_steps(Network: Any) -> None:
    schedule = Cosine(0.1, 20, 0.01)
    net = network(Network, schedule)
    assert net.learning_rate == 0.1
    fit(net)
    net.train_on_batch(X, Y)
    fit(net, 2)
    assert net.learning_rate == pytest.approx(rate(schedule, 10), rel=1e-14)


@pytest.mark.parametrize("per", schedules.UNITS)
def test_two_fits_have_the_bits_of_one(per: str, Network: Any) -> None:
    schedule = Warmup(CosineRestarts(0.1, 2, per=per), 1.5, per=per)
    parts, whole = (network(Network, schedule, Adam) for _ in range(2))
    rates = []
    for _ in range(3):
        rates += fit(parts, 2)["learning_rate"]
        parts = parts.copy()
    assert rates == fit(whole, 6)["learning_rate"]
    assert parts.parameters.tobytes() == whole.parameters.tobytes()


def test_epochs_count_whatever_the_size_of_the_batches(Network: Any) -> None:
    schedule = Cosine(0.1, 4, per="epoch")
    net = network(Network, schedule)
    rates = [fit(net, 1, size)["learning_rate"][0] for size in (1, 5, 12)]
    expected = [rate(schedule, t) for t in (11 / 12, 1 + 10 / 12, 2)]
    np.testing.assert_allclose(rates, expected, rtol=1e-14)
    assert net.learning_rate == pytest.approx(rate(schedule, 3), rel=1e-14)


def test_epochs_pass_in_fits_alone(Network: Any) -> None:
    net = network(Network, Polynomial(0.1, 4, per="epoch"))
    net.train_on_batch(X, Y)
    assert net.learning_rate == 0.1
    fit(net)
    net.train_on_batch(X, Y)
    assert net.learning_rate == pytest.approx(0.075)


@pytest.mark.parametrize("per", schedules.UNITS)
def test_a_schedule_starts_when_it_is_set(per: str, Network: Any) -> None:
    schedule = Polynomial(0.1, 12, per=per)
    net = network(Network, 0.1)
    fit(net, 2)
    net.learning_rate = schedule
    assert net.learning_rate == 0.1
    fit(net)
    later = net.learning_rate
    assert later < 0.1
    net.learning_rate = replace(schedule)  # an equal one
    net.optimizer = SGD(schedule, nesterov=True)
    assert net.learning_rate == later
    net.learning_rate = replace(schedule, length=24)
    assert net.learning_rate == 0.1
    fit(net)
    net.optimizer = SGD(replace(schedule, length=24), momentum=0.9)  # which remembers more
    assert net.learning_rate == 0.1
    fit(net)
    net.optimizer = Adam(replace(schedule, length=24))
    assert net.learning_rate == 0.1
    fit(net)
    net.reset()
    assert net.learning_rate == 0.1


def test_the_rate_on_record_is_that_of_the_last_update(Network: Any) -> None:
    """Whatever a callback sets behind it."""
    net = network(Network, Polynomial(0.1, 12))

    def halve(batch: int, logs: Any) -> None:
        net.learning_rate = Polynomial(0.05, 24)

    callbacks = [LambdaCallback(on_batch_end=halve)]
    record = fit(net, batch_size=len(X), callbacks=callbacks)
    assert list(record["learning_rate"]) == [0.1]


@pytest.mark.parametrize("per", schedules.UNITS)
def test_a_schedule_shorter_than_the_training_keeps_its_last_value(per: str, Network: Any) -> None:
    ends = {
        Piecewise((0.1, 0.02), (2,), per=per): 0.02,
        Polynomial(0.1, 2, 0.02, per=per): 0.02,
        Cosine(0.1, 2, 0.02, per=per): 0.02,
        OneCycle(0.5, 2, end_divisor=1, per=per): 0.02,
        Warmup(0.02, 2, per=per): 0.02,
    }
    for schedule, last in ends.items():
        assert fit(network(Network, schedule), 5)["learning_rate"][2:] == [last] * 3, schedule


def test_one_cycle_over_epochs_reaches_its_end_with_the_last_of_them() -> None:
    for three_phases in (False, True):
        schedule = OneCycle(0.5, 10, three_phases=three_phases, per="epoch")
        assert rate(schedule, 3) == 0.5
        assert rate(schedule, 10) == 0.5 / 25 / 1e4 < rate(schedule, 9.999)


def test_a_rate_that_grows_without_bound_stays_finite(Network: Any) -> None:
    largest = np.finfo(float).max
    assert taken(Network, Exponential(1.0, 1e300), 4)[2:] == [largest] * 2


# What networks show.


def test_the_history_has_the_rate_of_each_epochs_last_update(Network: Any) -> None:
    schedule = Exponential(0.1, 0.9)
    history = fit(network(Network, schedule), 3, validation_data=(X, Y))
    assert list(history) == ["loss", "val_loss", "learning_rate"]
    expected = [rate(schedule, t) for t in (2, 5, 8)]
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-14)


def test_the_history_of_a_constant_rate_says_nothing_of_it(Network: Any) -> None:
    assert list(fit(network(Network, 0.1))) == ["loss"]


def test_the_history_can_draw_the_rate(Network: Any) -> None:
    pytest.importorskip("matplotlib").use("agg")
    axes = fit(network(Network, Cosine(0.1, 9)), 3).plot()
    assert [a.get_ylabel() for a in axes] == ["loss", "learning_rate"]


def test_a_network_without_sizes_has_its_schedule_but_no_rate_yet(Network: Any) -> None:
    net = Network([Dense(1)], loss="squared_error", optimizer=SGD(Cosine(0.1, 9)), dtype="float64")
    assert net.optimizer.learning_rate == Cosine(0.1, 9)
    with pytest.raises(RuntimeError, match="known sizes"):
        _ = net.learning_rate
    fit(net)
    assert net.learning_rate < 0.1


def test_a_diverged_fit_takes_the_clock_back(Network: Any) -> None:
    net = network(Network, Exponential(1e100, 2))
    with pytest.warns(fastbp.DivergenceWarning):
        history = fit(net, 3)
    assert history["learning_rate"] == []
    assert net.learning_rate == 1e100


def test_schedules_are_values(Network: Any) -> None:
    one, other = Warmup(Cosine(0.1, 9), 3), Warmup(Cosine(0.1, 9.0), 3.0)
    assert one == other
    assert hash(one) == hash(other)
    assert repr(one) == (
        "Warmup(after=Cosine(start=0.1, length=9.0, end=0.0, per='step'), length=3.0, "
        "start=0.0, per='step')"
    )


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "learning rate": (lambda: SGD("cosine"), TypeError, "learning_rate: expected a real number"),
    "start": (lambda: Cosine(0, 9), ValueError, "start: expected a number above 0, got 0"),
    "length": (lambda: Polynomial(0.1, 0), ValueError, "length: expected a number above 0"),
    "length NaN": (lambda: Exponential(0.1, 0.5, math.nan), ValueError, "length: expected a finit"),
    "end above start": (lambda: Cosine(0.1, 9, 0.2), ValueError, "end: expected at most start = "),
    "negative end": (lambda: Polynomial(0.1, 9, -1), ValueError, "end: expected a number of at le"),
    "power": (lambda: InverseScaling(0.1, 0), ValueError, "power: expected a number above 0"),
    "decay": (lambda: Exponential(0.1, 0), ValueError, "decay: expected a number above 0, got 0"),
    "staircase": (lambda: Exponential(0.1, 0.5, 1, 2), TypeError, "staircase: expected True or "),
    "unit": (lambda: Cosine(0.1, 9, per="epochs"), ValueError, "per: .*mean 'epoch'"),
    "values": (lambda: Piecewise(0.1, (3,)), TypeError, "values: expected a sequence of numbers"),
    "boundaries": (lambda: Piecewise((1, 2), (3, 4)), ValueError, "boundaries: expected one fewer"),
    "no values": (lambda: Piecewise((), ()), ValueError, "boundaries: expected one fewer"),
    "falling": (lambda: Piecewise((1, 2, 3), (4, 3)), ValueError, "boundaries: expected rising"),
    "t_mul": (lambda: CosineRestarts(0.1, 9, t_mul=0.9), ValueError, "t_mul: .* at least 1, got 0"),
    "m_mul": (lambda: CosineRestarts(0.1, 9, m_mul=0), ValueError, "m_mul: expected a number ab"),
    "rise": (lambda: OneCycle(0.1, 9, rise=1), ValueError, r"rise: expected a number in \[0, 1\)"),
    "long rise": (
        lambda: OneCycle(0.1, 9, 0.6, three_phases=True), ValueError, "rise: expected at most 0.5",
    ),
    "divisor": (lambda: OneCycle(0.1, 9, end_divisor=0.5), ValueError, "end_divisor: expected"),
    "shape": (lambda: OneCycle(0.1, 9, shape="cos"), ValueError, "shape: expected one of 'cosine'"),
    "low above high": (lambda: Cyclical(0.2, 0.1), ValueError, "low: expected at most high = 0.1"),
    "fall": (lambda: Cyclical(0.1, 0.2, 5, 0), ValueError, "fall: expected a number above 0"),
    "decay of triangles": (lambda: Cyclical(0.1, 0.2, decay=0.9), ValueError, "decay: expected 1"),
    "growth": (
        lambda: Cyclical(0.1, 0.2, shape="exp_range", decay=1.1), ValueError, r"decay: .*\(0, 1\]",
    ),
    "warm-up twice": (
        lambda: Warmup(Warmup(0.1, 3), 3), ValueError, "after: expected a schedule that is no warm",
    ),
    "units": (
        lambda: Warmup(Cosine(0.1, 9, per="epoch"), 3), ValueError, "per: expected 'epoch', the un",
    ),
    "negative rate after": (lambda: Warmup(-0.1, 3), ValueError, "after: expected a number of at"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_constants_are_refused(case: str) -> None:
    make, error, message = BAD[case]
    with pytest.raises(error, match=f"^{message}"):
        make()


def test_every_schedule_is_compared_with_another_library() -> None:
    rows = [row[-1] for table in (TORCH, KERAS) for row in table.values()]
    assert {schedule.name for schedule in rows} == set(SCHEDULES)


def record() -> None:
    """Write torch_rates.json anew."""
    RECORDED.write_text(json.dumps({name: torch_rates(name) for name in TORCH}, indent=1) + "\n")


if __name__ == "__main__":
    record()
