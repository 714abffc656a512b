"""Own the HTML form of a benchmark report: one file that needs nothing else. Draw no plot, compute nothing."""

from __future__ import annotations

from pathlib import Path

from edgeseg.files import write_atomically
from edgeseg.report import plots, profile_plots, profile_text, text
from edgeseg.report.page import render
from edgeseg.report.record import SCOPES, Report

__all__ = ["html", "write_html"]

TEMPLATE = "template.html.j2"


def write_html(report: Report, path: Path) -> None:
    """Write the HTML form, atomically.

    Raises:
        MissingPackageError: matplotlib or jinja2 is not installed.
        OutputError: the file cannot be written.
    """
    write_atomically(path, html(report))


def html(report: Report) -> str:
    """The report as one HTML document with inline style and SVG, no script, nothing loaded; names are escaped.

    Raises:
        MissingPackageError: matplotlib or jinja2 is not installed.
    """
    scopes = [scope for scope in SCOPES if report.of_scope(scope)]
    words = {"text": text, "plots": plots, "profile_text": profile_text, "profile_plots": profile_plots}
    return render(TEMPLATE, report=report, scopes=scopes, **words)
