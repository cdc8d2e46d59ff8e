"""Aligned memory."""

from __future__ import annotations

import numpy as np
import pytest

from fastbp.arena import aligned_zeros


@pytest.mark.parametrize("count", [0, 1, 5, 1000])
def test_memory_is_aligned_zero_and_readable_past_its_end(count: int, dtype: str) -> None:
    vectors = [aligned_zeros(count, dtype, padding=128) for _ in range(10)]
    for vector in vectors:
        assert (vector.shape, vector.dtype) == ((count,), dtype)
        assert not vector.any()
        assert vector.flags.c_contiguous
        memory = vector.base
        assert isinstance(memory, np.ndarray)
        start, owned = (a.__array_interface__["data"][0] for a in (vector, memory))
        assert start % 64 == 0
        assert owned <= start
        assert start + vector.nbytes + 128 <= owned + memory.nbytes


def test_too_much_is_a_memory_error() -> None:
    with pytest.raises(MemoryError):
        aligned_zeros(2**59, "float64")
