"""Who is using a network: one operation at a time may change it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Occupancy:
    """Refuses to begin what would meet a running change of the same network.

    It never waits: an operation that finds the network taken is a mistake of the program, and in
    one and the same thread waiting would be for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder = ""

    @contextmanager
    def taken_by(self, operation: str) -> Iterator[None]:
        """Take the network for `operation`, which changes it."""
        if not self._lock.acquire(blocking=False):
            self._refuse(operation)
        try:
            self._holder = operation
            yield
        finally:
            self._lock.release()

    def require_free(self, operation: str) -> None:
        """Let `operation`, which only reads, begin: any number of them may run at a time."""
        if self._lock.locked():
            self._refuse(operation)

    def _refuse(self, operation: str) -> None:
        raise RuntimeError(
            f"{operation}: expected an idle network, got one that is in {self._holder}(); "
            f"wait for its end or use a copy()"
        )
