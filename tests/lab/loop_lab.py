"""Own fakes around the loop: a clock, sources that misbehave on order, a session without an engine, sinks."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgeseg.errors import EngineError, OutputError, ShapeError
from edgeseg.imaging.formats import FrameForm, planes_of, size_wh_of
from edgeseg.latency import LatencyLog
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop import Opening
from edgeseg.runtime.sinks import MaskSink
from edgeseg.runtime.sources import FrameSource

PIXELS = np.zeros((4, 6, 3), np.uint8)
WAIT_S = 30.0  # for what comes at once where nothing is broken


def frame_at(at_s: float, sequence: int = 0, *, source: int = 0, pixels: np.ndarray = PIXELS, **more: Any) -> Frame:
    name = f"{sequence:06d}"
    return Frame(picture=pixels, sequence=sequence, arrived_s=at_s, name=name, source=source, **more)


def eventually(claim: Callable[[], bool]) -> None:
    """Wait until a claim holds; it fails where that takes unreasonably long."""
    until_s = time.monotonic() + WAIT_S
    while not claim():
        assert time.monotonic() < until_s, "this never came true"
        time.sleep(0.002)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def forward(self, seconds: float) -> None:
        self.now_s += seconds


class Script(FrameSource):
    """A source that plays a list: a frame's pixels, a number of corrupt frames, an error, or an Event to hang on."""

    def __init__(self, parts: Sequence[Any], *, name: str = "script", is_live: bool = False, fps: float = 30.0) -> None:
        self.name, self.is_live, self.fps, self.length = name, is_live, fps, None
        self.corrupt, self.closed = 0, 0
        self._parts = parts

    def __iter__(self) -> Iterator[Frame]:
        for sequence, part in enumerate(self._parts):
            if isinstance(part, threading.Event):
                part.wait(WAIT_S)
            elif isinstance(part, BaseException):
                raise part
            elif isinstance(part, int):
                self.corrupt += part
            else:
                yield frame_at(time.perf_counter(), sequence, pixels=part)

    def close(self) -> None:
        self.closed += 1


def opening(*plays: Any, name: str = "script", is_live: bool = False) -> Opening:
    """Each opening takes the next of ``plays``: a list for ``Script``, a source, or an error to raise."""
    left = deque(plays)

    def play() -> FrameSource:
        part = left.popleft() if len(left) > 1 else left[0]
        if isinstance(part, BaseException):
            raise part
        return part if isinstance(part, FrameSource) else Script(part, name=name, is_live=is_live)

    return Opening(name=name, is_live=is_live, open=play)


class FakeSession:
    """Masks of zeros, in order; refuses empty pictures, fails and waits when told to."""

    def __init__(self, *, depth: int = 1, labels: str = "a b", fails_at: int | None = None, value: int = 0) -> None:
        self.depth, self.latency, self.is_closed = depth, LatencyLog(), False
        self.spec = SimpleNamespace(model=SimpleNamespace(labels=labels))
        self.batches: list[int] = []
        self.warmed: list[tuple[int, ...]] = []
        self.gate: threading.Event | None = None
        self._pending: deque[list[Any]] = deque()
        self._fails_at, self._value = fails_at, value

    def submit(self, picture: Any, *, camera: int = 0, **form: Any) -> None:
        self._start([picture], form, [camera])

    def submit_batch(self, pictures: Sequence[Any], *, cameras: Sequence[int] | None = None, **form: Any) -> None:
        self._start(list(pictures), form, list(range(len(pictures)) if cameras is None else cameras))

    def warm_up(self, pictures: Sequence[Any], **form: Any) -> None:
        self.submit_batch(pictures, **form)
        self.result_batch()
        self.warmed = [picture.shape for picture in pictures]

    def result(self) -> np.ndarray:
        return self._masks()[0]

    def result_batch(self) -> list[Any]:
        return [SimpleNamespace(mask=mask) for mask in self._masks()]

    def close(self) -> None:
        assert not self._pending or self._fails_at is not None, "closed with frames in flight"
        self.is_closed = True

    def _start(self, pictures: list[Any], form: dict[str, Any], cameras: list[int]) -> None:
        pixel_format = FrameForm(**form).pixel_format
        assert not self.is_closed, "used after close"
        if any(isinstance(picture, np.ndarray) and picture.size == 0 for picture in pictures):
            raise ShapeError("the picture is empty", "give one with pixels")
        if len(self._pending) == self.depth:
            raise EngineError("too many in flight")
        self._pending.append([size_wh_of(planes_of(picture, pixel_format))[::-1] for picture in pictures])
        assert len(set(cameras)) == len(cameras) == len(pictures), "two frames of one camera"
        self.batches.append(len(pictures))

    def _masks(self) -> list[np.ndarray]:
        if self.gate is not None:
            self.gate.wait(WAIT_S)
        if self._fails_at is not None and len(self.batches) > self._fails_at:
            raise EngineError("the device fell off the bus", "restart it")
        return [np.full(size_hw, self._value, np.uint8) for size_hw in self._pending.popleft()]


class Keeper(MaskSink):
    """A sink that remembers (source, sequence, value); waits at ``gate`` and fails at the ``fails_at``-th mask."""

    def __init__(self, name: str = "keeper", *, gate: threading.Event | None = None, fails_at: int = -1) -> None:
        self.name, self.gate, self.ended = name, gate, ""
        self.taken: list[tuple[int, int, int]] = []
        self._fails_at = fails_at

    def write(self, frame: Frame, mask: np.ndarray) -> None:
        if self.gate is not None:
            self.gate.wait(WAIT_S)
        if len(self.taken) == self._fails_at:
            raise OutputError(f"{self.name} is full", "empty it")
        self.taken.append((frame.source, frame.sequence, int(mask.flat[0])))

    def close(self) -> None:
        self.ended = "closed"

    def abandon(self) -> None:
        self.ended = "abandoned"
