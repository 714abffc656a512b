from __future__ import annotations

import threading

import pytest

from edgeseg.runtime.queues import HandOver


def test_everything_arrives_in_order_through_a_small_queue() -> None:
    queue: HandOver[int] = HandOver(capacity=2)

    def produce() -> None:
        for item in range(500):
            assert queue.put(item)
        queue.finish()

    thread = threading.Thread(target=produce)
    thread.start()
    assert list(queue) == list(range(500))
    thread.join()
    assert queue.dropped == 0


def test_a_dropping_queue_keeps_the_newest_and_counts_the_rest() -> None:
    queue: HandOver[int] = HandOver(capacity=1, drops_oldest=True)
    for item in range(10):
        queue.put(item)
    queue.finish()
    assert list(queue) == [9]
    assert queue.dropped == 9


def test_the_producers_error_comes_behind_its_items() -> None:
    queue: HandOver[int] = HandOver(capacity=3)
    queue.put(1)
    queue.finish(KeyError("lost"))
    received = []
    with pytest.raises(KeyError, match="lost"):
        received.extend(queue)
    items = []
    with pytest.raises(KeyError):
        for item in queue:
            items.append(item)
    assert (received, items) == ([1], [])


def test_cancelling_releases_a_waiting_producer() -> None:
    queue: HandOver[int] = HandOver(capacity=1)
    queue.put(0)
    outcome: list[bool] = []
    thread = threading.Thread(target=lambda: outcome.append(queue.put(1)))
    thread.start()
    queue.cancel()
    thread.join(timeout=30)
    assert outcome == [False]


def test_discarding_gives_up_what_is_held_and_takes_what_comes_after() -> None:
    queue: HandOver[int] = HandOver(capacity=3)
    queue.put(1)
    queue.put(2)
    assert (len(queue), queue.discard(), len(queue)) == (2, 2, 0)
    queue.put(3)
    queue.finish()
    assert list(queue) == [3]
