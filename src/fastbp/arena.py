"""Memory for parameters, gradients and optimizer state, placed as the engines need it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

# A cache line, which is also the widest vector register that kernels load.
ALIGNMENT = 64


def aligned_zeros(count: int, dtype: npt.DTypeLike, padding: int = ALIGNMENT) -> npt.NDArray[Any]:
    """Return a vector of zeros that starts on a cache line.

    Parameters
    ----------
    count : int
        Number of elements.
    dtype : dtype_like
        Their type.
    padding : int, default 64
        Bytes past the end that may be read, but not written: kernels load whole vectors.

    Returns
    -------
    ndarray, shape (count,)
        A view that keeps its memory alive.

    Raises
    ------
    MemoryError
        If there is not enough memory.
    """
    n_bytes = count * np.dtype(dtype).itemsize
    memory = np.zeros(ALIGNMENT + n_bytes + padding, np.uint8)
    start = -memory.__array_interface__["data"][0] % ALIGNMENT
    return np.ndarray(count, dtype, buffer=memory, offset=start)
