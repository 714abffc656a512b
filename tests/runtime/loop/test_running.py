from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loop_lab import PIXELS, FakeSession, Keeper, Script, eventually, frame_at, opening

from edgeseg import Session
from edgeseg.errors import EngineError, OptionsError, OutputError, ShapeError, SourceError
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop import LoopOptions, LoopState, Opening, ReloadRequest, Snapshot, run_sources
from edgeseg.runtime.sinks import open_sink
from edgeseg.runtime.sources import open_source

LOST = SourceError("the cable was pulled", "push it in")
EMPTY = np.zeros((0, 0, 3), np.uint8)
SOON = LoopOptions(backoff_s=0.01, backoff_max_s=0.02)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    eventually(lambda: not [one for one in threading.enumerate() if one.name.startswith("edgeseg-")])


class Endless(Script):
    """A live source that gives frames until it is closed."""

    def __init__(self, name: str = "endless") -> None:
        super().__init__([], name=name, is_live=True)
        self._is_over = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        sequence = 0
        while not self._is_over.wait(0.001):
            yield frame_at(0.0, sequence)
            sequence += 1

    def close(self) -> None:
        self._is_over.set()


def cameras(*names: str) -> list[Opening]:
    return [Opening(name=name, is_live=True, open=lambda: Endless()) for name in names]


class Background:
    """A loop in a thread, as a service would run it."""

    def __init__(self, opener: Any, openings: list[Opening], sinks: list[Keeper], options: LoopOptions = SOON) -> None:
        self.state, self.stop, self.reload = LoopState(), threading.Event(), ReloadRequest()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(opener, openings, sinks, options))
        self._thread.start()

    def _run(self, *what: Any) -> None:
        try:
            run_sources(*what, state=self.state, stop=self.stop, reload=self.reload)
        except BaseException as error:  # noqa: BLE001
            self.error = error

    def seen(self) -> Snapshot:
        return self.state.snapshot()

    def wait_for_masks(self, count: int) -> None:
        eventually(lambda: self.seen().masks >= count)

    def end(self) -> Snapshot:
        self.stop.set()
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()
        return self.seen()


def assert_all_accounted(seen: Snapshot) -> None:
    for one in seen.sources:
        assert one.in_flight == 0
        assert one.frames_in == one.masks + one.dropped + one.stale + one.corrupt


def kinds(state: LoopState) -> list[str]:
    return [event.kind for event in state.events()]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_every_frame_of_files_becomes_a_mask_in_every_sink_in_order(depth: int) -> None:
    sinks, session, counted = [Keeper("a"), Keeper("b")], FakeSession(depth=depth), []
    seen = run_sources(lambda: session, [opening([PIXELS] * 40), opening([PIXELS] * 7)], sinks, on_mask=counted.append)
    for sink in sinks:
        assert [one[1] for one in sink.taken if one[0] == 0] == list(range(40))
        assert [one[1] for one in sink.taken if one[0] == 1] == list(range(7))
        assert sink.ended == "closed"
    assert_all_accounted(seen)
    assert (seen.masks, counted[-1], session.is_closed) == (47, 47, True)
    assert {"wait", "arrival-to-mask"} <= set(seen.stages)


def test_no_source_is_a_wrong_use() -> None:
    with pytest.raises(OptionsError, match="no source"):
        run_sources(FakeSession, [], [])


def test_sources_that_have_frames_share_one_run_of_the_engine() -> None:
    session, sink = FakeSession(), Keeper()
    session.gate = threading.Event()
    options = LoopOptions(batch_limit=4, queued=10)
    state = LoopState()
    thread = threading.Thread(
        target=lambda: run_sources(
            lambda: session, [opening([PIXELS] * 8)] * 3, [sink], options, state=state, stop=threading.Event()
        )
    )
    thread.start()
    eventually(lambda: state.snapshot().frames_in == 24)
    session.gate.set()
    thread.join(timeout=30)
    assert sum(session.batches) == 24
    assert max(session.batches) == 3
    assert [sorted(one[1] for one in sink.taken if one[0] == source) for source in range(3)] == [list(range(8))] * 3


def test_a_frame_is_delivered_at_once_where_no_other_one_comes() -> None:
    hang, sink = threading.Event(), Keeper()
    loop = Background(lambda: FakeSession(depth=3), [opening([PIXELS, hang, PIXELS], is_live=True)], [sink])
    eventually(lambda: len(sink.taken) == 1)
    hang.set()
    loop.end()


