"""The formulas of activations and losses, with their derivatives, as trees.

Letters: z net input, a activation, y output of the network, p probability, t target, n number of
outputs of a row, s the target as a sign, T the sum of a row's targets, L the loss of a sample, R
what parameters cost, J the loss of a batch with that. A constant has the name of its field.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastbp.insight.expression import Call, Cases, Expression, Number, Symbol, Total, wrapped

Z, A, Y, T, P, N, S, L, R, J, W, B, X = map(
    Symbol, ["z", "a", "y", "t", "p", "n", "s", "L", "R", "J", "w", "b", "x"]
)
SLOPE, ALPHA, DELTA, QUANTILE = map(Symbol, ("slope", "alpha", "delta", "q"))
TARGETS = Symbol("T")


class Formula(NamedTuple):
    """A function and its derivative.

    Attributes
    ----------
    value : Expression
        The function.
    derivative : Expression
        That of an activation with respect to z, that of a loss with respect to y, or of one of
        probabilities with respect to the net input z.
    """

    value: Expression
    derivative: Expression


def exp(of: Expression) -> Expression:
    """Return exp(of)."""
    return Call("exp", (of,))


def log(of: Expression) -> Expression:
    """Return log(of)."""
    return Call("log", (of,))


def sigmoid(of: Expression) -> Expression:
    """Return sigmoid(of)."""
    return Call("sigmoid", (of,))


def choice(then: Any, left: Any, sign: str, right: Any, otherwise: Any) -> Expression:
    """Return a formula that depends on a comparison."""
    return Cases(wrapped(then), wrapped(left), sign, wrapped(right), wrapped(otherwise))


def _indexed(letter: Symbol, index: str) -> Symbol:
    return Symbol(letter.name, index)


def _total(term: Expression) -> Expression:
    """Return the sum of a term over the outputs k."""
    return Total("k", term.where({letter: _indexed(letter, "k") for letter in (Y, T, P, S)}))


def _mean(term: Expression) -> Expression:
    """Return the mean of a term over the outputs k."""
    return 1 / N * _total(term)


_BEND = Call("tanh", (Call("softplus", (Z,)),))
_SOFTMAX = exp(_indexed(Z, "j")) / Total("k", exp(_indexed(Z, "k")))

ACTIVATIONS: dict[str, Formula] = {
    "identity": Formula(Z, Number(1)),
    "sigmoid": Formula(1 / (1 + exp(-Z)), A * (1 - A)),
    "tanh": Formula(Call("tanh", (Z,)), 1 - A**2),
    "relu": Formula(Call("max", (Z, Number(0))), choice(1, Z, ">", 0, 0)),
    "leaky_relu": Formula(choice(Z, Z, ">", 0, SLOPE * Z), choice(1, Z, ">", 0, SLOPE)),
    "elu": Formula(choice(Z, Z, ">", 0, ALPHA * (exp(Z) - 1)), choice(1, Z, ">", 0, A + ALPHA)),
    "gelu": Formula(Z * Call("Phi", (Z,)), Call("Phi", (Z,)) + Z * Call("phi", (Z,))),
    "silu": Formula(Z * sigmoid(Z), sigmoid(Z) * (1 + Z * (1 - sigmoid(Z)))),
    "mish": Formula(Z * _BEND, _BEND + Z * sigmoid(Z) * (1 - _BEND**2)),
    "softplus": Formula(log(1 + exp(Z)), sigmoid(Z)),
    "softmax": Formula(_SOFTMAX, _indexed(A, "i") * (Symbol("1", "i=j") - _indexed(A, "j"))),
}
CONSTANTS: dict[str, Symbol] = {
    "leaky_relu": SLOPE,
    "elu": ALPHA,
    "huber": DELTA,
    "quantile": QUANTILE,
}

LOSSES: dict[str, Formula] = {
    "half_squared_error": Formula(Number(1) / 2 * _total((Y - T) ** 2), Y - T),
    "squared_error": Formula(_total((Y - T) ** 2), 2 * (Y - T)),
    "mean_squared_error": Formula(_mean((Y - T) ** 2), 2 * (Y - T) / N),
    "mean_absolute_error": Formula(_mean(Call("abs", (Y - T,))), Call("sign", (Y - T,)) / N),
    "huber": Formula(
        _mean(Call("huber", (Y - T, DELTA))), Call("clip", (Y - T, -DELTA, DELTA)) / N
    ),
    "binary_crossentropy": Formula(-_mean(T * log(P) + (1 - T) * log(1 - P)), (P - T) / N),
    "categorical_crossentropy": Formula(-_total(T * log(P)), P - T),
    "sparse_categorical_crossentropy": Formula(-log(_indexed(P, "label")), P - T),
    "kl_divergence": Formula(_total(T * log(T / P)), P - T),
    "poisson": Formula(_mean(Y - T * log(Y)), (1 - T / (Y + 1e-7)) / N),
    "hinge": Formula(_mean(Call("max", (Number(0), 1 - S * Y))), choice(-S / N, S * Y, "<", 1, 0)),
    "quantile": Formula(
        _mean(Call("max", (QUANTILE * (T - Y), (QUANTILE - 1) * (T - Y)))),
        choice((1 - QUANTILE) / N, Y, ">", T, choice(-QUANTILE / N, Y, "<", T, 0)),
    ),
}
L1, L2 = Symbol("l1"), Symbol("l2")
SIZES = Total("k", Call("abs", (_indexed(W, "k"),)))
SQUARES = Total("k", _indexed(W, "k") ** 2)
LASSO = Formula(L1 * SIZES, L1 * Call("sign", (W,)))
RIDGE = Formula(L2 * SQUARES, 2 * L2 * W)

# What constraints make of a parameter that has taken its step.
STEPPED, NORM = Symbol("w", "step"), Symbol("norm")
MAX_VALUE = Symbol("max", "value")
CONSTRAINTS: dict[str, Expression] = {
    "max_norm": STEPPED * Call("min", (Number(1), MAX_VALUE / NORM)),
    "non_neg": Call("max", (Number(0), STEPPED)),
}
# With log_input the outputs of a Poisson loss are logarithms of rates.
POISSON_OF_LOGARITHMS = Formula(_mean(exp(Y) - T * Y), (exp(Y) - T) / N)


def of_activation(activation: Any) -> Formula:
    """Return an activation's formula; one that is not known by name keeps its name in it."""
    name = activation.name
    known = ACTIVATIONS.get(name)
    return known or Formula(Call(name, (Z,)), Call(f"{name}'", (Z,)))


def of_loss(loss: Any) -> Formula:
    """Return a loss's formula, as `of_activation` does."""
    if loss.name == "poisson" and loss.log_input:
        return POISSON_OF_LOGARITHMS
    known = LOSSES.get(loss.name)
    return known or Formula(Call(loss.name, (Y, T)), Call(f"{loss.name}'", (Y, T)))


def of_constraint(constraint: Any) -> Expression:
    """Return what a constraint makes of a parameter, as `of_activation` does."""
    return CONSTRAINTS.get(constraint.name) or Call(constraint.name, (STEPPED,))


def of_penalty(l1: float, l2: float) -> Formula:
    """Return what parameters w cost, and its derivative by one of them; l1, l2 or both are not 0.

    Parameters
    ----------
    l1, l2 : float
        The factors of their |w| and w^2.
    """
    terms = [term for factor, term in ((l1, LASSO), (l2, RIDGE)) if factor]
    if len(terms) == 1:
        return terms[0]
    return Formula(LASSO.value + RIDGE.value, LASSO.derivative + RIDGE.derivative)
