"""What a monitor records is what the steps were, and they are what they would be without it."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from typing import Any

import custom_parts
import graph_cases
import numpy as np
import pytest
import update_rules
from engine_pair import LIMITS, draw_rows

import fastbp
from fastbp import (
    LBFGS,
    SGD,
    Activation,
    Adam,
    Callback,
    Dense,
    Dropout,
    StopTraining,
    constraints,
    initializers,
    reference,
    schedules,
)
from fastbp.insight import GradientMonitor
from fastbp.watch import FIRST_RECORDS

CASES = (
    "two_outputs", "output_inside", "thinned", "diamond", "frozen", "penalized_outputs", "siamese",
    "shared_and_dropped",
)  # fmt: skip
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(150, 20)), RNG.normal(size=(150, 3))
QUANTITIES = (
    "losses", "parameter_norms", "gradient_norms", "update_norms", "activation_norms", "saturated",
    "dead",
)  # fmt: skip


def structured(rate: float) -> Dropout:
    return Dropout(rate, structured=True)


LAYERS: dict[str, list[Any]] = {
    "narrow": [Dense(5, "tanh"), Dense(9, "relu"), Dense(3, "sigmoid")],
    "small": [Dense(32, "relu"), Dropout(0.3), Dense(17, "sigmoid"), Dense(3)],
    "wide": [Dense(900, "tanh"), Dense(40, "leaky_relu"), Dense(3)],
    "restrained": [
        Dense(30, "elu", weights_regularizer="l2", weights_constraint=0.7),
        Dense(3, bias_regularizer="l1", weights_constraint=constraints.MaxNorm(0.5, axis=1)),
    ],
    "frozen": [Dense(30, "tanh", trainable=False), Dense(9, bias_trainable=False), Dense(3)],
    "activations apart": [
        Dense(20), Activation("tanh"), Dense(18), Activation(custom_parts.TANH), Dense(3),
    ],
    "custom": [custom_parts.dense(8), Dense(9, custom_parts.SILU), Dense(3)],
    "structured dropout": [
        structured(0.2), Dense(40, "relu"), structured(0.5), Dense(33), Activation("tanh"),
        structured(0.3), Dense(3),
    ],
    "structured dropout of narrow layers": [
        Dense(6, "relu"), structured(0.4), Dense(5, "tanh"), structured(0.5), Dropout(0.2),
        Dense(3),
    ],
    "structured dropout on both sides of an activation": [
        Dense(40), structured(0.4), Activation("relu"), structured(0.3), Dense(20, "tanh"),
        structured(0.5), Dense(3, "tanh"), structured(0.5),
    ],
    "wide structured dropout": [Dense(900, "relu"), structured(0.5), Dense(30, "tanh"), Dense(3)],
}  # fmt: skip


def make(Network: Any, layers: Any = "small", **options: Any) -> Any:
    given = {"input_shape": 20, "loss": "huber", "optimizer": Adam(0.01), "seed": 3} | options
    return Network(LAYERS.get(layers, layers) if isinstance(layers, str) else layers, **given)


def watched(net: Any, every: int = 1, monitor: Any = None, **options: Any) -> GradientMonitor:
    """Train a network and return its monitor."""
    monitor = monitor or GradientMonitor(every=every)
    given: dict[str, Any] = {"epochs": 2, "batch_size": 32, "verbose": 0}
    net.fit(X, Y, **(given | options), callbacks=[monitor])
    return monitor


def records(monitor: GradientMonitor) -> bytes:
    arrays = [getattr(monitor, name) for name in ("steps", *QUANTITIES)]
    return b"".join(array.tobytes() for array in arrays)


def assert_close(ours: GradientMonitor, theirs: GradientMonitor, dtype: str) -> None:
    """Fractions are counted; an output within rounding of a limit may fall on either side."""
    assert ours.layers == theirs.layers
    assert np.array_equal(ours.steps, theirs.steps)
    for name in QUANTITIES:
        a, b = getattr(ours, name), getattr(theirs, name)
        assert np.allclose(a, b, LIMITS[dtype] * 10, 1e-300, equal_nan=True), name


@pytest.mark.parametrize("layers", LAYERS)
def test_engines_record_the_same(layers: str, dtype: str, core: None) -> None:
    kinds = fastbp.Network, reference.Network
    ours, theirs = (watched(make(kind, layers, dtype=dtype), 2) for kind in kinds)
    assert len(ours.steps) == 5
    assert_close(ours, theirs, dtype)


@pytest.mark.parametrize("rule", update_rules.RULES)
def test_engines_record_the_same_for_every_optimizer(rule: str, core: None) -> None:
    nets = [
        make(kind, optimizer=update_rules.RULES[rule], dtype="float64")
        for kind in (fastbp.Network, reference.Network)
    ]
    assert_close(*(watched(net, epochs=1) for net in nets), "float64")


def assert_same_bits(layers: str, Network: Any, dtype: str, n_threads: int, **fit: Any) -> None:
    stands = []
    optimizer = Adam(schedules.Exponential(0.01, 0.9), clip_norm=0.5)
    if layers in ("narrow", "wide"):
        optimizer = SGD(0.01, momentum=0.9)
    for every in (None, 1, 3):
        net = make(Network, layers, dtype=dtype, n_threads=n_threads, optimizer=optimizer)
        callbacks = [GradientMonitor(every=every)] if every else []
        net.fit(X, Y, epochs=2, batch_size=32, verbose=0, callbacks=callbacks, **fit)
        stands.append((net.parameters.tobytes(), net._engine.state.tobytes(), net.position))
    assert stands.count(stands[0]) == 3


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize(("accumulate", "n_threads"), [(1, 1), (1, 3), (3, 2)])
def test_records_do_not_change_a_bit_of_the_training(
    layers: str, accumulate: int, dtype: str, n_threads: int, core: None
) -> None:
    given = {"gradient_accumulation_steps": accumulate, "validation_split": 0.1}
    assert_same_bits(layers, fastbp.Network, dtype, n_threads, **given)


def test_records_do_not_change_a_bit_of_the_reference() -> None:
    assert_same_bits("small", reference.Network, "float32", 1)


@pytest.mark.parametrize("rows", [1, 4, 8])
@pytest.mark.parametrize("every", [1, 7, 1000, 10**6])
def test_the_smallest_fits_come_to_the_same_bits(rows: int, every: int, core: None) -> None:
    """Between two records many of their epochs run in one kernel."""
    stands = []
    for callbacks in ([], [GradientMonitor(every=every)]):
        layers = [Dense(2, "sigmoid"), Dense(1, "sigmoid")]
        net = make(fastbp.Network, layers, optimizer=SGD(0.5), loss="squared_error")
        history = net.fit(X[:rows], Y[:rows, :1], epochs=2500, shuffle=False, verbose=0,
                          callbacks=callbacks)  # fmt: skip
        stands.append((net.parameters.tobytes(), net.position, history["loss"]))
    assert stands[0] == stands[1]
    (monitor,) = callbacks
    assert monitor.steps.tolist() == list(range(1, 2501, every))
    assert monitor.losses.tolist() == history["loss"][::every]


@pytest.mark.parametrize("layers", LAYERS)
def test_instruction_sets_and_teams_record_the_same_bits(layers: str, dtype: str) -> None:
    core = pytest.importorskip("fastbp._core")
    before, found = core.build_info()["isa"], set()
    try:
        for isa, n_threads in itertools.product(core.available_isas(), (1, 3)):
            core.choose_isa(isa)
            found.add(records(watched(make(fastbp.Network, layers, dtype=dtype,
                                           n_threads=n_threads), 4)))  # fmt: skip
    finally:
        core.choose_isa(before)
    assert len(found) == 1


@pytest.mark.parametrize("accumulate", [1, 2])
def test_norms_are_those_of_the_step(accumulate: int, dtype: str, Network: Any) -> None:
    """A copy takes the same steps one by one; rows in order, a last batch that is smaller."""
    layers = [Dense(30, "relu", weights_regularizer="l2", weights_constraint=0.5), Dense(3)]
    net = make(Network, layers, optimizer=SGD(0.1, clip_norm=0.1), dtype=dtype)
    twin = net.copy()
    given = {"epochs": 1, "shuffle": False, "gradient_accumulation_steps": accumulate}
    monitor = watched(net, **given)
    for k, first in enumerate(range(0, 150, 32 * accumulate)):
        x, y = X[first : first + 32 * accumulate], Y[first : first + 32 * accumulate]
        loss, _ = twin.loss_and_gradients(x, y)
        before = {name: values.copy() for name, values in twin.named_parameters().items()}
        gradient = twin.gradients.copy()
        twin.train_on_batch(x, y)
        assert monitor.losses[k] == pytest.approx(loss, rel=LIMITS[dtype] * 10)
        for layer, name in enumerate(monitor.layers):
            own = [p for p in twin.plan.parameters if p.name.startswith(f"{name}.")]
            after = twin.named_parameters()
            wanted = {
                "parameter_norms": np.concatenate([before[p.name].ravel() for p in own]),
                "gradient_norms": np.concatenate([gradient[p.start : p.stop] for p in own]),
                "update_norms": np.concatenate(
                    [(after[p.name] - before[p.name]).ravel() for p in own]
                ),
            }
            # The sums differ in order alone; where gradients are added up, they differ themselves.
            limit = 100 * LIMITS[dtype] if accumulate > 1 else 1e-13
            for quantity, flat in wanted.items():
                norm = math.sqrt(float((flat.astype(np.float64) ** 2).sum()))
                assert getattr(monitor, quantity)[k, layer] == pytest.approx(norm, rel=limit)
    assert k == len(monitor.steps) - 1


def test_outputs_are_those_of_the_batch(dtype: str, Network: Any) -> None:
    """Units that a bias keeps at 0, or far out; hidden ones on both sides of the limits."""
    biases = np.repeat([-1e6, 0.0, 1e6], [4, 12, 4])
    layers = [
        Dense(20, "relu", bias_initializer=initializers.Values(biases)),
        Dense(7, "sigmoid", weights_initializer=initializers.Uniform(-3e-6, 3e-6)),
        Dense(30, "tanh", weights_initializer=initializers.Uniform(-3, 3)),
        Dense(3),
    ]
    functions = lambda z: np.maximum(z, 0), lambda z: 1 / (1 + np.exp(-z)), np.tanh, lambda z: z
    net = make(Network, layers, dtype=dtype, optimizer=SGD(1e-9))
    named = net.named_parameters()
    outputs, a = [], X
    for layer, f in zip(("dense", "dense_1", "dense_2", "dense_3"), functions, strict=True):
        a = f(a @ named[f"{layer}.weights"].astype(float) + named[f"{layer}.biases"])
        outputs.append(a)
    saturated = (outputs[1] < 0.05) | (outputs[1] > 0.95), np.abs(outputs[2]) > 0.95
    assert all(0 < far.mean() < 1 for far in saturated)
    monitor = watched(net, epochs=1, batch_size=150)
    sizes = [math.sqrt((a**2).mean()) for a in outputs]
    assert monitor.activation_norms[0] == pytest.approx(sizes, rel=1e-5)
    shares = [math.nan, *[far.mean() for far in saturated], math.nan]
    assert monitor.saturated[0] == pytest.approx(shares, rel=1e-9, nan_ok=True)
    assert monitor.dead[0] == pytest.approx([0.2, *[math.nan] * 3], rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("case", CASES)
def test_graphs_are_watched_too(case: str, core: None) -> None:
    made = getattr(graph_cases, case)()
    monitors, rows = [], 40
    for kind in (fastbp.Network, reference.Network):
        net = made.network(kind, dtype="float64", seed=1, optimizer="sgd")
        data = draw_rows(net.plan, rows, False, 0)
        monitors.append(GradientMonitor(every=1))
        net.fit(data.x, data.y, epochs=2, batch_size=16, verbose=0, callbacks=monitors[-1:])
    assert_close(*monitors, "float64")
    places = [net.summary().index(f"\n{name} ") for name in monitors[0].layers]
    assert places == sorted(places)
    assert set(monitors[0].layers) == {p.name.partition(".")[0] for p in net.plan.parameters}


@pytest.mark.parametrize("case", ["penalized_outputs", "siamese"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_losses_of_graphs_are_those_of_the_epoch(case: str, accumulate: int, Network: Any) -> None:
    """What parameters cost beside several outputs, and layers that are called several times."""
    net = getattr(graph_cases, case)().network(Network, dtype="float64", seed=1)
    data = draw_rows(net.plan, 16, False, 0)
    monitor = GradientMonitor(every=1)
    history = net.fit(
        data.x, data.y, epochs=3, batch_size=16 // accumulate, verbose=0,
        gradient_accumulation_steps=accumulate, callbacks=[monitor],
    )  # fmt: skip
    assert monitor.losses.tolist() == pytest.approx(history["loss"], rel=1e-12)


def test_streams_are_watched_too(core: None) -> None:
    """Chunks of several sizes need several workspaces."""
    monitors = []
    sizes = 10, 40, 90, 10
    ends = np.cumsum(sizes)
    for kind in (fastbp.Network, reference.Network):
        net = make(kind, dtype="float64")
        monitors.append(GradientMonitor(every=1))
        stream = [(X[b - n : b], Y[b - n : b]) for n, b in zip(sizes, ends, strict=True)]
        net.fit(
            lambda stream=stream: iter(stream),
            epochs=2,
            verbose=0,
            callbacks=monitors[-1:],
            shuffle=False,
        )
    assert len(monitors[0].steps) == 8
    assert_close(*monitors, "float64")


def test_records_go_on_from_fit_to_fit(Network: Any) -> None:
    net, twin = make(Network), make(Network)
    monitor = watched(net, 3, epochs=1)
    assert monitor.steps.tolist() == [1, 4]
    watched(net, 3, monitor, epochs=1)
    assert monitor.steps.tolist() == [1, 4, 7, 10]
    whole = watched(twin, 3, epochs=2)
    assert records(monitor) == records(whole)


def test_records_find_room(core: None) -> None:
    net = make(fastbp.Network)
    monitor = watched(net, epochs=3 * FIRST_RECORDS, batch_size=150)
    assert monitor.steps.tolist() == list(range(1, 3 * FIRST_RECORDS + 1))
    assert np.isfinite(monitor.gradient_norms).all()


def test_copies_and_pickles_have_records_of_their_own(Network: Any) -> None:
    net = make(Network)
    monitor = watched(net, 3)
    copies = copy.deepcopy(monitor), pickle.loads(pickle.dumps(monitor))
    before = records(monitor)
    for other in copies:
        assert records(other) == before
        watched(net.copy(), 3, other)
        assert other.steps.tolist() == [1, 4, 7, 10, 13, 16, 19]
    assert records(copies[0]) == records(copies[1])
    assert records(monitor) == before


def test_no_python_runs_for_a_record(monkeypatch: pytest.MonkeyPatch, core: None) -> None:
    """The engine is asked for no visits, and the monitor for nothing until the fit is over."""
    net, jobs = make(fastbp.Network), []
    engine = type(net)._engine_class()

    class Spy(engine):
        def fit(self, job: Any, record: Any) -> None:
            jobs.append(job)
            super().fit(job, record)

    monkeypatch.setattr(fastbp.Network, "_engine_class", staticmethod(lambda: Spy))
    watched(make(fastbp.Network))
    (job,) = jobs
    assert not any([job.on_epoch_begin, job.on_epoch_end, job.on_batch_end, job.on_progress])


def test_callbacks_see_what_has_been_recorded(Network: Any) -> None:
    monitor, seen = GradientMonitor(every=2), []

    class Look(Callback):
        def on_batch_end(self, batch: int, logs: Any) -> None:
            seen.append(len(monitor.steps))
            if len(seen) == 7:
                raise StopTraining

    make(Network).fit(X, Y, epochs=9, batch_size=32, verbose=0, callbacks=[monitor, Look()])
    assert seen == [1, 1, 2, 2, 3, 3, 4]
    assert monitor.steps.tolist() == [1, 3, 5, 7]


@pytest.mark.filterwarnings("ignore::fastbp.DivergenceWarning")
def test_records_show_how_a_training_diverged(Network: Any) -> None:
    net = make(Network, [Dense(9), Dense(3)], optimizer=SGD(1e3), loss="mean_squared_error")
    monitor = watched(net, epochs=50)
    assert np.isfinite(net.parameters).all()
    assert 2 < len(monitor.steps) < 250
    assert np.nanmax(monitor.gradient_norms[:, 0]) > 1e6 * monitor.gradient_norms[0, 0]
    assert np.isfinite(monitor.losses).all()


def test_lbfgs_is_refused(Network: Any) -> None:
    net = make(Network, optimizer=LBFGS())
    with pytest.raises(ValueError, match="a step for each gradient, got LBFGS"):
        watched(net)
    assert net.position.steps == 0


def test_a_network_with_other_layers_is_refused(Network: Any) -> None:
    monitor = watched(make(Network))
    before = records(monitor)
    net = make(Network, "narrow")
    with pytest.raises(ValueError, match="expected GradientMonitor with a network like"):
        watched(net, monitor=monitor)
    assert records(monitor) == before
    assert net.position.steps == 0


def test_a_second_monitor_is_refused(Network: Any) -> None:
    with pytest.raises(ValueError, match="expected one GradientMonitor at most, got 2"):
        make(Network).fit(X, Y, callbacks=[GradientMonitor(), GradientMonitor()])


@pytest.mark.parametrize("same", [True, False])
def test_a_monitor_that_a_fit_is_using_is_refused(same: bool, Network: Any) -> None:
    """Until that fit is over, however it ends; a copy made within it is free."""
    monitor, seen = GradientMonitor(every=1), []

    class Begin(Callback):
        def on_batch_end(self, batch: int, logs: Any) -> None:
            watched(make(Network), monitor=copy.deepcopy(monitor))
            seen.append(batch)
            watched(make(Network, "small" if same else "narrow"), monitor=monitor)

    with pytest.raises(ValueError, match="in one fit at a time, got one that another fit is using"):
        make(Network).fit(X, Y, batch_size=32, verbose=0, callbacks=[monitor, Begin()])
    assert (seen, monitor.steps.tolist()) == ([0], [1])
    watched(make(Network), monitor=monitor, epochs=1)
    assert monitor.steps.tolist() == [1, 2, 3, 4, 5, 6]


def test_records_of_the_rarest_step_leave_counting_alone(Network: Any) -> None:
    monitor = watched(make(Network), every=2**63 - 1)
    assert monitor.steps.tolist() == [1]
    assert "of 10, loss" in str(monitor)


@pytest.mark.parametrize("every", [0, -1, 1.5, "a", True, 2**63])
def test_every_is_a_positive_integer(every: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="every: expected"):
        GradientMonitor(every=every)


def test_a_monitor_without_records_says_why(Network: Any) -> None:
    monitor = GradientMonitor(every=100)
    assert "has seen no step; pass it to fit" in str(monitor)
    assert (monitor.layers, monitor.steps.tolist()) == ((), [])
    with pytest.raises(ValueError, match="expected at least one recorded step, got none: it has"):
        monitor.plot()
    watched(make(Network), monitor=monitor)
    assert monitor.steps.tolist() == [1]
    monitor.plot()


def test_it_prints_the_last_record(Network: Any) -> None:
    monitor = watched(make(Network))
    shown = str(monitor)
    assert "Step 10 of 10" in shown
    assert [line.split()[0] for line in shown.splitlines()[-3:]] == list(monitor.layers)
    assert f"{monitor.gradient_norms[-1, 1]:.3g}" in shown
    assert repr(monitor) == "<GradientMonitor: 10 records of 3 layers>"
    assert "<table" in monitor._repr_html_()


def test_a_planted_error_is_found(monkeypatch: pytest.MonkeyPatch, core: None) -> None:
    """Each number of a record is one that the comparison of engines looks at."""
    right = reference.watch.norm
    monkeypatch.setattr(reference.watch, "norm", lambda *given: right(*given) * (1 + 1e-10))
    with pytest.raises(AssertionError, match="parameter_norms"):
        test_engines_record_the_same("small", "float64", None)
