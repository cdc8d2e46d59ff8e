"""At most n threads, from whatever sets n; the same bits from whichever threads call."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastbp
from fastbp import Dense

needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
needs_cores = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")

# A network with enough to do for any number of threads, and how many a call of it brings about.
TASK = """
import os, sys
import numpy as np
import fastbp
from fastbp import Dense

rng = np.random.default_rng(0)
x, y = rng.normal(size=(2048, 100)), rng.normal(size=(2048, 10))

def make(n_threads):
    return fastbp.Network(
        [Dense(200, activation="tanh"), Dense(10)], input_shape=100, loss="squared_error",
        seed=0, n_threads=n_threads,
    )

def tasks():
    return set(os.listdir("/proc/self/task"))

before = len(tasks())

def threads(n_threads):
    net = make(n_threads)
    for act in (
        lambda: net.fit(x, y, batch_size=1024),
        lambda: net.predict(x),
        lambda: net.evaluate(x, y),
        lambda: net.train_on_batch(x, y),
    ):
        act()
    return len(tasks()) - before + 1
"""


@pytest.fixture
def threads(core, python):
    """A function that runs code behind TASK and returns the numbers that it prints."""

    def threads(code, **environment):
        quiet = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "GOMP_SPINCOUNT": "0"}
        environment = {"OMP_NUM_THREADS": "4"} | quiet | environment
        return [int(number) for number in python(TASK + code, **environment).split()]

    return threads


@pytest.fixture
def cores(core):
    """How many threads a network takes where nobody limits it."""
    return fastbp._core.build_info()["threads"]


# -- how many threads


@needs_proc
@pytest.mark.promise(3)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_n_threads_is_how_many_threads_work(threads, n):
    assert threads(f"print(threads({n}))") == [n]


@needs_proc
@needs_cores
@pytest.mark.promise(3)
def test_n_threads_counts_at_each_call(threads):
    """Threads once started may stay, but they don't work for a call that asked for one."""
    code = """
def ticks():
    seconds = {}
    for task in tasks() - {str(os.getpid())}:
        fields = open(f"/proc/self/task/{task}/stat").read().rsplit(")", 1)[1].split()
        seconds[task] = int(fields[11]) + int(fields[12])
    return seconds

net = make(2)
net.fit(x, y, batch_size=1024, epochs=60)
used = ticks()
print(sum(used.values()))
net.n_threads = 1
net.fit(x, y, batch_size=1024, epochs=60)
print(sum(ticks().values()) - sum(used.values()))
"""
    worked, more = threads(code)
    assert worked > 2  # hundredths of a second
    assert more <= 1


@needs_proc
def test_signals_come_to_threads_of_python_alone(threads):
    """Of one that came to another the main thread would hear late or never."""
    code = """
def blocks(task, signal):
    fields = dict(line.split(":") for line in open(f"/proc/self/task/{task}/status"))
    return bool(int(fields["SigBlk"], 16) >> signal - 1 & 1)

others = tasks()
make(3).fit(x, y, batch_size=1024)
for signal in (2, 14, 15, 11):  # SIGINT, SIGALRM, SIGTERM; SIGSEGV
    print(sum(blocks(task, signal) for task in tasks() - others))
    print(sum(blocks(task, signal) for task in others))
"""
    assert threads(code) == [2, 0, 2, 0, 2, 0, 0, 0]


@needs_proc
@pytest.mark.promise(3)
def test_no_more_threads_than_there_is_work_for(threads):
    small = """
net = fastbp.Network([Dense(2)], input_shape=2, loss="squared_error", seed=0)
net.fit(x[:, :2], y[:, :2])
print(len(tasks()) - before + 1)
"""
    assert threads(small) == [1]


@needs_proc
@pytest.mark.promise(3)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_left_out_OMP_NUM_THREADS_and_the_cores_limit_them(threads, cores, n):
    (used,) = threads("print(threads(None))", OMP_NUM_THREADS=str(n))
    available = len(os.sched_getaffinity(0))
    assert used <= min(n, available)
    assert used > 1 or min(n, cores) == 1


@needs_proc
@pytest.mark.promise(3)
def test_threadpool_limits_count_at_each_call(threads, cores):
    pytest.importorskip("threadpoolctl")
    code = """
from threadpoolctl import threadpool_limits
with threadpool_limits(1):
    print(threads(None))
print(threads(None))
with threadpool_limits(1, user_api="openmp"):
    print(fastbp._core.build_info()["threads"])
print(fastbp._core.build_info()["threads"])
"""
    limited, free, known_limited, known_free = threads(code)
    assert limited == known_limited == 1
    assert min(2, cores) <= free <= known_free <= len(os.sched_getaffinity(0))


@needs_proc
@pytest.mark.promise(3)
def test_affinity_limits_them(threads):
    code = """
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(threads(None))
"""
    assert threads(code) == [1]


# -- calls from other threads


