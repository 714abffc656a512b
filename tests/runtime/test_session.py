from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg import Session
from edgeseg.errors import EngineError, ShapeError
from edgeseg.imaging.overlay import Overlay
from edgeseg.runtime.engines import load_engine
from edgeseg.runtime.session import Smoothing, Wanted


def frames(count: int, size_hw: tuple[int, int] = (90, 160)) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (*size_hw, 3), np.uint8) for _ in range(count)]


def test_a_mask_has_the_frames_size_and_the_models_classes(chain: Any) -> None:
    with Session(chain.fp32) as session:
        for size_hw in ((90, 160), (33, 47), (1, 1), (480, 640)):
            mask = session.segment(frames(1, size_hw)[0])
            assert (mask.shape, mask.dtype) == (size_hw, np.uint8)
            assert mask.max() < len(session.spec.model.labels.classes)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_results_come_in_the_order_of_submission_and_equal_segment(chain: Any, depth: int) -> None:
    inputs = frames(9)
    with Session(chain.fp32) as one_by_one:
        expected = [one_by_one.segment(frame) for frame in inputs]
    results = []
    with Session(chain.fp32, depth=depth) as session:
        for frame in inputs:
            if session.pending == session.depth:
                results.append(session.result())
            session.submit(frame)
        while session.pending:
            results.append(session.result())
    for mask, other in zip(results, expected, strict=True):
        np.testing.assert_array_equal(mask, other)


def test_a_frame_may_be_overwritten_after_submit(chain: Any) -> None:
    frame = frames(1)[0]
    with Session(chain.fp32) as session:
        expected = session.segment(frame)
        session.submit(frame)
        frame[:] = 0
        np.testing.assert_array_equal(session.result(), expected)


def test_misuse_is_refused_with_what_to_do(chain: Any) -> None:
    frame = frames(1)[0]
    with Session(chain.fp32, depth=1) as session:
        with pytest.raises(EngineError, match=r"submit\(\)"):
            session.result()
        session.submit(frame)
        with pytest.raises(EngineError, match=r"result\(\)"):
            session.submit(frame)
        with pytest.raises(EngineError, match=r"before segment\(\)"):
            session.segment(frame)
        assert session.result().shape == (90, 160)
    with pytest.raises(EngineError, match="depth is 0"):
        Session(chain.fp32, depth=0)


def test_a_bad_frame_leaves_the_session_usable(chain: Any) -> None:
    with Session(chain.fp32, depth=1) as session:
        with pytest.raises(ShapeError):
            session.submit(np.zeros((4, 4), np.uint8))
        assert session.segment(frames(1)[0]).shape == (90, 160)


def test_every_stage_of_every_frame_is_in_the_log(chain: Any) -> None:
    with Session(chain.fp32) as session:
        for frame in frames(5):
            session.segment(frame)
        stats = session.latency.stats()
    assert set(stats) == {"pre", "engine", "post", "total"}
    assert {one.count for one in stats.values()} == {5}
    parts = sum(stats[stage].mean_ms for stage in ("pre", "engine", "post"))
    assert stats["total"].mean_ms >= parts * 0.999  # the total is measured around the stages, by the same clock


def test_close_may_be_called_twice_and_ends_the_session(chain: Any) -> None:
    session = Session(chain.fp32)
    session.close()
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.segment(frames(1)[0])


def test_an_opened_engine_is_taken_and_closed_with_the_session(chain: Any) -> None:
    frame = frames(1)[0]
    with Session(chain.fp32) as session:
        expected = session.segment(frame)
    engine = load_engine(chain.fp32, slots=3)
    with Session(engine) as session:
        assert session.engine is engine
        assert session.depth == 3
        np.testing.assert_array_equal(session.segment(frame), expected)
    with pytest.raises(EngineError, match="closed"):
        engine.infer()


def test_a_depth_that_the_opened_engine_has_not_is_refused_and_the_engine_stays_open(chain: Any) -> None:
    with load_engine(chain.fp32, slots=1) as engine:
        with pytest.raises(EngineError, match="opened engine has 1 slots"):
            Session(engine, depth=2)
        engine.infer()


def test_int8_masks_are_those_of_fp32_but_for_rounding(chain: Any) -> None:
    """The small net has random weights, so this holds the quantiser to sense, not to quality."""
    frame = frames(1)[0]
    with Session(chain.fp32) as fp32, Session(chain.int8) as int8:
        assert np.mean(fp32.segment(frame) == int8.segment(frame)) > 0.9
        assert int8.spec.precision.kind == "int8"
        assert int8.spec.precision.calibration_images == 8


def test_threads_are_given_to_the_engine(chain: Any) -> None:
    frame = frames(1)[0]
    with Session(chain.fp32, threads=1) as single, Session(chain.fp32) as all_cores:
        np.testing.assert_array_equal(single.segment(frame), all_cores.segment(frame))


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
def test_every_way_of_fitting_a_frame_is_undone_in_the_mask(
    call_in: Any, chain: Any, tmp_path: Path, resize: str
) -> None:
    """A net that answers by brightness: the mask must show the frame's own bright half, at the frame's size."""
    net = "\nfrom torch import cat, nn\n\n\nclass Bright(nn.Module):\n    def forward(self, image):\n"
    net += "        light = image.mean(1, keepdim=True)\n        return cat([-light, light], 1)\n"
    (tmp_path / "bright.py").write_text(net)
    words = ["export", "bright.py:Bright", "-o", "net.onnx", "--input-size", "32x64", "--resize", resize]
    for step in (words, ["build-engine", "net.onnx", "-o", "net.engine", "--backend", "openvino"]):
        done = call_in(step, tmp_path)
        assert done.returncode == 0, done.stderr
    frame = np.zeros((120, 120, 3), np.uint8)
    frame[:, 60:] = 255
    with Session(tmp_path / "net.engine") as session:
        mask = session.segment(frame)
    seen = mask != 255
    assert seen.mean() == pytest.approx(0.5 if resize == "crop" else 1.0, abs=0.05)
    far_from_the_edge = np.abs(np.arange(120) - 59.5) > 6
    right_half = np.broadcast_to((np.arange(120) >= 60).astype(np.uint8), mask.shape)
    judged = seen & far_from_the_edge
    np.testing.assert_array_equal(mask[judged], right_half[judged])


