"""Own the sources of the scope end-to-end: pictures in memory, files over and over, any source at a camera's pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

from edgeseg.errors import OptionsError
from edgeseg.report.frames import FrameSet
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop import Opening
from edgeseg.runtime.sources import FrameSource, open_source
from edgeseg.runtime.sources.addresses import is_live_address, without_password
from edgeseg.runtime.sources.base import DEFAULT_FPS

__all__ = ["PacedSource", "RepeatedFrames", "RepeatedSource", "stream_opening"]


def stream_opening(frames: FrameSet, camera_hz: float | None) -> Opening:
    """What the loop reads in the scope end-to-end.

    Args:
        frames: where they come from; a single picture and the shipped one are given from memory, all else is opened
            and decoded anew in each turn.
        camera_hz: frames a second; as fast as they are taken without it.
    Raises:
        OptionsError: a live source has a rate of its own.
    """
    address = frames.address
    is_live = address is not None and is_live_address(address)
    if is_live and camera_hz is not None:
        raise OptionsError(
            f"{without_password(address or '')} is live and has its own rate", "leave --camera-hz out, or give a file"
        )

    def source() -> FrameSource:
        if address is None:
            return RepeatedFrames(frames)
        return open_source(address) if is_live else RepeatedSource(lambda: open_source(address))

    def opened() -> FrameSource:
        return source() if camera_hz is None else PacedSource(source(), camera_hz)

    return Opening(name=address or frames.name, is_live=is_live or camera_hz is not None, open=opened)


class RepeatedFrames(FrameSource):
    """Pictures in memory, in turn, as fast as they are taken, for ever."""

    is_live, fps, length = False, DEFAULT_FPS, None

    def __init__(self, frames: FrameSet) -> None:
        self.name, self._frames, self._closed = frames.name, frames.frames, threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        for sequence in count():
            if self._closed.is_set():
                return
            picture = self._frames[sequence % len(self._frames)]
            yield Frame(picture=picture, sequence=sequence, arrived_s=time.perf_counter(), name=f"{sequence:06d}")

    def close(self) -> None:
        self._closed.set()


class RepeatedSource(FrameSource):
    """A source that is opened again where it ends, its frames numbered on; it ends where it gives none.

    Args:
        open_one: opens it; called at once, and again in the thread that reads.
    """

    is_live, length = False, None

    def __init__(self, open_one: Callable[[], FrameSource]) -> None:
        self._open_one, self._source, self._closed = open_one, open_one(), threading.Event()
        self.name, self.fps = self._source.name, self._source.fps

    def __iter__(self) -> Iterator[Frame]:
        number = before = 0
        while not self._closed.is_set():
            for frame in self._source:
                yield replace(frame, sequence=number, name=f"{number:06d}")
                number += 1
            self._source.close()
            if number == before:
                return
            before, self._source = number, self._open_one()
        self._source.close()

    def close(self) -> None:
        self._closed.set()
        self._source.close()


class PacedSource(FrameSource):
    """Another source's frames as a camera takes them: frame ``k`` at ``k / hz`` after the first, by the clock.

    A frame is read ahead of its time, as a camera exposes while nobody waits; its capture is the time it is due. A
    reader that is late by more than a period misses frames: their numbers are left out, as with a camera.

    Args:
        source: read in order, each frame that is given one of its; closed with this one.
        hz: frames a second.
        now: the clock of the frames.
    """

    is_live, length = True, None

    def __init__(self, source: FrameSource, hz: float, *, now: Callable[[], float] = time.perf_counter) -> None:
        self.name, self.fps = source.name, hz
        self._source, self._now, self._closed = source, now, threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        began_s: float | None = None
        number = 0
        for frame in self._source:
            began_s = self._now() if began_s is None else began_s
            number = max(number, int((self._now() - began_s) * self.fps))
            due_s = began_s + number / self.fps
            if self._closed.wait(max(due_s - self._now(), 0.0)):
                return
            yield replace(frame, sequence=number, captured_s=due_s, arrived_s=self._now(), name=f"{number:06d}")
            number += 1

    def close(self) -> None:
        self._closed.set()
        self._source.close()
