"""Own the measuring of engines: turns, interleaved, and the record of them. Draw and write nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from edgeseg.files import read_file, sha256_of
from edgeseg.imaging.postprocess import Mask
from edgeseg.machine.sampling import MachineSampler
from edgeseg.report.environment import read_environment
from edgeseg.report.findings import compare, warnings_of
from edgeseg.report.frames import FrameSet
from edgeseg.report.lanes import BUFFERS, CopiesLane, EngineLane, FrameLane, Lane
from edgeseg.report.record import EngineRecord, Environment, Measurement, Report, Scope, Settings, SourceRecord
from edgeseg.report.stream_lane import StreamLane
from edgeseg.runtime.naming import engine_names, printable
from edgeseg.runtime.session import DEFAULT_DEPTH, Session
from edgeseg.sidecars import sidecar_path

__all__ = ["run_benchmark"]

#: told before each turn: turns done, turns in all, whose turn it is
OnTurn = Callable[[int, int, str], None]


def run_benchmark(
    engine_paths: Sequence[Path],
    frames: FrameSet,
    settings: Settings,
    *,
    on_turn: OnTurn | None = None,
    root: Path = Path("/"),
) -> Report:
    """Measure engines in alternating turns, so that a noisy machine treats them alike.

    All engines are loaded before the first is timed, so they hold memory together.

    Args:
        engine_paths: one or more; the first is what the others are compared with. The same file twice measures how far
            two equal engines come out apart.
        frames: used in turn, by all engines alike.
        settings: durations, rounds, scopes and threads.
        on_turn: called between turns, outside all timing.
        root: where the ``proc`` and ``sys`` lie that tell of the machine, which is watched during the turns.
    Returns:
        The report, with every sample.
    Raises:
        SpecError, EngineError, MissingPackageError: an engine cannot be loaded or fails.
    """
    environment = read_environment(root)
    names = engine_names(engine_paths)
    with ExitStack() as stack:
        sessions = [stack.enter_context(_session(path, settings)) for path in engine_paths]
        masks = [_first_mask(session, frames) for session in sessions]
        lanes = [
            _lane(scope, name, session, path, frames, settings)
            for scope in settings.scopes
            for name, session, path in zip(names, sessions, engine_paths, strict=True)
        ]
        with MachineSampler(root=root) as sampler:
            _take_turns(lanes, settings, on_turn or _say_nothing)
        engines = [
            _engine_record(name, path, session, changed_pixels=_differing(mask, _first_mask(session, frames)))
            for name, path, session, mask in zip(names, engine_paths, sessions, masks, strict=True)
        ]
        measurements = [replace(lane.measurement(), machine=sampler.window(lane.turns_s)) for lane in lanes]
    return _report(environment, settings, frames, engines, measurements)


def _session(path: Path, settings: Settings, *, depth: int | None = None) -> Session:
    depth = max(BUFFERS, settings.streams) if depth is None else depth
    return Session(path, depth=depth, threads=settings.threads, graphs=settings.uses_graphs)


def _lane(scope: Scope, name: str, session: Session, path: Path, frames: FrameSet, settings: Settings) -> Lane:
    if scope == "end-to-end":
        depth = max(DEFAULT_DEPTH, settings.streams)
        return StreamLane(
            name,
            session,
            frames,
            open_session=lambda: _session(path, settings, depth=depth),
            camera_hz=settings.camera_hz,
        )
    if scope == "frame-to-mask":
        return FrameLane(name, session, frames, streams=settings.streams, batch=settings.batch)
    kind = EngineLane if scope == "engine" else CopiesLane
    return kind(name, session, frames, streams=settings.streams)


def _take_turns(lanes: Sequence[Lane], settings: Settings, on_turn: OnTurn) -> None:
    rounds = [lane.rounds_of(settings.rounds, settings.duration_s) for lane in lanes]
    turns = [(lane, of) for turn in range(max(rounds)) for lane, of in zip(lanes, rounds, strict=True) if turn < of]
    total = len(lanes) + len(turns)
    for index, lane in enumerate(lanes):
        on_turn(index, total, f"warm-up: {lane.name}")
        lane.warm_up(settings.warm_up_ms)
    zero_s = time.perf_counter()
    for done, (lane, of) in enumerate(turns, start=len(lanes)):
        on_turn(done, total, f"{lane.scope}: {lane.name}")
        lane.take_turn(settings.duration_s / of, math.ceil(settings.iterations / of), zero_s=zero_s)
    on_turn(total, total, "done")


def _say_nothing(done: int, total: int, what: str) -> None:
    """The default of ``on_turn``."""


def _first_mask(session: Session, frames: FrameSet) -> Mask:
    mask = session.segment(frames.frames[0])
    session.latency.clear()
    return mask


def _differing(before: Mask, after: Mask) -> int:
    return int(np.count_nonzero(before != after))


def _engine_record(name: str, path: Path, session: Session, *, changed_pixels: int) -> EngineRecord:
    spec = session.spec
    return EngineRecord(
        name=name,
        path=printable(path),
        backend=spec.backend,
        backend_version=spec.backend_version,
        device=spec.device,
        precision=spec.precision.kind,
        size_hw=spec.model.input.size_hw,
        classes=len(spec.model.labels.classes),
        onnx_sha256=spec.model.onnx_sha256,
        plan_sha256=spec.plan_sha256,
        plan_bytes=spec.plan_bytes,
        sidecar_sha256=sha256_of(read_file(sidecar_path(path))),
        changed_pixels=changed_pixels,
    )


def _report(
    environment: Environment,
    settings: Settings,
    frames: FrameSet,
    engines: Sequence[EngineRecord],
    measurements: Sequence[Measurement],
) -> Report:
    return Report(
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        settings=settings,
        source=SourceRecord(name=printable(frames.name), frames=len(frames.frames), size_wh=frames.size_wh),
        environment=environment,
        engines=tuple(engines),
        measurements=tuple(measurements),
        comparisons=compare(measurements),
        warnings=warnings_of(environment, engines, measurements),
    )
