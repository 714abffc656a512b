"""Own the choice of a report file's form by its ending. Each form is a module beside this one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgeseg.packages import require
from edgeseg.report.record import Report, write_json

__all__ = ["ENDINGS", "require_packages", "write_report"]

ENDINGS = (".json", ".html", ".md")


def require_packages(paths: Iterable[Path]) -> None:
    """Import what the forms need, so that a missing package is found before anything is measured.

    Raises:
        MissingPackageError: an HTML report without matplotlib or jinja2.
    """
    if any(path.suffix == ".html" for path in paths):
        require("matplotlib")
        require("jinja2")


def write_report(report: Report, path: Path) -> None:
    """Write a report in the form that the path's ending names, atomically.

    Args:
        report: what was measured.
        path: ends in one of ``ENDINGS``.
    Raises:
        OutputError: the file cannot be written.
        ValueError: another ending.
    """
    if path.suffix == ".json":
        write_json(report, path)
    elif path.suffix == ".html":
        from edgeseg.report.html import write_html

        write_html(report, path)
    elif path.suffix == ".md":
        from edgeseg.report.markdown import write_markdown

        write_markdown(report, path)
    else:
        raise ValueError(f"{path} ends in none of {' '.join(ENDINGS)}")
