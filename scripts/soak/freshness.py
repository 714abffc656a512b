"""Own the proof that latency does not build up: a source twice as fast as the engine, under every policy."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg import Session
from edgeseg.imaging.postprocess import Mask
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop import LoopOptions, Opening, run_sources
from edgeseg.runtime.sinks import MaskSink
from edgeseg.runtime.sources import FrameSource, SourceOptions
from edgeseg.runtime.sources.synthetic import SyntheticSource

__all__ = ["POLICIES", "Fresh", "freshness"]

PERIOD_S = 0.04  # of the slowed engine: far above what its net takes
BOUND_PERIODS = 2.0
SHARE_S = 2.0  # of the run, at either end, whose median is compared

#: every policy but `all` alone, which keeps each frame and so falls behind
POLICIES: dict[str, LoopOptions] = {
    "latest": LoopOptions(policy="latest"),
    "latest, max_age_s=0.1": LoopOptions(policy="latest", max_age_s=0.1),
    "latest, rate=20": LoopOptions(policy="latest", rate=20),
    "all, max_age_s=0.1": LoopOptions(policy="all", max_age_s=0.1),
}


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """Ages since capture under one policy, medians of the first and the last two seconds."""

    policy: str
    frames: int
    masks: int
    period_ms: float
    start_ms: float
    end_ms: float

    @property
    def is_met(self) -> bool:
        """Whether the end is at most two engine periods above the start."""
        return self.end_ms <= self.start_ms + BOUND_PERIODS * self.period_ms


class Slowed(Session):
    """A real session whose engine takes ``PERIOD_S`` a frame, on a machine of any speed."""

    def __init__(self, engine: Path) -> None:
        super().__init__(engine, depth=1)
        self._begun_s: deque[float] = deque()
        self.periods_s: list[float] = []

    def submit(self, picture: Any, **form: Any) -> None:
        self._begun_s.append(time.perf_counter())
        super().submit(picture, **form)

    def result(self) -> Mask:
        mask, begun_s = super().result(), self._begun_s.popleft()
        time.sleep(max(begun_s + PERIOD_S - time.perf_counter(), 0))
        self.periods_s.append(time.perf_counter() - begun_s)
        return mask


class Unskipping(FrameSource):
    """A camera whose driver keeps every frame: a reader that is late gets all of them, late."""

    name, is_live, length = "twice as fast", True, None

    def __init__(self, seconds: float) -> None:
        self.fps = 2 / PERIOD_S
        self._frames = int(seconds * self.fps)
        self._bars = SyntheticSource("bars", SourceOptions(size_wh=(160, 90)))

    def __iter__(self) -> Iterator[Frame]:
        start_s = time.perf_counter()
        for sequence in range(self._frames):
            due_s = start_s + sequence / self.fps
            time.sleep(max(due_s - time.perf_counter(), 0))
            yield Frame(
                picture=self._bars.picture(sequence), sequence=sequence, arrived_s=time.perf_counter(),
                captured_s=due_s, name=f"{sequence:06d}",
            )  # fmt: skip

    def close(self) -> None:
        """Nothing is open."""


class Ages(MaskSink):
    """When each mask came and how old its frame was."""

    name = "ages"

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def write(self, frame: Frame, mask: Mask) -> None:  # noqa: ARG002
        now = time.perf_counter()
        self.seen.append((now, now - (frame.captured_s or now)))

    def close(self) -> None:
        """Nothing is open."""

    def abandon(self) -> None:
        """Nothing is open."""


def freshness(engine: Path, *, seconds: float) -> list[Fresh]:
    """All policies at once, each with an engine of its own that mostly waits."""
    with ThreadPoolExecutor(len(POLICIES)) as pool:
        return list(pool.map(lambda policy: _fresh(policy, engine, seconds), POLICIES))


def _fresh(policy: str, engine: Path, seconds: float) -> Fresh:
    sessions, ages = [], Ages()

    def opened() -> Session:
        sessions.append(Slowed(engine))
        return sessions[-1]

    opening = Opening(name="fast", is_live=True, open=lambda: Unskipping(seconds))
    seen = run_sources(opened, [opening], [ages], POLICIES[policy])
    first_s, last_s = ages.seen[0][0], ages.seen[-1][0]
    return Fresh(
        policy=policy,
        frames=seen.frames_in,
        masks=seen.masks,
        period_ms=statistics.median(sessions[0].periods_s) * 1e3,
        start_ms=statistics.median(age for at_s, age in ages.seen if at_s <= first_s + SHARE_S) * 1e3,
        end_ms=statistics.median(age for at_s, age in ages.seen if at_s >= last_s - SHARE_S) * 1e3,
    )