def test_a_files_error_comes_behind_its_masks_and_sinks_are_whole() -> None:
    sink = Keeper()
    with pytest.raises(SourceError, match="cable"):
        run_sources(lambda: FakeSession(depth=2), [opening([PIXELS] * 5 + [LOST])], [sink])
    assert (len(sink.taken), sink.ended) == (5, "closed")


def test_a_sink_that_fails_ends_a_files_run_and_abandons_every_sink() -> None:
    sinks = [Keeper("a", fails_at=3), Keeper("b")]
    state = LoopState()
    with pytest.raises(OutputError, match="a is full"):
        run_sources(FakeSession, [opening([PIXELS] * 500)], sinks, state=state)
    assert [sink.ended for sink in sinks] == ["abandoned", "abandoned"]
    assert_all_accounted(state.snapshot())


def test_a_sink_that_fails_or_hangs_stops_neither_a_live_loop_nor_other_sinks() -> None:
    gate = threading.Event()
    failing, hanging, good = Keeper("failing", fails_at=1), Keeper("hanging", gate=gate), Keeper("good")
    loop = Background(FakeSession, cameras("cam"), [failing, hanging, good])
    eventually(lambda: len(good.taken) > 50)
    gate.set()
    seen = loop.end()
    assert loop.error is None
    assert [one.standing for one in seen.sinks] == ["failed", "closed", "closed"]
    assert seen.sinks[1].dropped > 0
    assert_all_accounted(seen)


def test_a_stop_delivers_what_is_in_flight_and_closes_sinks() -> None:
    sink, session = Keeper(), FakeSession(depth=2)
    loop = Background(lambda: session, cameras("cam"), [sink])
    loop.wait_for_masks(10)
    seen = loop.end()
    assert (sink.ended, session.is_closed, loop.error) == ("closed", True, None)
    assert len(sink.taken) + seen.sinks[0].dropped == seen.masks
    assert_all_accounted(seen)


def test_a_stop_ends_a_files_run_whose_sink_hangs_and_reports_the_sink() -> None:
    gate = threading.Event()
    hanging, good = Keeper("hanging", gate=gate), Keeper("good")
    loop = Background(FakeSession, [opening([PIXELS] * 500)], [hanging, good], LoopOptions(end_grace_s=0.1))
    eventually(lambda: loop.seen().sinks[0].queued == 4)
    seen = loop.end()
    assert [one.standing for one in seen.sinks] == ["hanging", "closed"]
    assert len(good.taken) == seen.masks
    assert_all_accounted(seen)
    gate.set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_cleanly_and_handlers_come_back(number: int) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    sink = Keeper()

    def kill(masks: int) -> None:
        if masks == 5:
            os.kill(os.getpid(), number)

    seen = run_sources(FakeSession, cameras("cam"), [sink], on_mask=kill)
    assert (sink.ended, seen.masks >= 5) == ("closed", True)
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before


def test_sighup_loads_the_engine_anew() -> None:
    state, stop, opened = LoopState(), threading.Event(), []

    def opener() -> Any:
        opened.append(FakeSession(value=len(opened)))
        return opened[-1]

    def act(masks: int) -> None:
        if masks == 3:
            os.kill(os.getpid(), signal.SIGHUP)
        if state.snapshot().reloads:
            stop.set()

    run_sources(opener, cameras("cam"), [], state=state, stop=stop, on_mask=act)
    assert [one.is_closed for one in opened] == [True, True]


def test_an_engine_that_fails_ends_the_run_after_sinks_are_closed() -> None:
    sink, state = Keeper(), LoopState()
    with pytest.raises(EngineError, match="off the bus"):
        run_sources(lambda: FakeSession(depth=2, fails_at=6), cameras("cam"), [sink], state=state)
    assert sink.ended == "closed"
    assert_all_accounted(state.snapshot())


