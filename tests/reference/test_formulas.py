"""The reference's activations, losses, metrics and update rules against their formulas."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from update_rules import RULES

from fastbp.engine import Rows
from fastbp.layers import Activation, Dense
from fastbp.losses import (
    LOSSES,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Hinge,
    KLDivergence,
    Loss,
    MeanSquaredError,
    Poisson,
    Quantile,
    SparseCategoricalCrossentropy,
)
from fastbp.metrics import Accuracy
from fastbp.optimizers import (
    SGD,
    Adagrad,
    Adam,
    NAdam,
    Optimizer,
    Quickprop,
    RMSprop,
    Rprop,
)
from fastbp.reference import optimizers as rules
from fastbp.reference.activations import ACTIVATIONS
from fastbp.reference.losses import loss_gradient, row_losses

# As fastbp/activations.py writes them, of a number with forty digits; c is the constant.
FORMULAS: dict[str, Any] = {
    "identity": lambda z, c: z,
    "sigmoid": lambda z, c: 1 / (1 + mpmath.exp(-z)),
    "tanh": lambda z, c: mpmath.tanh(z),
    "relu": lambda z, c: max(z, 0),
    "leaky_relu": lambda z, c: z if z > 0 else c * z,
    "elu": lambda z, c: z if z > 0 else c * mpmath.expm1(z),
    "gelu": lambda z, c: z * mpmath.ncdf(z),
    "silu": lambda z, c: z / (1 + mpmath.exp(-z)),
    "mish": lambda z, c: z * mpmath.tanh(mpmath.log1p(mpmath.exp(z))),
    "softplus": lambda z, c: mpmath.log1p(mpmath.exp(z)),
}
CONSTANT = 0.75
Z = [-1e4, -200.0, -37.5, -6.0, -1.0, -1e-3, 1e-3, 0.5, 3.0, 25.0, 300.0, 1e4]


@pytest.mark.parametrize("name", FORMULAS)
def test_activations_keep_to_their_formula_up_to_1e4(name: str, dtype: str) -> None:
    z = np.array([Z], dtype)
    with np.errstate(all="raise", under="ignore"):
        a = ACTIVATIONS[name].forward(z, CONSTANT)
    with mpmath.workdps(40):
        exact = [float(FORMULAS[name](mpmath.mpf(float(v)), CONSTANT)) for v in z[0]]
    assert a.dtype == dtype
    # Roundings of z grow by |z| in exp(z) and by z^2 in erfc(z); exp(-z^2 / 2) is above 0 up to 39.
    # Below the smallest normal number 0 is as good.
    info = np.finfo(dtype)
    limits = (4 + np.minimum(z[0] ** 2, 39**2)) * info.eps * np.abs(exact) + info.tiny
    assert np.all(np.abs(a[0] - exact) <= limits)


@pytest.mark.parametrize("name", FORMULAS)
def test_activation_derivatives_keep_to_their_formula_up_to_1e4(name: str, dtype: str) -> None:
    z = np.array([Z], dtype)
    with np.errstate(all="raise", under="ignore"):
        a = ACTIVATIONS[name].forward(z, CONSTANT)
        dz = ACTIVATIONS[name].backward(np.full_like(z, 2), z, a, CONSTANT)
    with mpmath.workdps(40):
        exact = [
            float(2 * mpmath.diff(lambda v: FORMULAS[name](v, CONSTANT), mpmath.mpf(float(v))))
            for v in z[0]
        ]
    assert dz.dtype == dtype
    # A few roundings of numbers up to 2; z (1 - s) and z phi(z) are at most of that size.
    np.testing.assert_allclose(dz[0], exact, rtol=0, atol=16 * np.finfo(dtype).eps)


def test_softmax_is_stable_up_to_1e4(dtype: str) -> None:
    z = np.array([[1e4, 1e4, -1e4], [-1e4, -1e4 + 1, -1e4], [0, 1, 2]], dtype)
    with np.errstate(all="raise", under="ignore"):
        a = ACTIVATIONS["softmax"].forward(z, 0)
    e = math.e
    exact = [[0.5, 0.5, 0], [1 / (2 + e), e / (2 + e), 1 / (2 + e)]]
    exact.append([1 / (1 + e + e * e), e / (1 + e + e * e), e * e / (1 + e + e * e)])
    np.testing.assert_allclose(a, exact, rtol=8 * np.finfo(dtype).eps)
    assert a.dtype == dtype


@pytest.mark.parametrize(
    ("loss", "z", "t", "expected"),
    [
        (BinaryCrossentropy(), [1e4, -1e4], [0, 1], 1e4),
        (BinaryCrossentropy(), [1e4, -1e4], [1, 0], 0),
        (BinaryCrossentropy(), [0, 0], [0.5, 0.25], math.log(2)),
        (CategoricalCrossentropy(), [1e4, -1e4], [0, 1], 2e4),
        (CategoricalCrossentropy(), [1e4, -1e4], [1, 0], 0),
        (CategoricalCrossentropy(), [3, 3], [1, 1], 2 * math.log(2)),
        (SparseCategoricalCrossentropy(), [-1e4, 1e4], 0, 2e4),
        (SparseCategoricalCrossentropy(), [0, 0], 1, math.log(2)),
        (LOSSES["half_squared_error"](), [1, 3], [0, 1], 2.5),
        (LOSSES["squared_error"](), [1, 3], [0, 1], 5),
        (LOSSES["mean_squared_error"](), [1, 3], [0, 1], 2.5),
        (LOSSES["mean_absolute_error"](), [1, 3], [2, 1], 1.5),
        (LOSSES["huber"](), [0.5, 3], [0, 1], (0.125 + 1.5) / 2),
        (Quantile(quantile=0.9), [1, 3], [2, 1], (0.9 + 0.1 * 2) / 2),
        (Quantile(), [1, 3], [2, 3], 0.25),
        (Hinge(), [0.25, -2, 3, 1], [1, 0, 0, 1], (0.75 + 0 + 4 + 0) / 4),
        (Hinge(), [0.25, -2, 3, 1], [1, -1, -1, 1], (0.75 + 0 + 4 + 0) / 4),
        (Poisson(log_input=True), [0, 1], [3, 2], (1 + math.e - 2) / 2),
        (Poisson(), [0.5, 2], [0, 3], (0.5 + 2 - 3 * math.log(2 + 1e-7)) / 2),
        (Poisson(), [0, 1], [2, 0], (-2 * math.log(1e-7) + 1) / 2),
        (KLDivergence(), [0, 0], [1, 0], math.log(2)),
        (KLDivergence(), [0, 0], [0.25, 0.75], math.log(2) + 0.75 * math.log(3) - math.log(4)),
        (KLDivergence(from_logits=True), [1e4, -1e4], [0, 1], 2e4),
        (BinaryCrossentropy(label_smoothing=0.5), [1e4, -1e4], [0, 1], 1e4 * 0.75),
        (CategoricalCrossentropy(label_smoothing=0.5), [1e4, -1e4], [0, 1], 2e4 * 0.75),
        (SparseCategoricalCrossentropy(label_smoothing=0.5), [-1e4, 1e4], 0, 2e4 * 0.75),
        (LOSSES["squared_error"](), [1e30, 0], [0, 0], 1e60),
    ],
)
def test_losses_of_a_row(loss: Loss, z: list[float], t: Any, expected: float, dtype: str) -> None:
    y = np.array([z], dtype)
    targets = np.array([t], np.int32 if loss.labels else dtype)
    with np.errstate(all="raise", under="ignore"):
        losses = row_losses(loss, y, targets)
        gradient = loss_gradient(loss, y, targets, np.ones(1))
    assert losses.dtype == np.float64
    # log 2 comes from libraries that differ in the last place; 1e30 is rounded to the dtype.
    np.testing.assert_allclose(losses, [expected], rtol=4 * np.finfo(dtype).eps, atol=0)
    assert gradient.dtype == dtype
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    "kind", [BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy]
)
def test_a_fused_cross_entropy_equals_the_one_from_logits(
    kind: Any, make_engine: Any, make_rows: Any
) -> None:
    fused = make_engine([Dense(3, "tanh"), Dense(3, kind.probability)], 4, kind())
    logits = make_engine([Dense(3, "tanh"), Dense(3)], 4, kind(from_logits=True))
    data = make_rows(fused, 6, weighted=True)
    accuracy = (Accuracy(),)
    assert fused.loss_and_gradients(data, accuracy, False, None) == logits.loss_and_gradients(
        data, accuracy, False, None
    )
    np.testing.assert_array_equal(fused.gradients, logits.gradients)
    assert fused.evaluate(data, accuracy, None) == logits.evaluate(data, accuracy, None)
    z, p = (np.empty((6, 3)) for _ in range(2))
    logits.predict(data.x, z, None)
    fused.predict(data.x, p, None)
    np.testing.assert_array_equal(p, ACTIVATIONS[kind.probability].forward(z, 0))


@pytest.mark.parametrize(
    ("layers", "loss", "y", "t", "expected"),
    [
        ([], SparseCategoricalCrossentropy("mean", True), [[1, 3], [2, 2], [4, 0]], [1, 0, 1], 2),
        ([], MeanSquaredError(), [[1, 3], [5, 2], [4, 0]], [[0, 9], [0, 1], [1, 0]], 2),
        ([], MeanSquaredError(), [[0.4], [0.6], [0.5]], [[0], [1], [1]], 2),
        ([], BinaryCrossentropy(from_logits=True), [[-1, 1], [2, 0.4]], [[0, 0], [1, 1]], 1.5),
        ([Activation("sigmoid")], BinaryCrossentropy(), [[-1, 1], [2, -3]], [[0, 1], [0, 1]], 1),
    ],
    ids=["labels", "largest", "one output", "logits", "probabilities"],
)
def test_accuracy(
    layers: list[Any], loss: Loss, y: Any, t: Any, expected: float, make_engine: Any
) -> None:
    x = np.array(y, np.float64)
    targets = np.array(t, np.int32 if loss.labels else np.float64)
    weights = np.arange(len(x), dtype=np.float64)  # left aside
    engine = make_engine(layers, x.shape[1], loss)
    got = engine.evaluate(Rows(x, targets, weights), (Accuracy(),), None)
    assert got["accuracy"] == expected / len(x)


def prepared(o: Optimizer, p: float, g: float, norm: float) -> tuple[float, float]:
    """Return a parameter and its gradient as the rule sees them, by the norm of all."""
    if o.clip_norm is not None and norm > o.clip_norm:
        g *= o.clip_norm / norm
    if o.clip_value is not None:
        g = min(max(g, -o.clip_value), o.clip_value)
    if o.decoupled_weight_decay:
        return p - o.learning_rate * o.weight_decay * p, g
    return p, g + o.weight_decay * p


def adaptive(o: Any, g: float, memory: list[float], t: int) -> float:
    """Return the step of a rule that divides by a root, with its memory m, v, u and a product."""
    m, v, u, product = memory
    if isinstance(o, Adagrad):
        v += g**2 + (o.initial_accumulator_value if t == 1 else 0)
        memory[1] = v
        return o.learning_rate * g / (math.sqrt(v) + o.epsilon)
    if isinstance(o, RMSprop):
        m, v = o.rho * m + (1 - o.rho) * g, o.rho * v + (1 - o.rho) * g**2
        u = o.momentum * u + g / (math.sqrt(v - m**2 if o.centred else v) + o.epsilon)
        memory[:3] = m, v, u
        return o.learning_rate * u
    m, v = o.beta_1 * m + (1 - o.beta_1) * g, o.beta_2 * v + (1 - o.beta_2) * g**2
    corrected = 1 - o.beta_2**t
    root = math.sqrt(v / corrected) + o.epsilon / (math.sqrt(corrected) if o.epsilon_hat else 1)
    step = m / (1 - o.beta_1**t)
    if isinstance(o, NAdam):
        mu, later = (o.beta_1 * (1 - 0.96 ** (s * o.momentum_decay) / 2) for s in (t, t + 1))
        product *= mu
        step = later * m / (1 - product * later) + (1 - mu) * g / (1 - product)
    memory[:] = m, v, u, product
    return o.learning_rate * step / root


def rprop_step(o: Rprop, g: float, memory: list[float]) -> float:
    """Return what is taken off, as PyTorch's loop over parameters has it; h, s in memory."""
    h, s = memory[:2]
    if g * h > 0:
        s = min(s * o.eta_plus, o.max_step)
    elif g * h < 0:
        s, g = max(s * o.eta_minus, o.min_step), 0.0
    memory[:2] = g, s
    return math.copysign(s, g) if g else 0.0


