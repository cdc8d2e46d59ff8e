"""No call leaves memory behind: what the process holds is flat over many calls of each kind."""

from __future__ import annotations

import os

import pytest

pytestmark = [
    pytest.mark.promise(19),
    pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc"),
]

# Every call; those that end in an error, and networks that come and go, among them.
CALLS = {
    "predict": "net.predict(x)",
    "one row": "net(x[0]); net(x[:3], out=y[:3]); net(x[0].tolist())",
    "evaluate": "net.evaluate(x, y, sample_weight=weights)",
    "fit": "net.fit(x, y, batch_size=8, validation_data=(x, y), sample_weight=weights)",
    "fit and record": "net.fit(x[:4], y[:4], batch_size=2, record_outputs=True)",
    "fit with callbacks": "net.fit(x, y, batch_size=8, callbacks=callbacks, validation_split=0.5)",
    "train_on_batch": "net.train_on_batch(x, y)",
    "loss_and_gradients": "net.loss_and_gradients(x, y, accumulate=True); net.gradients[:] = 0",
    "forward and backward": "net.forward(x); net.backward(y); net.step()",
    "rows of another layout": "net.predict(x[:, ::-1]); net.predict(x.tolist())",
    "settings": "net.optimizer = 'sgd'; net.optimizer = 'adam'; net.n_threads = 2",
    "parameters": "net.set_parameters(net.named_parameters()); net.layers[0].weights_gradient",
    "copies": "net.copy().fit(x, y); pickle.loads(pickle.dumps(net)).predict(x)",
    "networks": "make().fit(x, y)",
    "threads": "with ThreadPoolExecutor(2) as pool: list(pool.map(net.predict, [x, x]))",
    "bad input": "refused(lambda: net.fit(x * np.nan, y)); refused(lambda: net.predict(y))",
    "bad rows": "refused(lambda: engine.fit(Fit(bad, 1, 8, True), Record()))",
    "an interrupt": "refused(lambda: engine.fit(endless, Record()))",
    "divergence": "net.parameters[:] = 1e38; net.fit(x, y); net.reset()",
}


@pytest.mark.repeats(800, 20_000)
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(call, id=name, marks=[pytest.mark.thorough] * (name == "an interrupt"))
        for name, call in CALLS.items()
    ],
)
def test_memory_is_flat_over_many_calls(core, python, call, repeats):
    """In one quarter of the calls at least, behind the first, in which caches fill.

    An object left behind at each call shows in Python's count of its blocks, a workspace in the
    pages of the process; what comes and goes shows in some quarters alone.
    """
    if "endless" in call:  # an interrupt comes after 0.05 s
        repeats = repeats // 10
    printed = python(
        f"""
import gc, pickle, resource, sys, warnings
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import fastbp
from fastbp import Dense, Dropout
from fastbp.engine import Fit, Record, Rows

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
x, y = rng.normal(size=(24, 6)).astype("f4"), rng.normal(size=(24, 2)).astype("f4")
weights = np.ones(24)

def make():
    return fastbp.Network(
        [Dense(5, activation="tanh"), Dropout(0.1), Dense(2)], input_shape=6,
        loss="squared_error", metrics=["accuracy"], seed=0, n_threads=1,
    )

def stop(progress):
    raise KeyboardInterrupt

def refused(act):
    try:
        act()
    except (ValueError, KeyboardInterrupt):
        return
    raise AssertionError

net = make()
engine = net._engine
nothing = fastbp.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: None)
callbacks = [fastbp.callbacks.EarlyStopping(), fastbp.callbacks.ReduceOnPlateau(), nothing]
bad = Rows(np.full((24, 6), np.nan), y, unchecked=True)
endless = Fit(Rows(x, y), 10**9, 8, True, on_progress=stop)

def many(repeats):
    for _ in range(repeats):
        {call}
    gc.collect()

def held():
    pages = int(open("/proc/self/statm").read().split()[1])
    return sys.getallocatedblocks(), pages * resource.getpagesize()

readings = []
for quarter in range(4):
    many({repeats} // 4)
    readings.append(held())
growth = np.diff(readings, axis=0)
print(*growth.min(axis=0))
""",
        timeout=600,
    )
    blocks, size = map(int, printed.split())
    assert blocks < repeats // 4
    assert size < 512 * 1024
