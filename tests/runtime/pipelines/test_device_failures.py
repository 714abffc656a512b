"""Whatever call fails, and whenever the device is lost: an error says so, nothing hangs, nothing is left."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from session_lab import SessionLab, assert_nothing_is_left, engine_on, mask_of
from stream_lab import ERRORS, LAUNCH_FAILED

from edgeseg.errors import EdgesegError, EngineError
from edgeseg.runtime.session import Session

SEEDS = st.integers(0, 2**32 - 1)
QUICKLY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SIZES = ((30, 40), (12, 18))


def frames() -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*SIZES[number // 4], 3), np.uint8) for number in range(6)]


def run(lab: SessionLab, *, graphs: bool = True) -> list[Any]:
    """Six frames of two sizes, two in flight: plain runs, captures and graphs."""
    masks = []
    with engine_on(lab) as engine, Session(engine, graphs=graphs) as session:
        for frame in frames():
            if session.pending == session.depth:
                masks.append(session.result())
            session.submit(frame)
        return masks + [session.result() for _ in range(session.pending)]


def calls_of_a_run(make: Any, seed: int, *, graphs: bool) -> tuple[int, int]:
    lab = make(seed)
    run(lab, graphs=graphs)
    return len(lab.calls), lab.steps


@QUICKLY
@given(
    seed=SEEDS,
    share=st.floats(0, 1, exclude_max=True),
    words=st.sampled_from(sorted(ERRORS)),
    is_lost=st.booleans(),
    graphs=st.booleans(),
)
def test_an_error_at_any_call_is_told_and_leaves_nothing(
    session_lab: Any, seed: int, share: float, words: str, is_lost: bool, graphs: bool
) -> None:
    lab = session_lab(seed)
    lab.fail(1 + int(share * calls_of_a_run(session_lab, seed, graphs=graphs)[0]), words, is_lost=is_lost)
    masks: list[Any] = []
    with warnings.catch_warnings(record=True) as said, contextlib.suppress(EngineError):
        warnings.simplefilter("always")
        masks = run(lab, graphs=graphs)
    if masks:  # what failed was a capture, after which frames go on without graphs, or the release at the end
        assert len(said) <= 1
        assert all(map(np.array_equal, masks, map(mask_of, frames())))
    del masks
    assert_nothing_is_left(lab)


@QUICKLY
@given(seed=SEEDS, share=st.floats(0, 1, exclude_max=True), graphs=st.booleans())
def test_a_device_lost_in_flight_is_told_by_every_call_from_then_on(
    session_lab: Any, seed: int, share: float, graphs: bool
) -> None:
    lab = session_lab(seed)
    lab.lose_at(1 + int(share * calls_of_a_run(session_lab, seed, graphs=graphs)[1]))
    with pytest.raises(EngineError, match=LAUNCH_FAILED):
        run(lab, graphs=graphs)
    assert_nothing_is_left(lab)


@pytest.mark.filterwarnings("ignore:frames run without CUDA graphs")
@pytest.mark.parametrize("graphs", [False, True])
def test_after_one_frame_failed_the_next_ones_are_right(session_lab: Any, graphs: bool) -> None:
    """The host's part of a frame fails at each of its calls in turn; the frame after it is whole."""
    good, bad = frames()[:2]
    lab = session_lab(1)
    with Session(engine_on(lab), graphs=graphs) as session:
        for _ in range(3):
            assert np.array_equal(session.segment(good), mask_of(good))
        before = len(lab.calls)
        session.submit(bad)
        count = len(lab.calls) - before
        session.result()
        failed = 0
        for call in range(1, count + 1):
            lab.fail(len(lab.calls) + call, "invalid argument")
            with contextlib.suppress(EdgesegError):
                session.submit(bad)
            lab.fail(0, "")
            failed += session.pending == 0
            while session.pending:
                session.result()
            assert np.array_equal(session.segment(good), mask_of(good))
        assert failed >= 5  # a capture that fails is no failure of a frame
    assert_nothing_is_left(lab)


def test_an_engine_that_refuses_a_frame_is_told_and_the_slot_is_free(
    session_lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, frame = session_lab(), frames()[0]
    engine = engine_on(lab)
    whole = engine.enqueue

    def refuse(slot: int, stream: Any) -> None:
        raise EngineError("the plan does not run")

    with Session(engine) as session:
        monkeypatch.setattr(engine, "enqueue", refuse)
        for _ in range(3):
            with pytest.raises(EngineError, match="the plan does not run"):
                session.submit(frame)
        monkeypatch.setattr(engine, "enqueue", whole)
        for _ in range(3):
            assert np.array_equal(session.segment(frame), mask_of(frame))
    assert_nothing_is_left(lab)
