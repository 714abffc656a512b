"""Own what a running loop looks like at one instant. Count nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeseg.latency import StageStats

__all__ = ["SinkSnapshot", "SinkStanding", "Snapshot", "SourceSnapshot", "SourceStanding"]

SourceStanding = Literal["waiting", "opening", "running", "ended", "failed"]
SinkStanding = Literal["open", "failed", "closed", "hanging"]


@dataclass(frozen=True, kw_only=True)
class SourceSnapshot:
    """One source. ``frames_in == masks + dropped + stale + corrupt + in_flight``.

    Attributes:
        name: what the user calls it, without a password.
        is_live: opened again after a failure.
        standing: ``waiting`` to be opened (again), ``opening``, ``running``, ``ended`` or ``failed`` for good.
        frames_in: frames that came, those that could not be decoded too.
        masks: became a mask.
        dropped: replaced by a newer one, above the rate, or left over at the end.
        stale: older than ``max_age_s``.
        corrupt: not decodable, or refused by the session.
        in_flight: wait for the session or are in it.
        reconnects: how often it was opened again and opened.
        stalls: how often it was given up because it hung.
        abandoned: threads that hung in its library when it was last given up.
        frame_age_s: since its newest frame came; None before the first.
        mask_age_ms: from the arrival of a frame to its mask, of the newest mask; None before the first.
        error: why it is not running.
    """

    name: str
    is_live: bool
    standing: SourceStanding
    frames_in: int
    masks: int
    dropped: int
    stale: int
    corrupt: int
    in_flight: int
    reconnects: int
    stalls: int
    abandoned: int
    frame_age_s: float | None
    mask_age_ms: float | None
    error: str


@dataclass(frozen=True, kw_only=True)
class SinkSnapshot:
    """One sink: masks ``written``, ``queued`` for it and ``dropped``; ``busy_s`` is how long its present write takes.

    ``standing``: ``open``, ``failed`` (see ``error``; gets nothing any more), ``closed``, ``hanging`` at the end.
    """

    name: str
    standing: SinkStanding
    written: int
    queued: int
    dropped: int
    busy_s: float
    error: str


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A loop at one instant.

    Attributes:
        engine: name of the engine that runs.
        uptime_s: since the loop began.
        sources: in their order.
        sinks: in their order.
        stages: latency of each stage, of the newest 1000 samples of the present engine.
        reloads: engines taken after the first.
        reload_failures: engines refused.
        mask_age_s: since the newest mask of any source; None before the first.
    """

    engine: str
    uptime_s: float
    sources: tuple[SourceSnapshot, ...]
    sinks: tuple[SinkSnapshot, ...]
    stages: dict[str, StageStats]
    reloads: int
    reload_failures: int
    mask_age_s: float | None

    @property
    def frames_in(self) -> int:
        """Frames that came, of all sources."""
        return sum(one.frames_in for one in self.sources)

    @property
    def masks(self) -> int:
        """Masks of all sources."""
        return sum(one.masks for one in self.sources)

    @property
    def dropped(self) -> int:
        """Frames dropped, of all sources."""
        return sum(one.dropped for one in self.sources)

    @property
    def stale(self) -> int:
        """Frames too old, of all sources."""
        return sum(one.stale for one in self.sources)

    @property
    def corrupt(self) -> int:
        """Frames corrupt, of all sources."""
        return sum(one.corrupt for one in self.sources)

    @property
    def reconnects(self) -> int:
        """Reconnections of all sources."""
        return sum(one.reconnects for one in self.sources)
