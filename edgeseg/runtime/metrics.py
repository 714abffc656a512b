"""Own what a loop tells machines: metrics for Prometheus, a health answer, log lines. Serve nothing, count nothing."""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Literal, TextIO

from edgeseg.runtime.loop import Event, Snapshot

__all__ = ["CONTENT_TYPE", "EventLog", "Health", "health_of", "is_healthy", "metrics_text"]

#: of ``metrics_text``, for the HTTP answer
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "summary"]
Sample = tuple[str, Mapping[str, str], float]  # suffix of the name, labels, value


@dataclass(frozen=True)
class _Family:
    """Samples under one name, as the text format 0.0.4 groups them."""

    name: str
    kind: Kind
    help: str
    samples: Iterable[Sample]

    def lines(self) -> Iterable[str]:
        name = f"edgeseg_{self.name}"
        yield f"# HELP {name} {self.help}"
        yield f"# TYPE {name} {self.kind}"
        for suffix, labels, value in self.samples:
            inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
            yield f"{name}{suffix}{{{inner}}} {_number(value)}" if inner else f"{name}{suffix} {_number(value)}"


def metrics_text(snapshot: Snapshot) -> str:
    """A snapshot in Prometheus's text format 0.0.4.

    Sources carry the labels ``source`` (its number, so that two of one name stay apart) and ``name``, sinks likewise.
    ``edgeseg_stage_seconds`` has the quantiles of the newest samples, and sum and count of all, which a reload begins
    anew as a restart does: the mean is ``rate(edgeseg_stage_seconds_sum[1m]) / rate(edgeseg_stage_seconds_count[1m])``.
    """
    families = [*_of_loop(snapshot), *_of_sources(snapshot), *_of_sinks(snapshot), _of_stages(snapshot)]
    return "".join(f"{line}\n" for family in families for line in family.lines())


def _of_loop(seen: Snapshot) -> list[_Family]:
    families = [
        _Family("engine_info", "gauge", "The engine that runs.", [("", {"engine": seen.engine}, 1)]),
        _Family("uptime_seconds", "gauge", "Seconds since the loop began.", [("", {}, seen.uptime_s)]),
        _Family("engine_reloads_total", "counter", "Engines taken after the first.", [("", {}, seen.reloads)]),
        _Family("engine_reload_failures_total", "counter", "Engines refused.", [("", {}, seen.reload_failures)]),
    ]
    if seen.mask_age_s is not None:
        since = [("", dict[str, str](), seen.mask_age_s)]
        families.append(_Family("mask_age_seconds", "gauge", "Seconds since the newest mask.", since))
    return families


def _of_sources(seen: Snapshot) -> list[_Family]:
    labels = [{"source": str(index), "name": one.name} for index, one in enumerate(seen.sources)]

    def family(name: str, kind: Kind, help_text: str, values: Iterable[float | None]) -> _Family:
        pairs = zip(labels, values, strict=True)
        return _Family(name, kind, help_text, [("", label, value) for label, value in pairs if value is not None])

    def counter(name: str, help_text: str, attribute: str) -> _Family:
        return family(name, "counter", help_text, [getattr(one, attribute) for one in seen.sources])

    up = [float(one.standing == "running") for one in seen.sources]
    mask_ages_s = [None if one.mask_age_ms is None else one.mask_age_ms / 1e3 for one in seen.sources]
    return [
        family("source_up", "gauge", "1 while the source is open.", up),
        counter("frames_total", "Frames that came.", "frames_in"),
        counter("masks_total", "Frames that became a mask.", "masks"),
        counter("frames_dropped_total", "Frames dropped by the policy or the rate.", "dropped"),
        counter("frames_stale_total", "Frames skipped because of their age.", "stale"),
        counter("frames_corrupt_total", "Frames that could not be decoded or were refused.", "corrupt"),
        family("frames_in_flight", "gauge", "Frames on their way.", [one.in_flight for one in seen.sources]),
        counter("source_reconnects_total", "Times the source was opened again.", "reconnects"),
        counter("source_stalls_total", "Times the source hung and was given up.", "stalls"),
        family(
            "frame_age_seconds", "gauge", "Seconds since the newest frame.", [one.frame_age_s for one in seen.sources]
        ),
        family("frame_to_mask_seconds", "gauge", "From arrival to mask, of the newest mask.", mask_ages_s),
    ]


