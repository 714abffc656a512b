"""Own one engine in one scope: what an iteration does and what it leaves. Decide no duration and no order."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import EngineError
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.latency import LatencyLog, summarise
from edgeseg.report.frames import FrameSet
from edgeseg.report.record import Measurement, Scope, Stage, Stats, StreamRecord
from edgeseg.runtime.session import Session

__all__ = ["BUFFERS", "PART", "CopiesLane", "EngineLane", "FrameLane", "Lane", "stage_of", "stats_of"]

DECIMALS = 4  # of a millisecond: 0.1 us, about what reading the clock costs
#: samples after which the log is emptied; it keeps the newest 10,000
PART = 5_000
#: sets of input and output memory that iterations use in turn, as many as 'edgeseg run' has: on a device each has an
#: execution context's memory too
BUFFERS = 2


class Lane(ABC):
    """Takes turns with the other lanes and gathers samples.

    Args:
        name: the engine's name in the report.
        session: the caller closes it.
        frames: used in turn.
    """

    scope: Scope

    def __init__(self, name: str, session: Session, frames: FrameSet) -> None:
        self.name, self._session, self._frames = name, session, frames
        self._started_s: list[float] = []
        self._parts: list[dict[str, NDArray[np.float64]]] = []
        self._round_counts: list[int] = []
        self._batch = 1
        #: when each turn began and ended, on the ``time.perf_counter`` clock
        self.turns_s: list[tuple[float, float]] = []

    @property
    @abstractmethod
    def _covers(self) -> str:
        """What the stage ``engine`` of the samples covers."""

    def rounds_of(self, rounds: int, duration_s: float) -> int:  # noqa: ARG002  # of those that need long turns
        """In how many turns the duration is best split, of so many that are wanted."""
        return rounds

    @abstractmethod
    def warm_up(self, duration_ms: float) -> None:
        """Iterate for at least ``duration_ms``, at least once, and forget it."""

    @abstractmethod
    def take_turn(self, duration_s: float, iterations: int, *, zero_s: float) -> None:
        """Iterate until both are reached, and keep every sample.

        Args:
            duration_s: wall time of the turn in seconds.
            iterations: fewest iterations.
            zero_s: the instant on the ``time.perf_counter`` clock from which start times count.
        """

    def measurement(self) -> Measurement:
        """All turns together."""
        is_on_device = self._session.is_on_device
        return Measurement(
            engine=self.name,
            scope=self.scope,
            engine_covers=self._covers,
            stages={stage: stage_of(np.concatenate([part[stage] for part in self._parts])) for stage in self._parts[0]},
            started_s=tuple(round(one, 6) for one in self._started_s),
            round_counts=tuple(self._round_counts),
            round_s=tuple(round(end - begin, 6) for begin, end in self.turns_s),
            clock="cuda-events" if is_on_device else "monotonic",
            buffers=self._session.depth,
            batch=self._batch,
            graph=self._graph,
            host_wait="auto" if is_on_device else "blocking",
            has_transfers=self.scope == "engine+copies" or (is_on_device and self.scope != "engine"),
            stream=self._stream(),
        )

    @property
    def _graph(self) -> str:
        return self._session.graph_state if self._session.is_on_device else ""

    def _stream(self) -> StreamRecord | None:
        return None


class _IteratingLane(Lane):
    """A lane whose iterations this process starts one by one, with ``streams`` of them in flight."""

    def __init__(self, name: str, session: Session, frames: FrameSet, *, streams: int) -> None:
        super().__init__(name, session, frames)
        self._streams = streams
        self._flight: deque[int] = deque()

    @property
    @abstractmethod
    def _log(self) -> LatencyLog:
        """Where ``_end`` leaves its samples."""

    @abstractmethod
    def _begin(self, index: int) -> None:
        """Start iteration ``index``."""

    @abstractmethod
    def _end(self, index: int) -> None:
        """Wait for iteration ``index``, the oldest that was started."""

    def warm_up(self, duration_ms: float) -> None:
        end_s, index = time.perf_counter() + duration_ms / 1e3, 0
        while index == 0 or time.perf_counter() < end_s:
            self._iterate(index, zero_s=0.0)
            index += 1
        self._finish()
        self._log.clear()
        self._started_s = self._started_s[: sum(self._round_counts)]

    def take_turn(self, duration_s: float, iterations: int, *, zero_s: float) -> None:
        """As the lane's; one iteration before it is not timed.

        That one brings back the caches and the threads that the lane before has taken.
        """
        self.warm_up(0.0)
        begin_s, count = time.perf_counter(), 0
        while time.perf_counter() - begin_s < duration_s or count < iterations:
            self._iterate(count, zero_s=zero_s)
            count += 1
            if count % PART == 0:
                self._finish()
                self._drain()
        self._finish()
        self.turns_s.append((begin_s, time.perf_counter()))
        self._drain()
        self._round_counts.append(count)

    def _iterate(self, index: int, *, zero_s: float) -> None:
        self._started_s.append(time.perf_counter() - zero_s)
        self._begin(index)
        self._flight.append(index)
        if len(self._flight) == self._streams:
            self._end(self._flight.popleft())

    def _finish(self) -> None:
        while self._flight:
            self._end(self._flight.popleft())

    def _drain(self) -> None:
        stages = self._log.stages()
        if stages:
            self._parts.append({stage: self._log.samples_ms(stage) for stage in stages})
            self._log.clear()


class EngineLane(_IteratingLane):
    """The engine alone, on inputs that lie in its buffers since before the first turn."""

    scope: Scope = "engine"

    def __init__(self, name: str, session: Session, frames: FrameSet, *, streams: int = 1) -> None:
        super().__init__(name, session, frames, streams=streams)
        self._own_log = LatencyLog()
        self._tensors = _tensors(session, frames)

    @property
    def _covers(self) -> str:
        return "engine"

    @property
    def _log(self) -> LatencyLog:
        return self._own_log

    @property
    def _graph(self) -> str:
        return "off: the engine is enqueued plainly" if self._session.is_on_device else ""

    def warm_up(self, duration_ms: float) -> None:
        for slot in range(self._session.depth):  # another lane of this session has used the buffers since
            self._session.engine.host_input(slot)[...] = self._tensors[slot % len(self._tensors)]
        super().warm_up(duration_ms)

    def _begin(self, index: int) -> None:
        begin_s = time.perf_counter()
        self._session.engine.start(index % self._session.depth)
        self._own_log.add("enqueue", (time.perf_counter() - begin_s) * 1e3)

    def _end(self, index: int) -> None:
        slot = index % self._session.depth
        self._session.engine.wait(slot)
        self._own_log.add("engine", self._session.engine.stages_ms(slot)["engine"])


class CopiesLane(EngineLane):
    """The engine with the tensor's copy in and the logits' copy out: on a device H2D and D2H of page-locked memory."""

    scope = "engine+copies"

    def __init__(self, name: str, session: Session, frames: FrameSet, *, streams: int = 1) -> None:
        super().__init__(name, session, frames, streams=streams)
        self._logits: NDArray[Any] = np.empty_like(session.engine.host_output(0))
        self._copied_ms = [0.0] * session.depth

    def _begin(self, index: int) -> None:
        if not self._session.is_on_device:
            self._copy_in(index)
        super()._begin(index)

    def _copy_in(self, index: int) -> None:
        slot, begin_s = index % self._session.depth, time.perf_counter()
        np.copyto(self._session.engine.host_input(slot), self._tensors[index % len(self._tensors)])
        self._copied_ms[slot] = (time.perf_counter() - begin_s) * 1e3

    def _end(self, index: int) -> None:
        slot = index % self._session.depth
        self._session.engine.wait(slot)
        stages = self._session.engine.stages_ms(slot)
        if not self._session.is_on_device:
            begin_s = time.perf_counter()
            np.copyto(self._logits, self._session.engine.host_output(slot))
            out_ms = (time.perf_counter() - begin_s) * 1e3
            stages = {"copy-in": self._copied_ms[slot], "engine": stages["engine"], "copy-out": out_ms}
        for stage, took_ms in stages.items():
            self._own_log.add(stage, took_ms)
        self._own_log.add("total", sum(stages.values()))


class FrameLane(_IteratingLane):
    """From a frame to its mask. Masks are written where the last ones were, as a loop on a device would.

    Args:
        batch: frames in one run of the engine.
    Raises:
        EngineError: the engine does not take as many at once.
    """

    scope = "frame-to-mask"

    def __init__(self, name: str, session: Session, frames: FrameSet, *, streams: int = 1, batch: int = 1) -> None:
        super().__init__(name, session, frames, streams=streams)
        if batch > session.batch_limit:
            raise EngineError(
                f"{name} takes {session.batch_limit} frame(s) at once, asked for is a batch of {batch}",
                "build it with a profile for the batch (TensorRT), or leave --batch out",
            )
        self._batch = batch
        self._masks: list[NDArray[np.uint8] | None] = [
            np.empty(frames.frames[0].shape[:2], np.uint8) for _ in range(batch)
        ]

    @property
    def _covers(self) -> str:
        return self._session.engine_scope

    @property
    def _log(self) -> LatencyLog:
        return self._session.latency

    def _begin(self, index: int) -> None:
        first, frames = index * self._batch, self._frames.frames
        self._session.submit_batch([frames[number % len(frames)] for number in range(first, first + self._batch)])

    def _end(self, index: int) -> None:  # noqa: ARG002  # the session keeps their order
        self._session.result_batch(outs=self._masks)


def _tensors(session: Session, frames: FrameSet) -> list[NDArray[Any]]:
    """Of as many frames as there are buffers."""
    preprocessor = Preprocessor(session.spec.model.input)
    return [preprocessor.tensor(frame) for frame in frames.frames[: session.depth]]


def stage_of(samples_ms: NDArray[np.float64]) -> Stage:
    """Samples rounded to 0.1 us and the statistics of just those, so that a reader can recompute them.

    Args:
        samples_ms: float64 (n,), milliseconds, in the order they were taken, n >= 1.
    """
    rounded = np.round(samples_ms, DECIMALS)
    return Stage(samples_ms=tuple(rounded.tolist()), stats=stats_of(rounded))


def stats_of(samples_ms: NDArray[np.float64]) -> Stats:
    """The statistics of samples, float64 (n,), milliseconds, n >= 1."""
    statistics = summarise(samples_ms)
    return Stats(**{field: getattr(statistics, field) for field in Stats.__struct_fields__})
