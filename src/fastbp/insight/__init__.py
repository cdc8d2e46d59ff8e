"""Back-propagation laid open: every number of a step, and checks of gradients.

`Network.explain` returns a `Trace`; `check_gradients` holds a network's gradients against central
differences; `find_learning_rate` makes a range test; `gradient_descent` walks down a curve;
`restarts` trains from several starts; `GradientMonitor` watches a training from step to step, and
`diagnose` names what went wrong in one.
"""

from fastbp.insight.chain import BatchChain, Chain
from fastbp.insight.descent import Descent, gradient_descent
from fastbp.insight.diagnosis import Diagnosis, Finding, diagnose
from fastbp.insight.ends import End
from fastbp.insight.factor import Factor
from fastbp.insight.gradient_check import Entry, GradientReport, check_gradients
from fastbp.insight.interpretation import Interpretation
from fastbp.insight.layer_trace import LayerTrace
from fastbp.insight.monitor import GradientMonitor
from fastbp.insight.range_test import RangeTest, find_learning_rate
from fastbp.insight.starts import Restarts, restarts
from fastbp.insight.trace import Trace

__all__ = [
    "BatchChain",
    "Chain",
    "Descent",
    "Diagnosis",
    "End",
    "Entry",
    "Factor",
    "Finding",
    "GradientMonitor",
    "GradientReport",
    "Interpretation",
    "LayerTrace",
    "RangeTest",
    "Restarts",
    "Trace",
    "check_gradients",
    "diagnose",
    "find_learning_rate",
    "gradient_descent",
    "restarts",
]