def test_a_reload_swaps_between_frames_and_loses_none() -> None:
    opened: list[FakeSession] = []

    def opener() -> FakeSession:
        opened.append(FakeSession(depth=2, value=len(opened)))
        return opened[-1]

    sink = Keeper()
    loop = Background(opener, [opening([PIXELS] * 20_000)], [sink])
    loop.wait_for_masks(5)
    loop.reload.ask()
    eventually(lambda: loop.seen().reloads == 1)
    seen = loop.end()
    assert [one.is_closed for one in opened] == [True, True]
    assert [one[1] for one in sink.taken] == list(range(seen.masks))
    values = [one[2] for one in sink.taken]
    assert values == sorted(values)
    assert set(values) == {0, 1}
    assert seen.sources[0].reconnects == 0


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (EngineError("built for another GPU"), "another GPU"),
        (FakeSession(labels="other"), "other classes"),
        (FakeSession(fails_at=0), "off the bus"),  # at its first frame, with which it is warmed up
    ],
)
def test_a_new_engine_that_fails_is_refused_and_the_old_one_goes_on(second: Any, why: str) -> None:
    plays = [FakeSession(), second]

    def opener() -> Any:
        one = plays.pop(0)
        if isinstance(one, BaseException):
            raise one
        return one

    loop = Background(opener, cameras("cam"), [])
    loop.wait_for_masks(5)
    loop.reload.ask()
    eventually(lambda: loop.seen().reload_failures == 1)
    loop.wait_for_masks(loop.seen().masks + 10)
    loop.end()
    assert loop.error is None
    refused = [event for event in loop.state.events() if event.kind == "reload-refused"]
    assert why in str(refused[0].fields["error"])
    assert getattr(second, "is_closed", True)


def test_a_new_engine_has_run_the_present_frames_before_it_is_taken() -> None:
    opened: list[FakeSession] = []

    def opener() -> FakeSession:
        opened.append(FakeSession())
        return opened[-1]

    loop = Background(opener, cameras("cam"), [])
    loop.wait_for_masks(1)
    loop.reload.ask()
    eventually(lambda: loop.seen().reloads == 1)
    loop.end()
    assert (opened[0].warmed, opened[1].warmed) == ([], [PIXELS.shape])


def test_a_session_that_is_still_opened_at_the_end_is_closed_by_its_thread() -> None:
    gate, plays = threading.Event(), [FakeSession(), FakeSession()]
    late = plays[1]

    def opener() -> FakeSession:
        one = plays.pop(0)
        if one is late:
            gate.wait(30)
        return one

    loop = Background(opener, cameras("cam"), [])
    loop.reload.ask()
    eventually(lambda: not plays)
    loop.end()
    assert "thread-left" in kinds(loop.state)
    gate.set()
    eventually(lambda: late.is_closed)


def test_a_live_frame_that_the_session_refuses_counts_as_corrupt_and_the_loop_goes_on() -> None:
    play = [PIXELS, EMPTY, EMPTY, PIXELS]
    loop = Background(FakeSession, [opening(play, is_live=True)], [], LoopOptions(policy="all"))
    eventually(lambda: "ended" in kinds(loop.state))
    seen = loop.end()
    assert (seen.masks, seen.corrupt) == (2, 2)
    assert kinds(loop.state).count("frame-refused") == 1


def test_one_sources_bad_frame_does_not_take_a_batch_with_it() -> None:
    session = FakeSession()
    session.gate = threading.Event()
    state = LoopState()
    openings = [opening([PIXELS] * 3, is_live=True), opening([EMPTY] * 3, is_live=True)]
    options = LoopOptions(policy="all", batch_limit=2)
    thread = threading.Thread(target=lambda: run_sources(lambda: session, openings, [], options, state=state))
    thread.start()
    eventually(lambda: state.snapshot().frames_in == 6)
    session.gate.set()
    thread.join(timeout=30)
    assert [(one.masks, one.corrupt) for one in state.snapshot().sources] == [(3, 0), (0, 3)]


def test_a_files_frame_that_the_session_refuses_ends_the_run() -> None:
    state = LoopState()
    with pytest.raises(ShapeError):
        run_sources(FakeSession, [opening([PIXELS, EMPTY])], [], state=state)
    assert_all_accounted(state.snapshot())


def test_a_change_of_size_in_mid_stream_is_an_event_and_goes_on() -> None:
    state = LoopState()
    large = np.zeros((8, 6, 3), np.uint8)
    seen = run_sources(FakeSession, [opening([PIXELS, large, large, PIXELS])], [], state=state)
    assert (seen.masks, kinds(state).count("size-changed")) == (4, 2)


def test_the_video_of_a_stopped_run_plays(chain: Any, clip: Path, tmp_path: Path) -> None:
    """The real parts: OpenVINO, a file read again and again as a camera would be, an H.264 file."""
    path = tmp_path / "overlay.mp4"
    with Session(chain.fp32) as session:
        sink = open_sink(str(path), session.spec.model.labels, fps=30.0)
    stop = threading.Event()

    def act(masks: int) -> None:
        if masks == 12:
            stop.set()

    source = Opening(name="clip", is_live=False, open=lambda: open_source(str(clip)))
    seen = run_sources(lambda: Session(chain.fp32), [source], [sink], stop=stop, on_mask=act)
    with open_source(str(path)) as written:
        assert sum(1 for _ in written) == seen.masks
