"""The embedded digits are the ones of the UCI repository."""

import hashlib

import numpy as np
import pytest

from fastbp.datasets import digits


def test_digits_have_the_recorded_content():
    x, y = digits()
    rows = np.column_stack([x, y]).astype(np.uint8)
    recorded = "68aea062d35a127749050fa0e52dca09d6569ac08092c925610e0954e172dde2"
    assert hashlib.sha256(rows.tobytes()).hexdigest() == recorded


def test_digits_are_bytes_from_0_to_16_with_all_ten_labels():
    x, y = digits()
    assert (x.shape, x.dtype, x.min(), x.max()) == ((1797, 64), np.uint8, 0, 16)
    assert (y.shape, y.dtype) == ((1797,), np.int64)
    assert x.flags.c_contiguous
    assert sorted(set(y.tolist())) == list(range(10))


def test_digits_equal_scikit_learns_copy():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    x, y = digits()
    their_x, their_y = sklearn_datasets.load_digits(return_X_y=True)
    np.testing.assert_array_equal(x, their_x)
    np.testing.assert_array_equal(y, their_y)


def test_each_call_returns_arrays_of_its_own():
    first, _ = digits()
    first[:] = 99
    assert digits()[0].max() == 16
