"""Sizes that overflow are refused before memory is taken; no memory is a MemoryError, no more."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastbp import Activation, Dense, Dropout, Flatten, Rescale

pytestmark = pytest.mark.promise(16)

TWO_31, TWO_32, TWO_40, TWO_63 = 2**31, 2**32, 2**40, 2**63

# Layers and inputs whose bytes don't fit the address space.
TOO_LARGE = {
    "2^31 - 1 by 2^31 + 1": ([Dense(TWO_31 - 1)], TWO_31 + 1),
    "2^31 by 2^31": ([Dense(TWO_31)], TWO_31),
    "2^31 + 1 by 2^31 - 1": ([Dense(TWO_31 + 1)], TWO_31 - 1),
    "2^32 by 2^32, 0 in 64 bits": ([Dense(TWO_32)], TWO_32),
    "2^40 by 2^23": ([Dense(2**23)], TWO_40),
    "2^40 by 2^40": ([Dense(TWO_40), Dense(TWO_40)], 1),
    "bytes of 2^63 - 4": ([Dense(2**61 - 1, use_bias=False)], 1),
    "2^63 - 1 units": ([Dense(TWO_63 - 1)], 1),
    "2^63 units": ([Dense(TWO_63)], 1),
    "2^64 units, 0 in 64 bits": ([Dense(2**64)], 1),
    "2^64 + 1 units, 1 in 64 bits": ([Dense(2**64 + 1)], 1),
    "a product of 2^63": ([Flatten(), Dense(1)], (TWO_31, TWO_32)),
    "a product of 2^64": ([Flatten(), Dense(1)], (TWO_32, TWO_32)),
    "a product of three": ([Flatten(), Dense(1)], (2**22, 2**22, 2**22)),
    "a row without parameters": ([Rescale(0.5), Dropout(0.5), Activation("tanh")], 2**60),
    "a row of 2^63": ([Activation("softmax")], TWO_63),
    "many layers": ([Dense(2**29)] * 8, 2**29),
}


@pytest.mark.parametrize("case", TOO_LARGE.values(), ids=TOO_LARGE.keys())
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_sizes_that_overflow_are_refused(Network, dtype, optimizer, case):
    layers, input_shape = case
    with pytest.raises(ValueError, match=r"^layers: expected sizes within .* address space, got "):
        Network(layers, input_shape=input_shape, dtype=dtype, optimizer=optimizer)


@pytest.mark.parametrize("many", [TWO_31 - 1, TWO_31, TWO_31 + 1, TWO_32, TWO_63, 2**64, 2**70])
def test_numbers_beyond_the_work_there_is_are_taken_for_all_of_it(Network, many):
    x, y = np.ones((5, 2)), np.ones((5, 1))
    nets = [
        Network([Dense(1)], input_shape=2, loss="squared_error", seed=0, n_threads=n_threads)
        for n_threads in (many, 1)
    ]
    for net, n in zip(nets, (many, 5), strict=True):
        net.fit(x, y, batch_size=n)
        history = net.fit(x, y, epochs=n, stop_at_loss=1e9)
        assert len(history["loss"]) == 1
    assert np.array_equal(nets[0].parameters, nets[1].parameters)
    assert np.array_equal(nets[0].predict(x), nets[1].predict(x))


def test_a_million_threads_are_not_started(core, python):
    """A process may not have so many; the library of threads would end it."""
    printed = python(
        """
import os
import numpy as np
import fastbp

net = fastbp.Network([fastbp.Dense(1)], input_shape=1, n_threads=10**6, seed=0)
print(net.predict(np.ones((10**6, 1))).shape)
print(len(os.listdir("/proc/self/task")) < 1100 if os.path.exists("/proc/self/task") else True)
"""
    )
    assert printed == "(1000000, 1)\nTrue\n"


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS")
@pytest.mark.parametrize("units", [TWO_31 - 1, TWO_31, TWO_31 + 1, TWO_40])
def test_more_than_the_memory_is_a_memory_error(own_allocator, python, units):
    printed = python(
        f"""
import resource
import fastbp, fastbp.reference

resource.setrlimit(resource.RLIMIT_AS, (4 << 30,) * 2)
for Network in (fastbp.Network, fastbp.reference.Network):
    try:
        Network([fastbp.Dense({units})], input_shape=1)
    except MemoryError as error:
        print("refused")
