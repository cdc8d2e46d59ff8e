"""Fit, fork, fit again: on either side neither hangs, and both may use threads."""

from __future__ import annotations

import os

import pytest

pytestmark = [
    pytest.mark.promise(1),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.usefixtures("core"),
]

# What the programs share. Each runs in a process of its own, for a child that hangs is ended by its
# alarm, and one that fails must not go on as a copy of the test run.
TASK = """
import multiprocessing, os, signal, sys, threading
import numpy as np
import fastbp
from fastbp import Dense

rng = np.random.default_rng(0)
x, y = rng.normal(size=(256, 20)), rng.normal(size=(256, 3))

def trained(n_threads=2):
    net = fastbp.Network(
        [Dense(30, activation="tanh"), Dense(3)],
        input_shape=20, loss="squared_error", seed=1, n_threads=n_threads,
    )
    net.fit(x, y, epochs=2, batch_size=128)
    return net.parameters.tobytes()

def n_tasks():
    return len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 2

def in_child(act):
    child = os.fork()
    if child:
        return child
    signal.alarm(10)
    try:
        os._exit(act())
    finally:
        os._exit(99)

def status(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


@pytest.mark.repeats(10, 100)
def test_fit_fork_and_fit_again(python, repeats):
    """The child trains to the same bits, on two threads of its own; then the parent again."""
    printed = python(
        TASK
        + f"""
before = n_tasks()
expected = trained()
def act():
    same = trained() == expected
    return 0 if same and n_tasks() == 2 else 1
for _ in range({repeats}):
    signal.alarm(10)
    child = in_child(act)
    assert trained() == expected
    assert status(child) == 0
    assert n_tasks() == before + 1
print("done")
""",
        OPENBLAS_NUM_THREADS="1",
    )
    assert printed == "done\n"


@pytest.mark.repeats(3, 30)
def test_multiprocessing_by_fork(python, repeats):
    printed = python(
        TASK
        + f"""
context = multiprocessing.get_context("fork")
expected = trained()
for _ in range({repeats}):
    signal.alarm(10)
    with context.Pool(2) as pool:
        assert pool.map(trained, [1, 2, 2, 3]) == [expected] * 4
    assert trained() == expected
print("done")
"""
    )
    assert printed == "done\n"


@pytest.mark.repeats(5, 50)
def test_fork_while_another_thread_trains(python, repeats):
    """The child has no such thread; its own networks work."""
    printed = python(
        TASK
        + f"""
expected, going = trained(), True
def train():
    while going:
        trained()
other = threading.Thread(target=train)
other.start()
try:
    for _ in range({repeats}):
        signal.alarm(10)
        assert status(in_child(lambda: 0 if trained() == expected else 1)) == 0
        assert trained() == expected
finally:
    going = False
other.join()
print("done")
"""
    )
    assert printed == "done\n"


def test_a_grandchild_trains_too(python):
    printed = python(
        TASK
        + """
signal.alarm(10)
expected = trained()
def act():
    child = in_child(lambda: 0 if trained() == expected else 1)
    return 0 if trained() == expected and status(child) == 0 else 1
assert status(in_child(act)) == 0
print("done")
"""
    )
    assert printed == "done\n"


def test_a_fork_from_a_thread_that_trained(python):
    """Each thread has a team of its own; the one that forks is the child's only one."""
    printed = python(
        TASK
        + """
signal.alarm(10)
expected, results = trained(), []
def fork():
    same = trained() == expected
    results.append((same, status(in_child(lambda: 0 if trained() == expected else 1))))
thread = threading.Thread(target=fork)
thread.start()
thread.join()
assert results == [(True, 0)]
print("done")
"""
    )
    assert printed == "done\n"