def _of_sinks(seen: Snapshot) -> list[_Family]:
    labels = [{"sink": str(index), "name": one.name} for index, one in enumerate(seen.sinks)]

    def family(name: str, kind: Kind, help_text: str, values: Iterable[float]) -> _Family:
        pairs = zip(labels, values, strict=True)
        return _Family(name, kind, help_text, [("", label, value) for label, value in pairs])

    return [
        family("sink_up", "gauge", "1 while the sink takes masks.", [one.standing == "open" for one in seen.sinks]),
        family("sink_written_total", "counter", "Masks written.", [one.written for one in seen.sinks]),
        family("sink_dropped_total", "counter", "Masks the sink lost.", [one.dropped for one in seen.sinks]),
        family("sink_queued", "gauge", "Masks that wait for the sink.", [one.queued for one in seen.sinks]),
        family("sink_busy_seconds", "gauge", "How long the present write takes.", [one.busy_s for one in seen.sinks]),
    ]


def _of_stages(seen: Snapshot) -> _Family:
    samples: list[Sample] = []
    for stage, stats in seen.stages.items():
        for quantile, milliseconds in (("0.5", stats.p50_ms), ("0.95", stats.p95_ms), ("0.99", stats.p99_ms)):
            samples.append(("", {"stage": stage, "quantile": quantile}, milliseconds / 1e3))
        samples.append(("_sum", {"stage": stage}, stats.sum_ms / 1e3))
        samples.append(("_count", {"stage": stage}, stats.count))
    return _Family("stage_seconds", "summary", "Latency of a stage of the loop.", samples)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() else repr(float(value))


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether a loop does its work; ``reasons`` is empty where it does."""

    reasons: tuple[str, ...]

    @property
    def is_healthy(self) -> bool:
        """Frames come and masks leave."""
        return not self.reasons

    def json(self) -> str:
        """``{"is_healthy": ..., "reasons": [...]}``."""
        return json.dumps({"is_healthy": self.is_healthy, **asdict(self)})


def health_of(snapshot: Snapshot, *, bound_s: float) -> Health:
    """Judge a loop: every source that has not ended gives frames, masks leave, sinks take them, each within a bound.

    Args:
        snapshot: as it is now.
        bound_s: how long each may take, also the first frame and the first mask after the start.
    """
    reasons = []
    for source in snapshot.sources:
        age_s = snapshot.uptime_s if source.frame_age_s is None else source.frame_age_s
        if source.standing == "failed" or (source.standing != "ended" and age_s > bound_s):
            why = f" ({source.error})" if source.error else ""
            reasons.append(f"source {source.name} has given no frame for {age_s:.1f} s, it is {source.standing}{why}")
    is_running = any(source.standing != "ended" for source in snapshot.sources)
    mask_age_s = snapshot.uptime_s if snapshot.mask_age_s is None else snapshot.mask_age_s
    if is_running and mask_age_s > bound_s:
        reasons.append(f"no mask for {mask_age_s:.1f} s")
    for sink in snapshot.sinks:
        if sink.standing in ("failed", "hanging"):
            reasons.append(f"sink {sink.name} is {sink.standing} ({sink.error})")
        elif sink.busy_s > bound_s:
            reasons.append(f"sink {sink.name} hangs in a write since {sink.busy_s:.1f} s")
    return Health(reasons=tuple(reasons))


def is_healthy(snapshot: Snapshot, *, bound_s: float) -> bool:
    """As ``health_of``, without the reasons."""
    return health_of(snapshot, bound_s=bound_s).is_healthy


class EventLog:
    """One JSON object a line for each event: ``time`` (UTC, ISO 8601), ``level``, ``event``, and its fields.

    Give its ``write`` to ``LoopState(on_event=...)``. A stream that cannot be written (a closed pipe, a full disk) must
    not end the loop: such lines are counted in ``lost``.

    Args:
        stream: where to; stderr without it.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.lost = 0
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, event: Event) -> None:
        """Write one event; from any thread."""
        stream = self._stream or sys.stderr
        # the time of day is for readers only; nothing in the loop goes by it
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "level": event.level, "event": event.kind, **event.fields})
        with self._lock:
            try:
                stream.write(f"{line}\n")
                stream.flush()
            except (OSError, ValueError):  # ValueError: the stream is closed
                self.lost += 1
