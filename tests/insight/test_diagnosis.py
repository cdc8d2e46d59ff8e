"""Ailments that are planted into trainings are found and remedied, and healthy ones left alone."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any

import numpy as np
import planted_ailments as planted
import pytest
from ailing_runs import Recipe, Run, run

import fastbp
from fastbp import Dense, History
from fastbp.engine import Record
from fastbp.insight import Diagnosis, GradientMonitor, diagnose
from fastbp.insight.diagnosis import AILMENTS

NAMES = [ailment.name for ailment in AILMENTS]
HALVES = "tuning", "held out"
SUFFERERS, HEALTHY = 10, 20


def diagnosed(recipe: Recipe) -> Diagnosis:
    monitor = GradientMonitor(every=1)
    ended = run(recipe, monitor)
    return diagnose(ended.history, monitor, ended.data)


def best_remedied(ailment: planted.Planted, recipe: Recipe) -> tuple[Run, float]:
    """Return a run and by how much of what was promised the best remedy is better."""
    ill = run(recipe)
    return ill, max(ailment.harm(ill, run(remedied)) for remedied in ailment.remedies(recipe))


def test_every_ailment_is_planted() -> None:
    assert set(planted.PLANTED) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_sufferer_is_told_its_ailment_and_gets_better(core: None, name: str) -> None:
    recipe = planted.recipes(name, "tuning", 1)[0]
    (finding,) = [each for each in diagnosed(recipe) if each.name == name]
    assert re.search(r"\d", finding.evidence) or finding.severity == math.inf
    assert finding.advice.endswith(".")
    assert finding.severity >= 1
    _, better = best_remedied(planted.PLANTED[name], recipe)
    assert better >= 1


def test_healthy_runs_are_left_alone(core: None) -> None:
    for recipe in planted.healthy_recipes("tuning", 4):
        assert not diagnosed(recipe)


@pytest.mark.thorough
@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", NAMES)
def test_sufferers_are_found_and_get_better(core: None, name: str, half: str) -> None:
    recipes = planted.recipes(name, half, SUFFERERS)
    assert sum(name in diagnosed(recipe) for recipe in recipes) >= SUFFERERS / 2
    better = [best_remedied(planted.PLANTED[name], recipe)[1] >= 1 for recipe in recipes]
    assert sum(better) >= 0.6 * SUFFERERS


@pytest.mark.thorough
@pytest.mark.parametrize("half", HALVES)
def test_one_healthy_run_in_twenty_raises_an_alarm_at_most(core: None, half: str) -> None:
    recipes = planted.healthy_recipes(half, HEALTHY)
    assert sum(bool(diagnosed(recipe)) for recipe in recipes) <= 1


# What the history alone shows, and what is missing.


def history(ended: str = "epochs", freq: int = 1, **curves: Any) -> History:
    return History(Record(len(curves.get("loss", [])), curves), (1,), freq, ended)


EPOCHS = np.arange(40)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("rate too high", {"loss": [], "ended": "divergence"}),
        ("rate too high", {"loss": list(1 + 0.01 * EPOCHS)}),
        ("rate too low", {"loss": list(1 - 0.001 * EPOCHS)}),
        ("oscillation", {"loss": list(0.6**EPOCHS + 0.3 + 0.2 * (-1.0) ** EPOCHS)}),
        (
            "overfitting",
            {"loss": list(0.9**EPOCHS), "val_loss": list(1 - 0.02 * EPOCHS + 7e-4 * EPOCHS**2)},
        ),
        (
            "stopped early",
            {
                "loss": list(0.9**EPOCHS),
                "val_loss": list(0.9**EPOCHS + 0.1),
                "ended": "callback",
            },
        ),
        (
            "class imbalance",
            {"loss": [0.2], "accuracy": [0.95], "confusion_matrix": [np.array([[95, 0], [5, 0]])]},
        ),
    ],
)
def test_curves_alone_show(name: str, given: dict[str, Any]) -> None:
    assert [finding.name for finding in diagnose(history(**given))] == [name]


@pytest.mark.parametrize("ended", ["epochs", "callback", "stop_at_loss"])
def test_a_curve_that_comes_to_rest_is_healthy(ended: str) -> None:
    losses = list(0.05 + 0.8**EPOCHS)
    assert not diagnose(history(loss=losses, val_loss=losses, ended=ended))


def test_a_loss_below_0_is_no_rise() -> None:
    falling = -1 - (1 - 0.8**EPOCHS)
    assert not diagnose(history(loss=list(falling), val_loss=list(falling)))
    assert "rate too high" in diagnose(history(loss=list(-2 + 0.01 * EPOCHS)))


def test_a_validation_that_is_rare_names_the_epoch() -> None:
    validation = [1.0, 0.5, 0.8, 0.9]
    found = diagnose(history(loss=list(0.9**EPOCHS), val_loss=validation, freq=10))
    assert found.findings[0].where == "from epoch 20 on"


def test_what_is_missing_is_named() -> None:
    short = diagnose(history(loss=[1.0, 0.5]))
    assert not short
    assert "6 epochs" in short.not_judged["oscillation"]
    assert "validation data" in short.not_judged["overfitting"]
    assert "GradientMonitor" in short.not_judged["dead ReLUs"]
    assert "data=(x, y)" in short.not_judged["class imbalance"]
    given = np.zeros((8, 2)), np.arange(8) % 2
    judged = diagnose(history(loss=[1.0, 0.5]), data=given).not_judged
    assert "'accuracy'" in judged["class imbalance"]
    assert "'r2'" in judged["underfitting"]
    several = np.zeros((8, 2)), np.ones((8, 2))
    judged = diagnose(history(loss=[1.0], accuracy=[0.5]), data=several).not_judged
    assert judged["class imbalance"] == "targets of one class for each row"


def test_every_ailment_is_found_or_not_or_not_looked_for(core: None) -> None:
    recipe = planted.healthy_recipes("tuning", 1)[0]
    found = diagnosed(recipe)
    names = {*(each.name for each in found), *found.healthy, *found.not_judged}
    assert names == set(NAMES)


def test_a_monitor_without_records_says_why(core: None) -> None:
    monitor = GradientMonitor()
    found = diagnose(history(loss=[1.0] * 8), monitor)
    assert "expected at least one recorded step, got none" in found.not_judged["dead ReLUs"]


def test_a_fit_that_diverges_in_its_first_epoch_has_a_diagnosis(core: None) -> None:
    x = np.random.default_rng(0).normal(size=(64, 3))
    net = fastbp.Network(
        [Dense(8), Dense(1)], input_shape=3, loss="mse", optimizer=fastbp.SGD(1e6), seed=0
    )
    monitor = GradientMonitor(every=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastbp.DivergenceWarning)
        ended = net.fit(x, x.sum(axis=1), epochs=5, callbacks=[monitor], verbose=0)
    assert ended.epochs == 0
    found = diagnose(ended, monitor)
    assert "rate too high" in found
    assert found.not_judged["oscillation"] == "an epoch that was completed"


def test_frozen_layers_have_no_vanishing_gradients(core: None) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    frozen = {"trainable": False, "bias_trainable": False}
    layers = [Dense(16, "tanh", **frozen), Dense(16, "tanh"), Dense(16, "tanh"), Dense(1)]
    net = fastbp.Network(layers, input_shape=4, loss="mse", seed=0)
    monitor = GradientMonitor(every=1)
    ended = net.fit(x, np.tanh(x).sum(axis=1), epochs=20, callbacks=[monitor], verbose=0)
    assert monitor.gradient_norms[0, 0] == 0
    assert "vanishing gradients" not in diagnose(ended, monitor)


def test_rare_classes_are_named_as_in_the_data() -> None:
    """By their targets; of one-hot rows by their columns, of which some may have no row."""
    x, first = np.zeros((200, 2)), np.arange(200) < 190
    curves = history(loss=[0.2], accuracy=[0.9])
    for y, name in [
        (np.where(first, 1, -1), "classes -1"),
        (np.where(first, 3, 7)[:, None], "classes 7"),
        (np.eye(4)[np.where(first, 0, 2)], "classes 2"),
    ]:
        assert [finding.where for finding in diagnose(curves, data=(x, y))] == [name]


@pytest.mark.parametrize("losses", [0.0, math.inf, math.nan, 1e308])
def test_a_loss_without_a_course_is_not_said_to_fall_or_to_rise(losses: float) -> None:
    for ended in "callback", "stop_at_loss":
        found = diagnose(history(loss=[losses] * 8, val_loss=[losses] * 8, ended=ended))
        assert "stopped early" not in found
        assert "overfitting" not in found


# The report.


def test_the_report_shows_finding_and_advice() -> None:
    found = diagnose(history(loss=[], ended="divergence"))
    assert bool(found)
    assert len(found) == 1
    assert next(iter(found)).name == "rate too high"
    assert repr(found) == "<diagnosis: rate too high>"
    page = str(found)
    assert page.startswith("Diagnosis: rate too high\n----")
    assert "Loss or parameters left the finite numbers." in page
    assert "find_learning_rate" in page
    assert "Not looked for:" in page
    assert "<h3>rate too high</h3>" in found._repr_html_()
    assert found.to_markdown().startswith("## Diagnosis: rate too high")


def test_nothing_found_says_so() -> None:
    found = diagnose(history(loss=list(0.05 + 0.8**EPOCHS)))
    assert not found
    assert len(found) == 0
    assert str(found).startswith("Diagnosis: nothing found\n")
    assert repr(found) == "<diagnosis: nothing found>"


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({"loss": [1.0]},), TypeError, "history: expected a History, as fit returns, got dict"),
        ((history(loss=[]),), ValueError, "history: expected at least one epoch, got none"),
        ((history(loss=[1.0]), 3), TypeError, "monitor: expected a GradientMonitor, got int"),
        ((history(loss=[1.0]), None, [1]), TypeError, r"data: expected a tuple \(x, y\), got list"),
        (
            (history(loss=[1.0]), None, ((np.zeros((3, 2)), np.zeros((3, 1))), np.zeros(3))),
            TypeError,
            "data: expected one array of real numbers for x and one for y, got tuple",
        ),
        (
            (history(loss=[1.0]), None, (np.zeros((3, 2)), np.array(["a", "b", "c"]))),
            TypeError,
            "data: expected one array of real numbers for x and one for y, got ndarray of another",
        ),
        (
            (history(loss=[1.0]), None, (np.zeros((3, 2)), np.zeros(2))),
            ValueError,
            r"data: expected rows in x and y alike, got shapes \(3, 2\), \(2,\)",
        ),
    ],
)
def test_bad_input_names_the_argument(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        diagnose(*arguments)
