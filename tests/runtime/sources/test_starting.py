from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from loop_lab import WAIT_S, Script, eventually

from edgeseg.errors import AddressError, MissingPackageError, SourceError
from edgeseg.runtime.sources import FrameSource
from edgeseg.runtime.sources.starting import FirstOpening, Start

ABSENT = SourceError("there is no camera", "plug it in")


def start(found: FrameSource | Exception | Callable[[], FrameSource], *, may_be_absent: bool = False) -> Start:
    def give() -> FrameSource:
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, FrameSource) else found()

    return Start(name="rtsp://me:secret@cam", open=give, may_be_absent=may_be_absent)


def test_sources_open_side_by_side_and_are_taken_once() -> None:
    both, sources = threading.Barrier(2, timeout=WAIT_S), [Script([]), Script([])]

    def opener(source: Script) -> Callable[[], FrameSource]:
        return lambda: (both.wait(), source)[1]

    first = FirstOpening([start(opener(one)) for one in sources])
    first.wait(WAIT_S)
    assert [first.opened(0), first.opened(1)] == sources
    assert (first.take(0), first.take(0)) == (sources[0], None)
    first.close()
    first.close()
    assert [one.closed for one in sources] == [0, 1], "what was taken is the taker's"


@pytest.mark.parametrize("error", [AddressError("cam:// is unknown"), MissingPackageError("no av")])
def test_a_name_that_means_nothing_is_told_while_another_source_hangs(error: Exception) -> None:
    never, late = threading.Event(), Script([])
    hanging = start(lambda: (never.wait(WAIT_S), late)[1], may_be_absent=True)
    first = FirstOpening([hanging, start(error, may_be_absent=True)])
    with pytest.raises(type(error), match=str(error)):
        first.wait(WAIT_S)
    assert not never.is_set()
    first.close()
    never.set()
    eventually(lambda: late.closed == 1)


def test_an_absent_camera_is_left_to_the_loop_which_is_told_why_once() -> None:
    first = FirstOpening([start(ABSENT, may_be_absent=True), start(Script([]), may_be_absent=True)])
    first.wait(WAIT_S)
    assert first.opened(0) is None
    with pytest.raises(SourceError, match="no camera"):
        first.take(0)
    assert first.take(0) is None


@pytest.mark.parametrize(("needed", "other"), [(ABSENT, Script([])), (ABSENT, ABSENT)])
def test_a_source_that_must_be_there_ends_it_and_so_does_none_at_all(
    needed: Exception, other: FrameSource | Exception
) -> None:
    is_other_there = isinstance(other, FrameSource)
    first = FirstOpening([start(needed, may_be_absent=not is_other_there), start(other, may_be_absent=True)])
    with pytest.raises(SourceError, match="no camera"):
        first.wait(WAIT_S)


def test_one_that_is_late_is_waited_for_by_its_reader_alone() -> None:
    gate, late = threading.Event(), Script([])
    hanging = start(lambda: (gate.wait(WAIT_S), late)[1], may_be_absent=True)
    first = FirstOpening([hanging, start(Script([]))])
    first.wait(0.01)
    assert first.opened(0) is None
    gate.set()
    assert first.take(0) is late


@pytest.mark.parametrize("may_be_absent", [True, False])
def test_one_that_is_late_and_alone_is_told_without_its_password(may_be_absent: bool) -> None:
    gate = threading.Event()
    first = FirstOpening([start(lambda: (gate.wait(WAIT_S), Script([]))[1], may_be_absent=may_be_absent)])
    with pytest.raises(SourceError, match=r"rtsp://\*\*\*@cam has not opened within 0.01 s"):
        first.wait(0.01)
    first.close()
    gate.set()
