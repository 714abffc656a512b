"""Smoothed masks are the CPU's smoothed masks, frame after frame, whatever the slots' streams do meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from session_lab import SIZE_HW, STEP, assert_nothing_is_left, engine_on, net, spec_of

from edgeseg.errors import EngineError
from edgeseg.imaging.postprocess import MaskMaker
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.imaging.smoothing import ScoreSmoother, Smoothing
from edgeseg.runtime.pipelines.past import Past
from edgeseg.runtime.session import Session
from edgeseg.runtime.sizes import model_at

QUICKLY = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
#: of pixels: the mean is the CPU's but for rounding, which decides where two classes are equal to 5 digits
LEAST_EQUAL = 0.999
SMOOTHING = Smoothing(strength=0.8, motion=40.0)


def frames_of(count: int, size_hw: tuple[int, int] = (30, 40)) -> list[Any]:
    """One scene with noise, so that the past counts."""
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (*size_hw, 3)).astype(np.float32)
    noisy = [still + rng.normal(0, 12, still.shape) for _ in range(count)]
    return [np.clip(one, 0, 255).astype(np.uint8) for one in noisy]


def masks_of(frames: list[Any], size_hw: tuple[int, int] = SIZE_HW, *, smoothing: Smoothing = SMOOTHING) -> list[Any]:
    """What the CPU makes of them."""
    scores_hw = (size_hw[0] // STEP, size_hw[1] // STEP)
    image, head = model_at(spec_of().model, input_hw=size_hw, scores_hw=scores_hw)
    smoother, maker = ScoreSmoother(image, head, smoothing), MaskMaker(head, threads=1)
    masks = []
    for frame in frames:
        tensor = Preprocessor(image, threads=1).tensor(frame)
        masks.append(maker.mask(smoother.smoothed(tensor, net(tensor)), size_hw=frame.shape[:2]))
    return masks


def run(lab: Any, frames: list[Any], *, slots: int) -> list[Any]:
    masks = []
    with engine_on(lab, slots=slots) as engine, Session(engine, smoothing=SMOOTHING) as session:
        assert session.graph_state == "off: with smoothing each frame waits for the one before"
        for frame in frames:
            if session.pending == session.depth:
                masks.append(session.result())
            session.submit(frame)
        return masks + [session.result() for _ in range(session.pending)]


def equal(found: list[Any], expected: list[Any]) -> float:
    return float(np.mean(np.array(found) == np.array(expected)))


@QUICKLY
@given(seed=st.integers(0, 2**32 - 1), slots=st.integers(1, 4))
def test_masks_are_the_cpus_under_every_schedule(session_lab: Any, seed: int, slots: int) -> None:
    lab, frames = session_lab(seed), frames_of(7)
    found, expected = run(lab, frames, slots=slots), masks_of(frames)
    assert equal(found, expected) >= LEAST_EQUAL
    assert equal(expected, masks_of(frames, smoothing=Smoothing(strength=0.0))) < 0.97, "the past counts"
    assert_nothing_is_left(lab)


def test_without_its_turn_a_frame_takes_a_wrong_past_under_some_schedule(
    session_lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Past, "take_turn", lambda self, stream: None)
    frames = frames_of(7)
    expected = masks_of(frames)
    assert min(equal(run(session_lab(seed), frames, slots=3), expected) for seed in range(15)) < LEAST_EQUAL


def test_another_size_of_the_net_begins_anew(session_lab: Any) -> None:
    lab, frames = session_lab(), frames_of(6)
    spec = spec_of(has_profile=True)
    with engine_on(lab, spec=spec) as engine, Session(engine, smoothing=SMOOTHING) as session:
        found = [session.segment(frame) for frame in frames[:2]]
        session.resize_input((24, 32))
        found += [session.segment(frame) for frame in frames[2:4]]
        session.resize_input(SIZE_HW)
        found += [session.segment(frame) for frame in frames[4:]]
    expected = masks_of(frames[:2]) + masks_of(frames[2:4], (24, 32)) + masks_of(frames[4:])
    assert equal(found, expected) >= LEAST_EQUAL
    assert_nothing_is_left(lab)


def test_each_camera_of_a_batch_has_its_own_past(session_lab: Any) -> None:
    lab, front, rear = session_lab(), frames_of(4), frames_of(4, (24, 64))
    found = []
    with engine_on(lab, spec=spec_of(has_profile=True)) as engine, Session(engine, smoothing=SMOOTHING) as session:
        for pair in zip(front, rear, strict=True):
            session.submit_batch(pair)
            found.append([one.mask for one in session.result_batch()])
    assert equal([one for one, _ in found], masks_of(front)) >= LEAST_EQUAL
    assert equal([other for _, other in found], masks_of(rear)) >= LEAST_EQUAL
    assert_nothing_is_left(lab)


def test_cameras_that_take_turns_have_each_its_own_past(session_lab: Any) -> None:
    """Alone and in batches, in any order within one; in the end as if each had a session of its own."""
    lab, front, rear = session_lab(), frames_of(6), frames_of(6, (24, 64))
    found: dict[int, list[Any]] = {0: [], 7: []}
    with engine_on(lab, spec=spec_of(has_profile=True)) as engine, Session(engine, smoothing=SMOOTHING) as session:
        for number, pair in enumerate(zip(front, rear, strict=True)):
            given = list(zip((0, 7), pair, strict=True))[:: -1 if number % 2 else 1]
            if number % 3 == 2:
                session.submit_batch([frame for _, frame in given], cameras=[camera for camera, _ in given])
                masks = [one.mask for one in session.result_batch()]
            else:
                for camera, frame in given:
                    session.submit(frame, camera=camera)
                masks = [session.result(), session.result()]
            for (camera, _), mask in zip(given, masks, strict=True):
                found[camera].append(mask)
    assert equal(found[0], masks_of(front)) >= LEAST_EQUAL
    assert equal(found[7], masks_of(rear)) >= LEAST_EQUAL
    assert_nothing_is_left(lab)


def test_two_frames_of_one_camera_are_no_batch(session_lab: Any) -> None:
    frames = frames_of(2)
    with engine_on(session_lab(), spec=spec_of(has_profile=True)) as engine, Session(engine) as session:
        for wrong in ((3, 3), (1,)):
            with pytest.raises(EngineError, match="give one frame of each camera"):
                session.submit_batch(frames, cameras=wrong)
