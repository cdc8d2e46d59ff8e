"""Optimizers, described: how a parameter follows its gradient. Engines do the arithmetic.

In every formula p is a parameter, g its gradient, lr the learning rate, t the number of steps
taken, this one included.
"""

from __future__ import annotations

from typing import Any, ClassVar

from fastbp import schedules, validate
from fastbp.description import Description


class Optimizer(Description):
    """Base of the optimizer descriptions.

    Parameters
    ----------
    learning_rate : float or Schedule
        Step length, at least 0; or how it changes while the network trains.

    Attributes
    ----------
    name : str
        The name by which engines and users know the rule.
    formula : str
        One step.

    Raises
    ------
    ValueError
        If `learning_rate` is negative or not finite.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    learning_rate: Any = 0.01

    def __post_init__(self) -> None:
        rate = schedules.resolve("learning_rate", self.learning_rate)
        object.__setattr__(self, "learning_rate", rate)

    @property
    def n_states(self) -> int:
        """How many numbers the rule remembers for each parameter; they start at 0."""
        return 0

    def starts_schedule(self, before: Optimizer | None) -> bool:
        """Whether the learning rate has a schedule that starts anew where `before` was set."""
        if not isinstance(self.learning_rate, schedules.Schedule):
            return False
        if before is None or (before.name, before.n_states) != (self.name, self.n_states):
            return True
        return bool(before.learning_rate != self.learning_rate)


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

    Raises
    ------
    ValueError
        If `learning_rate` is negative or `momentum` is outside [0, 1).

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
        object.__setattr__(self, "momentum", validate.fraction("momentum", self.momentum))
        object.__setattr__(self, "nesterov", validate.flag("nesterov", self.nesterov))

    @property
    def n_states(self) -> int:
        return 1 if self.momentum else 0


class Adam(Optimizer):
    """Adaptive moment estimation.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        Step length; at least 0.
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of the first and second moment; in [0, 1).
    epsilon : float, default 1e-7
        Added to the root of the bias-corrected second moment; above 0.

    Raises
    ------
    ValueError
        If a constant is outside its range.

    References
    ----------
    Kingma and Ba 2015, Algorithm 1.
    """

    name = "adam"
    formula = (
        "m <- beta_1 m + (1 - beta_1) g; v <- beta_2 v + (1 - beta_2) g^2; "
        "p <- p - lr (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)"
    )
    learning_rate: Any = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "beta_1", validate.fraction("beta_1", self.beta_1))
        object.__setattr__(self, "beta_2", validate.fraction("beta_2", self.beta_2))
        object.__setattr__(self, "epsilon", validate.positive("epsilon", self.epsilon))

    @property
    def n_states(self) -> int:
        return 2


OPTIMIZERS: dict[str, type[Optimizer]] = {kind.name: kind for kind in (SGD, Adam)}


def resolve(optimizer: Any) -> Optimizer:
    """Return the description that a name or a description stands for."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    return OPTIMIZERS[validate.choice("optimizer", optimizer, OPTIMIZERS)]()
