"""Own frames without a container: bytes of one size after another from stdin, a pipe or a file. Decode nothing."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator

from edgeseg.errors import SourceError
from edgeseg.imaging.formats import FrameForm, picture_view, plane_sizes
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.recycling import Recycler
from edgeseg.runtime.sources.base import DEFAULT_FPS, SourceOptions, WakeableSource

__all__ = ["RawSource"]

STDIN = 0


class RawSource(WakeableSource):
    """Raw frames, one behind the other without gaps, as ``ffmpeg -f rawvideo`` and GStreamer's ``fdsink`` write them.

    A pipe's writer waits for its reader, so this is no live source. It waits for as long as the pipe is open.

    Args:
        name: what the user typed.
        place: a file or a named pipe; empty for stdin.
        options: the size must be given; the format is BGR without.
    Raises:
        SourceError: no size, or the place cannot be read.
    """

    is_live, length = False, None

    def __init__(self, name: str, place: str, options: SourceOptions) -> None:
        super().__init__()
        if options.size_wh is None:
            raise SourceError(f"{name} does not tell the size of its frames", "add it: raw://?size=640x480&format=NV12")
        self.name, self.fps = name, options.fps or DEFAULT_FPS
        self.form = FrameForm(pixel_format=options.pixel_format or "BGR")
        self._size_wh = options.size_wh
        self._frame_bytes = sum(rows * row for rows, row in plane_sizes(self.form.pixel_format, self._size_wh))
        picture_view(bytes(self._frame_bytes), self.form.pixel_format, size_wh=self._size_wh)  # refuses odd sides
        self._file = _opened(place)
        self._woken, self._waker = os.pipe()

    def _wake(self) -> None:
        os.write(self._waker, b"x")

    def _release(self) -> None:
        for one in (self._file, self._woken, self._waker):
            os.close(one)

    def _frames(self) -> Iterator[Frame]:
        recycler, sequence = Recycler(), 0
        while True:
            data = recycler.take((self._frame_bytes,))
            filled = self._fill(data.data)
            if filled < self._frame_bytes:
                self._check_end(filled, sequence)
                return
            yield Frame(
                picture=picture_view(data, self.form.pixel_format, size_wh=self._size_wh),
                form=self.form,
                sequence=sequence,
                arrived_s=time.perf_counter(),
                name=f"{sequence:06d}",
            )
            sequence += 1

    def _fill(self, memory: memoryview) -> int:
        """Bytes that came until ``memory`` was full, the other side ended, or the source was closed."""
        filled = 0
        while filled < len(memory) and not self._closed.is_set():
            ready, _, _ = select.select([self._file, self._woken], [], [])
            if self._woken in ready:
                break
            try:
                got = os.readv(self._file, [memory[filled:]])
            except BlockingIOError:  # another reader of the same pipe was faster
                continue
            if got == 0:
                break
            filled += got
        return filled

    def _check_end(self, filled: int, frames: int) -> None:
        if self._closed.is_set() or (filled == 0 and frames):
            return
        self.corrupt += bool(filled)
        expected = f"{self._size_wh[0]}x{self._size_wh[1]} {self.form.pixel_format} has {self._frame_bytes}"
        raise SourceError(
            f"{self.name} ends with {filled} bytes of frame {frames}", f"{expected}: check size, format and the writer"
        )


def _opened(place: str) -> int:
    """A descriptor of our own, to be closed."""
    if not place:
        return os.dup(STDIN)
    try:
        return os.open(place, os.O_RDONLY | os.O_NONBLOCK)  # else opening waits for a pipe's writer
    except OSError as error:
        raise SourceError(f"{place} cannot be read ({error.strerror})", "check the path") from error
