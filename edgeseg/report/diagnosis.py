"""Own the JSON, HTML and PNG of a diagnosis. Measure nothing, draw nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgeseg.files import write_atomically
from edgeseg.packages import require
from edgeseg.report import diagnosis_text as text
from edgeseg.report.diagnosis_record import DiagnosisReport
from edgeseg.report.output import require_packages
from edgeseg.report.page import render
from edgeseg.report.record import indented_json
from edgeseg.report.text import machine_facts

__all__ = ["ENDINGS", "require_diagnosis_packages", "write_diagnosis"]

ENDINGS = (".json", ".html", ".png")
TEMPLATE = "diagnosis.html.j2"


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