def test_an_nv12_frame_gives_the_mask_of_its_bgr_picture_but_for_chroma(chain: Any) -> None:
    import cv2

    bgr = cv2.imread(str(chain.images / "000.png"))
    i420 = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    luma, chroma = i420[:90], i420[90:].reshape(2, 45, 80)
    nv12 = np.vstack([luma, chroma.transpose(1, 2, 0).reshape(45, 160)])
    with Session(chain.fp32) as session:
        mask = session.segment(nv12, pixel_format="NV12")
        assert mask.shape == (90, 160)
        assert np.mean(mask == session.segment(bgr)) > 0.95


def test_all_that_is_wanted_comes_beside_the_mask(chain: Any) -> None:
    frame = frames(1)[0]
    with Session(chain.fp32) as session:
        mask, labels = session.segment(frame), session.spec.model.labels
    overlay = Overlay(labels, alpha=0.25)
    with Session(chain.fp32, wanted=Wanted(confidence=True, areas=True, overlay=overlay)) as session:
        session.submit(frame)
        drawn_into = frame.copy()
        frame[:] = 0  # the caller's again
        found = session.result_all()
    np.testing.assert_array_equal(found.mask, mask)
    np.testing.assert_array_equal(found.areas, np.bincount(mask.ravel(), minlength=256))
    np.testing.assert_array_equal(found.picture, overlay.blend(drawn_into, mask))
    assert found.confidence is not None and found.confidence.shape == mask.shape and found.confidence.max() > 100


def test_what_needs_a_device_is_refused_on_the_cpu_with_what_to_do(chain: Any) -> None:
    frame = frames(1)[0]
    with Session(chain.fp32) as session:
        assert session.batch_limit == 1
        assert not session.is_on_device and session.graph_state == "off: the engine runs on the CPU"
        with pytest.raises(EngineError, match="2 frames in a batch, a CPU engine takes 1: submit them one by one"):
            session.submit_batch([frame, frame])
        with pytest.raises(EngineError, match="openvino runs on the CPU, without CUDA"):
            session.reset_counters()
        with pytest.raises(EngineError, match="openvino runs on the CPU, without CUDA"):
            assert session.counters
        with pytest.raises(EngineError, match="build one for that"):
            session.resize_input((32, 32))
        session.resize_input(session.input_hw)
        session.submit_batch([frame])
        with pytest.raises(EngineError, match=r"take result\(\)"):
            session.borrow()
        assert session.result().shape == frame.shape[:2], "it is still owed"
    with pytest.raises(EngineError, match="openvino runs on the CPU"):
        Session(chain.fp32, wanted=Wanted(on_device=True))


def test_a_frame_in_device_memory_is_refused_on_the_cpu(chain: Any) -> None:
    class OnDevice:
        @property
        def __cuda_array_interface__(self) -> dict[str, Any]:
            return {"shape": (4, 4, 3), "typestr": "|u1", "data": (0x1000, False), "version": 3}

    with Session(chain.fp32) as session, pytest.raises(ShapeError, match="copy it to the host"):
        session.segment(OnDevice())  # type: ignore[arg-type]


def test_smoothing_steadies_the_masks_of_a_still_scene(chain: Any) -> None:
    still = frames(1)[0].astype(np.int16)
    noise = np.random.default_rng(5)
    noisy = [np.clip(still + noise.normal(0, 6, still.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    changed = {}
    for smoothing in (None, Smoothing(strength=0.9, motion=30.0)):
        with Session(chain.fp32, smoothing=smoothing) as session:
            masks = [session.segment(frame) for frame in noisy]
        changed[smoothing is not None] = np.mean([np.mean(a != b) for a, b in itertools.pairwise(masks[3:])])
    assert 0 < changed[True] < 0.5 * changed[False]


def test_smoothing_of_no_strength_changes_nothing(chain: Any) -> None:
    with Session(chain.int8) as plain, Session(chain.int8, smoothing=Smoothing(strength=0.0)) as smoothed:
        for frame in frames(3):
            np.testing.assert_array_equal(smoothed.segment(frame), plain.segment(frame))


def test_cameras_that_take_turns_are_smoothed_as_in_sessions_of_their_own(chain: Any) -> None:
    cameras = [frames(5), frames(5, (33, 47))]
    smoothing, expected, found = Smoothing(strength=0.8, motion=200.0), [], []
    for one in cameras:
        with Session(chain.fp32, smoothing=smoothing) as session:
            expected.append([session.segment(frame) for frame in one])
    with Session(chain.fp32, smoothing=smoothing) as session:
        for pair in zip(*cameras, strict=True):
            for camera, frame in enumerate(pair):
                session.submit(frame, camera=camera)
            found.append([session.result(), session.result()])
    for camera, masks in enumerate(expected):
        for mask, pair in zip(masks, found, strict=True):
            np.testing.assert_array_equal(pair[camera], mask)
