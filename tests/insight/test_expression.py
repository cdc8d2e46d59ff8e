"""Formulas are written right in each notation, and say what the engines compute."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from loss_cases import draw_targets, pairs

import fastbp
from fastbp import Dense
from fastbp.activations import ACTIVATIONS
from fastbp.constraints import MaxNorm, NonNeg
from fastbp.insight import formulas
from fastbp.insight.document import Equations
from fastbp.insight.expression import Derivative, Expression, Number, Symbol, product
from fastbp.insight.formulas import A, N, P, S, T, Y, Z
from fastbp.insight.notation import Latex, MathML, Text
from fastbp.losses import LOSSES, CrossEntropy, Poisson
from fastbp.reference import restraint
from fastbp.reference.activations import ACTIVATIONS as FUNCTIONS
from fastbp.reference.activations import sigmoid
from fastbp.reference.losses import LOSSES as ROW_LOSSES
from fastbp.regularizers import L1, L1L2, L2

X, W = Symbol("x", "0"), Symbol("w", "0,1")
CASES: list[tuple[Expression, str, str]] = [
    (A * (1 - A), "a * (1 - a)", r"a \cdot \left(1 - a\right)"),
    (X * W + 2, "x_0 * w_0,1 + 2", r"x_{0} \cdot w_{0,1} + 2"),
    (Y - Number(-0.5), "y - (-0.5)", r"y - \left(-0.5\right)"),
    (product(2.0, -0.5), "2 * (-0.5)", r"2 \cdot \left(-0.5\right)"),
    ((Y - T) ** 2 / 2, "(y - t)^2 / 2", r"\frac{\left(y - t\right)^{2}}{2}"),
    (1 / (Y * T), "1 / (y * t)", r"\frac{1}{y \cdot t}"),
    (-(Y + T), "-(y + t)", r"-\left(y + t\right)"),
    (Derivative(Symbol("L"), W), "dL/dw_0,1", r"\frac{\partial L}{\partial w_{0,1}}"),
    (Number(1.5e-7), "1.5e-07", r"1.5 \cdot 10^{-7}"),
    (Symbol("delta", "dense_1"), "delta_dense_1", r"\delta_{\text{dense\_1}}"),
    (Number(-0.0), "0", "0"),
]


@pytest.mark.parametrize(("formula", "text", "latex"), CASES, ids=[text for _, text, _ in CASES])
def test_notations(formula: Expression, text: str, latex: str) -> None:
    assert Text(9).write(formula) == text
    assert Latex(9).write(formula) == latex
    ET.fromstring(f"<math>{MathML(9).write(formula)}</math>")


def test_digits_are_those_asked_for() -> None:
    assert [Text(digits).write(Number(2 / 3)) for digits in (3, 6)] == ["0.667", "0.666667"]


def test_parts_give_way_to_numbers() -> None:
    slope = Derivative(Y, Z)
    formula = (Y * slope).where({slope: 0.5, Y: 2})
    assert Text(3).write(formula) == "2 * 0.5"


def computed(formula: Expression, **numbers: float) -> float:
    """Return the value of a formula: as text it is one of Python."""
    functions: dict[str, Any] = {
        "exp": math.exp, "log": math.log, "tanh": math.tanh, "abs": abs, "max": max, "min": min,
        "sigmoid": lambda z: float(sigmoid(np.array(z))),
        "softplus": lambda z: math.log1p(math.exp(z)),
        "Phi": lambda z: (1 + math.erf(z / math.sqrt(2))) / 2,
        "phi": lambda z: math.exp(-z * z / 2) / math.sqrt(2 * math.pi),
        "sign": lambda e: float(np.sign(e)), "clip": lambda e, a, b: float(np.clip(e, a, b)),
    }  # fmt: skip
    return eval(Text(17).write(formula).replace("^", "**"), functions, numbers)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"softmax"}))
@pytest.mark.parametrize("z", [-1.7, -0.2, 0.4, 2.3])
def test_formulas_of_activations_are_those_that_are_computed(name: str, z: float) -> None:
    kind = ACTIVATIONS[name]()
    f, constant = FUNCTIONS[name], kind.parameter
    at = np.array([[z]])
    a = f.forward(at, constant)
    slope = f.backward(np.ones((1, 1)), at, a, constant)[0, 0]
    numbers = {"z": z, "a": float(a[0, 0]), "slope": constant, "alpha": constant}
    formula = formulas.of_activation(kind)
    assert computed(formula.value, **numbers) == pytest.approx(a[0, 0], rel=1e-14)
    assert computed(formula.derivative, **numbers) == pytest.approx(slope, rel=1e-13)


@pytest.mark.parametrize("kind", [*LOSSES.values(), lambda: Poisson(log_input=True)])
def test_derivatives_of_losses_are_those_that_are_computed(kind: Any) -> None:
    loss = kind()
    rng = np.random.default_rng(0)
    y, t = rng.uniform(0.1, 2, (5, 3)), draw_targets(loss, rng, 5, 3)
    gradient = ROW_LOSSES[loss.name].gradient(y, t, loss.parameter)
    if loss.labels:
        t = np.eye(3)[t]
    if loss.probability == "softmax":
        t /= t.sum(axis=1, keepdims=True)
        if not loss.labels:
            gradient = ROW_LOSSES[loss.name].gradient(y, t, loss.parameter)
    p = FUNCTIONS[loss.probability or "identity"].forward(y, 0.0)
    formula = formulas.of_loss(loss).derivative
    for row, output in np.ndindex(y.shape):
        numbers = {Y: y, T: t, P: p, S: np.where(t > 0, 1, -1)}
        at: dict[Any, float] = {each: float(v[row, output]) for each, v in numbers.items()}
        at |= {N: 3, formulas.DELTA: loss.parameter, formulas.QUANTILE: loss.parameter}
        assert computed(formula.where(at)) == pytest.approx(gradient[row, output], rel=1e-12)


@pytest.mark.parametrize(("activation", "kind", "options"), pairs())
def test_the_numbers_in_every_chain_make_its_factors(
    core: None, activation: str, kind: Any, options: Any
) -> None:
    smoothing = {"label_smoothing": 0.2} if issubclass(kind, CrossEntropy) else {}
    layers = [Dense(2, "tanh"), Dense(3, activation)]
    net = fastbp.Network(
        layers, input_shape=2, loss=kind(**options, **smoothing), dtype="float64", seed=1
    )
    t = draw_targets(net.loss, np.random.default_rng(0), 2, 3)
    trace = net.explain([[0.3, 0.3], [-0.2, 0.5]], t)
    for layer, unit in ("dense", 0), ("dense", 1), ("dense_1", 0), ("dense_1", 2):
        for sample in range(2):
            for factor in trace.chain(layer, bias=unit, sample=sample).factors:
                if factor.numbers is not None:
                    # Some are differences of numbers about 1.
                    expected = pytest.approx(factor.value, rel=1e-12, abs=1e-14)
                    assert computed(factor.numbers) == expected


@pytest.mark.parametrize("given", [L1(0.3), L2(0.2), L1L2(0.3, 0.2), L1L2(0.3, 0), L1L2(0, 0.2)])
def test_formulas_of_penalties_are_those_that_are_computed(given: Any) -> None:
    w = np.array([-1.5, 0.4, 0.0])
    formula = formulas.of_penalty(*given.factors)
    sums = {formulas.SIZES: 1.9, formulas.SQUARES: 1.5**2 + 0.4**2}
    numbers = dict(zip(("l1", "l2"), given.factors, strict=True))
    cost = computed(formula.value.where(sums), **numbers)
    assert cost == pytest.approx(restraint.cost(w, *given.factors), rel=1e-14)
    slopes = [computed(formula.derivative, w=each, **numbers) for each in w]
    assert slopes == pytest.approx(restraint.cost_gradient(w, *given.factors), rel=1e-14)


@pytest.mark.parametrize("given", [MaxNorm(0.7), MaxNorm(0.7, axis=1), MaxNorm(9), NonNeg()])
def test_the_numbers_behind_every_chain_make_the_new_parameter(core: None, given: Any) -> None:
    held = {"weights_regularizer": L1L2(0.1, 0.2), "weights_constraint": given}
    if given != MaxNorm(0.7, axis=1):
        held |= {"bias_regularizer": 0.1, "bias_constraint": given, "bias_initializer": "normal"}
    net = fastbp.Network([Dense(3, **held)], input_shape=2, loss="mse", dtype="float64", seed=1)
    trace = net.explain([[0.3, 0.3], [-0.2, 0.5]], np.ones((2, 3)))
    for at in ({"weight": (0, 1)}, {"weight": (1, 2)}, {"bias": 1}):
        *_, last = (b for b in trace.chain("dense", **at)._blocks() if isinstance(b, Equations))
        for line in last.lines:
            *_, numbers, value = line.sides
            assert computed(numbers) == pytest.approx(computed(value), rel=1e-12, abs=1e-14)


def test_a_part_that_is_not_known_keeps_its_name() -> None:
    class Own:
        name = "own"

    assert Text(3).write(formulas.of_activation(Own()).derivative) == "own'(z)"
    assert Text(3).write(formulas.of_constraint(Own())) == "own(w_step)"
