"""Arrays that users bring: which pass without a copy, which are copied, which are refused."""

from __future__ import annotations

import functools
import mmap
import re

import numpy as np
import pytest
from conftest import NETWORKS
from hypothesis import given
from hypothesis import strategies as st

from fastbp import SGD, Dense, Flatten, data
from fastbp.engine import Rows
from fastbp.losses import resolve
from fastbp.lowering import lower
from fastbp.plan import Plan

READABLE = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


def plan(inputs=(3,), outputs=2, loss="squared_error", activation=None, dtype="float32") -> Plan:
    layers = (Flatten(), Dense(outputs, activation=activation))
    return lower(layers, inputs, dtype, resolve(loss))


def classifier(outputs: int = 3) -> Plan:
    return plan(outputs=outputs, loss="sparse_categorical_crossentropy", activation="softmax")


def is_readable(array: np.ndarray) -> bool:
    """Whether `array` is what the documentation of `Rows` promises to engines."""
    contiguous = array.ndim == 1 or array.shape[1] == 1 or array.strides[1] == array.itemsize
    return (
        contiguous
        and array.strides[0] % array.itemsize == 0
        and array.flags.aligned
        and array.dtype.isnative
        and array.dtype.str[1:] in ["b1", *READABLE]
    )


@pytest.mark.parametrize("code", READABLE)
def test_contiguous_rows_of_engine_dtypes_pass_without_a_copy(code):
    x = np.ones((5, 3), code)
    assert np.shares_memory(data.inputs(plan(), x), x)
    y = np.ones((5, 2), code)
    assert np.shares_memory(data.rows(plan(), x, y).y, y)


def test_rows_far_apart_pass_without_a_copy():
    wide = np.ones((10, 6))
    for x in (wide[:, :3], wide[::2, :3], wide[::-1, 3:], np.broadcast_to(wide[0, :3], (4, 3))):
        passed = data.inputs(plan(), x)
        assert np.shares_memory(passed, wide)
        assert is_readable(passed)


def test_rows_of_images_pass_without_a_copy():
    x = np.ones((4, 28, 28), np.uint8)
    passed = data.inputs(plan(inputs=(28, 28)), x[::2])
    assert passed.shape == (2, 784)
    assert np.shares_memory(passed, x)


def laid_out(values: np.ndarray, layout: str) -> object:
    """Return `values` once more in another layout."""
    n, k = values.shape
    unaligned = np.frombuffer(b"\0" + values.tobytes(), np.uint8)[1:].view(values.dtype)
    strided = np.zeros((2 * n, 3 * k), values.dtype)
    strided[::2, ::3] = values
    read_only = values.copy()
    read_only.flags.writeable = False
    return {
        "lists": values.tolist(),
        "Fortran": np.asfortranarray(values),
        "strided": strided[::2, ::3],
        "reversed": values[::-1, ::-1].copy()[::-1, ::-1],
        "unaligned": unaligned.reshape(n, k),
        "byte-swapped": values.astype(values.dtype.newbyteorder()),
        "read-only": read_only,
        "matrix row slices": np.repeat(values, 2, axis=0)[::2],
        "subclass": values.view(type("Sub", (np.ndarray,), {})),
        "array interface": type("Frame", (), {"__array__": lambda *_, **__: values})(),
    }[layout]


LAYOUTS = [
    "lists", "Fortran", "strided", "reversed", "unaligned", "byte-swapped", "read-only",
    "matrix row slices", "subclass", "array interface",
]  # fmt: skip


