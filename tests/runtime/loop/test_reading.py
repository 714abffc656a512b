from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from loop_lab import PIXELS, Clock, Script, eventually, opening

from edgeseg.errors import MissingPackageError, SourceError
from edgeseg.runtime.loop.intake import Intake
from edgeseg.runtime.loop.options import LoopOptions, Opening
from edgeseg.runtime.loop.reading import SupervisedSource, start_daemon
from edgeseg.runtime.loop.state import LoopState

LOST = SourceError("the cable was pulled", "push it in")


class Inline:
    """What a thread would do, done at once."""

    name = "inline"

    def __init__(self, target: Callable[[], None], name: str) -> None:
        target()

    def is_alive(self) -> bool:
        return False

    def join(self, timeout: float | None = None) -> None:
        pass


class Bench:
    """One supervised source with a clock that is moved by hand."""

    def __init__(self, one: Opening, *, in_threads: bool = False, **options: Any) -> None:
        self.clock = Clock()
        self.state = LoopState(clock=self.clock)
        self.state.begin([(one.name, one.is_live)], [])
        told = LoopOptions(seed=1, **options)
        self.intake = Intake([one.is_live], told, self.state)
        spawn = start_daemon if in_threads else Inline
        self.source = SupervisedSource(0, one, self.intake, told, self.state, random=Random(1), spawn=spawn)

    @property
    def seen(self) -> Any:
        return self.state.snapshot().sources[0]

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.state.events()]

    def tick(self, forward_s: float = 0.0) -> None:
        self.clock.forward(forward_s)
        self.source.tick()


def test_a_live_source_that_fails_is_opened_again_and_its_frames_go_on() -> None:
    bench = Bench(opening([PIXELS, LOST], LOST, [PIXELS, PIXELS], is_live=True))
    bench.tick()
    assert (bench.seen.standing, bench.seen.frames_in) == ("waiting", 1)
    assert "cable" in bench.seen.error
    bench.tick(3)
    bench.tick(3)
    assert (bench.seen.standing, bench.seen.frames_in, bench.seen.reconnects) == ("ended", 3, 1)
    assert bench.kinds == ["source-opened", "source-lost", "source-lost", "source-opened", "source-ended"]


def test_waits_are_jittered_and_their_bound_doubles_to_the_maximum() -> None:
    class Asked(Random):
        bounds: list[float] = []  # noqa: RUF012

        def uniform(self, a: float, b: float) -> float:
            self.bounds.append(b)
            return b

    bench = Bench(opening(LOST, is_live=True), backoff_s=0.2, backoff_max_s=2.0)
    bench.source._random = Asked()
    for _ in range(6):
        bench.tick(3)
    assert Asked.bounds == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_a_source_that_stays_away_is_told_ever_less_often_and_when_the_reason_changes() -> None:
    bench = Bench(opening(*[LOST] * 20, SourceError("no route to it"), is_live=True))
    for _ in range(21):
        bench.tick(3)
    failures = [event.fields["failures"] for event in bench.state.events()]
    assert failures == [1, 2, 4, 8, 16, 21]


def test_a_source_is_not_opened_before_its_wait_is_over() -> None:
    bench = Bench(opening(LOST, is_live=True))
    bench.source._random = type("Late", (Random,), {"uniform": lambda self, a, b: b})()
    bench.tick()
    bench.tick(0.19)
    assert bench.kinds == ["source-lost"]
    bench.tick(0.02)
    assert bench.kinds == ["source-lost", "source-lost"]


@pytest.mark.parametrize("options", [{"is_live": False}, {"is_live": True, "reconnect": False}])
def test_what_is_not_to_be_opened_again_fails_for_good(options: dict[str, bool]) -> None:
    reconnect = options.pop("reconnect", True)
    bench = Bench(opening(LOST, **options), reconnect=reconnect)
    bench.tick()
    assert bench.seen.standing == "failed"
    with pytest.raises(SourceError, match="cable"):
        bench.intake.take()
    bench.tick(60)
    assert bench.kinds == ["source-failed"]


def test_an_error_that_is_not_the_sources_is_handed_to_the_loop() -> None:
    bench = Bench(opening(MissingPackageError("av cannot be imported"), is_live=True))
    bench.tick()
    with pytest.raises(MissingPackageError):
        bench.intake.take()


def test_the_end_of_a_live_source_is_its_end() -> None:
    bench = Bench(opening([PIXELS], is_live=True))
    bench.tick()
    bench.intake.take()
    assert bench.intake.is_ended


def test_corrupt_frames_are_counted_while_none_other_comes() -> None:
    hang = threading.Event()
    bench = Bench(opening([3, hang, PIXELS, 2], is_live=True), in_threads=True)
    bench.tick()
    eventually(lambda: bench.seen.standing == "running")

    def counted() -> bool:
        bench.tick()
        return bool(bench.seen.corrupt == 3)

    eventually(counted)
    hang.set()
    eventually(lambda: bench.seen.standing == "ended")
    assert (bench.seen.frames_in, bench.seen.corrupt, bench.seen.in_flight) == (6, 5, 1)


