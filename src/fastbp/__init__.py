"""fastbp: neural networks trained on the CPU in compiled code, with the same bits everywhere.

`Network` trains `Dense` and other layers, in a list or called on `Input`, and saves them to files
for `load`. `fastbp.insight` explains, checks, watches and diagnoses what it does, `fastbp.files`
writes it as C, and `fastbp.custom` checks parts of your own. To be imported by name:
`fastbp.sklearn`, estimators; `fastbp.reference`, the engine in NumPy; `fastbp.mlp`, training in one
call; `fastbp.datasets`.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

from fastbp import (
    activations,
    callbacks,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
)
from fastbp._version import __version__
from fastbp.batches import Batches
from fastbp.callbacks import Callback, StopTraining
from fastbp.exceptions import ConvergenceWarning, DivergenceWarning, FileFormatError
from fastbp.history import History
from fastbp.layers import Activation, Add, Concatenate, Dense, Dropout, Flatten, Rescale
from fastbp.network import Network, compiled_core
from fastbp.optimizers import LBFGS, SGD, Adagrad, Adam, AdamW, NAdam, Quickprop, RMSprop, Rprop
from fastbp.tensors import Input

# Without it fastbp.reference still works, and Network says what is missing.
with contextlib.suppress(ImportError):
    compiled_core()

__all__ = [
    "LBFGS",
    "SGD",
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "Add",
    "Batches",
    "Callback",
    "Concatenate",
    "ConvergenceWarning",
    "Dense",
    "DivergenceWarning",
    "Dropout",
    "FileFormatError",
    "Flatten",
    "History",
    "Input",
    "NAdam",
    "Network",
    "Quickprop",
    "RMSprop",
    "Rescale",
    "Rprop",
    "StopTraining",
    "__version__",
    "activations",
    "build_info",
    "callbacks",
    "constraints",
    "custom",
    "files",
    "initializers",
    "insight",
    "layers",
    "load",
    "losses",
    "metrics",
    "optimizers",
    "regularizers",
    "schedules",
]


load = Network.load


def __getattr__(name: str) -> Any:
    if name not in ("custom", "files", "insight"):  # which are imported when they are asked for
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"fastbp.{name}")


def build_info() -> dict[str, Any]:
    """Return how the compiled core was built, and the instruction sets it can use here.

    Raises
    ------
    ImportError
        If the compiled core can't be loaded.
    """
    info: dict[str, Any] = compiled_core().build_info()
    return info
