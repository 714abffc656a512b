"""Own what a source of frames is and what can be asked of one. Read no frame."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from edgeseg.errors import OptionsError
from edgeseg.imaging.formats import PixelFormat
from edgeseg.runtime.frames import Frame

__all__ = ["DEFAULT_FPS", "FrameSource", "SourceOptions", "WakeableSource"]

#: of what does not tell its rate: pictures of a folder, some streams
DEFAULT_FPS = 30.0


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What is asked of a source; what a source cannot give, it refuses.

    Attributes:
        size_wh: width and height of the frames; None takes what the source prefers.
        fps: frames a second; None takes what the source prefers.
        pixel_format: how the frames come; None takes what costs least.
        open_timeout_s: how long opening may take.
        read_timeout_s: how long the next frame of a live source may take.
        is_paced: give a file's frames at its own pace instead of as fast as they are taken.
        repeat: how often a file is played; 0 plays it for ever.
        pipeline: a GStreamer pipeline in place of the camera's own.
    """

    size_wh: tuple[int, int] | None = None
    fps: float | None = None
    pixel_format: PixelFormat | None = None
    open_timeout_s: float = 5.0
    read_timeout_s: float = 5.0
    is_paced: bool = False
    repeat: int = 1
    pipeline: str | None = None

    def __post_init__(self) -> None:
        if self.size_wh is not None and min(self.size_wh) < 1:
            raise OptionsError(f"size is {self.size_wh} (width, height)", "give sides of 1 or more")
        if self.fps is not None and not self.fps > 0:
            raise OptionsError(f"rate is {self.fps} frames a second", "give one above 0")
        if not (self.open_timeout_s > 0 and self.read_timeout_s > 0):
            raise OptionsError(
                f"timeouts are {self.open_timeout_s} s to open, {self.read_timeout_s} s to read", "give them above 0"
            )
        if self.repeat < 0:
            raise OptionsError(f"repeat is {self.repeat}", "give 1 or more, or 0 for ever")


class FrameSource(ABC):
    """Frames in order. ``is_live`` sources go on without a reader; the others wait for it.

    Attributes:
        name: what the user typed.
        is_live: a camera or a stream.
        fps: frames a second, as the source tells it.
        length: how many frames there are, where that is known beforehand.
        corrupt: frames that came and could not be decoded; they are skipped, and their sequence numbers with them.
    """

    name: str
    is_live: bool
    fps: float
    length: int | None
    corrupt: int = 0

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames; raises SourceError where the source ends before its end."""

    @abstractmethod
    def close(self) -> None:
        """Release the device or file; safe to call twice and from another thread.

        Ends a waiting read where the library allows that.
        """

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class WakeableSource(FrameSource):
    """A source whose waiting read another thread can end; the thread that reads then lets go of what is held."""

    def __init__(self) -> None:
        self._closed, self._guard, self._is_reading = threading.Event(), threading.Lock(), False

    @abstractmethod
    def _frames(self) -> Iterator[Frame]:
        """The frames, until ``_closed`` is set."""

    @abstractmethod
    def _wake(self) -> None:
        """End a waiting read."""

    @abstractmethod
    def _release(self) -> None:
        """Let go of the device or file; called once, while nothing reads."""

    def __iter__(self) -> Iterator[Frame]:
        with self._guard:
            if self._closed.is_set():
                return
            self._is_reading = True
        try:
            yield from self._frames()
        finally:
            with self._guard:
                self._is_reading = False
                if self._closed.is_set():
                    self._release()

    def close(self) -> None:
        """Also ends a waiting read at once; the thread that reads then lets go."""
        with self._guard:
            if self._closed.is_set():
                return
            self._closed.set()
            if self._is_reading:
                self._wake()
            else:
                self._release()
