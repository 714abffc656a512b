"""Own one engine in one scope: what an iteration does and what it leaves. Decide no duration and no order."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.latency import LatencyLog, summarise
from edgeseg.report.frames import FrameSet
from edgeseg.report.record import Measurement, Scope, Stage, Stats
from edgeseg.runtime.session import Session

__all__ = ["Lane", "lane_of", "stage_of"]

DECIMALS = 4  # of a millisecond: 0.1 us, about what reading the clock costs
#: samples after which the log is emptied; it keeps the newest 10,000
PART = 5_000


class Lane(ABC):
    """Takes turns with the other lanes and gathers samples. Slot 0 of the session's engine is used throughout.

    Args:
        name: the engine's name in the report.
        session: of depth 1; the caller closes it.
        frames: used in turn.
    """

    scope: Scope

    def __init__(self, name: str, session: Session, frames: FrameSet) -> None:
        self.name, self._session, self._frames = name, session, frames
        self._started_s: list[float] = []
        self._parts: list[dict[str, NDArray[np.float64]]] = []
        self._round_counts: list[int] = []

    @property
    @abstractmethod
    def _covers(self) -> str:
        """What the stage ``engine`` of the samples covers."""

    @property
    @abstractmethod
    def _log(self) -> LatencyLog:
        """Where ``_iterate`` leaves its samples."""

    @abstractmethod
    def _iterate(self, index: int) -> None:
        """One iteration on frame ``index``."""

    def warm_up(self, duration_ms: float) -> None:
        """Iterate for at least ``duration_ms``, at least once, and forget it."""
        end_s, index = time.perf_counter() + duration_ms / 1e3, 0
        while index == 0 or time.perf_counter() < end_s:
            self._iterate(index % len(self._frames.frames))
            index += 1
        self._log.clear()

    def take_turn(self, duration_s: float, iterations: int, *, zero_s: float) -> None:
        """Iterate until both are reached, and keep every sample; one iteration before them is not timed.

        That one brings back the caches and the threads that the lane before has taken.

        Args:
            duration_s: wall time of the turn in seconds.
            iterations: fewest iterations.
            zero_s: the instant on the ``time.perf_counter`` clock from which start times count.
        """
        self.warm_up(0.0)
        begin_s, count = time.perf_counter(), 0
        while (now_s := time.perf_counter()) - begin_s < duration_s or count < iterations:
            self._started_s.append(now_s - zero_s)
            self._iterate(count % len(self._frames.frames))
            count += 1
            if count % PART == 0:
                self._drain()
        if count % PART:
            self._drain()
        self._round_counts.append(count)

    def measurement(self) -> Measurement:
        """All turns together."""
        stages = self._parts[0]
        return Measurement(
            engine=self.name,
            scope=self.scope,
            engine_covers=self._covers,
            stages={stage: stage_of(np.concatenate([part[stage] for part in self._parts])) for stage in stages},
            started_s=tuple(round(one, 6) for one in self._started_s),
            round_counts=tuple(self._round_counts),
        )

    def _drain(self) -> None:
        self._parts.append({stage: self._log.samples_ms(stage) for stage in self._log.stats()})
        self._log.clear()


class _EngineLane(Lane):
    """The engine alone. The input is copied into its buffer before every iteration, outside the time that counts."""

    scope = "engine"

    def __init__(self, name: str, session: Session, frames: FrameSet) -> None:
        super().__init__(name, session, frames)
        preprocessor = Preprocessor(session.spec.model.input)
        self._tensors = [preprocessor.tensor(frame) for frame in frames.frames]
        self._own_log = LatencyLog()

    @property
    def _covers(self) -> str:
        return self._session.engine.scope

    @property
    def _log(self) -> LatencyLog:
        return self._own_log

    def _iterate(self, index: int) -> None:
        engine = self._session.engine
        np.copyto(engine.host_input(0), self._tensors[index])
        self._own_log.add("engine", engine.infer(0))


class _FrameLane(Lane):
    """From a frame to its mask. The mask is written where the last one was, as a loop on a device would."""

    scope = "frame-to-mask"

    def __init__(self, name: str, session: Session, frames: FrameSet) -> None:
        super().__init__(name, session, frames)
        self._mask = np.empty(frames.frames[0].shape[:2], np.uint8)

    @property
    def _covers(self) -> str:
        return self._session.engine_scope

    @property
    def _log(self) -> LatencyLog:
        return self._session.latency

    def _iterate(self, index: int) -> None:
        self._session.segment(self._frames.frames[index], out=self._mask)


def lane_of(scope: Scope, name: str, session: Session, frames: FrameSet) -> Lane:
    """The lane of a scope."""
    kinds: dict[Scope, type[Lane]] = {"engine": _EngineLane, "frame-to-mask": _FrameLane}
    return kinds[scope](name, session, frames)


def stage_of(samples_ms: NDArray[np.float64]) -> Stage:
    """Samples rounded to 0.1 us and the statistics of just those, so that a reader can recompute them.

    Args:
        samples_ms: float64 (n,), milliseconds, in the order they were taken, n >= 1.
    """
    rounded = np.round(samples_ms, DECIMALS)
    statistics = summarise(rounded)
    values = {field: getattr(statistics, field) for field in Stats.__struct_fields__}
    return Stage(samples_ms=tuple(rounded.tolist()), stats=Stats(**values))
