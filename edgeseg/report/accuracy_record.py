"""Own the form of an accuracy report, schema 1, and its JSON. Measure nothing, draw nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from edgeseg.accuracy.results import EngineAccuracy, Evaluation
from edgeseg.accuracy.verdict import Verdict
from edgeseg.data import LabelledSet
from edgeseg.files import write_atomically
from edgeseg.report.record import Environment, indented_json
from edgeseg.runtime.naming import printable

__all__ = ["AccuracyReport", "DataRecord", "SkippedFile", "accuracy_report", "write_accuracy_json"]


@dataclass(frozen=True, kw_only=True)
class SkippedFile:
    """A file that was passed over, and why."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """The labelled frames: where, in which layout and split (null: not split), how many were judged, what was not.

    ``ignore`` is the label id that did not count; null where every id does.
    """

    folder: str
    layout: str
    split: str | None
    frames: int
    ignore: int | None
    skipped: tuple[SkippedFile, ...]


@dataclass(frozen=True, kw_only=True)
class AccuracyReport:
    """All of one evaluation. In JSON the keys are the attributes' names, and NaN is null.

    Attributes:
        created_utc: when it ended.
        data: what was judged on.
        reference: what ``agreement`` is with.
        environment: the machine, before the engines ran.
        engines: ``edgeseg.accuracy.EngineAccuracy`` each, in the order of the command line; shares are from 0 to 1.
        verdicts: ``edgeseg.accuracy.Verdict`` each: whether INT8 or FP8 is worth it here.
    """

    schema: Literal[1] = 1
    created_utc: str
    data: DataRecord
    reference: str
    environment: Environment
    engines: tuple[EngineAccuracy, ...]
    verdicts: tuple[Verdict, ...]


def accuracy_report(evaluation: Evaluation, data: LabelledSet, environment: Environment) -> AccuracyReport:
    """The record of an evaluation that has just ended.

    Args:
        evaluation: what came out.
        data: the set that was iterated over, with what it skipped.
        environment: read before the engines ran.
    """
    return AccuracyReport(
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        data=DataRecord(
            folder=printable(data.folder),
            layout=data.layout,
            split=data.split,
            frames=evaluation[0].frames,
            ignore=evaluation[0].ignore,
            skipped=tuple(
                SkippedFile(file=printable(path), reason=" ".join(printable(reason).split()))
                for path, reason in data.skipped
            ),
        ),
        reference=evaluation.reference,
        environment=environment,
        engines=evaluation.engines,
        verdicts=evaluation.verdicts,
    )


def write_accuracy_json(report: AccuracyReport, path: Path) -> None:
    """Write the JSON form, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    write_atomically(path, indented_json(report))
