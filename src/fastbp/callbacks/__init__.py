"""Callbacks: what `fit` calls on its way, to watch, to log, to stop or to lower the learning rate.

Training runs in compiled code. It comes back to Python only where a callback asks for it, by
overriding a method of `Callback`.
"""

from fastbp.callbacks.base import Callback, LambdaCallback, StopTraining
from fastbp.callbacks.display import ProgressDisplay
from fastbp.callbacks.log import CSVLogger
from fastbp.callbacks.monitors import EarlyStopping, ReduceOnPlateau

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "LambdaCallback",
    "ProgressDisplay",
    "ReduceOnPlateau",
    "StopTraining",
]
