"""Callbacks: what `fit` calls on its way, to watch, to log, to stop or to lower the learning rate.

Training runs in compiled code. It comes back to Python only where a callback asks for it, by
overriding a method of `Callback`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastbp.callbacks.base import Callback, LambdaCallback, StopTraining

if TYPE_CHECKING:
    from fastbp.callbacks.checkpoint import ModelCheckpoint
    from fastbp.callbacks.display import ProgressDisplay
    from fastbp.callbacks.log import CSVLogger
    from fastbp.callbacks.monitors import EarlyStopping, ReduceOnPlateau

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "LambdaCallback",
    "ModelCheckpoint",
    "ProgressDisplay",
    "ReduceOnPlateau",
    "StopTraining",
]

# Where those are that are imported when they are asked for: `import fastbp` need not wait for them.
_PLACES = {
    "CSVLogger": "log",
    "EarlyStopping": "monitors",
    "ModelCheckpoint": "checkpoint",
    "ProgressDisplay": "display",
    "ReduceOnPlateau": "monitors",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
