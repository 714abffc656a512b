from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_lab import Clock, eventually, frame_at

from edgeseg.errors import OptionsError, SourceError
from edgeseg.imaging.formats import FrameForm
from edgeseg.runtime.loop.intake import Intake
from edgeseg.runtime.loop.options import LoopOptions
from edgeseg.runtime.loop.state import LoopState


class Desk:
    """An intake of live sources, opened, with its state and clock."""

    def __init__(self, sources: int = 1, *, is_live: bool = True, **options: Any) -> None:
        self.clock = Clock()
        self.state = LoopState(clock=self.clock)
        self.state.begin([(str(index), is_live) for index in range(sources)], [])
        self.intake = Intake([is_live] * sources, LoopOptions(**options), self.state)
        self.epochs = [self.intake.admit(index, fps=0.0 if is_live else 30.0) for index in range(sources)]

    def put(self, sequence: int = 0, *, source: int = 0, **more: Any) -> bool:
        frame = frame_at(self.clock(), sequence, source=source, **more)
        return self.intake.put(source, self.epochs[source], frame)

    def take(self) -> list[tuple[int, int]]:
        return [(frame.source, frame.sequence) for frame in self.intake.take()]


def test_latest_keeps_the_newest_frame_of_a_source_and_drops_the_older() -> None:
    desk = Desk()
    for sequence in range(5):
        desk.put(sequence)
    assert (desk.take(), desk.take()) == ([(0, 4)], [])
    assert desk.state.snapshot().dropped == 4


def test_all_makes_the_source_wait_and_loses_nothing() -> None:
    desk = Desk(is_live=False, queued=2)
    thread = threading.Thread(target=lambda: [desk.put(sequence) for sequence in range(20)])
    thread.start()
    eventually(lambda: desk.state.snapshot().frames_in == 3)  # two wait in the lane, one for room
    taken = [desk.intake.take(timeout_s=30)[0].sequence for _ in range(20)]
    thread.join()
    assert taken == list(range(20))
    assert desk.state.snapshot().dropped == 0


def test_without_a_policy_live_sources_drop_and_files_wait() -> None:
    options = LoopOptions()
    assert options.drops_oldest(is_live=True)
    assert not options.drops_oldest(is_live=False)
    assert not LoopOptions(policy="all").drops_oldest(is_live=True)


def test_frames_older_than_the_bound_are_skipped_before_they_are_taken() -> None:
    desk = Desk(policy="all", max_age_s=0.1)
    desk.put(0)
    desk.clock.forward(0.2)
    desk.put(1)
    assert desk.take() == [(0, 1)]
    assert desk.state.snapshot().stale == 1


def test_age_counts_from_capture_where_the_source_says_it() -> None:
    desk = Desk(policy="all", max_age_s=0.1)
    desk.put(0, captured_s=desk.clock() - 0.5)
    desk.put(1, captured_s=desk.clock() - 0.05)
    assert desk.take() == [(0, 1)]


@pytest.mark.parametrize(("fps", "rate"), [(30, 10), (30, 7), (25, 24), (30, 30), (10, 20)])
def test_rate_lets_evenly_spaced_frames_in(fps: int, rate: int) -> None:
    desk = Desk(policy="all", queued=10_000, rate=rate)
    for sequence in range(fps * 10):
        desk.put(sequence)
        desk.clock.forward(1 / fps)
    kept = [desk.take()[0][1] for _ in range(desk.intake.waiting(0))]
    assert len(kept) == pytest.approx(min(rate, fps) * 10, abs=1)
    gaps = np.diff(kept)
    assert gaps.max() - gaps.min() <= 1
    assert desk.state.snapshot().dropped == fps * 10 - len(kept)


def test_rate_of_an_unpaced_file_follows_the_files_own_time() -> None:
    desk = Desk(is_live=False, queued=100, rate=10)
    for sequence in range(30):  # all arrive at once
        desk.put(sequence)
    assert [desk.take()[0][1] for _ in range(10)] == list(range(0, 30, 3))


def test_rate_takes_the_first_frame_after_a_pause_and_catches_nothing_up() -> None:
    desk = Desk(policy="all", queued=100, rate=1)
    desk.put(0)
    desk.clock.forward(60)
    for sequence in (1, 2, 3):
        desk.put(sequence)
    assert desk.intake.waiting(0) == 2


