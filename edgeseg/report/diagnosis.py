"""Own the record of a diagnosis, schema 1, and its JSON, HTML and PNG. Measure nothing, draw nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from edgeseg.files import write_atomically
from edgeseg.graph.effects import Diagnosis
from edgeseg.graph.qdq import QuantisedKind
from edgeseg.packages import require
from edgeseg.report import diagnosis_text as text
from edgeseg.report.output import require_packages
from edgeseg.report.page import render
from edgeseg.report.record import Environment, indented_json
from edgeseg.report.text import machine_facts
from edgeseg.runtime.naming import printable

__all__ = ["ENDINGS", "DiagnosisReport", "diagnosis_report", "require_diagnosis_packages", "write_diagnosis"]

ENDINGS = (".json", ".html", ".png")
TEMPLATE = "diagnosis.html.j2"


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


def require_diagnosis_packages(paths: Iterable[Path]) -> None:
    """Import what the forms need, so that a missing package is found before anything is measured.

    Raises:
        MissingPackageError: HTML or PNG without matplotlib, or HTML without jinja2.
    """
    wanted = list(paths)
    require_packages(wanted)
    if any(path.suffix == ".png" for path in wanted):
        require("matplotlib")


def write_diagnosis(report: DiagnosisReport, path: Path) -> None:
    """Write a diagnosis in the form that the path's ending names, atomically.

    Args:
        report: what was found.
        path: ends in one of ``ENDINGS``.
    Raises:
        MissingPackageError: see ``require_diagnosis_packages``.
        OutputError: the file cannot be written.
        ValueError: another ending.
    """
    from edgeseg.report import diagnosis_plot as plot

    if path.suffix == ".json":
        write_atomically(path, indented_json(report))
    elif path.suffix == ".png":
        write_atomically(path, plot.png(report.found))
    elif path.suffix == ".html":
        machine = machine_facts(report.environment)
        write_atomically(path, render(TEMPLATE, report=report, text=text, plot=plot, machine=machine))
    else:
        raise ValueError(f"{path} ends in none of {' '.join(ENDINGS)}")
