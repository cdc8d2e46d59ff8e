"""Back-propagation laid open: every number of a step, and checks of gradients.

`Network.explain` returns a `Trace`; `check_gradients` holds a network's gradients against central
differences.
"""

from fastbp.insight.chain import BatchChain, Chain
from fastbp.insight.factor import Factor
from fastbp.insight.gradient_check import Entry, GradientReport, check_gradients
from fastbp.insight.interpretation import Interpretation
from fastbp.insight.propagation import LayerTrace
from fastbp.insight.trace import Trace

__all__ = [
    "BatchChain",
    "Chain",
    "Entry",
    "Factor",
    "GradientReport",
    "Interpretation",
    "LayerTrace",
    "Trace",
    "check_gradients",
]