def test_a_fast_source_cannot_starve_a_slow_one() -> None:
    desk = Desk(3, policy="all", queued=100)
    for sequence in range(50):
        desk.put(sequence, source=0)
    for source in (1, 2):
        desk.put(0, source=source)
    assert [desk.take()[0][0] for _ in range(5)] == [0, 1, 2, 0, 0]


def test_a_batch_takes_one_frame_of_each_source_that_has_one() -> None:
    desk = Desk(3, batch_limit=2)
    for source in (0, 1, 2):
        desk.put(7, source=source)
    assert desk.take() == [(0, 7), (1, 7)]
    assert desk.take() == [(2, 7)]


def test_a_batch_holds_frames_of_one_form() -> None:
    desk = Desk(3, batch_limit=3)
    for source, form in enumerate([FrameForm(), FrameForm(pixel_format="RGB"), FrameForm()]):
        desk.put(0, source=source, form=form)
    assert desk.take() == [(0, 0), (2, 0)]
    assert desk.take() == [(1, 0)]


def test_frames_of_an_older_epoch_are_refused_and_not_counted() -> None:
    desk = Desk()
    desk.intake.admit(0)
    assert not desk.put()
    assert desk.state.snapshot().frames_in == 0


def test_a_new_epoch_releases_a_thread_that_waits_for_room() -> None:
    desk = Desk(is_live=False, queued=1)
    desk.put(0)
    outcome: list[bool] = []
    thread = threading.Thread(target=lambda: outcome.append(desk.put(1)))
    thread.start()
    eventually(lambda: desk.state.snapshot().frames_in == 2)
    desk.intake.admit(0)
    thread.join(timeout=30)
    assert outcome == [False]
    assert desk.state.snapshot().dropped == 1


def test_the_error_of_a_source_comes_behind_its_frames() -> None:
    desk = Desk(is_live=False)
    desk.put(0)
    desk.intake.finish(0, SourceError("the cable was pulled"))
    assert desk.take() == [(0, 0)]
    assert not desk.intake.is_ended
    with pytest.raises(SourceError, match="cable"):
        desk.take()
    assert desk.intake.is_ended


def test_cancelling_drops_what_waits_and_refuses_the_rest() -> None:
    desk = Desk(policy="all")
    desk.put(0)
    desk.put(1)
    assert desk.intake.cancel() == 2
    assert not desk.put(2)
    assert (desk.state.snapshot().dropped, desk.state.snapshot().frames_in) == (2, 2)


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "late", "old", "take", "wait", "anew", "corrupt"]), st.integers(0, 2)),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.sampled_from([None, 5.0]), st.sampled_from([None, 0.3]), st.integers(1, 3))
def test_every_frame_is_accounted_for_at_every_instant(
    steps: list[tuple[str, int]], rate: float | None, max_age_s: float | None, batch_limit: int
) -> None:
    desk = Desk(3, policy="latest", rate=rate, max_age_s=max_age_s, batch_limit=batch_limit)
    flight = [0, 0, 0]
    for step, source in steps:
        if step == "put":
            desk.put(source=source)
        elif step == "old":
            desk.put(source=source, captured_s=desk.clock() - 1)
        elif step == "late":
            desk.intake.put(source, desk.epochs[source] - 1, frame_at(desk.clock()))
        elif step == "take":
            for one, _ in desk.take():
                flight[one] += 1
        elif step == "wait":
            desk.clock.forward(0.1 * (source + 1))
        elif step == "anew":
            desk.epochs[source] = desk.intake.admit(source)
        else:
            desk.state.undecodable(source, source + 1)
        if sum(flight) > 3:
            done = flight.index(max(flight))
            flight[done] -= 1
            desk.state.masked(done, age_ms=1.0)
        for index, one in enumerate(desk.state.snapshot().sources):
            assert one.in_flight == desk.intake.waiting(index) + flight[index]
            assert one.frames_in == one.masks + one.dropped + one.stale + one.corrupt + one.in_flight


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(OptionsError, match=f"rate is {value}"):
        LoopOptions(rate=value)
