"""What makes trainings go badly, planted into others, and the remedies that are advised.

Recipes are drawn from fixed seeds, and those are kept that are healthy, or suffer, by measures of
their own. Problems are in two halves: the limits of `fastbp.insight.diagnose` were chosen with the
tuning half before eyes, and the other half, other problems from other seeds, was held out until
they stood.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import training_problems as problems
from ailing_runs import Recipe, Run, run, train

import fastbp
from fastbp.initializers import Constant, Normal, VarianceScaling

CLASSIFICATION = "cross_entropy", "cross_entropy", "mse"
REGRESSION = "mse", "half_squared_error", "huber", "mae"
OPTIMIZERS = (
    fastbp.Adam(0.005),
    fastbp.Adam(0.01),
    fastbp.SGD(0.1),
    fastbp.SGD(0.02, momentum=0.9),
    fastbp.RMSprop(0.003),
    fastbp.AdamW(0.005),
    fastbp.NAdam(0.003),
)
TINY = 1e-30  # what a loss of 0 counts as
ACTIVATIONS = "relu", "tanh", "leaky_relu", "elu", "gelu", "silu"


def pick(rng: Any, among: Any) -> Any:
    return among[rng.integers(len(among))]


def plain(rng: Any, make: Any, **how: Any) -> Recipe:
    """Return a recipe without anything planted in it, on a problem of a kind."""
    problem = problems.draw(make, rng, **how)
    return Recipe(
        problem,
        hidden=(int(pick(rng, (16, 24, 32, 48))),) * int(rng.integers(1, 4)),
        activation=pick(rng, ACTIVATIONS),
        loss=pick(rng, CLASSIFICATION if problem.classes else REGRESSION),
        optimizer=pick(rng, OPTIMIZERS),
        batch_size=pick(rng, (16, 32, 64)),
        epochs=pick(rng, (60, 100, 150)),
        seed=int(rng.integers(1000)),
    )


def healthy(rng: Any, make: Any, kind: int) -> Recipe:
    """Return a recipe that should go well; kinds are what might be taken for an ailment."""
    recipe = plain(rng, make, rows=400 if kind < 4 else 1000, noise=0.2 if kind == 4 else 0.0)
    problem = recipe.problem
    match kind:
        case 4:  # a floor of noise, which no network gets below
            return recipe.change(hidden=(16,), epochs=30)
        case 5:
            patience = {"patience": 25, "monitor": "val_loss"}
            return recipe.change(stopping=patience, epochs=600)
        case 6:  # rows in the order of their targets, which shuffling makes harmless
            return recipe.change(problem=problem.with_rows(by_target(problem.y)))
        case 7 if problem.classes:
            return recipe.change(problem=problem.with_rows(scarce(rng, problem, 0.25)))
        case 8:
            rate = fastbp.schedules.Cosine(0.01, recipe.epochs, per="epoch")
            return recipe.change(optimizer=fastbp.Adam(rate))
        case 9:
            return recipe.change(activation="sigmoid", hidden=recipe.hidden[:1])
    return recipe


def by_target(y: Any) -> Any:
    return np.argsort(y if y.ndim == 1 else y[:, 0], kind="stable")


def scarce(rng: Any, problem: Any, share: float) -> Any:
    """Return rows without most of those of the second half of the classes."""
    rare = problem.y >= (problem.classes + 1) // 2
    return np.flatnonzero(~rare | (rng.uniform(size=len(rare)) < share))


def unchanged(ill: Recipe, base: Recipe) -> Recipe:
    return base


def always(ill: Run) -> bool:
    return True


@dataclass(frozen=True)
class Planted:
    """An ailment: how it is planted and remedied, and what makes a run a sufferer.

    `harm` compares a run with a better one: it is at least 1 if the run is so much worse as makes
    it a sufferer, and a remedy promises the same. The better one is what the ailment was planted
    in, if `well` says nothing else; and `shows` looks for the ailment itself, by other means than
    a diagnosis has.
    """

    plant: Callable[[Any, Recipe], Recipe]
    remedies: Callable[[Recipe], tuple[Recipe, ...]]  # the best of them counts
    harm: Callable[[Run, Run], float]
    well: Callable[[Recipe, Recipe], Recipe] = unchanged
    shows: Callable[[Run], bool] = always
    problem: dict[str, Any] = field(default_factory=dict)


def by_loss(ill: Run, well: Run) -> float:
    """A loss half as high again."""
    return ill.loss / max(well.loss, TINY) / 1.5


def by_test_loss(ill: Run, well: Run) -> float:
    """A loss of test rows a fifth higher."""
    return ill.test_loss / max(well.test_loss, TINY) / 1.2


def by_score(ill: Run, well: Run) -> float:
    """A tenth less of mean recall or R2, of the rows learned from."""
    return (well.training_score - ill.training_score) / 0.1


def plant_vanishing(rng: Any, recipe: Recipe) -> Recipe:
    deep = recipe.change(hidden=(int(pick(rng, (16, 24, 32))),) * int(rng.integers(5, 10)))
    if rng.uniform() < 0.6:
        deep = deep.change(activation="sigmoid")
    else:
        small = VarianceScaling(float(rng.uniform(0.02, 0.08)))
        deep = deep.change(activation=pick(rng, ("tanh", "relu")), initializer=small)
    return deep.change(optimizer=pick(rng, (fastbp.SGD(0.1), fastbp.SGD(0.02, momentum=0.9))))


def plant_exploding(rng: Any, recipe: Recipe) -> Recipe:
    large = VarianceScaling(float(rng.uniform(8, 20)))
    return recipe.change(
        hidden=(int(pick(rng, (16, 24, 32))),) * int(rng.integers(5, 9)),
        activation=pick(rng, ("relu", "leaky_relu", "elu", "gelu")),
        initializer=large,
        optimizer=pick(rng, (fastbp.SGD(0.01), fastbp.SGD(0.1), fastbp.Adam(0.005))),
    )


def clipped(recipe: Recipe) -> Recipe:
    optimizer = dataclasses.replace(recipe.optimizer, clip_norm=1.0)
    return recipe.change(initializer="he_normal", optimizer=optimizer)


def plant_dead(rng: Any, recipe: Recipe) -> Recipe:
    recipe = recipe.change(activation="relu")
    if rng.uniform() < 0.6:
        return recipe.change(bias=-float(rng.uniform(2, 5)))
    return recipe.change(optimizer=pick(rng, (fastbp.SGD(1.5), fastbp.Adam(0.5))))


def plant_saturated(rng: Any, recipe: Recipe) -> Recipe:
    recipe = recipe.change(activation=pick(rng, ("tanh", "sigmoid")))
    if rng.uniform() < 0.5:
        return recipe.change(initializer=Normal(0.0, float(rng.uniform(4, 12))))
    return recipe.change(scale=float(rng.uniform(30, 200)))


def plant_too_high(rng: Any, recipe: Recipe) -> Recipe:
    return recipe.at_rate(recipe.optimizer.learning_rate * float(10 ** rng.uniform(1.3, 2.5)))


def plant_too_low(rng: Any, recipe: Recipe) -> Recipe:
    return recipe.at_rate(recipe.optimizer.learning_rate * float(10 ** rng.uniform(-3, -2)))


def plant_oscillation(rng: Any, recipe: Recipe) -> Recipe:
    if rng.uniform() < 0.5:
        heavy = fastbp.SGD(float(rng.uniform(0.05, 0.2)), momentum=float(rng.uniform(0.96, 0.99)))
        return recipe.change(optimizer=heavy)
    fast = pick(rng, (fastbp.RMSprop, fastbp.Adam))(float(rng.uniform(0.04, 0.12)))
    return recipe.change(optimizer=fast, batch_size=8)


def plant_flat(rng: Any, recipe: Recipe) -> Recipe:
    kind = rng.integers(3)
    if kind == 0:  # all units of a layer alike: the saddle that symmetry makes
        zero = Constant(float(pick(rng, (0, 0.01))))
        return recipe.change(initializer=zero, output_initializer=zero, activation="tanh")
    if kind == 1 and recipe.problem.classes:  # a sigmoid that says the same of all rows
        bias = float(pick(rng, (-1, 1)) * rng.uniform(7, 10))
        return recipe.change(output_bias=bias, loss="mse", optimizer=fastbp.SGD(0.1))
    tiny = Normal(0.0, 10 ** -float(rng.uniform(2.5, 4)))
    return recipe.change(
        initializer=tiny,
        output_initializer=tiny,
        activation="tanh",
        hidden=recipe.hidden[:1] * 3,
        optimizer=fastbp.SGD(0.1),
    )


def steeper(recipe: Recipe) -> Recipe:
    start = {"initializer": "glorot_uniform", "output_initializer": "glorot_uniform"}
    return recipe.change(output_bias=0.0, optimizer=fastbp.Adam(0.005), **start)


def plant_order(rng: Any, recipe: Recipe) -> Recipe:
    rows = by_target(recipe.problem.y)
    problem = recipe.problem.with_rows(rows)
    return recipe.change(problem=problem, shuffle=False, batch_size=int(pick(rng, (4, 8, 16))))


def plant_overfitting(rng: Any, recipe: Recipe) -> Recipe:
    return recipe.change(
        hidden=(int(pick(rng, (64, 128))),) * int(rng.integers(1, 4)),
        epochs=int(pick(rng, (300, 500))),
        batch_size=16,
        optimizer=pick(rng, (fastbp.Adam(0.005), fastbp.RMSprop(0.003), fastbp.AdamW(0.005))),
    )


def plant_underfitting(rng: Any, recipe: Recipe) -> Recipe:
    kind = rng.integers(3)
    if kind == 0:
        return recipe.change(hidden=(), epochs=150)
    if kind == 1:
        return recipe.change(hidden=(1,), epochs=150)
    return recipe.change(penalty=float(10 ** rng.uniform(-1.2, -0.3)), epochs=150)


def larger(recipe: Recipe) -> Recipe:
    return recipe.change(hidden=(48, 48), activation="relu", penalty=0.0)


def plant_imbalance(rng: Any, recipe: Recipe) -> Recipe:
    rows = scarce(rng, recipe.problem, float(rng.uniform(0.04, 0.08)))
    return recipe.change(problem=recipe.problem.with_rows(rows), hidden=(16,), epochs=20)


def balanced(recipe: Recipe) -> Recipe:
    counts = np.bincount(recipe.problem.y, minlength=recipe.problem.classes)
    return recipe.change(class_weight=counts.sum() / (len(counts) * np.maximum(counts, 1)))


def plant_early(rng: Any, recipe: Recipe) -> Recipe:
    rule = {"patience": int(rng.integers(1, 3)), "monitor": pick(rng, ("val_loss", "loss"))}
    if rng.uniform() < 0.5:
        rule["min_delta"] = float(rng.uniform(0.01, 0.05))
    return recipe.change(stopping=rule, epochs=400)


def later(recipe: Recipe) -> Recipe:
    return recipe.change(stopping={"patience": 30, "monitor": "val_loss"})


def half_dead(ill: Run) -> bool:
    """Whether half the units of a layer are 0 for all rows that it learned from."""
    return any((output <= 0).all(axis=0).mean() >= 0.5 for output in ill.hidden_outputs())


def swings(ill: Run) -> bool:
    """Whether the loss over all rows, epoch by epoch, often rises by a tenth of its range."""
    if ill.history.ended == "divergence":
        return False
    watch = Evaluated(ill.data)
    train(ill.recipe, [watch])
    return bool((np.diff(watch.losses) > 0.1 * np.ptp(watch.losses)).mean() > 0.05)


class Evaluated(fastbp.Callback):
    """Keeps the loss over some rows after each epoch."""

    def __init__(self, data: Any) -> None:
        self.data, self.losses = data, []

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        self.losses.append(self.network.evaluate(*self.data)["loss"])


def knows_nothing(ill: Run) -> bool:
    """Whether it does hardly better than a constant would."""
    classes = ill.recipe.problem.classes
    return ill.training_score < 0.1 + (1 / classes if classes else 0)


def at_rates(*factors: float) -> Callable[[Recipe], tuple[Recipe, ...]]:
    return lambda ill: tuple(
        ill.at_rate(ill.optimizer.learning_rate * factor) for factor in factors
    )


def at_the_best(ill: Recipe, base: Recipe) -> Recipe:
    """Return the recipe with the parameters of its best epoch."""
    return ill.change(stopping={"patience": ill.epochs})


PLANTED = {
    "vanishing gradients": Planted(
        plant_vanishing,
        lambda r: (
            (steep := r.change(activation="relu", initializer="he_normal")),
            *at_rates(0.1)(steep),
        ),
        by_score,
    ),
    "exploding gradients": Planted(plant_exploding, lambda r: (clipped(r),), by_loss),
    "dead ReLUs": Planted(
        plant_dead,
        lambda r: (
            (leaky := r.change(activation="leaky_relu", bias=0.0, initializer="he_normal")),
            *at_rates(0.1)(leaky),
        ),
        by_loss,
        shows=half_dead,
    ),
    "saturated sigmoids": Planted(
        plant_saturated,
        lambda r: (r.change(initializer="glorot_uniform", rescale=1 / r.scale),),
        by_loss,
        well=lambda ill, base: base.change(activation=ill.activation),
    ),
    "rate too high": Planted(plant_too_high, at_rates(0.1, 0.01, 0.001), by_loss),
    "rate too low": Planted(plant_too_low, at_rates(10, 100, 1000), by_loss),
    "oscillation": Planted(plant_oscillation, at_rates(0.1), by_loss, shows=swings),
    "flat minimum": Planted(plant_flat, lambda r: (steeper(r),), by_score, shows=knows_nothing),
    "sample order": Planted(plant_order, lambda r: (r.change(shuffle=True),), by_loss),
    "overfitting": Planted(
        plant_overfitting,
        lambda r: (r.change(stopping={"patience": 20}),),
        by_test_loss,
        well=at_the_best,
        problem={"rows": 60, "noise": 0.15},
    ),
    "underfitting": Planted(plant_underfitting, lambda r: (larger(r),), by_score),
    "class imbalance": Planted(
        plant_imbalance,
        lambda r: (balanced(r),),
        by_score,
        problem={"rows": 800, "blur": 0.5},
    ),
    "stopped early": Planted(plant_early, lambda r: (later(r),), by_test_loss, well=at_the_best),
}


@functools.cache
def recipes(ailment: str, half: str, count: int) -> tuple[Recipe, ...]:
    """Return recipes that suffer from an ailment, on the problems of a half."""
    planted, found = PLANTED[ailment], []
    for seed, make in _draws(half):
        rng = np.random.default_rng([seed, sum(map(ord, ailment))])
        if ailment == "class imbalance" and not problems.ABOUT[make][0]:
            continue
        base = plain(rng, make, **planted.problem)
        recipe = planted.plant(rng, base)
        ill = run(recipe)
        if planted.harm(ill, run(planted.well(recipe, base))) >= 1 and planted.shows(ill):
            found.append(recipe)
        if len(found) == count:
            break
    return tuple(found)


@functools.cache
def healthy_recipes(half: str, count: int) -> tuple[Recipe, ...]:
    """Return recipes of healthy runs, on the problems of a half."""
    found: list[Recipe] = []
    for seed, make in _draws(half):
        rng = np.random.default_rng([seed, 0])
        recipe = healthy(rng, make, int(rng.integers(10)))
        if is_healthy(recipe):
            found.append(recipe)
        if len(found) == count:
            break
    return tuple(found)


def is_healthy(recipe: Recipe) -> bool:
    """Whether it reaches its goal, and the parameters of its best epoch, or more epochs, would not
    lower the loss of test rows by a fifth and by a fiftieth of what it was at the start.
    """
    ended = run(recipe)
    if ended.score < recipe.problem.goal:
        return False
    start = max(ended.history["loss"][0], ended.history["val_loss"][0])
    longer = recipe if recipe.stopping else recipe.change(epochs=2 * recipe.epochs)
    others = [run(at_the_best(recipe, recipe)), run(longer)]
    return not any(
        by_test_loss(ended, other) >= 1 and ended.test_loss - other.test_loss > start / 50
        for other in others
    )


def _draws(half: str) -> Iterator[tuple[int, Any]]:
    """Return the seeds, and the problem for each."""
    pool, first = {"tuning": (problems.TUNING, 0), "held out": (problems.HELD_OUT, 1000)}[half]
    return zip(itertools.count(first), itertools.cycle(pool))
