"""Queues between two threads that either side can end: the writer with an error, the reader at any time.

It is what queue.Queue lacks before Python 3.13: nobody is left waiting on a side that has gone. What bounds memory is
the number of slots, and the Window of what is under way.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """The other side has gone; the thread that gets this ends."""


class Channel(Generic[T]):
    """Items from one thread to another, in order."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()
        self._stopped = False

    def put(self, item: T) -> None:
        """Add one. Raises Stopped when the reader has gone."""
        if self._stopped:
            raise Stopped
        self._items.put(item)

    def get(self) -> T:
        """Wait for an item. Raises the writer's error after its last item; Stopped where it ended without one."""
        item = self._items.get()
        if self._stopped or isinstance(item, BaseException):
            self._items.put(item)  # for whoever asks again
            raise item if isinstance(item, BaseException) and not self._stopped else Stopped
        return item

    def end(self, error: BaseException | None = None) -> None:
        """End the channel: no more items will come, because of an error or because there are none."""
        self._items.put(error or Stopped())

    def stop(self) -> None:
        """Stop the channel, as nobody reads any more: both sides are let go, and what waits is dropped."""
        self._stopped = True
        self.end()


class Window(Generic[T]):
    """A window of what has been read and not yet been answered, oldest first.

    One more may enter while all of it weighs less than `limit`, and beside a single one always.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside: deque[tuple[T, int]] = deque()
        self._weight = 0
        self._changed = threading.Condition()
        self._stopped = False

    def wait(self, stuck: Callable[[T], bool]) -> bool:
        """Wait for room; False where there will be none, as the oldest thing is stuck with whoever waits here.

        Raises Stopped when nobody wants answers any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._has_room() or stuck(self._inside[0][0]))
            if self._stopped:
                raise Stopped
            return self._has_room()

    def _has_room(self) -> bool:
        return self._weight < self._limit or len(self._inside) < 2

    def enter(self, thing: T, weight: int) -> None:
        """Note that one more is under way."""
        with self._changed:
            self._inside.append((thing, weight))
            self._weight += weight

    def leave(self) -> None:
        """Note that the oldest was answered."""
        with self._changed:
            self._weight -= self._inside.popleft()[1]
            self._changed.notify_all()

    def stop(self) -> None:
        """Let everyone go: nobody wants answers any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
