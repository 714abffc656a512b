"""Own the hand-over of items between two threads: bounded, ended or cancelled from either side. Know no frames."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["HandOver"]

Item = TypeVar("Item")


class HandOver(Generic[Item]):
    """A queue of at most ``capacity`` items from one producer to one consumer.

    Args:
        capacity: items held.
        drops_oldest: a full queue gives up its oldest item (and counts it) in place of making the producer wait.
    """

    def __init__(self, *, capacity: int, drops_oldest: bool = False) -> None:
        self.dropped = 0
        self._capacity, self._drops_oldest = capacity, drops_oldest
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._is_finished = self._is_cancelled = False
        self._error: BaseException | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether the consumer has gone."""
        return self._is_cancelled

    def put(self, item: Item, *, timeout_s: float | None = None) -> bool:
        """Hand an item over, waiting for room if need be; False when the consumer has gone, or there was no room."""
        with self._changed:
            if self._drops_oldest and len(self._items) == self._capacity:
                self._items.popleft()
                self.dropped += 1
            has_room = self._changed.wait_for(
                lambda: len(self._items) < self._capacity or self._is_cancelled, timeout_s
            )
            if self._is_cancelled or not has_room:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def finish(self, error: BaseException | None = None) -> None:
        """The producer's last word; the consumer still gets what is held, and then ``error``."""
        with self._changed:
            self._is_finished, self._error = True, error
            self._changed.notify_all()

    def cancel(self) -> None:
        """The consumer's last word; a waiting producer is released."""
        with self._changed:
            self._is_cancelled = True
            self._changed.notify_all()

    def discard(self) -> int:
        """Give up what is held; returns how many items that was. The consumer gets what comes after it."""
        with self._changed:
            count = len(self._items)
            self._items.clear()
            self._changed.notify_all()
            return count

    def __len__(self) -> int:
        """How many items are held."""
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        """Items in order, until the producer finishes; its error is raised then."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._is_finished)
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error
