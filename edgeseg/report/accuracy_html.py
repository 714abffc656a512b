"""Own the HTML form of an accuracy report: one file that needs nothing else. Draw no plot, compute nothing."""

from __future__ import annotations

from pathlib import Path

from edgeseg.accuracy.results import Evaluation
from edgeseg.files import write_atomically
from edgeseg.report import accuracy_pictures as pictures
from edgeseg.report import accuracy_plots as plots
from edgeseg.report import accuracy_text as text
from edgeseg.report.accuracy_record import AccuracyReport
from edgeseg.report.page import render
from edgeseg.report.text import machine_facts, milliseconds

__all__ = ["accuracy_html", "write_accuracy_html"]

TEMPLATE = "accuracy.html.j2"


def write_accuracy_html(report: AccuracyReport, evaluation: Evaluation, path: Path) -> None:
    """Write the HTML form, atomically.

    Raises:
        MissingPackageError: matplotlib or jinja2 is not installed.
        OutputError: the file cannot be written.
    """
    write_atomically(path, accuracy_html(report, evaluation))


def accuracy_html(report: AccuracyReport, evaluation: Evaluation) -> str:
    """The report as one HTML document with inline style, SVG and pictures, no script; names are escaped.

    Args:
        report: the record of the evaluation.
        evaluation: holds the pictures.
    Raises:
        MissingPackageError: matplotlib or jinja2 is not installed.
    """
    labels, ignore = evaluation.labels, report.data.ignore
    shots = [[pictures.shot_of(one, labels, ignore=ignore) for one in worst] for worst in evaluation.pictures]
    shown = [picture for worst in evaluation.pictures for picture in worst]
    return render(
        TEMPLATE,
        report=report,
        text=text,
        plots=plots,
        shots=shots,
        legend=pictures.legend_of(shown, labels),
        milliseconds=milliseconds,
        machine=machine_facts(report.environment),
    )