"""
    )
    assert printed == "refused\nrefused\n"


# -- an allocator that counts and fails


@pytest.fixture(scope="session")
def counted(own_allocator, python, tmp_path_factory):
    """A function that runs code in a process whose allocator is that of allocations.c."""
    compiler = shutil.which("cc")
    if platform.libc_ver()[0] != "glibc" or not compiler:
        pytest.skip("needs glibc and a C compiler")
    library = tmp_path_factory.mktemp("allocations") / "allocations.so"
    source = Path(__file__).with_name("allocations.c")
    subprocess.run(
        [compiler, "-std=c11", "-O1", "-shared", "-fPIC", "-o", library, source], check=True
    )
    return lambda code: python(ALLOCATOR + code, LD_PRELOAD=str(library))


ALLOCATOR = """
import ctypes
import numpy as np
import fastbp, fastbp.reference
from fastbp import Dense, Dropout

library = ctypes.CDLL(None)
allocations, large_allocations, failing = (
    ctypes.c_long.in_dll(library, name)
    for name in ("allocations", "large_allocations", "failing")
)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(300, 100)), rng.normal(size=(300, 40))
"""


def test_training_allocates_nothing_after_the_first_batch(counted):
    """What a long epoch allocates beyond a short one does not grow with its batches."""
    printed = counted(
        """
def count(net, repeats):
    data = np.tile(x, (repeats, 1)), np.tile(y, (repeats, 1))
    before = allocations.value
    net.fit(*data, batch_size=3, shuffle=True)
    return allocations.value - before

for units in (3, 60, 300):
    for n_threads in (1, 2):
        net = fastbp.Network(
            [Dense(units, activation="tanh"), Dropout(0.2), Dense(40)], input_shape=100,
            loss="squared_error", seed=0, n_threads=n_threads,
        )
        count(net, 1)
        short, long = count(net, 1), count(net, 20)
        print(long - short)
"""
    )
    # 1,900 batches more; some visits to Python on the way, which may allocate a little.
    assert all(int(more) < 100 for more in printed.split())


@pytest.mark.parametrize("sizes", [(4, 16, 16, 2), (64, 32, 10), (784, 128, 10)])
def test_one_row_allocates_its_result_and_nothing_else(counted, sizes):
    """NumPy keeps the memory of small arrays, CPython that of small objects: nothing is left."""
    printed = counted(
        f"""
inputs, *hidden, outputs = {sizes}
for dtype in ("float32", "float64"):
    net = fastbp.Network(
        [*(Dense(units, activation="relu") for units in hidden), Dense(outputs)],
        input_shape=inputs, dtype=dtype, seed=0,
    )
    out = np.empty(outputs, dtype)
    for x in (np.ones(inputs, "float32"), np.ones(inputs, "float64")):
        for ask in (lambda: net(x), lambda: net(x, out=out), lambda: net(x, out)):
            ask()
            before = allocations.value
            for _ in range(1000):
                ask()
            print(allocations.value - before)
"""
    )
    assert set(printed.split()) == {"0"}


def test_no_memory_is_a_memory_error_and_changes_nothing(counted):
    """Each allocation of an operation fails once; the operation then succeeds as it would have.

    Only in compiled code: where NumPy's BLAS finds no memory, it ends the process.
    """
    printed = counted(
        """
def make():
    net = fastbp.Network(
        [Dense(150, activation="tanh"), Dense(40)], input_shape=100, loss="squared_error",
        optimizer="adam", seed=0,
    )
    net.train_on_batch(x[:2], y[:2])
    net.forward(x)
    return net

def standing(net):
    engine = net._engine
    arrays = engine.parameters, engine.gradients, engine.state
    return [each.tobytes() for each in arrays], engine.position, net.optimizer, net.seed

OPERATIONS = {
    "predict": lambda net: net.predict(x),
    "evaluate": lambda net: net.evaluate(x, y),
    "forward": lambda net: net.forward(x, training=True),
    "backward": lambda net: net.backward(y),
    "fit": lambda net: net.fit(x, y, epochs=2, validation_data=(x, y)),
    "loss_and_gradients": lambda net: net.loss_and_gradients(x, y, accumulate=True)[1],
    "train_on_batch": lambda net: net.train_on_batch(x, y),
    "set_parameters": lambda net: net.set_parameters(net.parameters * 2),
    "optimizer": lambda net: setattr(net, "optimizer", fastbp.SGD(0.1, momentum=0.9)),
    "copy": lambda net: net.copy().parameters,
}

def tell(result):
    return result.tobytes() if isinstance(result, np.ndarray) else result

