"""Both engines keep to the interface that `fastbp.engine.EngineProtocol` writes down."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastbp
from fastbp import reference
from fastbp.engine import EngineProtocol, Fit, Position, Record, Rows
from fastbp.layers import Dense, Dropout
from fastbp.losses import HalfSquaredError
from fastbp.lowering import lower
from fastbp.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop, Rprop

METHODS = {
    name: member
    for name, member in vars(EngineProtocol).items()
    if inspect.isfunction(member) and not name.startswith("_")
}
PLAN = lower((Dense(4, "tanh"), Dropout(0.5), Dense(2)), (3,), "float64", HalfSquaredError())
X, Y = np.random.default_rng(0).normal(size=(2, 8, 3))
DATA = Rows(X, Y[:, :2].copy())


@pytest.fixture(params=["reference", "compiled"])
def Engine(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The class of each engine."""
    if request.param == "reference":
        return reference.Engine
    request.getfixturevalue("core")
    return fastbp.network.compiled_core().Engine


@pytest.fixture
def engine(Engine: Any) -> Any:
    made = Engine(plan=PLAN, optimizer=Adam(0.1), seed=6)
    made.parameters[:] = np.random.default_rng(1).normal(size=PLAN.n_parameters)
    return made


def fit(engine: Any, epochs: int = 1) -> None:
    engine.fit(Fit(DATA, epochs, batch_size=3, shuffle=True), Record())


def arguments(function: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", METHODS)
def test_methods_have_the_signatures_of_the_protocol(name: str, Engine: Any) -> None:
    assert arguments(getattr(Engine, name)) == arguments(METHODS[name])


def test_engines_show_the_attributes_of_the_protocol_and_no_others(engine: Any) -> None:
    expected = set(METHODS) | set(EngineProtocol.__annotations__) | {"learning_rate"}
    of_the_protocol = {name for name in expected if hasattr(engine, name)}
    assert of_the_protocol == expected
    steps = {
        "commit",
        "counted",
        "differentiate",
        "measured",
        "update",
    }  # the reference's own, for its training loop
    shown = {name for name in dir(engine) if not name.startswith("_")}
    assert shown - expected <= steps


def test_a_new_engine_stands_at_the_start(Engine: Any) -> None:
    engine = Engine(PLAN, Adam(0.1), 2**64 - 1)
    assert engine.plan is PLAN
    assert engine.optimizer == Adam(0.1)
    assert (engine.seed, engine.position) == (2**64 - 1, Position())
    for vector in (engine.parameters, engine.gradients, *engine.state):
        assert vector.shape == (PLAN.n_parameters,)
        assert vector.dtype == PLAN.dtype
        assert not vector.any()
    assert len(engine.state) == 2


def test_vectors_are_aligned_and_never_move(engine: Any) -> None:
    def addresses() -> list[int]:
        vectors = engine.parameters, engine.gradients
        return [vector.__array_interface__["data"][0] for vector in vectors]

    before = addresses()
    assert [address % 64 for address in before] == [0, 0]
    parameters = engine.parameters
    fit(engine)
    engine.loss_and_gradients(DATA, (), False, None)
    engine.step()
    assert addresses() == before
    assert engine.parameters.tobytes() == parameters.tobytes()


def test_position_counts_updates_batches_and_epochs(engine: Any) -> None:
    fit(engine, 2)
    assert engine.position == Position(steps=6, batches=6, epochs=2)
    engine.loss_and_gradients(DATA, (), False, None)
    engine.forward(X, True, None)
    engine.evaluate(DATA, (), None)
    assert engine.position == Position(6, 6, 2)
    engine.step()
    assert engine.position == Position(7, 7, 2)
    engine.position = Position(1, 2**40, 3)
    engine.step()
    assert engine.position == Position(2, 2**40 + 1, 3)


@pytest.mark.parametrize(
    ("before", "after", "remembers"),
    [
        (Adam(0.1), Adam(0.2, beta_1=0.5), True),
        (SGD(0.1, 0.9), SGD(0.1, 0.5, nesterov=True), True),
        (SGD(0.1), SGD(0.2), True),
        (SGD(0.1), SGD(0.1, 0.9), False),
        (SGD(0.1, 0.9), SGD(0.1), False),
        (Adam(0.1), SGD(0.1, 0.9), False),
        (SGD(0.1, 0.9), Adam(0.1), False),
        (Adam(0.1), AdamW(0.1), False),
        (AdamW(0.1), AdamW(0.1, weight_decay=0.5, clip_norm=1.0), True),
        (RMSprop(0.1, momentum=0.5), RMSprop(0.1, centred=True, momentum=0.5), False),
        (RMSprop(0.1, momentum=0.5), RMSprop(0.1, centred=True), False),  # as many, but others
        (RMSprop(0.1, centred=True), RMSprop(0.1, momentum=0.5), False),
        (RMSprop(0.1, momentum=0.5), RMSprop(0.1, momentum=0.9, rho=0.5), True),
        (SGD(0.1), Rprop(0.5), False),
        (Rprop(0.5), Rprop(0.1), True),
    ],
)
def test_another_rule_starts_afresh_and_other_constants_do_not(
    before: Optimizer, after: Optimizer, remembers: bool, Engine: Any
) -> None:
    engine = Engine(PLAN, before, 0)
    engine.gradients[:] = 1
    engine.step()
    state = engine.state.copy()
    engine.optimizer = after
    assert engine.optimizer == after
    assert engine.position == Position(steps=int(remembers), batches=1)
    assert engine.state.shape == (after.n_states, PLAN.n_parameters)
    anew = np.reshape(after.initial_state, (-1, 1)) + 0 * engine.state
    np.testing.assert_array_equal(engine.state, state if remembers else anew)
    engine.step()


def test_backward_needs_a_forward(engine: Any) -> None:
    with pytest.raises(RuntimeError, match=r"^backward: expected a forward pass"):
        engine.backward(np.ones((8, 2)), False, None)


def test_backward_goes_back_through_the_last_forward_as_often_as_asked(engine: Any) -> None:
    """Whatever else was done and became of the arrays in between."""
    grad_output = np.ones((8, 2))
    x = X.copy()
    outputs = engine.forward(x, True, None)
    first = engine.backward(grad_output, False, None)
    gradients = engine.gradients.copy()
    x[:], outputs[:] = 9, 9
    engine.predict(X, np.empty((8, 2)), None)
    engine.evaluate(DATA, (), None)
    engine.loss_and_gradients(DATA, (), False, None)
    np.testing.assert_array_equal(engine.backward(grad_output, False, None), first)
    np.testing.assert_array_equal(engine.gradients, gradients)
    engine.forward(X[:3], True, None)
    np.testing.assert_allclose(engine.backward(grad_output[:3], False, None), first[:3], rtol=1e-14)


def test_masks_follow_seed_and_position(engine: Any) -> None:
    def masked() -> bytes:
        bits: bytes = engine.forward(X, True, None).tobytes()
        return bits

    first = masked()
    assert masked() == first
    engine.position = Position(batches=1)
    second = masked()
    engine.position, engine.seed = Position(), 7
    assert len({first, second, masked()}) == 3
    engine.seed = 6
    assert masked() == first
