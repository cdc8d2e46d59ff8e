"""Optimizers, described: how a parameter follows its gradient. Engines do the arithmetic.

In every formula p is a parameter, g its gradient, clipped and with decay added where asked for, lr
the learning rate, t the number of steps taken, this one included. What a rule remembers starts at 0
unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar

from fastbp import schedules, validate
from fastbp.description import Description


class Optimizer(Description):
    """Base of the optimizer descriptions.

    Parameters
    ----------
    learning_rate : float or Schedule
        Step length, at least 0; or how it changes while the network trains.
    weight_decay : float, default 0.0 where not said otherwise
        How strongly parameters are drawn to 0; at least 0. Biases are drawn as weights are.
    decoupled_weight_decay : bool, default False
        Whether the decay acts on the parameter itself, p <- p - lr weight_decay p before the step
        (Loshchilov and Hutter 2019: SGDW, AdamW), instead of by way of the gradient,
        g <- g + weight_decay p, the gradient of weight_decay / 2 p^2.
    clip_value : float, optional
        Gradients outside [-clip_value, clip_value] become the nearer end; above 0.
    clip_norm : float, optional
        If the norm of all trainable gradients together exceeds this, they are multiplied with
        clip_norm / norm (Pascanu, Mikolov and Bengio 2013, Algorithm 1); above 0. PyTorch adds
        1e-6 to the norm. First the norm is clipped, then the values, then decay is added.

    Attributes
    ----------
    name : str
        The name by which engines and users know the rule.
    formula : str
        One step.
    evaluates : bool
        Whether a step asks for loss and gradient by itself, so that `fit` alone can take it.

    Raises
    ------
    TypeError, ValueError
        If a constant is of the wrong kind or outside its range.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    evaluates: ClassVar[bool] = False
    learning_rate: Any = 0.01
    weight_decay: float = field(default=0.0, kw_only=True)
    decoupled_weight_decay: bool = field(default=False, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)
    clip_norm: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._check(schedules.resolve, "learning_rate")
        self._check(_at_least_0, "weight_decay")
        self._check(validate.flag, "decoupled_weight_decay")
        self._check(_positive_or_none, "clip_value", "clip_norm")

    def _check(self, check: Callable[[str, Any], Any], *names: str) -> None:
        """Let fields be what a check of arguments makes of them."""
        for name in names:
            object.__setattr__(self, name, check(name, getattr(self, name)))

    @property
    def initial_state(self) -> tuple[float, ...]:
        """What each thing that the rule remembers of a parameter starts from."""
        return ()

    @property
    def n_states(self) -> int:
        """How many numbers the rule remembers for each parameter."""
        return len(self.initial_state)

    def remembers_as(self, other: Optimizer | None) -> bool:
        """Whether it remembers of a parameter what `other` does."""
        return type(other) is type(self) and other.n_states == self.n_states

    def starts_schedule(self, before: Optimizer | None) -> bool:
        """Whether the learning rate has a schedule that starts anew where `before` was set."""
        if not isinstance(self.learning_rate, schedules.Schedule):
            return False
        if before is None or not self.remembers_as(before):
            return True
        return bool(before.learning_rate != self.learning_rate)


def _at_least_0(argument: str, value: Any) -> float:
    return validate.at_least(argument, value, 0)


def _at_least_1(argument: str, value: Any) -> float:
    return validate.at_least(argument, value, 1)


def _positive_or_none(argument: str, value: Any) -> float | None:
    return None if value is None else validate.positive(argument, value)


class SGD(Optimizer):
    """Gradient descent, with momentum where asked for.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.01
        Step length; at least 0.
    momentum : float, default 0.0
        Share of the last step that is taken again; in [0, 1).
    nesterov : bool, default False
        Take the gradient's step from where the momentum leads.
    weight_decay, decoupled_weight_decay, clip_value, clip_norm
        As for `Optimizer`; with decoupled decay it is SGDW.

    Raises
    ------
    TypeError, ValueError
        If a constant is of the wrong kind or outside its range.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton 2013, eqs. 1 to 4.
    """

    name = "sgd"
    formula = (
        "momentum 0: p <- p - lr g; else v <- momentum v - lr g, "
        "then p <- p + v, with nesterov p <- p + momentum v - lr g"
    )
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(validate.fraction, "momentum")
        self._check(validate.flag, "nesterov")

    @property
    def initial_state(self) -> tuple[float, ...]:
        return (0.0,) if self.momentum else ()