def trained(n_threads=None):
    """What a network is after training, with what it answers: as bytes."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(512, 40)), rng.normal(size=(512, 5))
    net = fastbp.Network(
        [Dense(100, activation="relu"), Dense(5)], input_shape=40, loss="huber", seed=2,
        n_threads=n_threads,
    )  # fmt: skip
    net.fit(x, y, batch_size=256, epochs=2)
    return net.parameters.tobytes() + net.predict(x).tobytes()


@pytest.mark.promise(4)
@pytest.mark.parametrize("n_threads", [None, 1, 2])
def test_a_pool_of_threads_trains_to_the_same_bits(core, n_threads):
    expected = trained(1)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(trained, [n_threads] * 12)) == [expected] * 12


@pytest.mark.promise(4)
@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing"])
def test_joblib_trains_to_the_same_bits(core, backend):
    joblib = pytest.importorskip("joblib")
    expected = trained(1)
    jobs = [joblib.delayed(trained)(n_threads) for n_threads in (None, 1, 2)]
    assert joblib.Parallel(n_jobs=2, backend=backend)(jobs) == [expected] * 3


@pytest.mark.promise(4)
@pytest.mark.skipif(sys.platform != "linux", reason="needs libgomp")
@pytest.mark.parametrize("n_threads", ["None", "2"])
def test_a_call_inside_a_parallel_region_is_serial(threads, n_threads):
    """Two threads of a region of another library train each; no third comes."""
    code = f"""
import ctypes
gomp = ctypes.CDLL("libgomp.so.1")
serial, results = make(1), {{}}
serial.fit(x, y, batch_size=1024)

@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def member(_):
    net = make({n_threads})
    net.fit(x, y, batch_size=1024)
    results[gomp.omp_get_thread_num()] = np.array_equal(net.parameters, serial.parameters)

gomp.GOMP_parallel(member, None, 2, 0)
print(len(results), all(results.values()) + 0, len(tasks()) - before + 1)
"""
    if not fastbp._core.build_info()["openmp"]:
        pytest.skip("built without OpenMP")
    assert threads(code) == [2, 1, 2]


# -- many threads on one network


@pytest.fixture
def net(Network):
    return Network(
        [Dense(60, activation="tanh"), Dense(3)], input_shape=20, loss="squared_error", seed=3
    )


X = np.random.default_rng(4).normal(size=(700, 20))
Y = X[:, :3] ** 2


@pytest.mark.promise(20)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_predictions_at_the_same_time_have_the_same_bits(net, n_threads):
    """Of many sizes, one row at a time too, so that workspaces grow and change hands."""
    net.n_threads = n_threads
    parts = [X[:n] for n in (1, 700, 5, 300, 64)] + [X[7]]
    parts = [part.astype(np.float32) for part in parts]
    expected = [net(part).tobytes() for part in parts]
    loss = net.evaluate(X, Y)
    start = threading.Barrier(4)

    def ask(first):
        start.wait()
        turns = [(first + i) % len(parts) for i in range(30)]
        right = [net(parts[i]).tobytes() == expected[i] for i in turns]
        return all(right) and net.evaluate(X, Y) == loss

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [True] * 4


@pytest.mark.promise(20)
@pytest.mark.parametrize("operation", ["predict", "call", "evaluate", "fit", "train_on_batch"])
def test_nothing_begins_in_another_thread_during_a_fit(net, operation):
    acts = {
        "predict": lambda: net.predict(X),
        "call": lambda: net(X[0].astype(np.float32)),
        "evaluate": lambda: net.evaluate(X, Y),
        "fit": lambda: net.fit(X, Y),
        "train_on_batch": lambda: net.train_on_batch(X, Y),
    }
    other = net.copy()
    begun, done = threading.Event(), threading.Event()

    class Slow:
        """Targets that take their time to be looked at: the fit has begun by then."""

        def __array__(self, dtype=None, copy=None):
            begun.set()
            assert done.wait(10)
            return Y

    with ThreadPoolExecutor(1) as pool:
        fit = pool.submit(net.fit, X, Slow())
        assert begun.wait(10)
        with pytest.raises(RuntimeError, match=r"expected an idle network, got one .* in fit\(\)"):
            acts[operation]()
        done.set()
        fit.result(60)
    other.fit(X, Y)
    assert np.array_equal(net.parameters, other.parameters)


@pytest.mark.promise(20)
def test_networks_train_at_the_same_time(Network):
    """Each in a thread of its own, to the bits that each has alone."""

    def train(seed):
        net = Network([Dense(30, "relu"), Dense(3)], input_shape=20, loss="huber", seed=seed)
        net.fit(X, Y, epochs=3)
        return net.parameters.tobytes()

    alone = [train(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(train, range(4))) == alone


# -- cores that others use

PATIENCE = 20  # seconds


def waits_until(condition, act=lambda: time.sleep(0.01)):
    """Act again and again; whether the condition has become true."""
    end = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < end:
        act()
    return condition()


@pytest.fixture
def taken_cores(cores):
    """Two processes a core that never rest."""
    command = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(command) for _ in range(2 * cores)]
    yield busy
    for process in busy:
        process.kill()
        process.wait()


@needs_cores
def test_a_team_that_waits_for_taken_cores_goes_on_alone_to_the_same_bits(taken_cores):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(512, 64)), rng.normal(size=(512, 8))

    def make(n_threads=None):
        return fastbp.Network([Dense(64, activation="tanh"), Dense(8)], input_shape=64, seed=0,
                              loss="mse", n_threads=n_threads)  # fmt: skip

    crowded, alone = make(), make(1)
    gives_way = fastbp._core.training.gives_way
    epochs = 0

    def train():
        nonlocal epochs
        crowded.fit(x, y, epochs=5, batch_size=128, verbose=0)
        epochs += 5

    assert waits_until(gives_way, train)
    train()
    alone.fit(x, y, epochs=epochs, batch_size=128, verbose=0)
    np.testing.assert_array_equal(crowded.parameters, alone.parameters)
    for process in taken_cores:
        process.kill()
    assert waits_until(lambda: not gives_way())
