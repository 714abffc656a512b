"""Own one pass source -> session -> sinks: three threads, every frame delivered in order or counted as dropped."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgeseg.errors import SourceError
from edgeseg.imaging.postprocess import Mask
from edgeseg.latency import StageStats
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop.options import Policy
from edgeseg.runtime.queues import HandOver
from edgeseg.runtime.session import Session
from edgeseg.runtime.sinks import MaskSink
from edgeseg.runtime.sources import FrameSource

__all__ = ["LoopStats", "run_loop"]

QUEUED = 4  # frames held before and behind the session: enough to ride out a slow write, little memory
READER_GRACE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class LoopStats:
    """What a loop did. ``arrival-to-mask`` among the stages is the age of a frame when its mask was ready."""

    frames: int
    dropped: int
    seconds: float
    stages: dict[str, StageStats]

    @property
    def frames_per_s(self) -> float:
        """Masks a second of wall time."""
        return self.frames / self.seconds if self.seconds else 0.0


@dataclass
class _Run:
    session: Session
    sinks: Sequence[MaskSink]
    on_mask: Callable[[int], None]
    incoming: HandOver[Frame]
    outgoing: HandOver[tuple[Frame, Mask]] = field(default_factory=lambda: HandOver(capacity=QUEUED))
    flight: deque[Frame] = field(default_factory=deque)
    frames: int = 0
    write_error: BaseException | None = None


def run_loop(
    session: Session,
    source: FrameSource,
    sinks: Sequence[MaskSink],
    *,
    policy: Policy,
    on_mask: Callable[[int], None] = lambda frames: None,
) -> LoopStats:
    """Run until the source ends, is interrupted, or something fails.

    When the source ends, also too early or by Ctrl-C, the sinks are closed and so whole; when writing or the engine
    fails they are abandoned.

    Args:
        session: stays open; its latency log gets the figures.
        source: closed by the thread that reads it.
        sinks: closed or abandoned, as said above.
        policy: ``all`` makes the source wait for the session; ``latest`` keeps the newest frame and counts the rest.
        on_mask: told the number of masks so far.
    Raises:
        SourceError: the source failed or ended before its end.
        OutputError: a sink cannot be written.
    """
    latest = policy == "latest"
    run = _Run(session, sinks, on_mask, HandOver(capacity=1 if latest else QUEUED, drops_oldest=latest))
    threads = [
        threading.Thread(target=_read, args=(source, run.incoming), name="edgeseg-source", daemon=True),
        threading.Thread(target=_write, args=(run,), name="edgeseg-sinks", daemon=True),
    ]
    started_s = time.perf_counter()
    for thread in threads:
        thread.start()
    try:
        _segment_all(run)
    except (SourceError, KeyboardInterrupt):
        _end(run, threads, abandon=False)
        raise
    except BaseException:
        _end(run, threads, abandon=True)
        raise
    _end(run, threads, abandon=False)
    seconds = time.perf_counter() - started_s
    return LoopStats(frames=run.frames, dropped=run.incoming.dropped, seconds=seconds, stages=session.latency.stats())


def _segment_all(run: _Run) -> None:
    try:
        for frame in run.incoming:
            run.session.submit(frame.picture, **vars(frame.form))
            run.flight.append(frame)
            if len(run.flight) == run.session.depth and not _deliver(run):
                return
    except SourceError:  # it comes behind the frames that the source did give
        _deliver_rest(run)
        raise
    _deliver_rest(run)


def _deliver_rest(run: _Run) -> None:
    while run.flight and _deliver(run):
        pass


def _deliver(run: _Run) -> bool:
    """Hand the oldest mask to the sinks; False when they have failed."""
    mask = run.session.result()
    frame = run.flight.popleft()
    run.session.latency.add("arrival-to-mask", (time.perf_counter() - frame.arrived_s) * 1e3)
    run.frames += 1
    run.on_mask(run.frames)
    return run.outgoing.put((frame, mask))


def _end(run: _Run, threads: Sequence[threading.Thread], *, abandon: bool) -> None:
    run.incoming.cancel()
    run.outgoing.finish()
    threads[0].join(timeout=READER_GRACE_S)  # a reader may hang in a device; it holds nothing that must be finished
    threads[1].join()
    for sink in run.sinks:
        if abandon or run.write_error:
            sink.abandon()
        else:
            sink.close()
    if run.write_error and not abandon:
        raise run.write_error


def _read(source: FrameSource, incoming: HandOver[Frame]) -> None:
    try:
        for frame in source:
            if not incoming.put(frame):
                break
    except BaseException as error:  # noqa: BLE001  # handed to the consumer, which raises it
        incoming.finish(error)
    else:
        incoming.finish()
    finally:
        source.close()


def _write(run: _Run) -> None:
    try:
        for frame, mask in run.outgoing:
            for sink in run.sinks:
                sink.write(frame, mask)
    except BaseException as error:  # noqa: BLE001  # kept for the loop, which raises it
        run.write_error = error
        run.outgoing.cancel()
