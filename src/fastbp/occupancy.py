"""Who is using a network: one operation at a time may change it."""

from __future__ import annotations

import threading


class Occupancy:
    """Refuses to begin what would meet a running change of the same network.

    An operation that finds the network taken is a mistake of the program, and is told so: waiting
    would be for ever in one and the same thread.

    Whoever uses the network holds a lock in a with statement, which takes and leaves it without a
    Python instruction in between, at which an interrupt could come and the network would stay taken
    for ever. A reader and a writer that begin at the same moment each hold theirs before they look
    for the other's, so that at least one of them sees it.

    Attributes
    ----------
    writing : threading.Lock
        Held by an operation that changes the network.
    """

    def __init__(self) -> None:
        self.writing = threading.Lock()
        self._visiting = threading.Lock()
        self._visitor = 0
        self._reading: list[threading.Lock] = []
        self._holder = ""

    def taken_by(self, operation: str) -> threading.Lock:
        """Return the lock that `operation`, which changes the network, is to hold.

        Two threads that look at the same moment both pass, and then go one after the other.
        """
        if self.writing.locked():
            raise _taken(operation, self._holder)
        self._holder = operation
        return self.writing

    def shared_by(self, operation: str) -> threading.Lock:
        """Return the lock for `operation`, which changes the network and is open to visitors."""
        return threading.Lock() if self.is_visited() else self.taken_by(operation)

    def visited(self) -> threading.Lock:
        """Return the lock that the holder is to hold while it lets its thread call others.

        They find the network at rest: they may look at it, and change what is open to them.
        """
        self._visitor = threading.get_ident()
        return self._visiting

    def is_visited(self) -> bool:
        """Whether this thread was let in by the holder."""
        return self._visiting.locked() and self._visitor == threading.get_ident()

    def reading(self) -> threading.Lock:
        """Return a lock that an operation which only reads is to hold: any number may run."""
        for lock in self._reading:
            if not lock.locked():
                return lock
        self._reading.append(threading.Lock())
        return self._reading[-1]

    def require_unchanged(self, operation: str) -> None:
        """Let `operation` go on if nothing changes the network."""
        if self.writing.locked() and not self.is_visited():
            raise _taken(operation, self._holder)

    def require_unread(self, operation: str) -> None:
        """Let `operation`, which changes parameters, go on if nothing reads them."""
        for lock in self._reading:
            if lock.locked():
                raise _taken(operation, "predict")


def _taken(operation: str, holder: str) -> RuntimeError:
    return RuntimeError(
        f"{operation}: expected an idle network, got one that is in {holder}(); "
        f"wait for its end or use a copy()"
    )
