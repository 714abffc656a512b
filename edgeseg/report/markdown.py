"""Own the Markdown form of a report, for a pull request or a wiki. Compute nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgeseg.files import write_atomically
from edgeseg.report import profile_text, text
from edgeseg.report.profile_record import Profile
from edgeseg.report.record import SCOPES, Report, Scope

__all__ = ["escaped", "markdown", "table", "write_markdown"]

#: what CommonMark or its tables could take for markup (CommonMark 0.31, section 2.4); ``@`` would notify on GitHub
SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&@])")


def write_markdown(report: Report, path: Path) -> None:
    """Write the Markdown form, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    write_atomically(path, markdown(report))


def markdown(report: Report) -> str:
    """The report as GitHub-flavoured Markdown; every name from outside is escaped."""
    parts = ["# edgeseg benchmark", f"**{escaped(text.headline(report))}**"]
    for scope in SCOPES:
        if report.of_scope(scope):
            parts += _scope(report, scope)
    for profile in report.profiles:
        parts += _profile(profile)
    if report.warnings:
        parts += ["## Warnings", "\n".join(f"- {escaped(warning)}" for warning in report.warnings)]
    parts += ["## Method", escaped(text.method(report.settings)), escaped(text.source_text(report))]
    parts += ["## Engines", *(_facts(facts) for facts in text.engine_facts(report))]
    parts += ["## Machine", _facts(text.machine_facts(report.environment))]
    return "\n\n".join(parts) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain texts, which are escaped; the first column at the left, the others at the right."""
    lines = [_line(list(columns)), _line(["---", *("---:" for _ in columns[1:])])]
    return "\n".join(lines + [_line([escaped(cell) for cell in row]) for row in rows])


def _scope(report: Report, scope: Scope) -> list[str]:
    rows = table(
        ("engine", *text.columns(report, scope)), [(row.engine, *row.cells) for row in text.rows(report, scope)]
    )
    about = text.scope_text(report, scope)
    found = [f"## Scope {scope}", f"{escaped(about)} Milliseconds.", rows]
    ratios = [one for one in report.comparisons if one.scope == scope]
    if ratios:
        found.append(
            "\n".join(
                f"- {escaped(one.engine)}: {text.ratio_text(one.ratio)} as fast as {escaped(one.baseline)} "
                f"({text.range_text(one)}): {text.verdict(one)}"
                for one in ratios
            )
        )
    return found


def _profile(profile: Profile) -> list[str]:
    found = ["## Where the time goes, layer by layer", f"{escaped(profile_text.summary(profile))}."]
    for one in profile_text.tables(profile):
        found += [f"### {escaped(one.title)}", table(one.columns, one.rows)]
    return [*found, "\n".join(f"- {escaped(note)}" for note in profile_text.notes(profile))]


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    lines = [_line(["", ""]), _line(["---", "---"])]
    return "\n".join(lines + [_line([escaped(name), escaped(value)]) for name, value in facts])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def escaped(value: str) -> str:
    """A text in which nothing is markup."""
    return SPECIAL.sub(r"\\\1", value)
