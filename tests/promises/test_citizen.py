"""To import and use fastbp changes nothing of the process around it."""

from __future__ import annotations

import sys

import pytest

pytestmark = [pytest.mark.promise(5), pytest.mark.usefixtures("core")]

# A process of its own: the run of the tests has changed much of this already.
USE = """
import numpy as np

def use():
    import fastbp
    from fastbp import Dense, Dropout

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(600, 30)), rng.normal(size=(600, 4))
    for dtype in ("float32", "float64"):
        net = fastbp.Network(
            [Dense(50, activation="tanh"), Dropout(0.1), Dense(4)],
            input_shape=30, loss="squared_error", dtype=dtype, n_threads=2,
        )
        net.fit(x, y, epochs=2, batch_size=200, validation_data=(x, y), verbose=0)
        net.predict(x)
        net(x[0].astype(dtype))
        net.evaluate(x, y)
        net.train_on_batch(x, y)
        net.backward(np.ones_like(net.forward(x)))
    return net, x, y
"""

# What floating-point arithmetic does on the calling thread: subnormal results, subnormal operands,
# the direction of rounding, and which exceptions trap.
ARITHMETIC = """
import ctypes, ctypes.util
libm = ctypes.CDLL(ctypes.util.find_library("m"))
smallest, tiny, one = 5e-324, 2.0**-1022, 1.0

def arithmetic():
    third = np.float32(1) / np.float32(3)
    return (
        smallest * one != 0,
        tiny * 0.5 != 0,
        np.float32(1e-40) * np.float32(1) != 0,
        (np.full(64, 1e-310) * one).all(),
        one + 2.0**-53 == one and one + 3 * 2.0**-54 > one,
        one - 2.0**-54 == one,
        float(third).hex(),
        libm.fegetround(),
        libm.fegetexcept() if hasattr(libm, "fegetexcept") else 0,
    )

before = arithmetic()
assert all(before[:6]), before
"""


def test_arithmetic_stays_as_it_is_on_this_thread_and_on_new_ones(python):
    printed = python(
        USE
        + ARITHMETIC
        + """
import threading
def same():
    results.append(arithmetic() == before)

results = []
use()
same()
thread = threading.Thread(target=lambda: (same(), use(), same()))
thread.start()
thread.join()
print(results)
"""
    )
    assert printed == "[True, True, True]\n"


@pytest.mark.skipif(sys.platform != "linux", reason="needs libgomp")
def test_arithmetic_stays_as_it_is_on_the_threads_of_openmp(python):
    """The team that trained is the team that the next region of any library gets."""
    printed = python(
        USE
        + ARITHMETIC
        + """
use()
gomp, results = ctypes.CDLL("libgomp.so.1"), {}

@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def member(_):
    results[gomp.omp_get_thread_num()] = arithmetic() == before

gomp.GOMP_parallel(member, None, 2, 0)
print(results[0], results[1])
""",
        OMP_NUM_THREADS="2",
    )
    assert printed == "True True\n"


@pytest.mark.parametrize("ending", ["an interrupt", "an error of a callback", "bad data in a file"])
def test_arithmetic_stays_as_it_is_however_a_fit_ends(python, tmp_path, ending):
    """The callback's Python runs in the middle of a fit, between two regions."""
    printed = python(
        USE
        + ARITHMETIC
        + f"""
import fastbp
net, x, y = use()
seen = []

class Visitor(fastbp.Callback):
    def on_progress(self, progress):
        seen.append(arithmetic() == before)
        if {ending!r} == "an interrupt":
            raise KeyboardInterrupt
        if len(seen) > 2:
            raise OSError
    def on_train_end(self, history):
        seen.append(arithmetic() == before)

if {ending!r} == "bad data in a file":
    x[-1, 0] = np.inf
    np.save({str(tmp_path / "x.npy")!r}, x)
    x = np.load({str(tmp_path / "x.npy")!r}, mmap_mode="r")
try:
    net.fit(x, y, epochs=10**9, callbacks=[Visitor()])
except (KeyboardInterrupt, OSError, ValueError) as error:
    print(type(error).__name__, all(seen), arithmetic() == before)
"""
    )
    name = {"an interrupt": "KeyboardInterrupt", "bad data in a file": "ValueError"}
    assert printed == f"{name.get(ending, 'OSError')} True True\n"


def test_nothing_else_of_the_process_changes(python):
    """Random states, signal handlers, environment, settings of NumPy, Python and the system."""
    printed = python(
        USE
        + """
import decimal, gc, locale, logging, os, random, resource, signal, sys, threading, warnings

def masks():
    lines = open("/proc/self/status").read().splitlines() if os.path.exists("/proc/self") else []
    return [line for line in lines if line.startswith(("SigBlk", "SigIgn", "SigCgt"))]

def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask

def snapshot():
    return {
        "random": random.getstate(),
        "numpy.random": str(np.random.get_state()),
        "handlers": {s: str(signal.getsignal(s)) for s in signal.valid_signals()},
        "masks": masks(),
        "timers": signal.getitimer(signal.ITIMER_REAL),
        "environment": dict(os.environ),
        "numpy": (np.geterr(), np.geterrcall(), np.get_printoptions()),
        "warnings": list(warnings.filters),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook),
        "traces": (sys.gettrace(), sys.getprofile(), sys.getswitchinterval()),
        "path": (list(sys.path), list(sys.meta_path), os.getcwd(), umask()),
        "logging": (list(logging.root.handlers), logging.root.level, logging.raiseExceptions),
        "collector": (gc.isenabled(), gc.get_threshold()),
        "decimal": str(decimal.getcontext()),
        "locale": locale.setlocale(locale.LC_ALL),
        "recursion": sys.getrecursionlimit(),
        "limits": [resource.getrlimit(r) for r in (resource.RLIMIT_STACK, resource.RLIMIT_AS)],
        "affinity": os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None,
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "files": os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else None,
    }

import numpy.random  # some of NumPy is loaded when it is first asked for
threading.Thread(target=int).start()  # the C library claims two signals for its first thread
before = snapshot()
import fastbp
imported = snapshot()
use()
used = snapshot()
print([name for name in before if not before[name] == imported[name] == used[name]])
"""
    )
    assert printed == "[]\n"


@pytest.mark.skipif(sys.platform != "linux", reason="needs libgomp")
def test_the_settings_of_openmp_stay(python):
    """Through import, use and a fork, before which the threads of OpenMP are released."""
    printed = python(
        USE
        + """
import ctypes, os
gomp = ctypes.CDLL("libgomp.so.1")
gomp.omp_set_num_threads(3)
gomp.omp_set_max_active_levels(2)
gomp.omp_set_dynamic(1)

def settings():
    kind, chunk = ctypes.c_int(), ctypes.c_int()
    gomp.omp_get_schedule(ctypes.byref(kind), ctypes.byref(chunk))
    names = "max_threads max_active_levels dynamic thread_limit cancellation proc_bind level"
    numbers = [getattr(gomp, "omp_get_" + name)() for name in names.split()]
    return [*numbers, kind.value, chunk.value]

def child_keeps():
    child = os.fork()
    if not child:
        os._exit(settings() != before)
    return os.waitpid(child, 0)[1] == 0

before = settings()
import fastbp
results = [settings() == before]
use()
results += [settings() == before, child_keeps(), settings() == before]
use()
print(results + [settings() == before])
"""
    )
    assert printed == "[True, True, True, True, True]\n"
