"""The reference engine: back-propagation in plain NumPy, to be read beside the formulas.

It needs NumPy alone, takes the same plans as the compiled engine and gives the same answers to
within rounding, so that it is the oracle of every test. It does without anything that would make it
faster and harder to read; `n_threads` is accepted and left aside.
"""

from fastbp import network
from fastbp.engine import EngineProtocol
from fastbp.reference.engine import Engine

__all__ = ["Engine", "Network"]


class Network(network.Network):
    """`fastbp.Network` on the reference engine: same arguments, same methods, same answers."""

    @staticmethod
    def _engine_class() -> type[EngineProtocol]:
        return Engine
