"""Faults at random for some seconds: every frame accounted for, no thread left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from loop_lab import PIXELS, WAIT_S, Clock, FakeSession, Keeper, Script, eventually, frame_at
from soak.faults import Faults, Rates, SlowSink, faulty_camera

from edgeseg.errors import EngineError, SourceError
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop import LoopOptions, LoopState, Opening, Policy, ReloadRequest, Snapshot, run_sources

SECONDS = 1.0
HANG_S = 0.15  # three times what the loop waits


RATES = Rates(
    opening_hangs=0.0, pulled=0.01, hangs=0.005, hangs_until_closed=0.005, corrupt=0.08, empty=0.05, changes=0.05,
    hang_s=HANG_S, fps=1000,
)  # fmt: skip


def has_seen_all(seen: Snapshot) -> bool:
    """Whether every kind of fault has come to every source, and a sink and an engine have failed."""
    faults = [min(one.masks, one.corrupt, one.reconnects, one.stalls) for one in seen.sources]
    return min(*faults, seen.reloads, seen.reload_failures) > 0 and seen.sinks[2].standing == "failed"


@pytest.mark.parametrize(("policy", "batch_limit"), [("latest", 1), ("all", 3)])
def test_under_random_faults_every_frame_is_accounted_for_and_no_thread_is_left(
    policy: Policy, batch_limit: int
) -> None:
    random, faults, opened = Random(9), Faults(), []

    def open_session() -> FakeSession:
        if opened and random.random() < 0.5:
            raise EngineError("refused")
        opened.append(FakeSession(depth=2))
        return opened[-1]

    options = LoopOptions(
        policy=policy, batch_limit=batch_limit, max_age_s=0.05, rate=2000, backoff_s=0.005, backoff_max_s=0.02,
        stall_s=HANG_S / 3, abandoned_limit=1000, seed=9,
    )  # fmt: skip
    state, stop, reload = LoopState(), threading.Event(), ReloadRequest()
    sinks = [SlowSink(random, faults, likelihood=0.05, seconds=0.02), Keeper(), Keeper(fails_at=50)]
    outcome: list[Any] = []

    def work() -> None:
        openings = [faulty_camera(f"cam {index}", random, RATES, faults) for index in range(3)]
        outcome.append(run_sources(open_session, openings, sinks, options, state=state, stop=stop, reload=reload))

    thread = threading.Thread(target=work)
    thread.start()
    until_s = time.monotonic() + SECONDS
    while time.monotonic() < until_s or not has_seen_all(state.snapshot()):
        assert time.monotonic() < until_s + WAIT_S, state.snapshot()
        time.sleep(0.03)
        reload.ask()
        for one in state.snapshot().sources:
            assert one.frames_in == one.masks + one.dropped + one.stale + one.corrupt + one.in_flight
            assert 0 <= one.in_flight <= 1 + options.queued + 2 * batch_limit
    stop.set()
    thread.join(timeout=30)
    seen = outcome[0]
    for one in seen.sources:
        assert one.in_flight == 0
        assert one.frames_in == one.masks + one.dropped + one.stale + one.corrupt
    assert [sinks[0].taken, len(sinks[1].taken)] == [one.written for one in seen.sinks[:2]]
    assert [one.written + one.dropped for one in seen.sinks[:2]] == [seen.masks] * 2
    assert [one.standing for one in seen.sinks] == ["closed", "closed", "failed"]
    assert all(session.is_closed for session in opened)
    eventually(lambda: not [one for one in threading.enumerate() if one.name.startswith("edgeseg-")])


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {"policy": "latest"},
        {"policy": "latest", "max_age_s": 30},
        {"policy": "latest", "rate": 0.1},
    ],
)
def test_latency_does_not_build_up_where_a_source_is_twenty_times_as_fast_as_the_engine(
    depth: int, options: dict[str, Any]
) -> None:
    """The clock ticks once a frame, and 20 times while the engine works on one: ages are bounded all along."""
    clock, due, last = Clock(), threading.Semaphore(1), 3000

    class Fast(Script):
        def __iter__(self) -> Iterator[Frame]:
            for sequence in range(last + 1):
                due.acquire(timeout=30)
                clock.now_s = float(sequence)
                yield frame_at(clock(), sequence)

    class Turn(FakeSession):
        def result(self) -> np.ndarray:
            until_s = min(clock() + 20, last)
            due.release(20)
            eventually(lambda: clock() >= until_s)
            return super().result()

    clock.now_s, session = 0.0, Turn(depth=depth)
    opening = Opening(name="fast", is_live=True, open=lambda: Fast([], is_live=True))
    seen = run_sources(
        lambda: session, [opening], [], LoopOptions(stall_s=1e9, **options), state=LoopState(clock=clock)
    )
    assert seen.masks + seen.dropped + seen.stale == last + 1
    assert seen.masks > last / 20 / depth / 2
    ages = session.latency.samples_ms("arrival-to-mask") / 1e3
    assert ages.max() <= 20 * (depth + 1)


def test_a_snapshot_may_be_taken_at_any_time() -> None:
    state, stop = LoopState(), threading.Event()
    failures: list[BaseException] = []

    def look() -> None:
        try:
            while not stop.is_set():
                state.snapshot()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(5):
        opening = Opening(name="file", is_live=False, open=lambda: Script([PIXELS] * 300))
        run_sources(FakeSession, [opening], [Keeper()], state=state)
    stop.set()
    thread.join(timeout=30)
    assert failures == []


def test_jumps_of_the_wall_clock_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = Random(3)
    monkeypatch.setattr(time, "time", lambda: jumps.uniform(0, 4e9))
    plays = [[PIXELS, SourceError("lost")], [PIXELS, PIXELS]]
    opening = Opening(name="cam", is_live=True, open=lambda: Script(plays.pop(0), is_live=True))
    options = LoopOptions(policy="all", max_age_s=WAIT_S, rate=1e6, backoff_s=0.01)
    seen = run_sources(FakeSession, [opening], [], options)
    assert (seen.masks, seen.sources[0].reconnects, seen.sources[0].stalls) == (3, 1, 0)