def quickprop_step(o: Quickprop, g: float, memory: list[float]) -> float:
    """Return what is taken off, as FANN writes it, of slopes -g; slope and step in memory."""
    slope, before, last = -g, *memory[:2]
    shrink, step = o.mu / (1 + o.mu), 0.0
    if last > 0.001:
        if slope > 0:
            step += o.learning_rate * slope
        if slope > shrink * before:
            step += o.mu * last
        else:
            step += last * slope / (before - slope)
    elif last < -0.001:
        if slope < 0:
            step += o.learning_rate * slope
        if slope < shrink * before:
            step += o.mu * last
        else:
            step += last * slope / (before - slope)
    else:
        step += o.learning_rate * slope
    memory[:2] = slope, step
    return -step


def by_hand(o: Optimizer, p: float, gradients: list[float], norms: list[float]) -> list[float]:
    """Return one parameter after each step, in Python's own numbers."""
    memory = [0.0, o.learning_rate if isinstance(o, Rprop) else 0.0, 0.0, 1.0]
    path = []
    for t, (raw, norm) in enumerate(zip(gradients, norms, strict=True), start=1):
        p, g = prepared(o, p, raw, norm)
        if isinstance(o, SGD):
            # With Nesterov's the form of Sutskever et al., the gradient where the parameter stands.
            memory[0] = v = o.momentum * memory[0] - o.learning_rate * g
            p += o.momentum * v - o.learning_rate * g if o.nesterov and o.momentum else v
        elif isinstance(o, Rprop):
            p -= rprop_step(o, g, memory)
        elif isinstance(o, Quickprop):
            p -= quickprop_step(o, g, memory)
        else:
            p -= adaptive(o, g, memory, t)
        path.append(p)
    return path


