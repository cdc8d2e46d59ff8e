"""Arrays of any layout give the bits of a clean copy, or a clear error, and stay as they are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastbp import Dense, data, losses

pytestmark = pytest.mark.promise(15)

INPUTS, OUTPUTS = 5, 3
DTYPES = ["?", "i1", "u1", "<i4", ">i4", "u8", "f2", "<f4", ">f4", "<f8", ">f8", "g"]


# Each layout of (n, k) values: an array, and the memory that it is a view of.


def strided(values, step):
    """Rows and elements some steps apart, forwards or backwards."""
    axes = tuple(slice(None, None, step) for _ in values.shape)
    shape = tuple(abs(step) * n for n in values.shape)
    memory = np.full(shape, 3, values.dtype)
    memory[axes] = values
    return memory[axes], memory


def unaligned(values):
    memory = np.zeros(values.nbytes + 1, np.uint8)
    view = np.ndarray(values.shape, values.dtype, buffer=memory, offset=1)
    view[...] = values
    return view, memory


def unaligned_rows(values):
    """Rows a fraction of an element apart."""
    row = values[0].nbytes + 1
    memory = np.zeros(len(values) * row, np.uint8)
    strides = (row, *values.strides[1:])
    view = np.ndarray(values.shape, values.dtype, buffer=memory, strides=strides)
    view[...] = values
    return view, memory


def read_only(values):
    memory = values.copy()
    memory.flags.writeable = False
    return memory, memory


def all_rows_the_same(values):
    memory = values[:1].copy()
    return np.broadcast_to(memory, values.shape), memory


def all_values_the_same(values):
    memory = values.ravel()[:1].copy()
    return np.broadcast_to(memory, values.shape), memory


def overlapping_rows(values):
    """Each row begins one element behind the one before, as windows of a series do."""
    width = values[0].size
    memory = np.resize(values, len(values) + width - 1)
    view = np.lib.stride_tricks.sliding_window_view(memory, width)
    return view.reshape(values.shape) if values.ndim == 1 else view, memory


LAYOUTS = {
    "clean": lambda values: (values, values),
    "Fortran": lambda values: (np.asfortranarray(values),) * 2,
    "every second": lambda values: strided(values, 2),
    "backwards": lambda values: strided(values, -1),
    "every third backwards": lambda values: strided(values, -3),
    "unaligned": unaligned,
    "unaligned rows": unaligned_rows,
    "read-only": read_only,
    "all rows the same": all_rows_the_same,
    "all values the same": all_values_the_same,
    "overlapping rows": overlapping_rows,
}


def file_of(values, folder, order="C", offset=0):
    """Values in a file that is mapped into memory, `offset` bytes from its start."""
    path = folder / f"{order}{offset}.bin"
    path.write_bytes(bytes(offset) + values.tobytes(order))
    return np.memmap(path, values.dtype, "r", offset, values.shape, order)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mapped")


MAPPED = {
    "mapped": lambda values, folder: file_of(values, folder),
    "mapped, Fortran": lambda values, folder: file_of(values, folder, "F"),
    "mapped, unaligned": lambda values, folder: file_of(values, folder, "C", 3),
    "mapped, every second row": lambda values, folder: file_of(np.repeat(values, 2, 0), folder)[
        ::2
    ],
}


def results(Network, x, y, weights, **options):
    """All that a network makes of these arrays: bytes of floats, in any order of calls."""
    net = Network(
        [Dense(4, activation="tanh"), Dense(OUTPUTS)], input_shape=INPUTS, loss="squared_error",
        seed=0, **options,
    )  # fmt: skip
    made = [net.predict(x), net.forward(x), net.backward(y), net.gradients.copy()]
    made += list(net.evaluate(x, y, sample_weight=weights).values())
    made += [net.loss_and_gradients(x, y, sample_weight=weights)[0], net.gradients.copy()]
    made += net.train_on_batch(x, y, sample_weight=weights).values()
    validation = (x, y, weights)
    fit = net.fit(
        x, y, sample_weight=weights, epochs=2, batch_size=7, validation_data=validation
    )  # fmt: skip
    made += [*fit.values(), net.parameters]
    return [np.asarray(each).tobytes() for each in made]


def drawn(rng, shape, dtype):
    """Small numbers that every dtype holds exactly; sixteenths where it holds fractions."""
    values = rng.integers(0, 2 if dtype == "?" else 16, shape)
    return (values / 16 if np.dtype(dtype).kind == "f" else values).astype(dtype)


arrays = st.tuples(st.sampled_from(DTYPES), st.sampled_from([*LAYOUTS, *MAPPED]))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    n=st.integers(1, 40),
    seed=st.integers(0, 2**32),
    made_of=st.tuples(arrays, arrays, arrays),
    n_threads=st.sampled_from([1, 2]),
)
def test_every_layout_gives_the_same_bits_and_is_left_alone(
    Network, folder, dtype, n, seed, made_of, n_threads
):
    rng = np.random.default_rng(seed)
    given_arrays, memories = [], []
    for (code, layout), shape in zip(made_of, [(n, INPUTS), (n, OUTPUTS), (n,)], strict=True):
        values = drawn(rng, shape, code)
        if shape == (n,):
            values[0] = 1  # weights must have a sum
        if layout in MAPPED:
            (folder / str(len(memories))).mkdir(exist_ok=True)
            array = MAPPED[layout](values, folder / str(len(memories)))
            memory = array
        else:
            array, memory = LAYOUTS[layout](values)
        given_arrays.append(array)
        memories.append((memory, memory.tobytes()))
    # By way of Python's own numbers, so that no layout is left.
    clean = [np.array(array.tolist(), np.float64) for array in given_arrays]
    options = {"dtype": dtype, "n_threads": n_threads}
    assert results(Network, *given_arrays, **options) == results(Network, *clean, **options)
    for memory, before in memories:
        assert memory.tobytes() == before


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("code", ["u1", ">i4", "<i8", "f2", "<f8"])
def test_class_numbers_of_every_layout_give_the_same_bits(Network, layout, code):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(11, INPUTS))
    labels, _ = LAYOUTS[layout](rng.integers(0, OUTPUTS, 11).astype(code))

    def trained(labels):
        net = Network(
            [Dense(OUTPUTS, activation="softmax")], input_shape=INPUTS, metrics=["accuracy"],
            loss="sparse_categorical_crossentropy", seed=0,
        )  # fmt: skip
        return net.fit(x, labels), net.evaluate(x, labels), net.parameters.tobytes()

    assert trained(labels) == trained([int(label) for label in labels.tolist()])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_class_numbers_and_weights_reach_an_engine_aligned_and_contiguous(Network, layout):
    """Those of the dtype that engines read, which need no other copy."""
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    net = Network([Dense(OUTPUTS)], input_shape=INPUTS, loss=loss)
    labels, _ = LAYOUTS[layout](np.arange(8, dtype=np.int32) % OUTPUTS)
    weights, _ = LAYOUTS[layout](np.arange(1, 9, dtype=np.float64))
    rows = data.rows(net.plan, np.ones((8, INPUTS)), labels, weights)
    for passed, given_array in ((rows.y, labels), (rows.weights, weights)):
        assert passed.flags.c_contiguous
        assert passed.flags.aligned
        assert passed.tolist() == given_array.tolist()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_output_gradients_and_parameters_of_every_layout_give_the_same_bits(Network, layout):
    net = Network([Dense(OUTPUTS)], input_shape=INPUTS, dtype="float64", seed=0)
    rng = np.random.default_rng(2)
    grad_output, _ = LAYOUTS[layout](rng.normal(size=(9, OUTPUTS)))
    net.forward(rng.normal(size=(9, INPUTS)))
    expected = net.backward(np.array(grad_output.tolist()))
    assert net.backward(grad_output).tobytes() == expected.tobytes()
    weights, memory = LAYOUTS[layout](rng.normal(size=(INPUTS, OUTPUTS)))
    before = memory.tobytes()
    net.set_parameters({"dense.weights": weights})
    assert net.layers[0].weights.tolist() == weights.tolist()
    net.step()
    assert memory.tobytes() == before


@pytest.mark.parametrize("shape", [(0, INPUTS), (4, 0), (0, 0), (0,)])
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "loss_and_gradients"])
def test_empty_arrays_are_refused(Network, standing, shape, method):
    net = Network([Dense(OUTPUTS)], input_shape=INPUTS, loss="squared_error", seed=0)
    x, before = np.ones((4, INPUTS)), standing(net)
    acts = [
        lambda: getattr(net, method)(np.empty(shape), np.ones((shape[0], OUTPUTS))),
        lambda: getattr(net, method)(x, np.empty((shape[0], 0))),
        lambda: getattr(net, method)(x, np.ones((4, OUTPUTS)), sample_weight=np.empty(0)),
        lambda: net.predict(np.empty(shape)),
        lambda: net.forward(np.empty(shape)),
        lambda: net(np.empty(shape, np.float32)),
    ]
    for act in acts:
        with pytest.raises(ValueError, match=r"^(x|y|sample_weight): expected"):
            act()
    assert standing(net) == before


# -- large arrays, at which a team looks

WIDTH = 200
LARGE = {
    "clean": lambda x: x,
    "float64": lambda x: x.astype(np.float64),
    "rows apart": lambda x: np.repeat(x, 2, 0)[::2],
    "backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "float64, rows apart": lambda x: np.pad(x.astype(np.float64), ((0, 0), (0, 1)))[:, :-1],
}


@pytest.fixture(scope="module")
def numbers():
    """Some MB of them: rows enough for each of three threads, and not a multiple of any block."""
    return np.random.default_rng(3).random((10_007, WIDTH), np.float32)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("layout", LARGE)
@pytest.mark.parametrize("row", [0, 5_003, 10_006])
def test_a_bad_number_in_a_large_array_is_refused(
    Network, standing, numbers, layout, row, n_threads
):
    net = Network(
        [Dense(OUTPUTS, activation="relu")], input_shape=WIDTH, loss="squared_error", seed=0,
        n_threads=n_threads,
    )  # fmt: skip
    x, y = LARGE[layout](numbers.copy()), np.zeros((len(numbers), OUTPUTS), np.float32)
    x[row, WIDTH - 1] = np.nan
    out = np.full_like(y, 7)
    acts = {
        "fit": lambda: net.fit(x, y),
        "evaluate": lambda: net.evaluate(x, y),
        "train_on_batch": lambda: net.train_on_batch(x, y),
        "forward": lambda: net.forward(x),
        "predict": lambda: net.predict(x),
        "predict with out": lambda: net.predict(x, out=out),
    }
    before, place = standing(net), re.escape(f"got nan at [{row}, {WIDTH - 1}]")
    for act in acts.values():
        with pytest.raises(ValueError, match=f"^x: expected finite .* {place}$"):
            act()
        assert standing(net) == before
    assert (out == 7).all()


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("layout", LARGE)
def test_large_arrays_without_one_pass(Network, numbers, layout, n_threads):
    net = Network([Dense(OUTPUTS)], input_shape=WIDTH, seed=0, n_threads=n_threads)
    x = LARGE[layout](numbers)
    assert net._engine.all_finite(x, n_threads)
    out = np.empty((len(x), OUTPUTS), np.float32)
    assert net.predict(x).tobytes() == net.predict(x.copy(), out=out).tobytes()


def test_a_refused_array_leaves_a_network_without_sizes(Network, numbers):
    net = Network([Dense(OUTPUTS)], loss="squared_error", seed=0)
    x = numbers.copy()
    x[-1, -1] = np.inf
    with pytest.raises(ValueError, match=r"^x: expected finite"):
        net.fit(x, np.zeros((len(x), OUTPUTS)))
    with pytest.raises(RuntimeError, match="known sizes"):
        net.plan  # noqa: B018


# -- mapped files


@pytest.fixture
def large(tmp_path):
    """A file of 64 MiB that takes no place on the disk, mapped."""
    rows = (64 << 20) // (4 * 256)
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(rows * 256 * 4)
    return np.memmap(path, np.float32, "r", shape=(rows, 256))


def resident(path) -> int:
    """Bytes of a mapped file that are in memory."""
    parts = Path("/proc/self/smaps").read_text().split(str(path))[1:]
    return sum(1024 * int(re.search(r"Rss: +(\d+) kB", part)[1]) for part in parts)


needs_smaps = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs /proc")


@needs_smaps
def test_a_mapped_file_is_neither_copied_nor_read_before_training(Network, large):
    net = Network([Dense(1)], input_shape=256, loss="squared_error", seed=0)
    y = np.zeros(len(large))
    rows = data.rows(net.plan, large, y)
    assert np.shares_memory(rows.x, large)
    assert rows.unchecked
    assert resident(large.filename) < 1 << 20
    part = data.rows(net.plan, large[1::2, :], y[1::2])
    assert np.shares_memory(part.x, large)
    assert resident(large.filename) < 1 << 20


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_a_mapped_file_is_used_without_a_copy(core, python, large, method):
    """The process may have half the file's size beyond what it has, and needs less."""
    call = {
        "fit": "net.fit(x, y, batch_size=4096)",
        "evaluate": "net.evaluate(x, y)",
        "predict": "net.predict(x)",
    }
    printed = python(
        f"""
import resource
import numpy as np
import fastbp

x = np.memmap({str(large.filename)!r}, np.float32, "r", shape={large.shape})
y = np.zeros(len(x), np.float32)
net = fastbp.Network([fastbp.Dense(1)], input_shape=256, loss="squared_error", seed=0, n_threads=1)
net.fit(np.ones((4096, 256)), np.ones(4096), batch_size=4096)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + x.nbytes // 2,) * 2)
try:
    np.array(x)
except MemoryError:
    print("no copy")
{call[method]}
print("done")
"""
    )
    assert printed == "no copy\ndone\n"
