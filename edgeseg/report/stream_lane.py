"""Own one engine in the scope end-to-end: the loop of ``edgeseg run`` on a source, each frame from capture to mask."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import SourceError
from edgeseg.imaging.postprocess import Mask
from edgeseg.latency import LatencyLog
from edgeseg.report.cameras import stream_opening
from edgeseg.report.frames import FrameSet
from edgeseg.report.lanes import PART, Lane, stats_of
from edgeseg.report.record import StreamRecord
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop import LoopOptions, LoopState, run_sources
from edgeseg.runtime.session import Session
from edgeseg.runtime.sinks import MaskSink

__all__ = ["StreamLane"]

SHORTEST_TURN_S = 1.0  # the loop starts and its first frames pass in each
TOTALS = ("total", "arrival-to-mask", "capture-to-mask")  # the log's; ours begin at the capture
NEVER_DROPPED = 100_000  # masks that may wait for the account's sink, which takes them at once


class _Taken(MaskSink):
    """Keeps of every frame that became a mask its number and times."""

    name = "account"

    def __init__(self) -> None:
        self.frames: list[tuple[int, float | None, float]] = []

    def write(self, frame: Frame, mask: Mask) -> None:  # noqa: ARG002
        self.frames.append((frame.sequence, frame.captured_s, frame.arrived_s))

    def close(self) -> None:
        """Nothing is open."""

    def abandon(self) -> None:
        """Nothing is open."""


class _Watched(LoopState):
    """Keeps when every mask was ready, and the samples of the session that made it."""

    def __init__(self) -> None:
        super().__init__()
        self.masked_s: list[float] = []
        self._log = LatencyLog()
        self._parts: list[dict[str, NDArray[np.float64]]] = []
        self._drained = 0

    def use_engine(self, name: str, latency: LatencyLog) -> None:
        self._log = latency
        super().use_engine(name, latency)

    def masked(self, source: int, *, age_ms: float) -> None:
        self.masked_s.append(self.clock())
        super().masked(source, age_ms=age_ms)
        if len(self.masked_s) - self._drained == PART:
            self._drain()

    def stages_ms(self) -> dict[str, NDArray[np.float64]]:
        """Of every stage a sample a mask."""
        if len(self.masked_s) > self._drained:
            self._drain()
        return {stage: np.concatenate([part[stage] for part in self._parts]) for stage in self._parts[0]}

    def _drain(self) -> None:
        """Empty the log before it forgets; samples of frames in flight, which have no mask yet, go back."""
        masks, self._drained = len(self.masked_s) - self._drained, len(self.masked_s)
        samples = {stage: self._log.samples_ms(stage) for stage in self._log.stages() if stage not in TOTALS}
        self._parts.append({stage: values[:masks] for stage, values in samples.items()})
        self._log.clear()
        for stage, values in samples.items():
            for sample_ms in values[masks:]:
                self._log.add(stage, float(sample_ms))


class _Window:
    """Which masks of a turn count, and when there are enough of them."""

    def __init__(
        self, state: _Watched, stop: threading.Event, *, warm_up_s: float, duration_s: float, iterations: int
    ) -> None:
        self._state, self._stop = state, stop
        self._warm_up_s, self._duration_s, self._iterations = warm_up_s, duration_s, iterations
        self.skipped = 0

    def __call__(self, masks: int) -> None:
        newest_s, first_s = self._state.masked_s[-1], self._state.masked_s[0]
        if newest_s - first_s < self._warm_up_s:
            self.skipped = masks
            return
        began_s = self._state.masked_s[self.skipped]
        if masks - self.skipped > self._iterations and newest_s - began_s >= self._duration_s:
            self._stop.set()


class StreamLane(Lane):
    """The loop with its default options and a session of its own, opened anew in each turn.

    At a camera's rate the newest frame is taken and older ones are missed; without a rate the source waits for the
    engine. The first masks of a turn, as long as the warm-up, are left out.

    Args:
        name, session, frames: as the lane's; ``session`` is only asked what it is.
        open_session: opens the same engine for the loop, which closes it.
        camera_hz: frames a second; as fast as they are taken without it.
    """

    scope = "end-to-end"

    def __init__(
        self,
        name: str,
        session: Session,
        frames: FrameSet,
        *,
        open_session: Callable[[], Session],
        camera_hz: float | None,
    ) -> None:
        super().__init__(name, session, frames)
        self._open_session, self._camera_hz = open_session, camera_hz
        self._opening = stream_opening(frames, camera_hz)
        self._warm_up_s = 0.0
        self._begins_at_capture = True
        self._frames_due = self._masks = 0
        self._intervals_ms: list[NDArray[np.float64]] = []

    @property
    def _covers(self) -> str:
        return self._session.engine_scope

    def rounds_of(self, rounds: int, duration_s: float) -> int:
        return max(min(rounds, int(duration_s / SHORTEST_TURN_S)), 1)

    def warm_up(self, duration_ms: float) -> None:
        """Only noted: each turn warms its own session up."""
        self._warm_up_s = duration_ms / 1e3

    def take_turn(self, duration_s: float, iterations: int, *, zero_s: float) -> None:
        state, sink, stop = _Watched(), _Taken(), threading.Event()
        window = _Window(state, stop, warm_up_s=self._warm_up_s, duration_s=duration_s, iterations=iterations)
        options = LoopOptions(queued=1, sink_queued=NEVER_DROPPED, reconnect=False)
        run_sources(self._open_session, [self._opening], [sink], options, state=state, stop=stop, on_mask=window)
        if not stop.is_set():
            raise SourceError(
                f"{self._opening.name} ended after {len(sink.frames)} masks, before the turn's {duration_s:g} s and "
                f"{iterations} iterations",
                "give a source that goes on, or lower --duration-s, --iterations and --warm-up-ms",
            )
        self._keep(state, sink, window.skipped, zero_s)

    def _keep(self, state: _Watched, sink: _Taken, skipped: int, zero_s: float) -> None:
        """The first mask that counts only begins the first interval."""
        masked_s = np.array(state.masked_s)
        kept = slice(skipped + 1, None)
        numbers = [one[0] for one in sink.frames[skipped:]]
        has_capture = all(one[1] is not None for one in sink.frames)
        begins_s = np.array([one[2] if one[1] is None else one[1] for one in sink.frames])
        self._begins_at_capture = self._begins_at_capture and has_capture
        stages = state.stages_ms()
        stages["total"] = (masked_s - begins_s) * 1e3
        self._parts.append({stage: samples[kept] for stage, samples in stages.items()})
        self._started_s += (begins_s[kept] - zero_s).tolist()
        self._round_counts.append(len(numbers) - 1)
        self.turns_s.append((float(masked_s[skipped]), float(masked_s[-1])))
        self._frames_due += numbers[-1] - numbers[0]
        self._masks += len(numbers) - 1
        self._intervals_ms.append(np.diff(masked_s[skipped:]) * 1e3)

    def _stream(self) -> StreamRecord:
        return StreamRecord(
            camera_hz=self._camera_hz,
            begins_at="capture" if self._begins_at_capture else "arrival",
            is_live=self._opening.is_live,
            frames=self._frames_due,
            masks=self._masks,
            missed=self._frames_due - self._masks,
            interval=stats_of(np.concatenate(self._intervals_ms)),
        )
