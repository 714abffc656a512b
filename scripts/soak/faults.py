"""Own what goes wrong on order: a camera and sinks that misbehave at random. Drive no loop, judge nothing."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import numpy as np

from edgeseg.errors import OutputError, SourceError
from edgeseg.imaging.formats import FrameForm, Picture
from edgeseg.imaging.postprocess import Mask
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop import Opening
from edgeseg.runtime.sinks import MaskSink
from edgeseg.runtime.sources import FrameSource, SourceOptions
from edgeseg.runtime.sources.synthetic import SyntheticSource

__all__ = ["CAMERA_FAULTS", "FailingSink", "Faults", "FaultyCamera", "Rates", "SlowSink", "faulty_camera"]

#: what a camera does wrong, each by chance
CAMERA_FAULTS = (
    "refuses to open", "hangs in opening", "cable pulled", "hangs in reading", "hangs until closed", "corrupt frame",
    "empty picture", "stale frame", "clock jump", "size change", "format change",
)  # fmt: skip
SIZES_WH = ((160, 90), (160, 120), (96, 64))
FORMATS = ("BGR", "NV12", "YUYV", "GRAY8")
DAY_S = 86400.0


class Faults:
    """How often each fault came; counted from any thread."""

    def __init__(self, *kinds: str) -> None:
        self._lock, self._counts = threading.Lock(), Counter(dict.fromkeys(kinds, 0))

    def came(self, kind: str) -> None:
        """Once more."""
        with self._lock:
            self._counts[kind] += 1

    def counts(self) -> dict[str, int]:
        """Of every kind, those that never came too."""
        with self._lock:
            return dict(self._counts)

    def have_all_come(self) -> bool:
        """Whether each has come at least once."""
        return min(self.counts().values()) > 0


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How likely a camera does each thing, a frame or an opening; how long it hangs and how fast it is.

    A size or format that changes stays until the next change.
    """

    opening_refused: float = 0.2
    opening_hangs: float = 0.1
    pulled: float = 0.002
    hangs: float = 0.0005
    hangs_until_closed: float = 0.0005
    corrupt: float = 0.02
    empty: float = 0.01
    stale: float = 0.02
    clock_jump: float = 0.003
    changes: float = 0.003
    hang_s: float = 4.0
    fps: float = 120.0


class FaultyCamera(FrameSource):
    """Moving bars with everything that can be wrong with a camera.

    Args:
        random: what decides; the camera's own.
        rates: how likely what is.
        faults: told of each.
    """

    name, is_live, length = "faulty camera", True, None

    def __init__(self, random: Random, rates: Rates, faults: Faults) -> None:
        self._random, self._rates, self._faults = random, rates, faults
        self._freed, self.corrupt, self.fps = threading.Event(), 0, rates.fps
        self._choose(SIZES_WH[0], FORMATS[0])

    def __iter__(self) -> Iterator[Frame]:
        sequence, due_s = 0, time.perf_counter()
        while not self._freed.is_set():
            self._misbehave()
            if not self._is("corrupt frame", self._rates.corrupt):
                yield self._frame(sequence)
            else:
                self.corrupt += 1
            sequence += 1
            due_s = max(due_s + 1 / self.fps, time.perf_counter() - 1 / self.fps)
            self._freed.wait(max(due_s - time.perf_counter(), 0))

    def close(self) -> None:
        self._freed.set()

    def _misbehave(self) -> None:
        rates = self._rates
        if self._is("cable pulled", rates.pulled):
            raise SourceError("the cable was pulled", "push it in")
        if self._is("hangs in reading", rates.hangs):
            time.sleep(rates.hang_s)
        if self._is("hangs until closed", rates.hangs_until_closed):
            self._freed.wait(rates.hang_s)
        if self._is("size change", rates.changes):
            self._choose(self._random.choice([one for one in SIZES_WH if one != self._size_wh]), self._format)
        if self._is("format change", rates.changes):
            self._choose(self._size_wh, self._random.choice([one for one in FORMATS if one != self._format]))

    def _frame(self, sequence: int) -> Frame:
        now = time.perf_counter()
        captured_s = now
        if self._is("stale frame", self._rates.stale):
            captured_s -= 1.0
        elif self._is("clock jump", self._rates.clock_jump):
            captured_s += self._random.uniform(-DAY_S, DAY_S)
        is_empty = self._is("empty picture", self._rates.empty)
        return Frame(
            picture=np.zeros((0, 0, 3), np.uint8) if is_empty else _copied(self._bars.picture(sequence)),
            form=FrameForm() if is_empty else self._bars.form,
            sequence=sequence,
            arrived_s=now,
            captured_s=captured_s,
            name=f"{sequence:06d}",
        )

    def _choose(self, size_wh: tuple[int, int], pixel_format: str) -> None:
        self._size_wh, self._format = size_wh, pixel_format
        options = SourceOptions(size_wh=size_wh, pixel_format=pixel_format)  # type: ignore[arg-type]
        self._bars = SyntheticSource("bars", options)

    def _is(self, kind: str, likelihood: float) -> bool:
        return happens(kind, likelihood, self._random, self._faults)


def happens(kind: str, likelihood: float, random: Random, faults: Faults) -> bool:
    """Whether a fault comes now; counted if so."""
    if random.random() >= likelihood:
        return False
    faults.came(kind)
    return True


def faulty_camera(name: str, random: Random, rates: Rates, faults: Faults) -> Opening:
    """One that may refuse to open, or hang in it."""

    def open_camera() -> FaultyCamera:
        if happens("refuses to open", rates.opening_refused, random, faults):
            raise SourceError(f"{name} is not there yet", "wait")
        if happens("hangs in opening", rates.opening_hangs, random, faults):
            time.sleep(rates.hang_s)
        return FaultyCamera(random, rates, faults)

    return Opening(name=name, is_live=True, open=open_camera)


class SlowSink(MaskSink):
    """Takes masks, and now and then so long that its queue overflows."""

    def __init__(self, random: Random, faults: Faults, *, likelihood: float = 0.003, seconds: float = 0.2) -> None:
        self.name, self.taken, self.ended = "slow", 0, ""
        self._random, self._faults, self._likelihood, self._seconds = random, faults, likelihood, seconds

    def write(self, frame: Frame, mask: Mask) -> None:  # noqa: ARG002
        if happens("slow sink", self._likelihood, self._random, self._faults):
            time.sleep(self._seconds)
        self.taken += 1

    def close(self) -> None:
        self.ended = "closed"

    def abandon(self) -> None:
        self.ended = self.ended or "abandoned"


class FailingSink(MaskSink):
    """Takes so many masks and fails at the next, as a disk that is pulled."""

    def __init__(self, takes: int, faults: Faults) -> None:
        self.name, self._left, self._faults = f"fails after {takes}", takes, faults

    def write(self, frame: Frame, mask: Mask) -> None:  # noqa: ARG002
        if self._left == 0:
            self._faults.came("failing sink")
            raise OutputError(f"{self.name} masks", "plug the disk in")
        self._left -= 1

    def close(self) -> None:
        """Nothing is open."""

    def abandon(self) -> None:
        """Nothing is open."""


def _copied(picture: Picture) -> Picture:
    """In memory of its own, as a camera's frame is."""
    copy: Callable[[np.ndarray], np.ndarray] = np.ascontiguousarray
    return tuple(copy(one).copy() for one in picture) if isinstance(picture, tuple) else picture.copy()