def check_updates(optimizer: Optimizer, dtype: str, make_engine: Any) -> None:
    """Assert that ten steps of an engine follow the formula."""
    engine = make_engine([Dense(2)], 2, None, optimizer, dtype)
    start = engine.parameters.astype(np.float64)
    gradients = np.random.default_rng(3).normal(size=(10, 6)).astype(dtype)
    norms = np.linalg.norm(gradients.astype(np.float64), axis=1).tolist()
    paths = [by_hand(optimizer, start[i], gradients[:, i].tolist(), norms) for i in range(6)]
    for t, g in enumerate(gradients):
        engine.gradients[:] = g
        engine.step()
        expected = [path[t] for path in paths]
        # Each step rounds some ten times.
        limit = 10 * (t + 1) * np.finfo(dtype).eps
        np.testing.assert_allclose(engine.parameters, expected, rtol=limit, atol=limit)
    assert (engine.position.steps, engine.position.batches) == (10, 10)
    assert engine.parameters.dtype == engine.state.dtype == dtype


NUMPY_CONSTANTS = {"constants of NumPy's": Adam(np.float64(0.1)), "unused": SGD(0.1, nesterov=True)}


@pytest.mark.parametrize("name", RULES | NUMPY_CONSTANTS)
def test_updates_follow_the_formula(name: str, dtype: str, make_engine: Any) -> None:
    check_updates((RULES | NUMPY_CONSTANTS)[name], dtype, make_engine)


