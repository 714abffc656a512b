from __future__ import annotations

import threading
from typing import Any

import pytest
from loop_lab import PIXELS, Keeper, eventually, frame_at

from edgeseg.errors import OutputError
from edgeseg.runtime.loop.state import LoopState
from edgeseg.runtime.loop.writing import SinkWriter

MASK = PIXELS[..., 0]


class Desk:
    def __init__(self, sink: Keeper, *, waits: bool = False, survives: bool = True) -> None:
        self.state = LoopState()
        self.state.begin([], [sink.name])
        self.writer = SinkWriter(0, sink, self.state, queued=2, waits=waits, survives=survives)

    @property
    def seen(self) -> Any:
        return self.state.snapshot().sinks[0]

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.state.events()]

    def put(self, *sequences: int) -> None:
        for sequence in sequences:
            self.writer.put(frame_at(0.0, sequence), MASK)


def test_a_stalled_sink_loses_the_oldest_masks_and_says_so_once() -> None:
    gate = threading.Event()
    sink = Keeper(gate=gate)
    desk = Desk(sink)
    desk.put(0)
    eventually(lambda: desk.seen.queued == 0)  # it hangs in the first one
    desk.put(1, 2, 3, 4, 5)
    assert (desk.seen.queued, desk.seen.dropped, desk.kinds) == (2, 3, ["sink-drops"])
    assert desk.seen.busy_s > 0
    gate.set()
    desk.writer.end(abandon=False)
    assert desk.writer.join(30)
    assert ([one[1] for one in sink.taken], sink.ended) == ([0, 4, 5], "closed")
    assert (desk.seen.written, desk.seen.standing) == (3, "closed")


def test_a_sink_that_waits_loses_nothing() -> None:
    sink = Keeper()
    desk = Desk(sink, waits=True)
    desk.put(*range(50))
    desk.writer.end(abandon=False)
    desk.writer.join(30)
    assert [one[1] for one in sink.taken] == list(range(50))


def test_a_sink_of_one_source_gets_and_counts_its_masks_alone() -> None:
    sink = Keeper()
    sink.source = 1
    desk = Desk(sink, waits=True)
    for sequence in range(6):
        desk.writer.put(frame_at(0.0, sequence, source=sequence % 3), MASK)
    desk.writer.end(abandon=False)
    assert desk.writer.join(30)
    assert sink.taken == [(1, 1, 0), (1, 4, 0)]
    assert (desk.seen.written, desk.seen.dropped) == (2, 0)


def test_a_sink_that_fails_where_live_is_abandoned_and_reported() -> None:
    sink = Keeper(fails_at=1)
    desk = Desk(sink)
    desk.put(0, 1)
    eventually(lambda: sink.ended == "abandoned")
    desk.put(2)
    assert desk.writer.error is None
    assert (desk.seen.standing, desk.seen.written, desk.seen.dropped) == ("failed", 1, 1)
    assert "keeper is full" in desk.seen.error
    assert desk.kinds == ["sink-failed"]


def test_a_sink_that_fails_where_nothing_is_live_gives_its_error_to_the_loop() -> None:
    desk = Desk(Keeper(fails_at=0), waits=True, survives=False)
    desk.put(0)
    eventually(lambda: isinstance(desk.writer.error, OutputError))


def test_an_error_that_is_none_of_a_sink_ends_the_loop_even_where_live() -> None:
    class Wrong(Keeper):
        def write(self, frame: Any, mask: Any) -> None:
            raise ZeroDivisionError

    desk = Desk(Wrong())
    desk.put(0)
    eventually(lambda: isinstance(desk.writer.error, ZeroDivisionError))


def test_a_sink_that_cannot_be_closed_has_failed() -> None:
    class Full(Keeper):
        def close(self) -> None:
            raise OutputError("no space for the trailer")

    sink = Full()
    desk = Desk(sink, survives=False)
    desk.put(0)
    desk.writer.end(abandon=False)
    desk.writer.join(30)
    assert isinstance(desk.writer.error, OutputError)
    assert (desk.seen.standing, desk.seen.dropped, sink.ended) == ("failed", 0, "abandoned")


def test_abandoning_drops_what_waits() -> None:
    gate = threading.Event()
    sink = Keeper(gate=gate)
    desk = Desk(sink)
    desk.put(0)
    eventually(lambda: desk.seen.queued == 0)
    desk.put(1, 2)
    desk.writer.end(abandon=True)
    gate.set()
    desk.writer.join(30)
    assert (len(sink.taken), desk.seen.dropped, sink.ended) == (1, 2, "abandoned")


@pytest.mark.parametrize("timeout_s", [0.01])
def test_a_sink_that_hangs_at_the_end_is_reported_and_left(timeout_s: float) -> None:
    gate = threading.Event()
    desk = Desk(Keeper(gate=gate))
    desk.put(0)
    desk.writer.end(abandon=False)
    assert not desk.writer.join(timeout_s)
    assert (desk.seen.standing, desk.kinds) == ("hanging", ["sink-hangs"])
    gate.set()
    assert desk.writer.join(30)
