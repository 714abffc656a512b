"""Own the record of a diagnosis: what was found of which net, on what machine. Find nothing, word nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from edgeseg.graph.effects import Diagnosis
from edgeseg.graph.qdq import QuantisedKind
from edgeseg.report.record import Environment
from edgeseg.runtime.naming import printable

__all__ = ["DiagnosisReport", "diagnosis_report"]


@dataclass(frozen=True, kw_only=True)
class DiagnosisReport:
    """All of one diagnosis. In JSON the keys are the attributes' names, and an infinite ratio is null.

    Attributes:
        created_utc: when it ended.
        net: the ONNX file as given.
        onnx_sha256: of it.
        precision: what each node alone was quantised to.
        data: where the frames came from.
        calibration_data: what the ranges were measured on; null where the file was quantised already.
        environment: the machine.
        found: the figures, worst node first.
    """

    schema: Literal[1] = 1
    created_utc: str
    net: str
    onnx_sha256: str
    precision: QuantisedKind
    data: str
    calibration_data: str | None
    environment: Environment
    found: Diagnosis


def diagnosis_report(
    found: Diagnosis,
    *,
    net: Path,
    onnx_sha256: str,
    precision: QuantisedKind,
    data: Path,
    calibration_data: Path | None,
    environment: Environment,
) -> DiagnosisReport:
    """The record of a diagnosis that has just ended."""
    return DiagnosisReport(
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        net=printable(net),
        onnx_sha256=onnx_sha256,
        precision=precision,
        data=printable(data),
        calibration_data=None if calibration_data is None else printable(calibration_data),
        environment=environment,
        found=found,
    )