class Adam(Optimizer):
    """Adaptive moment estimation.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        Step length; at least 0.
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of the first and second moment; in [0, 1).
    epsilon : float, default 1e-7
        Added to the root of the bias-corrected second moment; above 0. Keras's default; PyTorch's
        is 1e-8.
    epsilon_hat : bool, default False
        Whether epsilon is added before the correction instead, as the last formula of the paper's
        section 2 has it, and TensorFlow, Keras and scikit-learn: it then counts as
        epsilon / sqrt(1 - beta_2^t).
    weight_decay, decoupled_weight_decay, clip_value, clip_norm
        As for `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If a constant is of the wrong kind or outside its range.

    References
    ----------
    Kingma and Ba 2015, Algorithm 1.
    """

    name = "adam"
    formula = (
        "m <- beta_1 m + (1 - beta_1) g; v <- beta_2 v + (1 - beta_2) g^2; "
        "p <- p - lr (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon); with "
        "epsilon_hat, epsilon / sqrt(1 - beta_2^t) for epsilon"
    )
    learning_rate: Any = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    epsilon_hat: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(validate.fraction, "beta_1", "beta_2")
        self._check(validate.positive, "epsilon")
        self._check(validate.flag, "epsilon_hat")

    @property
    def initial_state(self) -> tuple[float, ...]:
        return (0.0, 0.0)


class AdamW(Adam):
    """Adam with decoupled weight decay.

    Parameters
    ----------
    learning_rate, beta_1, beta_2
        As for `Adam`.
    epsilon : float, default 1e-8
        As for `Adam`; PyTorch's default, Keras's is 1e-7.
    epsilon_hat
        As for `Adam`.
    weight_decay : float, default 0.01
        PyTorch's default; Keras's is 0.004.
    decoupled_weight_decay : bool, default True
        As for `Optimizer`; False makes it Adam.
    clip_value, clip_norm
        As for `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If a constant is of the wrong kind or outside its range.

    References
    ----------
    Loshchilov and Hutter 2019, Algorithm 2, with the decay multiplied with the learning rate, as
    PyTorch and Keras have it.
    """

    name = "adamw"
    formula = "p <- p - lr weight_decay p; then as Adam"
    epsilon: float = 1e-8
    weight_decay: float = field(default=0.01, kw_only=True)
    decoupled_weight_decay: bool = field(default=True, kw_only=True)


class NAdam(Adam):
    """Adam with Nesterov's momentum.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.002
        Step length; at least 0.
    beta_1, beta_2
        As for `Adam`; momentum rises to beta_1.
    epsilon : float, default 1e-8
        As for `Adam`.
    epsilon_hat
        As for `Adam`.
    momentum_decay : float, default 0.004
        How soon momentum rises; at least 0. Keras has 0.004 fixed, and a default learning rate of
        0.001 and epsilon of 1e-7.
    weight_decay, decoupled_weight_decay, clip_value, clip_norm
        As for `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If a constant is of the wrong kind or outside its range.

    References
    ----------
    Dozat 2016, Algorithm 2, with the schedule of momentum of its section 3, as PyTorch has it.
    """

    name = "nadam"
    formula = (
        "m and v as Adam; mu_t = beta_1 (1 - 0.96^(momentum_decay t) / 2); "
        "p <- p - lr (mu_(t+1) m / (1 - mu_1 ... mu_(t+1)) + (1 - mu_t) g / (1 - mu_1 ... mu_t)) "
        "/ (sqrt(v / (1 - beta_2^t)) + epsilon)"
    )
    learning_rate: Any = 0.002
    epsilon: float = 1e-8
    momentum_decay: float = 0.004

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(_at_least_0, "momentum_decay")