@pytest.mark.parametrize("name", RULES)
def test_an_error_of_one_in_a_thousand_in_an_update_is_found(
    name: str, make_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = rules.OPTIMIZERS[RULES[name].name]

    def wrong(o: Any, p: Any, g: Any, state: Any, t: int) -> Any:
        after, state = right(o, p, g, state, t)
        return p + 1.001 * (after - p), state

    monkeypatch.setitem(rules.OPTIMIZERS, RULES[name].name, wrong)
    with pytest.raises(AssertionError):
        check_updates(RULES[name], "float32", make_engine)


def test_an_update_leaves_frozen_parameters_and_their_state_alone(make_engine: Any) -> None:
    layers = [Dense(2, trainable=False), Dense(2, bias_trainable=False)]
    engine = make_engine(layers, 2, None, Adam())
    before = engine.parameters.copy()
    engine.gradients[:] = 1
    engine.step()
    trained = np.zeros(engine.plan.n_parameters, bool)
    trained[4:8] = True  # the weights of the second layer
    np.testing.assert_array_equal(engine.parameters != before, trained)
    np.testing.assert_array_equal((engine.state != 0).all(axis=0), trained)


def test_a_new_optimizer_starts_afresh_and_new_constants_do_not(make_engine: Any) -> None:
    engine = make_engine([Dense(2)], 2, None, Adam(0.1))
    engine.gradients[:] = 1
    engine.step()
    state = engine.state
    engine.optimizer = Adam(0.2)
    assert engine.optimizer == Adam(0.2)
    assert engine.state is state
    assert engine.position.steps == 1
    for optimizer in (SGD(0.1, momentum=0.5), SGD(0.1), Adam(0.1)):
        engine.optimizer = optimizer
        assert engine.optimizer is optimizer
        assert engine.state.shape == (optimizer.n_states, 6)
        assert not engine.state.any()
        assert (engine.position.steps, engine.position.batches) == (0, 1)
