"""A frame in a steady loop costs no new memory of its size: not where it is read, segmented, smoothed or handed on."""

from __future__ import annotations

import itertools
import os
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pixel_engine import PixelEngine
from stream_servers import needs_gstreamer
from v4l2_lab import FakeCamera, Shot

from edgeseg.imaging.formats import PIXEL_FORMATS, FrameForm, PixelFormat
from edgeseg.imaging.overlay import Overlay
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.live.slot import Slots
from edgeseg.runtime.session import Session, Smoothing, Wanted
from edgeseg.runtime.sinks.painting import Painter
from edgeseg.runtime.sinks.shared import SharedMasks
from edgeseg.runtime.sources import SourceOptions, open_source
from edgeseg.runtime.sources.raw import RawSource
from edgeseg.runtime.sources.shared import SharedSource, SharedWriter
from edgeseg.runtime.sources.synthetic import SyntheticSource
from edgeseg.runtime.sources.v4l2 import V4l2Source

SIZE_WH = (160, 120)
WARM_UPS, FRAMES = 8, 12
#: more than Python's own small objects, up to 5.9 kB a frame; a plane of these frames has 19 kB
SMALL_BYTES = 8192
PATIENT = SourceOptions(open_timeout_s=30.0, read_timeout_s=30.0)


class QuietEngine(PixelEngine):
    """One that computes nothing, as NumPy would allocate for it."""

    def start(self, slot: int) -> None:
        pass


def most_bytes(take: Callable[[], Any]) -> int:
    """The most that any frame after the first ones has allocated, at its peak; what is taken is held until the next."""
    held: Any = None
    for _ in range(WARM_UPS):
        held = take()
    peaks = []
    tracemalloc.start()
    try:
        for _ in range(FRAMES):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            held = take()
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
        del held
    return max(peaks)


def next_of(frames: Iterator[Frame]) -> Callable[[], Frame]:
    return lambda: next(frames)


def picture_of(pixel_format: PixelFormat) -> Any:
    return next(iter(SyntheticSource("t", SourceOptions(size_wh=SIZE_WH, pixel_format=pixel_format)))).picture


def test_a_copy_of_a_plane_is_seen() -> None:
    assert most_bytes(picture_of("GRAY8").copy) > SMALL_BYTES


@pytest.mark.parametrize("pixel_format", ["BGR", "NV12", "I420"])
def test_synthetic_frames_allocate_nothing(pixel_format: PixelFormat) -> None:
    source = SyntheticSource("t", SourceOptions(size_wh=SIZE_WH, pixel_format=pixel_format))
    assert most_bytes(next_of(iter(source))) < SMALL_BYTES


@pytest.mark.parametrize("code", [b"YUYV", b"MJPG"])
def test_a_cameras_frames_allocate_nothing(code: bytes) -> None:
    data = bytes(2 * SIZE_WH[0] * SIZE_WH[1])
    if code == b"MJPG":
        pytest.importorskip("av")
        cv2, pixels = (
            pytest.importorskip("cv2"),
            np.random.default_rng(0).integers(0, 256, (*SIZE_WH[::-1], 3), np.uint8),
        )
        data = cv2.imencode(".jpg", pixels)[1].tobytes()
    assert len(data) > SMALL_BYTES
    shots = deque(Shot(data, number) for number in range(WARM_UPS + FRAMES))
    layout = (2 * SIZE_WH[0], len(data), 8, 0, 0)
    with V4l2Source("cam", FakeCamera({code: [(*SIZE_WH, [(1, 30)])]}, shots, layout=layout), PATIENT) as source:
        assert most_bytes(next_of(iter(source))) < SMALL_BYTES


def test_raw_frames_of_a_pipe_allocate_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(3 * SIZE_WH[0] * SIZE_WH[1] * (WARM_UPS + FRAMES)))
    with RawSource("raw", str(tmp_path / "a.raw"), SourceOptions(size_wh=SIZE_WH)) as source:
        assert most_bytes(next_of(iter(source))) < SMALL_BYTES


@pytest.mark.parametrize("pixel_format", ["BGR", "NV12"])
def test_frames_through_shared_memory_allocate_nothing_on_either_side(
    tmp_path: Path, pixel_format: PixelFormat
) -> None:
    writer, numbers, picture = SharedWriter("cam", folder=tmp_path), itertools.count(), picture_of(pixel_format)
    writer.write(picture, FrameForm(pixel_format=pixel_format), sequence=next(numbers))
    with SharedSource("shm://cam", "cam", PATIENT, folder=tmp_path) as source:
        frames = iter(source)

        def through() -> Frame:
            writer.write(picture, FrameForm(pixel_format=pixel_format), sequence=next(numbers))
            return next(frames)

        assert most_bytes(through) < SMALL_BYTES
    writer.close()


@needs_gstreamer
def test_frames_of_a_gstreamer_pipeline_allocate_nothing_here() -> None:
    width, height = SIZE_WH
    caps = f"video/x-raw,format=NV12,width={width},height={height}"
    with open_source(f"gst://videotestsrc ! {caps}", PATIENT) as source:
        assert most_bytes(next_of(iter(source))) < SMALL_BYTES


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_a_mask_allocates_nothing_once_its_form_is_known(pixel_format: PixelFormat) -> None:
    picture = picture_of(pixel_format)
    with Session(QuietEngine(3), threads=1) as session:
        assert most_bytes(lambda: session.segment(picture, pixel_format=pixel_format)) < SMALL_BYTES


def test_all_that_can_be_wanted_allocates_nothing_either() -> None:
    engine, picture = QuietEngine(3), picture_of("BGR")
    overlay = Overlay(engine.spec.model.labels, threads=1)
    wanted = Wanted(confidence=True, areas=True, overlay=overlay)

    with Session(engine, threads=1, wanted=wanted, smoothing=Smoothing()) as session:

        def whole() -> Any:
            session.submit(picture)
            return session.result_all()

        assert most_bytes(whole) < SMALL_BYTES


def test_a_shared_mask_allocates_nothing() -> None:
    mask, numbers = np.zeros(SIZE_WH[::-1], np.uint8), itertools.count()
    sink = SharedMasks(f"edgeseg-test-{os.getpid()}")

    def write() -> None:
        sequence = next(numbers)
        sink.write(Frame(picture=mask, sequence=sequence, arrived_s=1.0, name="a"), mask)

    try:
        assert most_bytes(write) < SMALL_BYTES
    finally:
        sink.close()


def test_a_live_view_allocates_nothing_where_nobody_looks() -> None:
    picture, mask = picture_of("BGR"), np.zeros(SIZE_WH[::-1], np.uint8)
    slots = Slots(max_fps=30.0, max_side=SIZE_WH[0])
    frame = Frame(picture=picture, sequence=0, arrived_s=1.0, name="a")
    assert most_bytes(lambda: slots.offer(frame, mask)) < SMALL_BYTES
    slots.wanted = frozenset([0])
    assert slots.offer(frame, mask)


def test_an_overlay_of_a_bgr_frame_allocates_nothing() -> None:
    picture, mask = picture_of("BGR"), np.zeros(SIZE_WH[::-1], np.uint8)
    painter = Painter(QuietEngine(3).spec.model.labels)
    frame = Frame(picture=picture, sequence=0, arrived_s=1.0, name="a")
    assert most_bytes(lambda: painter.paint(frame, mask)) < SMALL_BYTES