@given(
    code=st.sampled_from([*READABLE, "f2", "g"]),
    layout=st.sampled_from(LAYOUTS),
    n=st.integers(1, 4),
    k=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_every_layout_gives_the_same_values_and_is_left_alone(code, layout, n, k, seed):
    values = np.random.default_rng(seed).integers(0, 2, (n, k)).astype(code)
    given_array = laid_out(values, layout)
    before = np.array(given_array)
    passed = data.inputs(plan(inputs=(k,)), given_array)
    assert np.array_equal(passed, values)
    assert is_readable(passed)
    assert np.array_equal(np.array(given_array), before)


def test_float16_and_long_double_keep_their_values():
    half = np.array([[0.1, 0.2, 60000.0]], np.float16)
    assert np.array_equal(data.inputs(plan(), half), half.astype(np.float64))
    extended = np.array([[0.1, 0.2, 0.3]], np.longdouble)
    assert np.array_equal(data.inputs(plan(), extended), extended.astype(np.float64))


@pytest.fixture
def mapped(tmp_path):
    def mapped(array: np.ndarray) -> np.memmap:
        np.save(tmp_path / "x.npy", array)
        return np.load(tmp_path / "x.npy", mmap_mode="r")

    return mapped


def test_mapped_files_are_neither_copied_nor_scanned(mapped):
    x = mapped(np.full((6, 3), np.nan))
    for view in (x, x[::2], np.asarray(x)[1:], x.reshape(3, 6)[:, :3]):
        rows = data.rows(plan(), view, np.ones((len(view), 2)))
        assert rows.unchecked
        assert np.shares_memory(rows.x, x)


def test_mapped_buffers_are_recognised():
    buffer = mmap.mmap(-1, 48)
    x = np.frombuffer(buffer).reshape(2, 3)
    assert data.rows(plan(), x, np.ones((2, 2))).unchecked
    assert data.rows(plan(), x, np.ones((2, 2)), None).x.base is not None


def test_mapped_targets_are_not_scanned_unless_their_range_matters(mapped):
    y = mapped(np.full((4, 2), np.nan))
    assert data.rows(plan(), np.ones((4, 3)), y).unchecked
    probabilities = plan(loss="binary_crossentropy", activation="sigmoid")
    with pytest.raises(ValueError, match=r"y: expected targets from 0 to 1, got nan at \[0, 0\]"):
        data.rows(probabilities, np.ones((4, 3)), y)


def test_a_copy_of_a_mapped_file_is_scanned(mapped):
    x = mapped(np.full((6, 3), np.nan))
    for copied in (x.copy(), x[:, ::-1], x.astype(">f8")):
        with pytest.raises(ValueError, match="x: expected finite"):
            data.rows(plan(), copied, np.ones((6, 2)))


@pytest.mark.parametrize("code", ["i8", "u1", "f4", "f8", ">i4"])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_labels_become_int32_vectors(code, shape):
    y = np.array([2, 0, 1, 2], code).reshape(shape)
    rows = data.rows(classifier(), np.ones((4, 3)), y)
    assert rows.y.dtype == np.int32
    assert rows.y.flags.c_contiguous
    assert rows.y.tolist() == [2, 0, 1, 2]


def test_targets_of_one_output_may_be_a_vector():
    x = np.ones((4, 3))
    y = np.arange(4.0)
    rows = data.rows(plan(outputs=1), x, y)
    assert np.array_equal(rows.y, y[:, None])
    assert np.shares_memory(rows.y, y)


def test_sample_weights_become_float64():
    rows = data.rows(plan(), np.ones((3, 3)), np.ones((3, 2)), [1, 0, 2])
    assert isinstance(rows, Rows)
    assert rows.weights.dtype == np.float64
    assert rows.weights.tolist() == [1, 0, 2]


BAD = {
    "nan": np.nan, "infinity": np.inf, "minus infinity": -np.inf, "overflow": 3.5e38,
    "negative overflow": -3.5e38,
}  # fmt: skip


def test_the_core_takes_rows_as_they_are_only_where_nothing_would_change(core, mapped):
    engine = NETWORKS["compiled"]._engine_class()(plan(), SGD(), 0)
    x = np.arange(18, dtype=np.float32).reshape(6, 3)
    kinds = "?bBhHiIlLqQfd"
    wide = np.ones((6, 8), np.float32)
    taken = [*map(x.astype, kinds), x[::2], x[::-1], x[1:2], wide[:, 1:4]]
    left = [
        *(x.astype(kind) for kind in ("e", "g", "F", "O", ">f4", "M8[s]", "U4")),
        *(x[:0], x[0], x[None], wide, x[:, ::-1], wide[:, ::2][:, :3], np.asfortranarray(x)),
        *(x.tolist(), None, 1.0, np.ma.masked_array(x, x > 3)),
        *(mapped(x), np.asarray(mapped(x))[1:], np.frombuffer(x.tobytes(), "f").reshape(6, 3)),
        np.frombuffer(bytes(1) + x.tobytes(), "f", offset=1).reshape(6, 3),
        *(np.where(x == 17, bad, x.astype("d")) for bad in (np.nan, np.inf, 1e39)),
    ]
    for value in taken:
        assert engine.takes(value, (3,), 1)
        assert np.shares_memory(data.inputs(plan(), value), value)
    for value in left:
        assert not engine.takes(value, (3,), 1)
    assert not engine.takes(x, (3, 1), 1)
    assert engine.takes(np.ones((6, 2))[:, 1:], (1,), 1)


@pytest.fixture(params=["NumPy", *sorted(NETWORKS)])
def look(request):
    """What looks first, for a plan: nothing but NumPy, or an engine."""
    if request.param == "NumPy":
        return lambda plan: None
    if request.param == "compiled":
        request.getfixturevalue("core")
    Engine = NETWORKS[request.param]._engine_class()
    return lambda plan: functools.partial(Engine(plan, SGD(), 0).all_finite, n_threads=1)


def checked(look, plan, x):
    """Return inputs that have been looked at."""
    array = data.inputs(plan, x)
    data.require_finite("x", array, plan.dtype, plan.input_shape, look(plan))
    return array


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("place", [(0, 0), (1, 2), (29_999, 1)])
def test_the_first_bad_value_is_found_wherever_it_is(look, kind, place):
    x = np.zeros((30_000, 3))
    x[place] = BAD[kind]
    x[-1, -1] = np.nan
    with pytest.raises(ValueError, match=rf"x: expected finite.* at \[{place[0]}, {place[1]}\]"):
        checked(look, plan(), x)


def test_a_bad_value_is_found_behind_a_conversion(look):
    for x in (
        [[0, 0, np.inf]],
        np.full((1, 3), np.nan, np.float16),
        np.full((1, 3), np.nan, ">f8"),
    ):
        with pytest.raises(ValueError, match="x: expected finite"):
            checked(look, plan(), x)
    if np.finfo(np.longdouble).max > np.finfo(np.float64).max:
        with pytest.raises(ValueError, match="x: expected finite"):
            checked(look, plan(dtype="float64"), np.full((1, 3), np.longdouble("1e400")))


def test_infinite_float32_is_found_by_a_float64_network(look):
    with pytest.raises(ValueError, match="x: expected finite numbers in the range of float64"):
        checked(look, plan(dtype="float64"), np.full((1, 3), np.inf, np.float32))


def test_the_place_of_a_bad_value_is_told_in_the_shape_that_was_given(look):
    x = np.zeros((5, 4, 6))
    x[3, 2, 5] = np.nan
    with pytest.raises(ValueError, match=r"got nan at \[3, 2, 5\]"):
        checked(look, plan(inputs=(4, 6)), x)


def test_large_values_pass_where_the_dtype_holds_them(look):
    x = np.full((2, 3), 1e300)
    assert checked(look, plan(dtype="float64"), x) is not None
    largest = np.full((2, 3), float(np.finfo(np.float32).max))
    assert checked(look, plan(), largest) is not None


def test_values_are_copied():
    original = np.ones((2, 3), np.float32)
    copied = data.values("parameters", original, (2, 3), "float32")
    assert not np.shares_memory(copied, original)
    with pytest.raises(ValueError, match=r"parameters: expected finite.* got inf at \[0, 1\]"):
        data.values("parameters", [[0, 1e39, 0]], (1, 3), "float32")


@pytest.mark.parametrize("n", [1, data.CHUNK // 3, data.CHUNK // 3 + 1, data.CHUNK + 1])
@pytest.mark.parametrize("code", ["f4", "f8"])
def test_numbers_are_finite_up_to_the_largest_of_the_dtype(look, code, n):
    largest = float(np.finfo("f4").max)
    x = np.ones((n, 3), code)
    for value in (largest, -largest):
        x[-1, 1] = value
        assert np.shares_memory(checked(look, plan(), x), x)
    x[:] = largest
    checked(look, plan(), x)
    overflow = []
    if code == "f8":  # up to half a unit in the last place more is rounded down
        x[-1, 1] = np.nextafter(largest + 2.0**103, 0)
        checked(look, plan(), x)
        overflow = [largest + 2.0**103, -largest - 2.0**103]
    for value in (np.inf, -np.inf, np.nan, *overflow):
        x[-1, 1] = value
        place = re.escape(f"got {x[-1, 1]} at [{n - 1}, 1]")
        with pytest.raises(ValueError, match=f"^x: .*{place}"):
            checked(look, plan(), x)