def test_a_source_that_hangs_in_reading_is_given_up_and_opened_again() -> None:
    hang = threading.Event()
    first = Script([PIXELS, hang, PIXELS], is_live=True)
    bench = Bench(opening(first, [PIXELS], is_live=True), in_threads=True, stall_s=5)
    bench.tick()
    eventually(lambda: bench.seen.frames_in == 1)
    bench.tick(4.9)
    assert bench.seen.standing == "running"
    bench.tick(0.2)
    assert (bench.seen.standing, bench.seen.stalls, bench.seen.abandoned) == ("waiting", 1, 1)
    bench.tick(3)
    eventually(lambda: bench.seen.standing == "ended")
    hang.set()  # the library comes back: what it gives is refused
    eventually(lambda: not bench.source.workers())
    assert (bench.seen.frames_in, bench.seen.standing) == (2, "ended")
    assert first.closed == 2  # from outside and by its own thread


def test_a_read_that_comes_back_before_the_source_is_open_again_is_refused_too() -> None:
    hang = threading.Event()
    bench = Bench(opening([PIXELS, hang, PIXELS], is_live=True), in_threads=True, stall_s=5)
    bench.tick()
    eventually(lambda: bench.seen.frames_in == 1)
    bench.tick(6)
    hang.set()
    eventually(lambda: not bench.source.workers())
    assert (bench.seen.frames_in, bench.seen.standing) == (1, "waiting")


def test_a_source_that_hangs_in_opening_is_given_up_and_closed_when_it_comes() -> None:
    hang, late = threading.Event(), Script([PIXELS], is_live=True)

    def open_late() -> Script:
        hang.wait(30)
        return late

    bench = Bench(Opening(name="cam", is_live=True, open=open_late), in_threads=True, stall_s=5)
    bench.tick()
    bench.tick(6)
    assert "in opening" in bench.seen.error
    bench.source.stop()
    hang.set()
    eventually(lambda: late.closed > 0 and not bench.source.workers())
    assert bench.seen.frames_in == 0


def test_more_hanging_threads_than_the_limit_end_the_run_with_a_clear_error() -> None:
    hang = threading.Event()
    bench = Bench(opening([hang], is_live=True), in_threads=True, stall_s=5, abandoned_limit=2)
    for _ in range(3):
        bench.tick(3)
        eventually(lambda: bench.seen.standing == "running")
        bench.tick(6)
    assert bench.seen.standing == "failed"
    with pytest.raises(SourceError, match=r"3 threads hang in it.*restart the process"):
        bench.intake.take()
    hang.set()
    eventually(lambda: not bench.source.workers())


def test_a_file_that_hangs_ends_the_run_since_it_cannot_be_taken_up_again() -> None:
    hang = threading.Event()
    bench = Bench(opening([PIXELS, hang]), in_threads=True, stall_s=5)
    bench.tick()
    eventually(lambda: bench.intake.waiting(0) == 1)
    bench.tick(6)
    bench.intake.take()
    with pytest.raises(SourceError, match="given nothing for 5 s in reading"):
        bench.intake.take()
    hang.set()


def test_a_source_that_waits_for_room_does_not_count_as_hanging() -> None:
    bench = Bench(opening([PIXELS] * 3), in_threads=True, stall_s=5, queued=1)
    bench.tick()
    eventually(lambda: bench.seen.frames_in == 2)
    bench.tick(60)
    assert bench.seen.standing == "running"
    bench.intake.cancel()
    eventually(lambda: not bench.source.workers())


def test_a_source_that_ran_long_begins_with_short_waits_again() -> None:
    class Asked(Random):
        bounds: list[float] = []  # noqa: RUF012

        def uniform(self, a: float, b: float) -> float:
            self.bounds.append(b)
            return 0.0

    hang = threading.Event()
    bench = Bench(opening(LOST, LOST, [hang, LOST], LOST, is_live=True), in_threads=True, backoff_max_s=2.0)
    bench.source._random = Asked()
    for lost in (1, 2):
        bench.tick()
        eventually(lambda lost=lost: bench.kinds.count("source-lost") == lost)
    bench.tick()
    eventually(lambda: bench.seen.standing == "running")
    bench.clock.forward(3)
    hang.set()
    eventually(lambda: bench.kinds.count("source-lost") == 3)
    assert Asked.bounds == [0.2, 0.4, 0.2]


def test_a_password_in_an_address_is_shown_nowhere() -> None:
    address = "rtsp://me:secret@10.0.0.7/live"
    bench = Bench(opening(SourceError(f"{address} is gone"), name=address, is_live=True))
    bench.tick()
    assert "secret" not in repr((bench.state.snapshot(), bench.state.events()))
    assert bench.seen.name == "rtsp://***@10.0.0.7/live"
