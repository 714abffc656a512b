"""Own the accounts of a running loop: every frame, source, sink and event. Drive nothing, write nowhere."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from edgeseg.latency import LatencyLog
from edgeseg.runtime.loop.snapshot import SinkSnapshot, SinkStanding, Snapshot, SourceSnapshot, SourceStanding
from edgeseg.runtime.sources.addresses import without_password

__all__ = ["Ending", "Event", "Level", "LoopState"]

Ending = Literal["masks", "dropped", "stale", "corrupt"]
Level = Literal["info", "warning", "error"]
KEPT_EVENTS = 100
NEWEST = 1000  # samples a stage that a snapshot describes: 30 s of a camera, sorted in some 20 us


@dataclass(frozen=True, kw_only=True)
class Event:
    """One change of the loop's state; ``at_s`` on the loop's clock."""

    kind: str
    level: Level
    at_s: float
    fields: dict[str, str | int | float | bool | None]


@dataclass
class _Source:
    name: str
    is_live: bool
    standing: SourceStanding = "waiting"
    frames_in: int = 0
    in_flight: int = 0
    endings: dict[Ending, int] = field(default_factory=lambda: {"masks": 0, "dropped": 0, "stale": 0, "corrupt": 0})
    opened: int = 0
    stalls: int = 0
    abandoned: int = 0
    arrived_s: float | None = None
    mask_age_ms: float | None = None
    error: str = ""


@dataclass
class _Sink:
    name: str
    standing: SinkStanding = "open"
    written: int = 0
    dropped: int = 0
    error: str = ""
    since_s: float | None = None
    queued: Callable[[], int] = lambda: 0


class LoopState:
    """What a loop has done so far. Every method may be called from any thread.

    For each source, at every instant: frames in = masks + dropped + stale + corrupt + in flight.

    Args:
        clock: seconds that only go forward; never the time of day.
        on_event: told of every event, in the thread where it happens; must return soon and not raise.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.perf_counter,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.clock = clock
        self._on_event = on_event
        self._lock = threading.Lock()
        self._began_s = clock()
        self._engine, self._latency = "", LatencyLog()
        self._sources: list[_Source] = []
        self._sinks: list[_Sink] = []
        self._events: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._emitted = 0
        self._reloads = self._reload_failures = 0
        self._mask_s: float | None = None

    def begin(self, sources: Sequence[tuple[str, bool]], sinks: Sequence[str]) -> None:
        """Start the accounts: names of sources, each with whether it is live, and of sinks."""
        with self._lock:
            self._began_s = self.clock()
            self._sources = [_Source(without_password(name), is_live) for name, is_live in sources]
            self._sinks = [_Sink(without_password(name)) for name in sinks]

    def use_engine(self, name: str, latency: LatencyLog) -> None:
        """Name the engine that runs from now on, and the log that it fills."""
        with self._lock:
            self._engine, self._latency = name, latency

    def emit(self, kind: str, level: Level = "info", **fields: str | int | float | bool | None) -> None:
        """Keep an event and tell the listener; a password in an address is taken out."""
        shown = {name: without_password(value) if isinstance(value, str) else value for name, value in fields.items()}
        event = Event(kind=kind, level=level, at_s=self.clock(), fields=shown)
        with self._lock:
            self._events.append(event)
            self._emitted += 1
        self._on_event(event)

    @property
    def emitted(self) -> int:
        """How many events there have been."""
        return self._emitted

    def arrived(self, source: int) -> None:
        """A frame came."""
        with self._lock:
            one = self._sources[source]
            one.frames_in += 1
            one.in_flight += 1
            one.arrived_s = self.clock()

    def left(self, source: int, ending: Ending) -> None:
        """A frame that came has ended so."""
        with self._lock:
            one = self._sources[source]
            one.in_flight -= 1
            one.endings[ending] += 1

    def masked(self, source: int, *, age_ms: float) -> None:
        """A frame that came became a mask, so many milliseconds after its arrival."""
        with self._lock:
            one = self._sources[source]
            one.in_flight -= 1
            one.endings["masks"] += 1
            one.mask_age_ms = age_ms
            self._mask_s = self.clock()

    def undecodable(self, source: int, frames: int) -> None:
        """Frames came that the source could not decode."""
        with self._lock:
            self._sources[source].frames_in += frames
            self._sources[source].endings["corrupt"] += frames

    def source_is(self, source: int, standing: SourceStanding, *, error: str = "") -> None:
        """A source changed its standing."""
        with self._lock:
            one = self._sources[source]
            one.standing, one.error = standing, without_password(error)
            one.opened += standing == "running"

    def stalled(self, source: int, *, abandoned: int) -> None:
        """A source was given up; so many of its threads hang in its library."""
        with self._lock:
            self._sources[source].stalls += 1
            self._sources[source].abandoned = abandoned

    def watch_sink(self, sink: int, queued: Callable[[], int]) -> None:
        """Ask ``queued`` for the length of a sink's queue from now on."""
        with self._lock:
            self._sinks[sink].queued = queued

    def writing(self, sink: int) -> None:
        """A sink begins with a mask."""
        with self._lock:
            self._sinks[sink].since_s = self.clock()

    def written(self, sink: int) -> None:
        """A sink has taken the mask."""
        with self._lock:
            self._sinks[sink].since_s = None
            self._sinks[sink].written += 1

    def unwritten(self, sink: int, masks: int) -> None:
        """A sink has lost so many masks."""
        with self._lock:
            self._sinks[sink].dropped += masks

    def sink_is(self, sink: int, standing: SinkStanding, *, error: str = "") -> None:
        """A sink changed its standing."""
        with self._lock:
            one = self._sinks[sink]
            one.standing, one.error, one.since_s = standing, without_password(error), None

    def reloaded(self, *, is_taken: bool) -> None:
        """A new engine was taken, or refused."""
        with self._lock:
            self._reloads += is_taken
            self._reload_failures += not is_taken

    def events(self) -> tuple[Event, ...]:
        """The newest events, oldest first."""
        with self._lock:
            return tuple(self._events)

    def snapshot(self) -> Snapshot:
        """Everything at one instant; takes well under a millisecond and holds up no frame meanwhile."""
        with self._lock:
            now = self.clock()
            latency = self._latency
            taken = Snapshot(
                engine=self._engine,
                uptime_s=now - self._began_s,
                sources=tuple(_source_at(one, now) for one in self._sources),
                sinks=tuple(_sink_at(one, now) for one in self._sinks),
                stages={},
                reloads=self._reloads,
                reload_failures=self._reload_failures,
                mask_age_s=None if self._mask_s is None else now - self._mask_s,
            )
        return replace(taken, stages=latency.stats(newest=NEWEST))


def _source_at(one: _Source, now: float) -> SourceSnapshot:
    return SourceSnapshot(
        name=one.name,
        is_live=one.is_live,
        standing=one.standing,
        frames_in=one.frames_in,
        **one.endings,
        in_flight=one.in_flight,
        reconnects=max(one.opened - 1, 0),
        stalls=one.stalls,
        abandoned=one.abandoned,
        frame_age_s=None if one.arrived_s is None else now - one.arrived_s,
        mask_age_ms=one.mask_age_ms,
        error=one.error,
    )


def _sink_at(one: _Sink, now: float) -> SinkSnapshot:
    return SinkSnapshot(
        name=one.name,
        standing=one.standing,
        written=one.written,
        queued=one.queued(),
        dropped=one.dropped,
        busy_s=0.0 if one.since_s is None else now - one.since_s,
        error=one.error,
    )
