"""Who is using a network: one operation at a time may change it."""

from __future__ import annotations

import threading


class Occupancy:
    """Refuses to begin what would meet a running change of the same network.

    An operation that finds the network taken is a mistake of the program, and is told so: waiting
    would be for ever in one and the same thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder = ""

    def taken_by(self, operation: str) -> threading.Lock:
        """Return what holds the network for `operation`, which changes it, in a with statement.

        It is the lock itself: a with statement takes and leaves it without a Python instruction in
        between, at which an interrupt could come and the network would stay taken for ever. Two
        threads that look at the same moment both pass, and then go one after the other.
        """
        self.require_free(operation)
        self._holder = operation
        return self._lock

    def require_free(self, operation: str) -> None:
        """Let `operation`, which only reads, begin: any number of them may run at a time."""
        if self._lock.locked():
            raise RuntimeError(
                f"{operation}: expected an idle network, got one that is in {self._holder}(); "
                f"wait for its end or use a copy()"
            )