for name, act in OPERATIONS.items():
    expected, failures = make(), 0
    result = tell(act(expected))
    while True:
        net = make()
        before = standing(net)
        large_allocations.value, failing.value = 0, failures
        try:
            act(net)
        except MemoryError:
            failing.value = -1
            assert standing(net) == before, name
            assert tell(act(net)) == result, name
            assert standing(net) == standing(expected), name
        finally:
            failing.value = -1
        if large_allocations.value <= failures:
            break  # it has no further allocation
        failures += 1
    print(name, failures, flush=True)
    assert failures, name
print("done")
"""
    )
    assert printed.endswith("done\n")


def test_no_memory_for_a_small_object_is_a_memory_error_and_changes_nothing(core, python):
    """Each allocation of CPython's objects within an engine's method fails once, too.

    A fit may fail behind its batches, while it fills the record.
    """
    pytest.importorskip("_testcapi")
    printed = python(
        """
import threading
import _testcapi
import numpy as np
import fastbp
from fastbp import Dense, data
from fastbp.engine import Fit, Record

x = np.random.default_rng(0).normal(size=(30, 10)).astype("float32")
y, out = x[:, :4].copy(), np.empty((30, 4), "float32")

def make():
    net = fastbp.Network([Dense(15), Dense(4)], input_shape=10, loss="squared_error", seed=0)
    net.forward(x)
    return net._engine

engine, idle = make(), threading.Lock()
rows = data.rows(engine.plan, x, y)
METHODS = {
    "predict": lambda engine: engine.predict(x, out, 1),
    "call": lambda engine: engine.call(x[0], None, idle),
    "evaluate": lambda engine: engine.evaluate(rows, (), 2),
    "forward": lambda engine: engine.forward(x, True, 1),
    "backward": lambda engine: engine.backward(y, False, 1),
    "loss_and_gradients": lambda engine: engine.loss_and_gradients(rows, (), True, 1),
    "step": lambda engine: engine.step(),
    "fit": lambda engine: engine.fit(Fit(rows, 2, 8, True, validation=rows), Record()),
}

def standing(engine):
    return engine.parameters.tobytes(), engine.state.tobytes(), engine.position

for name, method in METHODS.items():
    expected, failures, successes = make(), 0, 0
    method(expected)
    stands = [standing(make()), standing(expected)]
    while successes < 20:  # some failures are borne
        engine = make()
        _testcapi.set_nomemory(failures + successes, failures + successes + 1)
        try:
            method(engine)
            successes += 1
        except MemoryError:
            failures, successes = failures + successes + 1, 0
            assert standing(engine) in stands[: 2 if name == "fit" else 1]
        finally:
            _testcapi.remove_mem_hooks()
        engine.predict(x, out, 2)
    print(name, failures)
print("done")
"""
    )
    assert printed.endswith("done\n")


def test_no_result_depends_on_what_memory_held_before(core, python):
    """CPython's debug allocator fills new memory, and ends a process that wrote past its end."""
    code = """
import hashlib
import numpy as np
import fastbp
from fastbp import Dense, Dropout

rng, digest = np.random.default_rng(0), hashlib.sha256()
for dtype in ("float32", "float64"):
    for n_threads in (1, 2):
        for units, rows in ((3, 5), (3, 300), (33, 301), (200, 77)):
            x, y = rng.normal(size=(rows, 95)), rng.normal(size=(rows, 5))
            net = fastbp.Network(
                [Dense(units, activation="tanh"), Dropout(0.2), Dense(5)], input_shape=95,
                loss="squared_error", dtype=dtype, seed=0, n_threads=n_threads,
            )
            net.fit(x, y, batch_size=70, epochs=2, validation_data=(x, y))
            net.train_on_batch(x, y)
            for made in (net.predict(x), net(x[0].astype(dtype)), net.forward(x), net.backward(y)):
                digest.update(made)
            for array in (net.parameters, net.gradients, net._engine.state):
                digest.update(np.ascontiguousarray(array))
print(digest.hexdigest())
"""
    assert python(code, PYTHONMALLOC="debug") == python(code, PYTHONMALLOC="malloc") == python(code)


def test_a_network_without_memory_is_not_made(counted):
    printed = counted(
        """
for Network in (fastbp.Network, fastbp.reference.Network):
    failures = 0
    while True:
        large_allocations.value, failing.value = 0, failures
        try:
            net = Network([Dense(150), Dense(40)], input_shape=100, seed=0)
        except MemoryError:
            failures += 1
        else:
            break
        finally:
            failing.value = -1
    print(failures > 2)
"""
    )
    assert printed == "True\nTrue\n"
