"""Own one H.264 file while it is written: encoder, container, bytes on disk. Draw no picture, choose no name."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

from edgeseg.errors import OutputError
from edgeseg.files import atomic_path, output_errors
from edgeseg.imaging.preprocess import Frame as Pixels
from edgeseg.packages import require

__all__ = ["VIDEO_SUFFIXES", "VideoFile"]

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov")
#: the container's name to FFmpeg
FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}
#: a growing MP4 is a row of fragments, each whole by itself (ISO 14496-12, 8.8); Matroska's clusters are so anyway
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
LIVE_TICK = Fraction(1, 90_000)  # the clock of MPEG transports
KEY_S = 1.0  # a key frame at least so often ends a fragment: what a killed process loses
SYNC_S = 5.0  # what a power cut loses beside that; every sync costs a flash device a write


class VideoFile:
    """A file of H.264, written frame by frame.

    Args:
        path: .mp4, .mkv or .mov; must not exist where ``is_growing``, is replaced by the whole file where not.
        fps: frames a second; of a growing file only what it tells players.
        is_growing: every second is in the file and playable before the next comes; frames keep their times.
        clock: what syncs go by.
    Raises:
        OutputError: it cannot be written.
        MissingPackageError: PyAV is not installed.
    """

    def __init__(
        self, path: Path, *, fps: float, is_growing: bool, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.path, self.frames = path, 0
        self.size_hw: tuple[int, int] | None = None
        self._is_growing, self._clock = is_growing, clock
        self._rate = Fraction(fps).limit_denominator(1001)
        self._tick = LIVE_TICK if is_growing else 1 / self._rate
        self._last_tick, self._next_key_s = -1, 0.0
        self._av = require("av")
        self._stack = contextlib.ExitStack()
        self._file = self._create()
        self._synced_s = clock()
        self._container: Any = self._open()
        self._stream: Any = None

    @property
    def written_bytes(self) -> int:
        """How much is in the file."""
        return self._file.whole_bytes

    def add(self, picture_bgr: Pixels, seconds: float) -> None:
        """Encode one picture, copied.

        Args:
            picture_bgr: uint8 (H, W, 3), both sides even, the first one's size.
            seconds: its time in the file; used where the file is growing, else frames follow at the rate.
        Raises:
            OutputError: the device is full or gone, or PyAV's FFmpeg has no H.264 encoder.
        """
        with output_errors(self.path):
            if self._stream is None:
                self._begin((picture_bgr.shape[0], picture_bgr.shape[1]))
            picture = self._av.VideoFrame.from_ndarray(picture_bgr, format="bgr24")
            picture.pts, picture.time_base = self._time(seconds), self._tick
            if self._is_growing and seconds >= self._next_key_s:
                picture.pict_type = self._av.video.frame.PictureType.I
                self._next_key_s = seconds + KEY_S
            self._mux(picture)
            self._sync()
        self.frames += 1

    def finish(self) -> None:
        """Write what the encoder holds and the end of the file; without a frame nothing is left.

        Raises:
            OutputError: it does not fit; a growing file keeps what is whole, another is removed.
        """
        if self._stream is None:
            self.leave()
            return
        try:
            with output_errors(self.path):
                self._mux(None)
                self._container.close()
                self._file.end()
            self._stack.close()
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Add nothing more: a growing file keeps what is whole, another is removed. Safe to call twice."""
        self._file.refuse()
        self._container.close()
        with contextlib.suppress(OSError):  # a device that is gone
            self._file.cut()
        given_up = OutputError(f"{self.path} was given up")
        with contextlib.suppress(OutputError):
            self._stack.__exit__(type(given_up), given_up, None)
        if self._is_growing and self._stream is None:
            self.path.unlink(missing_ok=True)

    def _create(self) -> _Bytes:
        path = self.path if self._is_growing else self._stack.enter_context(atomic_path(self.path))
        with output_errors(self.path):
            path.parent.mkdir(parents=True, exist_ok=True)
            return _Bytes(path, is_new=self._is_growing)

    def _open(self) -> Any:
        form = FORMATS[self.path.suffix.lower()]
        options = {"flush_packets": "1"} | (FRAGMENTS if form != "matroska" else {})
        return self._av.open(self._file, "w", format=form, options=options if self._is_growing else {})

    def _begin(self, size_hw: tuple[int, int]) -> None:
        try:
            stream = self._container.add_stream("libx264", rate=self._rate)
        except self._av.codec.codec.UnknownCodecError as error:
            raise OutputError(f"{self.path}: PyAV has no libx264", "install PyAV's wheel: pip install av") from error
        stream.height, stream.width = size_hw
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = self._tick
        # without look-ahead and B frames the encoder holds no frame back that a killed process would lose
        stream.options = {"preset": "veryfast", "crf": "23"} | ({"tune": "zerolatency"} if self._is_growing else {})
        self._stream, self.size_hw = stream, size_hw

    def _time(self, seconds: float) -> int:
        """Ticks; a clock that stands or jumps back must not end the file."""
        exact = round(seconds / self._tick) if self._is_growing else self.frames
        self._last_tick = max(exact, self._last_tick + 1)
        return self._last_tick

    def _mux(self, picture: Any) -> None:
        for packet in self._stream.encode(picture):
            self._container.mux(packet)
        self._file.check()

    def _sync(self) -> None:
        if self._is_growing and self._clock() - self._synced_s >= SYNC_S:
            self._file.sync()
            self._synced_s = self._clock()


class _Bytes:
    """What PyAV writes to: knows up to where the file is whole, and writes nothing after a failure.

    It keeps an error instead of raising it: FFmpeg would tell of it at a later call, in its own words.
    """

    def __init__(self, path: Path, *, is_new: bool) -> None:
        self.whole_bytes = 0
        self._error: OSError | None = None
        self._is_refusing = False
        self._file: IO[bytes] = path.open("xb" if is_new else "wb", buffering=0)

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        try:
            while left and not self._is_refusing:  # a raw file may take a part: it says why at the next call
                left = left[self._file.write(left) :]
        except OSError as error:
            self._error, self._is_refusing = error, True
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def check(self) -> None:
        """Raise what has gone wrong since the file was opened; else all that is in it is whole."""
        if self._error is not None:
            raise self._error
        self.whole_bytes = self._file.tell()

    def sync(self) -> None:
        os.fdatasync(self._file.fileno())

    def refuse(self) -> None:
        self._is_refusing = True

    def end(self) -> None:
        self.check()
        os.fsync(self._file.fileno())
        self._file.close()

    def cut(self) -> None:
        if not self._file.closed:
            self._file.truncate(self.whole_bytes)
            self._file.close()
