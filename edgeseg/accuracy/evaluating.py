"""Own the evaluation of engines side by side: their turns on every frame, and what comes out. Count no pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgeseg.accuracy.results import EngineAccuracy, EngineLatency, Evaluation, FrameScore
from edgeseg.accuracy.scoring import EngineTally, check_label, ignored_label
from edgeseg.accuracy.verdict import TimedEngine, precision_verdicts
from edgeseg.boundaries import LabelBands
from edgeseg.data import LabelledFrame, LabelledSet
from edgeseg.errors import EngineError
from edgeseg.latency import LatencyLog
from edgeseg.metrics import Mask, agreement
from edgeseg.runtime.naming import engine_names, printable
from edgeseg.runtime.session import Session

__all__ = ["evaluate_engines"]


def evaluate_engines(
    engine_paths: Sequence[Path],
    data: LabelledSet,
    *,
    reference: Session | Path | None = None,
    reference_name: str | None = None,
    ignore: int | None = None,
    on_frame: Callable[[int], None] = lambda frames: None,
) -> Evaluation:
    """Run every engine over every labelled frame, frame by frame, so that memory does not grow with the set.

    Engines take turns on each frame, another one first each time; the first frame is run once before, as a warm-up.

    Args:
        engine_paths: at least one.
        data: the labelled frames.
        reference: what ``agreement`` is with; a session stays the caller's. The first engine without it.
        reference_name: how results call it; a path's name without it.
        ignore: label id that does not count; without it what ``data`` says, else what the models say.
        on_frame: told the number of frames done.
    Raises:
        DataError: a label holds an id that is no class, or no frame can be used.
        SpecError, EngineError: an engine does not load or fails, or the engines have other classes than each other.
    """
    names = engine_names(engine_paths)
    with ExitStack() as stack:
        sessions = [stack.enter_context(Session(path, depth=1)) for path in engine_paths]
        if isinstance(reference, Path):
            reference_name = reference_name or reference.name
            reference = stack.enter_context(Session(reference, depth=1))
        called = (reference_name or "the reference") if reference is not None else names[0]
        ignored = _agreed(names, sessions, called, reference, data, ignore)
        tallies = [EngineTally(name, _classes(sessions[0]), ignore=ignored) for name in names]
        turns = _Turns(sessions, reference, tallies)
        for frame in data:
            turns.take(frame, ignore=ignored)
            on_frame(turns.done)
        return _evaluation(engine_paths, turns, called)


def _classes(session: Session) -> int:
    return len(session.spec.model.labels.classes)


def _agreed(
    names: Sequence[str],
    sessions: Sequence[Session],
    reference_name: str,
    reference: Session | None,
    data: LabelledSet,
    ignore: int | None,
) -> int | None:
    """The ignored label, of engines that have one number of classes."""
    rivals = [*zip(names, sessions, strict=True), *([(reference_name, reference)] if reference else [])]
    counts = {name: _classes(session) for name, session in rivals}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise EngineError(f"the engines differ in their number of classes: {listed}", "evaluate engines of one net")
    labels = [session.spec.model.labels for session in sessions]
    ignored = {name: ignored_label(data, one, ignore) for name, one in zip(names, labels, strict=True)}
    if len(set(ignored.values())) > 1:
        listed = ", ".join(f"{name} {one}" for name, one in ignored.items())
        raise EngineError(f"the engines differ in the label that they ignore: {listed}", "say which with --ignore")
    return ignored[names[0]]


@dataclass
class _Turns:
    """Engines in turns on one frame after another."""

    sessions: Sequence[Session]
    reference: Session | None
    tallies: Sequence[EngineTally]
    done: int = 0

    def __post_init__(self) -> None:
        self.agreements = [0.0] * len(self.sessions)

    def take(self, frame: LabelledFrame, *, ignore: int | None) -> None:
        """All engines on one frame, then the counting: it must not come between two that are timed."""
        check_label(frame, _classes(self.sessions[0]), ignore=ignore)
        if not self.done:
            self._warm_up(frame)
        masks: dict[int, Mask] = {}
        for place in range(len(self.sessions)):
            index = (self.done + place) % len(self.sessions)
            masks[index] = self.sessions[index].segment(frame.bgr)
        expected = self.reference.segment(frame.bgr) if self.reference else masks[0]
        bands = LabelBands(frame.label, ignore=ignore)
        for index, tally in enumerate(self.tallies):
            tally.add(frame, bands, masks[index])
            self.agreements[index] += agreement(masks[index], expected)
        self.done += 1

    def _warm_up(self, frame: LabelledFrame) -> None:
        for session in self.sessions:
            session.segment(frame.bgr)
            session.latency.clear()


def _evaluation(paths: Sequence[Path], turns: _Turns, reference: str) -> Evaluation:
    engines = tuple(
        _engine_accuracy(path, session, tally, frames=turns.done, agreement=total / turns.done)
        for path, session, tally, total in zip(paths, turns.sessions, turns.tallies, turns.agreements, strict=True)
    )
    timed = [
        TimedEngine(
            name=one.name,
            precision=one.precision,
            backend=one.backend,
            size_hw=one.size_hw,
            p50_ms=one.latency.engine_p50_ms,
        )
        for one in engines
    ]
    return Evaluation(
        reference=reference,
        labels=turns.sessions[0].spec.model.labels,
        engines=engines,
        verdicts=precision_verdicts(timed),
        pictures=tuple(tally.worst.pictures for tally in turns.tallies),
    )


def _engine_accuracy(
    path: Path, session: Session, tally: EngineTally, *, frames: int, agreement: float
) -> EngineAccuracy:
    spec = session.spec
    return EngineAccuracy(
        engine=printable(path),
        name=tally.name,
        precision=spec.precision.kind,
        backend=spec.backend,
        backend_version=spec.backend_version,
        device=spec.device,
        onnx_sha256=spec.model.onnx_sha256,
        plan_sha256=spec.plan_sha256,
        plan_bytes=spec.plan_bytes,
        size_hw=spec.model.input.size_hw,
        classes=tuple(one.name for one in spec.model.labels.classes),
        frames=frames,
        ignore=tally.matrix.ignore,
        accuracy=tally.matrix.accuracy(),
        boundaries=tally.boundaries.accuracy(),
        confusion=tuple(map(tuple, tally.matrix.counts.tolist())),
        agreement=agreement,
        latency=_latency(session.latency, covers=session.engine_scope),
        worst=tuple(FrameScore(name=one.name, miou=one.miou) for one in tally.worst.pictures),
    )


def _latency(log: LatencyLog, *, covers: str) -> EngineLatency:
    stats = log.stats()
    return EngineLatency(
        engine_p50_ms=stats["engine"].p50_ms,
        total_p50_ms=stats["total"].p50_ms,
        count=stats["engine"].kept,
        engine_covers=covers,
    )