class RMSprop(Optimizer):
    """Gradients over their root mean square.

    Parameters
    ----------
    learning_rate : float, default 0.01
        Step length; at least 0. Keras's default is 0.001.
    rho : float, default 0.99
        Decay of the mean square; in [0, 1). Keras's default is 0.9; PyTorch calls it alpha.
    momentum : float, default 0.0
        Share of the last step that is taken again; in [0, 1).
    epsilon : float, default 1e-8
        Added to the root; above 0. Keras adds its 1e-7 to what the root is taken of.
    centred : bool, default False
        Take the variance instead of the mean square.
    weight_decay, decoupled_weight_decay, clip_value, clip_norm
        As for `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If a constant is of the wrong kind or outside its range.

    References
    ----------
    Tieleman and Hinton 2012, lecture 6.5; centred: Graves 2013, eqs. 38 to 45. The form is
    PyTorch's, but for a variance that rounding makes negative, which counts as 0.
    """

    name = "rmsprop"
    formula = (
        "v <- rho v + (1 - rho) g^2; centred: m <- rho m + (1 - rho) g; "
        "s = g / (sqrt(v) + epsilon), centred: s = g / (sqrt(v - m^2) + epsilon); "
        "p <- p - lr s, with momentum u <- momentum u + s; p <- p - lr u"
    )
    rho: float = 0.99
    momentum: float = 0.0
    epsilon: float = 1e-8
    centred: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(validate.fraction, "rho", "momentum")
        self._check(validate.positive, "epsilon")
        self._check(validate.flag, "centred")

    def remembers_as(self, other: Optimizer | None) -> bool:
        if not (isinstance(other, RMSprop) and super().remembers_as(other)):
            return False
        return (self.centred, self.momentum == 0) == (other.centred, other.momentum == 0)

    @property
    def initial_state(self) -> tuple[float, ...]:
        """The mean square, the mean if centred, what momentum repeats if there is any."""
        return (0.0,) * (1 + bool(self.centred) + bool(self.momentum))


class Adagrad(Optimizer):
    """Gradients over the root of the sum of all their squares.

    Parameters
    ----------
    learning_rate : float, default 0.01
        Step length; at least 0. Keras's default is 0.001.
    initial_accumulator_value : float, default 0.0
        What the sum starts from; at least 0. Keras's default is 0.1.
    epsilon : float, default 1e-10
        Added to the root; above 0. Keras adds its 1e-7 to the sum.
    weight_decay, decoupled_weight_decay, clip_value, clip_norm
        As for `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If a constant is of the wrong kind or outside its range.

    References
    ----------
    Duchi, Hazan and Singer 2011, Figure 1, diagonal, without projection.
    """

    name = "adagrad"
    formula = "v <- v + g^2; p <- p - lr g / (sqrt(v) + epsilon)"
    initial_accumulator_value: float = 0.0
    epsilon: float = 1e-10

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(_at_least_0, "initial_accumulator_value")
        self._check(validate.positive, "epsilon")

    @property
    def initial_state(self) -> tuple[float, ...]:
        return (self.initial_accumulator_value,)


class Rprop(Optimizer):
    """Resilient back-propagation: steps by the sign of the gradient, for full batches.

    Parameters
    ----------
    learning_rate : float, default 0.01
        Length of each parameter's first step, a number; at least 0.
    eta_minus, eta_plus : float, default 0.5 and 1.2
        What a step is multiplied with where the gradient changes its sign, in (0, 1), and where it
        keeps it, at least 1.
    min_step, max_step : float, default 1e-6 and 50.0
        Shortest and longest step; 0 <= min_step <= max_step.
    weight_decay, decoupled_weight_decay, clip_value, clip_norm
        As for `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If a constant is of the wrong kind or outside its range.

    Notes
    -----
    The variant iRprop-: a step is not taken back, and after a change of sign the gradient counts as
    0, once. PyTorch has it too. A learning rate that is set later changes nothing.

    References
    ----------
    Riedmiller and Braun 1993; Igel and Huesken 2000, section 2, iRprop-.
    """

    name = "rprop"
    formula = (
        "s = lr before the first step, h = 0; g h > 0: s <- eta_plus s; "
        "g h < 0: s <- eta_minus s, g <- 0; "
        "s <- min(max(s, min_step), max_step); p <- p - sign(g) s; h <- g"
    )
    eta_minus: float = 0.5
    eta_plus: float = 1.2
    min_step: float = 1e-6
    max_step: float = 50.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(_at_least_0, "learning_rate")
        self._check(validate.positive, "eta_minus")
        self._check(validate.fraction, "eta_minus")
        self._check(_at_least_1, "eta_plus")
        self._check(_at_least_0, "min_step", "max_step")
        if self.min_step > self.max_step:
            raise ValueError(
                f"min_step: expected at most max_step, {self.max_step:g}, got {self.min_step:g}"
            )

    @property
    def initial_state(self) -> tuple[float, ...]:
        """The gradient before, the length of a step."""
        return (0.0, self.learning_rate)


