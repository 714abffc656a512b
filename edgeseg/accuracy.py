"""Own engines against labels and against each other. Build nothing, print nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeseg.data import LabelledSet
from edgeseg.errors import DataError, ShapeError
from edgeseg.metrics import Accuracy, ConfusionMatrix, agreement
from edgeseg.runtime.session import Session

__all__ = ["EngineAccuracy", "evaluate_engines"]


@dataclass(frozen=True, kw_only=True)
class EngineAccuracy:
    """What one engine's masks are worth on a labelled set, at the frames' own size.

    ``agreement`` is the mean share of pixels equal to those of the first engine; 1.0 for the first itself.
    """

    engine: str
    precision: str
    backend: str
    classes: tuple[str, ...]
    frames: int
    accuracy: Accuracy
    agreement: float


def evaluate_engines(
    engine_paths: Sequence[Path], data: LabelledSet, *, on_frame: Callable[[int], None] = lambda frames: None
) -> list[EngineAccuracy]:
    """Run every engine over every labelled frame, frame by frame, so that memory does not grow with the set.

    Args:
        engine_paths: at least one; the first is the reference of ``agreement``.
        data: the labelled frames.
        on_frame: told the number of frames done.
    Raises:
        DataError: a label holds an id that is no class.
        SpecError, EngineError: an engine does not load.
    """
    sessions = [Session(path, depth=1) for path in engine_paths]
    try:
        return _evaluate(engine_paths, sessions, data, on_frame)
    finally:
        for session in sessions:
            session.close()


def _evaluate(
    paths: Sequence[Path], sessions: Sequence[Session], data: LabelledSet, on_frame: Callable[[int], None]
) -> list[EngineAccuracy]:
    labels = [session.spec.model.labels for session in sessions]
    matrices = [ConfusionMatrix(len(one.classes), ignore=one.ignore) for one in labels]
    agreements = [0.0] * len(sessions)
    for done, frame in enumerate(data, start=1):
        masks = [session.segment(frame.bgr) for session in sessions]
        for index, (matrix, mask) in enumerate(zip(matrices, masks, strict=True)):
            try:
                matrix.add(frame.label, mask)
            except ShapeError as error:
                raise DataError(f"frame {frame.name}: {error.what}", error.hint) from error
            agreements[index] += agreement(mask, masks[0])
        on_frame(done)
    return [
        EngineAccuracy(
            engine=str(path),
            precision=session.spec.precision.kind,
            backend=session.spec.backend,
            classes=tuple(one.name for one in session.spec.model.labels.classes),
            frames=len(data),
            accuracy=matrix.accuracy(),
            agreement=total / len(data),
        )
        for path, session, matrix, total in zip(paths, sessions, matrices, agreements, strict=True)
    ]
