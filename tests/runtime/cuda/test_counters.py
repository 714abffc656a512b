"""What is counted, and how two records differ."""

from __future__ import annotations

import dataclasses

import pytest
from stream_lab import LabDriver, context_of

from edgeseg.errors import EngineError
from edgeseg.runtime.cuda import Counters, Event, Live, PinnedRing, Stream
from edgeseg.runtime.cuda.buffers import DeviceMemory


def test_everything_that_is_asked_for_is_counted_and_a_reset_leaves_what_is_alive() -> None:
    context = context_of(LabDriver())
    with (
        context.current(),
        Stream(context) as stream,
        Event(context) as event,
        DeviceMemory(context, 100) as memory,
        PinnedRing(context, slots=2, shape=(5, 10), dtype="uint16") as ring,
    ):
        before = context.counters()
        stream.copy_in(memory, ring.host(0))
        stream.record(event)
        stream.wait_for(event)
        stream.copy_out(ring.host(1), memory)
        stream.copy_out(ring.host(0), memory)
        stream.copy_across(memory, memory)
        stream.fill(memory)
        event.synchronize()
        stream.synchronize()
        done = {"copies_in": 1, "bytes_in": 100, "copies_out": 2, "bytes_out": 200}
        done |= {"copies_across": 1, "bytes_across": 100, "fills": 1}
        waited = {"stream_waits": 1, "synchronisations": 2}
        assert context.counters() - before == Counters(**done, **waited)
        alive = Live(stream=1, event=1, device=1, pinned=2)
        assert context.counters().live == alive and alive.total == 5
        context.reset_counters()
        assert context.counters() == Counters(live=alive)
    assert context.counters() == Counters() and (context.counters() - before).live.total == -5


def test_a_part_counts_its_own_and_the_whole_counts_all() -> None:
    lab = LabDriver()
    whole = context_of(lab)
    one, other = whole.part(), whole.part()
    with one.current(), Stream(one) as stream, DeviceMemory(other, 8) as memory:
        stream.fill(memory)
        stream.record(Event(one))
        stream.synchronize()
        one.sweep()
        assert one.counters() == Counters(fills=1, synchronisations=1, live=Live(stream=1))
        assert other.counters() == Counters(live=Live(device=1))
        assert whole.counters() == Counters(fills=1, synchronisations=1, live=Live(stream=1, device=1))
        one.reset_counters()
        assert one.counters() == Counters(live=Live(stream=1)) and whole.counters().fills == 1
        whole.reset_counters()
        Stream(one).synchronize()
        assert one.counters().synchronisations == 1 == whole.counters().synchronisations
    assert one.counters().live.total == other.counters().live.total == whole.counters().live.total == 0
    assert lab.living.total() == 0 == len(lab.leaks)


def test_what_parts_made_is_freed_with_the_whole_and_then_refused_in_all() -> None:
    lab = LabDriver()
    whole = context_of(lab)
    part = whole.part()
    with part.current():
        kept = DeviceMemory(part, 8), Stream(whole)
    whole.release()
    assert all(one.is_closed for one in kept) and lab.living.total() == 0 and not part.is_usable
    assert part.counters().live.total == whole.counters().live.total == 0
    with pytest.raises(EngineError, match="has been released"), part.current():
        pass


def test_a_call_that_failed_is_not_counted_as_done() -> None:
    lab = LabDriver()
    context = context_of(lab)
    with context.current(), DeviceMemory(context, 8) as memory, Stream(context) as stream:
        host = context.pinned((8,), "uint8")
        lab.fail(len(lab.calls) + 1, "invalid argument")
        with pytest.raises(lab.LogicError):
            stream.copy_in(memory, host)
        assert context.counters().copies_in == context.counters().bytes_in == 0


def test_a_record_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Counters().launches = 1  # type: ignore[misc]