class Quickprop(Optimizer):
    """Steps to the bottom of a parabola through two gradients, for full batches.

    Parameters
    ----------
    learning_rate : float, default 0.01
        Step length where no parabola is known, and added while a parameter goes on downhill; at
        least 0.
    mu : float, default 1.75
        By how much a step may exceed the one before; above 0.
    weight_decay : float, default 0.0001
        As for `Optimizer`; the default is Fahlman's and FANN's, who sum gradients over rows: with
        a loss that is a mean, decay counts as many times more.
    decoupled_weight_decay, clip_value, clip_norm
        As for `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If a constant is of the wrong kind or outside its range.

    References
    ----------
    Fahlman 1988, "An empirical study of learning speed in back-propagation networks", section 3.5,
    with the rules of FANN 2.2, `fann_update_weights_quickprop`, but for its bound of weights, 1500.
    """

    name = "quickprop"
    formula = (
        "d is the step before, h its gradient, c = mu / (1 + mu), g and h in the direction of d; "
        "|d| > 0.001: s = mu d if g < c h, else d g / (h - g), and s <- s - lr g if g < 0; "
        "otherwise s = -lr g; p <- p + s; d <- s; h <- g"
    )
    weight_decay: float = field(default=0.0001, kw_only=True)
    mu: float = 1.75

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(validate.positive, "mu")

    @property
    def initial_state(self) -> tuple[float, ...]:
        """The gradient and the step before."""
        return (0.0, 0.0)


class LBFGS(Optimizer):
    """Quasi-Newton steps from a few past gradients, with a line search, for full batches.

    In `fit` each epoch is one step on all rows, whatever the batch size, and evaluates loss and
    gradient once or more. `step` and `train_on_batch` are for the other rules. Streams are refused,
    since their rows would have to be read over and over, and so are constrained parameters, which a
    search along a line would take away from their constraint.

    Parameters
    ----------
    learning_rate : float, default 1.0
        Length at which the search along the direction begins; the first of all is shorter, as in
        PyTorch: times min(1, 1 / sum |g|). A number above 0.
    history : int, default 10
        Steps to remember; at least 1. PyTorch's default is 100, SciPy's 10.

    Raises
    ------
    TypeError, ValueError
        If a constant is of the wrong kind or outside its range, or decay or clipping is asked for.

    References
    ----------
    Nocedal and Wright 2006, "Numerical Optimization", Algorithms 7.4 and 7.5; strong Wolfe
    conditions with c_1 = 1e-4, c_2 = 0.9 by Algorithms 3.5 and 3.6, at most 25 evaluations.
    """

    name = "lbfgs"
    formula = (
        "p <- p + a d, d = -H g by the two-loop recursion over s = change of p, y = change of g of "
        "past steps, H_0 = s y / y y; a by a search for the strong Wolfe conditions"
    )
    evaluates = True
    learning_rate: Any = 1.0
    history: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(validate.positive, "learning_rate")
        object.__setattr__(self, "history", validate.integer("history", self.history, 1))
        for name in ("weight_decay", "clip_value", "clip_norm"):
            if getattr(self, name):
                raise ValueError(f"{name}: expected none for L-BFGS, got {getattr(self, name)!r}")

    @property
    def initial_state(self) -> tuple[float, ...]:
        """Changes of the parameter, then of its gradient; those of step t at t % history."""
        return (0.0,) * self.n_states

    @property
    def n_states(self) -> int:
        return 2 * self.history


OPTIMIZERS: dict[str, type[Optimizer]] = {
    kind.name: kind for kind in (SGD, Adam, AdamW, NAdam, RMSprop, Adagrad, Rprop, Quickprop, LBFGS)
}


def resolve(optimizer: Any) -> Optimizer:
    """Return the description that a name or a description stands for."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    return OPTIMIZERS[validate.choice("optimizer", optimizer, OPTIMIZERS)]()
