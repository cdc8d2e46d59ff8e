"""Data to train on: the handwritten digits that come with the package, and a reader of IDX files.

The digits are the test half of "Optical Recognition of Handwritten Digits" by E. Alpaydin and
C. Kaynak, UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49, licensed under
CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). The numbers are unchanged; only the file
format is another: ``digits.idx.gz`` is an IDX array of bytes, and each of its rows, as in the
original, holds 64 pixels and then the digit.
"""

from __future__ import annotations

from importlib import resources

import numpy as np
import numpy.typing as npt

from fastbp.datasets.idx import read_idx

__all__ = ["digits", "read_idx"]


def digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return 1,797 handwritten digits of 8 x 8 pixels.

    Returns
    -------
    x : ndarray of uint8, shape (1797, 64)
        Grey values from 0 (paper) to 16 (ink), row by row from the top left.
    y : ndarray of int64, shape (1797,)
        The digit that each image shows.

    References
    ----------
    Alpaydin and Kaynak 1998, https://doi.org/10.24432/C50P49 (CC BY 4.0).
    """
    with resources.as_file(resources.files(__name__) / "digits.idx.gz") as path:
        rows = read_idx(path)
    return np.ascontiguousarray(rows[:, :64]), rows[:, 64].astype(np.int64)
