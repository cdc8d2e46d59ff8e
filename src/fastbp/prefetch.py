"""A thread that loads ahead, in buffers that go round."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from fastbp.engine import Rows
from fastbp.items import Parts

Buffer = Parts
T = TypeVar("T")

# How long an ended training waits for its thread, which ends by itself once its source has
# answered; and how often one that waits for rows looks whether the thread is still there.
PATIENCE = 0.15
LOOK_SECONDS = 1.0


class ClosedError(Exception):
    """Nobody wants any more."""


class Chunk(NamedTuple):
    """Rows, and the buffer that they stand in."""

    rows: Rows
    buffer: Buffer


class Room(Generic[T]):
    """Buffers that are free to load into.

    Parameters
    ----------
    buffers : list
        All there are: what is loaded ahead never takes more memory.
    """

    def __init__(self, buffers: list[T]) -> None:
        self._free: SimpleQueue[T | None] = SimpleQueue()
        self._is_closed = False
        for buffer in buffers:
            self._free.put(buffer)

    def take(self) -> T:
        """Return a buffer as soon as one is free."""
        buffer = self._free.get()
        self.require_open()
        assert buffer is not None
        return buffer

    def give_back(self, buffer: T) -> None:
        """Let a buffer be used again."""
        self._free.put(buffer)

    def require_open(self) -> None:
        """Raise ClosedError if nobody wants any more; a source asks now and then."""
        if self._is_closed:
            raise ClosedError

    def close(self) -> None:
        """Let whoever loads come to an end."""
        self._is_closed = True
        self._free.put(None)


Producer = Callable[[Room[Buffer]], Generator[Chunk | None]]


class Inline:
    """Chunks that are loaded when they are asked for, in one buffer."""

    def __init__(self, produce: Producer, buffer: Buffer) -> None:
        self._room = Room([buffer])
        self._items = produce(self._room)
        self._held: Buffer | None = None

    def take(self) -> Rows | None:
        """Return the next chunk, or None at the end of an epoch."""
        if self._held is not None:
            self._room.give_back(self._held)
            self._held = None
        chunk = self._next()
        if chunk is None:
            return None
        self._held = chunk.buffer
        return chunk.rows

    def _next(self) -> Chunk | None:
        return next(self._items)

    def close(self) -> None:
        """Load no more."""
        self._room.close()
        self._items.close()


class Prefetch(Inline):
    """Chunks that a thread loads while the one before is used.

    What the thread raises is raised by `take`, with its traceback, where the chunk would have come.
    A fork leaves the thread behind: the child is told so when it asks for more.

    Parameters
    ----------
    produce : callable
        Given the free buffers, goes through the chunks, with None after each epoch.
    buffers : list of Buffer
        At least two: one is in use while others are filled.
    """

    def __init__(self, produce: Producer, buffers: list[Buffer]) -> None:
        self._room = Room(buffers)
        self._ready: SimpleQueue[tuple[Chunk | None, BaseException | None]] = SimpleQueue()
        self._held = None
        self._thread = threading.Thread(
            target=_load, args=(produce, self._room, self._ready), name="fastbp", daemon=True
        )

    def _next(self) -> Chunk | None:
        if self._thread.ident is None:  # not before: whoever can close it has it by now
            self._thread.start()
        while True:
            try:
                chunk, error = self._ready.get(timeout=LOOK_SECONDS)
            except Empty:
                if not self._thread.is_alive():
                    message = "x: the thread that loads it is not in this process"
                    raise RuntimeError(message) from None
                continue
            if error is not None:
                try:
                    raise error
                finally:  # its frames hold buffers, and this one must not hold it
                    del error
            return chunk

    def close(self) -> None:
        """Load no more, and let the thread end."""
        self._room.close()
        if self._thread.ident is not None:
            self._thread.join(PATIENCE)


def _load(
    produce: Producer,
    room: Room[Buffer],
    ready: SimpleQueue[tuple[Chunk | None, BaseException | None]],
) -> None:
    """Load until there is nothing more to load, or nobody who wants it."""
    try:
        for chunk in produce(room):
            ready.put((chunk, None))
    except ClosedError:
        pass
    except BaseException as error:
        ready.put((None, error))
