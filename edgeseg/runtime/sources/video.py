"""Own video files and network streams through PyAV: packets to frames in the decoder's format. Decide no policy."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeseg.errors import SourceError
from edgeseg.imaging.decoded import FramePictures, decoded_frames
from edgeseg.packages import require
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sources.addresses import without_password
from edgeseg.runtime.sources.base import DEFAULT_FPS, FrameSource, SourceOptions
from edgeseg.runtime.sources.boxes import is_cut_short
from edgeseg.runtime.sources.clocks import Pace, StreamClock

__all__ = ["VideoFile", "VideoSource", "VideoStream"]

LOW_LATENCY = {"fflags": "nobuffer+discardcorrupt", "flags": "low_delay"}
#: what FFmpeg is asked for, by scheme. Its own probing takes 5 MB and 5 s; the index of a file over HTTP comes first.
STREAM_OPTIONS = {
    "rtsp": LOW_LATENCY | {"rtsp_transport": "tcp", "probesize": "500000", "analyzeduration": "1000000"},
    "udp": LOW_LATENCY | {"probesize": "500000", "analyzeduration": "1000000", "overrun_nonfatal": "1"},
    "http": {"flags": "low_delay", "probesize": "1000000", "analyzeduration": "2000000"},
}
SAME_AS = {"rtsps": "rtsp", "https": "http"}


class VideoSource(FrameSource):
    """What PyAV opens: containers on disk and on the network.

    A packet that cannot be decoded and a frame with damage in it are counted in ``corrupt`` and left out.

    Args:
        name: what the user typed.
        address: what FFmpeg opens.
        options: timeouts, pace, repeats.
        ffmpeg: FFmpeg's options for the container and the decoder.
    Raises:
        SourceError: it cannot be opened, or holds no video.
        MissingPackageError: PyAV is not installed.
    """

    def __init__(self, name: str, address: str, options: SourceOptions, ffmpeg: dict[str, str]) -> None:
        _refuse_wishes(name, options)
        self.name, self._options = name, options
        self._av, self._pictures = require("av"), FramePictures()
        self._closed, self._reading = threading.Event(), threading.Lock()
        self._container = self._open(address, ffmpeg)
        if not self._container.streams.video:
            self._container.close()
            raise SourceError(f"{name} holds no video", "give one that a player shows a picture of")
        self._stream = self._container.streams.video[0]
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or DEFAULT_FPS)
        self._sequence = self._good = 0

    def close(self) -> None:
        """Ends reading at the next packet; FFmpeg cannot be woken from a read, which ends at the read timeout."""
        self._closed.set()
        if self._reading.acquire(blocking=False):
            try:
                self._container.close()
            finally:
                self._reading.release()

    def __iter__(self) -> Iterator[Frame]:
        try:
            yield from self._frames()
        finally:
            if self._closed.is_set():  # close() came while this thread was reading, and left the rest to it
                with self._reading:
                    self._container.close()

    @abstractmethod
    def _frames(self) -> Iterator[Frame]:
        """The frames, and at the end the error if there is one."""

    @abstractmethod
    def _arrived(self, decoded: Any) -> float | None:
        """A frame has been decoded: when was it captured."""

    def _open(self, address: str, ffmpeg: dict[str, str]) -> Any:
        timeouts = (self._options.open_timeout_s, self._options.read_timeout_s)
        started = time.monotonic()
        try:
            return self._av.open(address, options=ffmpeg, timeout=timeouts, metadata_errors="replace")
        except (self._av.FFmpegError, ValueError) as error:  # ValueError: a name that is no text
            is_late = time.monotonic() - started >= timeouts[0]  # FFmpeg names a timeout by what it was busy with
            why = f"no answer in {timeouts[0]:g} s" if is_late else _words(error)
            raise SourceError(
                f"{self.name} cannot be opened as a video ({why})", "check that it exists and that a player can play it"
            ) from error

    def _demuxed(self) -> Iterator[Any]:
        """Packets, each read while the container may not be closed; none after close()."""
        packets = self._container.demux(self._stream)
        while True:
            with self._reading:
                if self._closed.is_set():
                    return
                packet = next(packets, None)
            if packet is None:
                return
            yield packet

    def _decoded(self, packet: Any) -> list[Any | None]:
        with self._reading:
            return [] if self._closed.is_set() else decoded_frames(packet)

    def _good_frames(self, packet: Any) -> Iterator[Frame]:
        for decoded in self._decoded(packet):
            if decoded is None:
                self.corrupt += 1
                self._sequence += 1
                continue
            picture, form = self._pictures.picture_of(decoded)
            sequence, self._sequence, self._good = self._sequence, self._sequence + 1, self._good + 1
            captured_s = self._arrived(decoded)
            yield Frame(
                picture=picture,
                form=form,
                sequence=sequence,
                arrived_s=time.perf_counter(),
                captured_s=captured_s,
                name=f"{sequence:06d}",
            )


class VideoFile(VideoSource):
    """A video file: as fast as it is taken, or at its own pace; once, several times or for ever."""

    is_live = False

    def __init__(self, name: str, path: Path, options: SourceOptions) -> None:
        super().__init__(name, f"file:{path}", options, {})
        self._path = path
        self._stream.thread_type = "AUTO"  # whole frames at once too: nobody waits for the newest frame of a file
        once = self._stream.frames or None
        self.length = once * options.repeat if once and options.repeat else None
        self._pace = Pace(self._closed.wait)

    def _frames(self) -> Iterator[Frame]:
        played = 0
        while not self._closed.is_set() and (played < self._options.repeat or not self._options.repeat):
            if played:
                self._rewind()
            before, error = self._good, None
            try:
                for packet in self._demuxed():
                    yield from self._good_frames(packet)
            except self._av.FFmpegError as cause:
                error = cause
            if not self._closed.is_set():
                self._check_end(self._good - before, error)
            played += 1

    def _rewind(self) -> None:
        with self._reading:
            if not self._closed.is_set():
                self._container.seek(0)
                self._stream.codec_context.flush_buffers()
                self._pace = Pace(self._closed.wait)

    def _arrived(self, decoded: Any) -> None:
        if self._options.is_paced and decoded.time is not None:
            self._pace.until(decoded.time)

    def _check_end(self, frames: int, error: Exception | None) -> None:
        if frames == 0:
            raise SourceError(
                f"{self.name} holds no frame that can be decoded", "give a video that a player plays"
            ) from error
        if is_cut_short(self._path):
            expected = f" of {self._stream.frames}" if self._stream.frames else ""
            raise SourceError(
                f"{self.name} is cut short: {frames}{expected} frames could be decoded", "copy or record it again"
            ) from error
        if error is not None:
            raise SourceError(
                f"{self.name} cannot be read behind frame {frames} ({_words(error)})", "copy or record it again"
            ) from error


class VideoStream(VideoSource):
    """A stream over the network (rtsp, rtsps, http, https, udp), with as little held back as FFmpeg can.

    Reading begins at a key frame: what comes before it cannot be decoded, and does not count as corrupt.
    """

    is_live, length = True, None

    def __init__(self, name: str, options: SourceOptions) -> None:
        scheme = name.partition("://")[0].lower()
        super().__init__(without_password(name), name, options, STREAM_OPTIONS[SAME_AS.get(scheme, scheme)])
        self._stream.thread_type = "SLICE"  # frames on several threads come one frame a thread later
        self._clock = StreamClock()

    def _frames(self) -> Iterator[Frame]:
        error, is_joined = None, False
        try:
            for packet in self._demuxed():
                is_joined = is_joined or packet.is_keyframe
                if is_joined:
                    yield from self._good_frames(packet)
        except self._av.FFmpegError as cause:
            error = cause
        if not self._closed.is_set():
            raise SourceError(
                f"{self.name} stopped after {self._good} frames ({self._why(error)})", "check the camera or the stream"
            ) from error

    def _why(self, error: Exception | None) -> str:
        if error is None:
            return "the sender closed it"
        if isinstance(error, self._av.error.ExitError):
            return f"nothing came for {self._options.read_timeout_s:g} s"
        return _words(error)

    def _arrived(self, decoded: Any) -> float | None:
        return None if decoded.time is None else self._clock.captured_s(decoded.time, time.perf_counter())


def _words(error: Exception) -> str:
    """FFmpeg's reason without its number and the address."""
    return getattr(error, "strerror", None) or str(error)


def _refuse_wishes(name: str, options: SourceOptions) -> None:
    """What a recorded or sent video cannot be asked for."""
    wished = {"size_wh": options.size_wh, "fps": options.fps, "pixel_format": options.pixel_format}
    asked = [word for word, value in (wished | {"pipeline": options.pipeline}).items() if value is not None]
    if asked:
        raise SourceError(f"{name} comes as it was made: {', '.join(asked)} cannot be asked of it", "leave it out")
