"""What fastbp warns of."""

from __future__ import annotations


class DivergenceWarning(UserWarning):
    """Loss or parameters stopped being finite; the network is back where they last were."""


class ConvergenceWarning(UserWarning):
    """Training ended before it reached what was asked for."""


class FileFormatError(ValueError):
    """A file is not what it should be: of another format or version, damaged, or put together."""
