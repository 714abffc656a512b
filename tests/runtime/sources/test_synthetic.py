from __future__ import annotations

import numpy as np
import pytest

from edgeseg.imaging.formats import PIXEL_FORMATS, PixelFormat, planes_of
from edgeseg.runtime.sources import SourceOptions
from edgeseg.runtime.sources.synthetic import BARS_BGR, STEP, SyntheticSource

WIDTH, BAR = 128, 16


def source_of(pixel_format: PixelFormat = "BGR", fps: float | None = None, frames: int | None = 5) -> SyntheticSource:
    options = SourceOptions(size_wh=(WIDTH, 32), pixel_format=pixel_format, fps=fps)
    return SyntheticSource("test://", options, frames=frames)


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_every_format_shows_the_bars_in_their_colours_and_moves_them(pixel_format: PixelFormat) -> None:
    for frame in source_of(pixel_format, frames=2 * WIDTH):
        bars = (np.arange(WIDTH) + STEP * frame.sequence) // BAR % 8
        assert frame.bgr.shape == (32, WIDTH, 3)
        if pixel_format == "GRAY8":
            luma = np.round(BARS_BGR[bars] @ [0.114, 0.587, 0.299])
            np.testing.assert_array_equal(planes_of(frame.picture, "GRAY8")[0], np.broadcast_to(luma, (32, WIDTH)))
        else:  # YUV in whole numbers is some grey levels off
            off = np.abs(frame.bgr.astype(int) - BARS_BGR[bars]).max()
            assert off <= (0 if "B" in pixel_format else 3)


def test_as_fast_as_taken_it_waits_for_its_reader_and_ends() -> None:
    source = source_of()
    assert not source.is_live
    assert [(frame.sequence, frame.captured_s) for frame in source] == [(i, None) for i in range(5)]


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def now(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


def test_with_a_rate_every_frame_comes_when_it_is_due_without_drift() -> None:
    clock = Clock()
    source = SyntheticSource("t", SourceOptions(size_wh=(16, 16), fps=30), frames=3000, now=clock.now, wait=clock.wait)
    assert source.is_live
    arrivals = []
    for frame in source:
        arrivals.append(frame.arrived_s)
        assert frame.captured_s == pytest.approx(frame.arrived_s)
        clock.now_s += 0.01
    assert arrivals == pytest.approx([100 + i / 30 for i in range(3000)])


def test_a_reader_that_is_late_misses_frames_as_with_a_camera() -> None:
    clock = Clock()
    source = SyntheticSource("t", SourceOptions(size_wh=(16, 16), fps=10), frames=12, now=clock.now, wait=clock.wait)
    numbers = []
    for frame in source:
        numbers.append(frame.sequence)
        clock.now_s += 0.36
    assert numbers == [0, 3, 7, 10]


def test_closing_ends_it() -> None:
    source = source_of(frames=None)
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []
