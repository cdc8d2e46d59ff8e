"""Every update rule, with constants that take each of its paths, for the tests of engines."""

from __future__ import annotations

from fastbp.optimizers import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    NAdam,
    Optimizer,
    Quickprop,
    RMSprop,
    Rprop,
)

RULES: dict[str, Optimizer] = {
    "sgd": SGD(0.1),
    "momentum": SGD(0.1, momentum=0.9),
    "nesterov": SGD(0.1, momentum=0.9, nesterov=True),
    "adam": Adam(0.01),
    "adam, other constants": Adam(0.1, beta_1=0.5, beta_2=0.9, epsilon=0.1),
    "adam, epsilon hat": Adam(0.01, beta_2=0.9, epsilon=0.1, epsilon_hat=True),
    "adamw": AdamW(0.01, weight_decay=0.3),
    "nadam": NAdam(0.01),
    "nadam, other constants": NAdam(0.1, beta_1=0.5, momentum_decay=0.9),
    "nadam, epsilon hat": NAdam(0.01, epsilon=0.1, epsilon_hat=True),
    "rmsprop": RMSprop(0.01),
    "rmsprop, momentum": RMSprop(0.01, rho=0.9, momentum=0.9),
    "rmsprop, centred": RMSprop(0.01, centred=True),
    "rmsprop, centred, momentum": RMSprop(0.01, momentum=0.5, centred=True),
    "adagrad": Adagrad(0.1),
    "adagrad, other constants": Adagrad(0.1, initial_accumulator_value=0.1, epsilon=0.01),
    "rprop": Rprop(0.01),
    "rprop, other constants": Rprop(0.1, eta_minus=0.25, eta_plus=2, min_step=0.05, max_step=0.2),
    "quickprop": Quickprop(0.01),
    "quickprop, other constants": Quickprop(0.01, mu=1.2, weight_decay=0.1),
    "coupled decay": SGD(0.1, weight_decay=0.1),
    "decoupled decay": SGD(0.1, momentum=0.9, weight_decay=0.1, decoupled_weight_decay=True),
    "adam, coupled decay": Adam(0.01, weight_decay=0.1),
    "clipped values": SGD(0.1, momentum=0.9, clip_value=0.1),
    "clipped norm": Adam(0.01, clip_norm=0.05),
    "clipped twice, decay": SGD(0.1, clip_norm=0.3, clip_value=0.1, weight_decay=0.1),
}
