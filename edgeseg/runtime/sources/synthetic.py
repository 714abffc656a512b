"""Own pictures that no camera took: colour bars that move, in any pixel format. Read nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np

from edgeseg.errors import SourceError
from edgeseg.imaging.formats import FrameForm, Picture, PixelFormat, Plane
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sources.base import DEFAULT_FPS, FrameSource, SourceOptions

__all__ = ["BARS_BGR", "STEP", "SyntheticSource"]

#: the bars from left to right of frame 0: white, yellow, cyan, green, magenta, red, blue, black
BARS_BGR = np.array(
    [[235] * 3, [16, 235, 235], [235, 235, 16], [16, 235, 16], [235, 16, 235], [16, 16, 235], [235, 16, 16], [16] * 3],
    np.uint8,
)
STEP = 2  # pixels to the left from frame to frame; even, as chroma has half the columns
#: BT.601, limited range (ITU-R BT.601-7, 2.5.3): Y, Cb, Cr of R, G and B out of 255, and what they begin at
YCC_OF_RGB = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
YCC_ZERO = np.array([16, 128, 128])
DEFAULT_WH = (640, 480)


class SyntheticSource(FrameSource):
    """Eight colour bars that move to the left, ``STEP`` pixels a frame.

    With a rate it is live: frame ``k`` comes ``k / fps`` after the first, by the clock and without drift, and a reader
    that is late by more than a period misses frames, as with a camera. Without one, frames come as fast as they are
    taken. The pictures are views into one wider picture, so their pitch is larger than their rows.

    Args:
        name: what the user typed.
        options: size, rate and format; 640x480, no rate, BGR.
        frames: how many; None for ever.
        now: the clock of the frames.
        wait: waits for so many seconds unless the source is closed, in place of sleeping.
    Raises:
        SourceError: odd sides where the format halves them.
    """

    def __init__(
        self,
        name: str,
        options: SourceOptions,
        *,
        frames: int | None = None,
        now: Callable[[], float] = time.perf_counter,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.name, self.length, self.is_live = name, frames, options.fps is not None
        self.fps = options.fps or DEFAULT_FPS
        self.size_wh = options.size_wh or DEFAULT_WH
        self.form = FrameForm(pixel_format=options.pixel_format or "BGR")
        self._closed = threading.Event()
        self._now, self._wait = now, wait or self._closed.wait
        self._period, self._wide = _wide_planes(name, self.form.pixel_format, self.size_wh)

    def __iter__(self) -> Iterator[Frame]:
        for sequence, due_s in self._dues() if self.is_live else ((one, None) for one in count()):
            if self._closed.is_set() or (self.length is not None and sequence >= self.length):
                return
            yield Frame(
                picture=self.picture(sequence),
                form=self.form,
                sequence=sequence,
                arrived_s=self._now(),
                captured_s=due_s,
                name=f"{sequence:06d}",
            )

    def close(self) -> None:
        self._closed.set()

    def picture(self, sequence: int) -> Picture:
        """The picture of a frame: views, valid for ever."""
        column, width = sequence * STEP % self._period, self.size_wh[0]
        views = tuple(plane[:, column // part : (column + width) // part] for plane, part in self._wide)
        return views if len(views) > 1 else views[0]

    def _dues(self) -> Iterator[tuple[int, float]]:
        """Numbers and times of the frames that the reader is there for."""
        start, sequence = self._now(), 0
        while True:
            due_s = start + sequence / self.fps
            if (left := due_s - self._now()) > 0:
                self._wait(left)
            yield sequence, due_s
            sequence = max(sequence + 1, int((self._now() - start) * self.fps))


def _wide_planes(
    name: str, pixel_format: PixelFormat, size_wh: tuple[int, int]
) -> tuple[int, tuple[tuple[Plane, int], ...]]:
    """Pixels after which the bars repeat, and planes so much wider; with each, pixels to one column of it."""
    width, height = size_wh
    if (pixel_format in ("NV12", "I420") and height % 2) or (pixel_format not in PIXELS and width % 2):
        raise SourceError(f"{name} is asked for {width}x{height} {pixel_format}", "give even sides")
    bar = max(2, width // 8 // 2 * 2)
    of_column = np.arange(width + width % 2 + 8 * bar) // bar % 8

    def plane(row: Plane, rows: int) -> Plane:
        made = np.repeat(row[None], rows, axis=0)
        made.flags.writeable = False
        return made

    if pixel_format in PIXELS:
        return 8 * bar, ((plane(PIXELS[pixel_format][of_column], height), 1),)
    luma, cb, cr = (_YCC[of_column, one] for one in range(3))
    chroma = np.stack([cb[::2], cr[::2]], axis=1)
    if pixel_format == "I420":
        return 8 * bar, ((plane(luma, height), 1), (plane(cb[::2], height // 2), 2), (plane(cr[::2], height // 2), 2))
    if pixel_format == "NV12":
        return 8 * bar, ((plane(luma, height), 1), (plane(chroma, height // 2), 2))
    pairs = (luma, chroma.reshape(-1)) if pixel_format == "YUYV" else (chroma.reshape(-1), luma)
    return 8 * bar, ((plane(np.stack(pairs, axis=1), height), 1),)


_YCC = np.round(BARS_BGR[:, ::-1] @ YCC_OF_RGB.T + YCC_ZERO).astype(np.uint8)
_OPAQUE = np.full((8, 1), 255, np.uint8)
#: the bars in the formats whose pixels stand alone
PIXELS: dict[str, Plane] = {
    "BGR": BARS_BGR,
    "RGB": np.ascontiguousarray(BARS_BGR[:, ::-1]),
    "BGRA": np.hstack([BARS_BGR, _OPAQUE]),
    "RGBA": np.hstack([BARS_BGR[:, ::-1], _OPAQUE]),
    "GRAY8": np.round(BARS_BGR @ np.array([0.114, 0.587, 0.299])).astype(np.uint8),
}
