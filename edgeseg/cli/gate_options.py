"""Own the options that hold a report to its baselines, and the exit code that follows. Decide nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edgeseg.report.likeness import Kind
    from edgeseg.report.record import Report, Settings

__all__ = ["Gate", "allow_different", "gate_of", "gate_options"]

#: those of ``edgeseg.report.likeness.KINDS``, which --help does not wait for; a test holds them equal
KIND_NAMES = ("machine", "scope", "engine")
FAILURE = 1
LIMIT = 0.05


class Share(click.ParamType[float]):
    """``5%``; as a share, 0.05. Without the sign it could mean either."""

    name = "N%"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / 100
        except ValueError:
            share = -1.0
        if not text.endswith("%") or not 0.0 <= share < float("inf"):
            self.fail(f"'{value}' is no percentage of 0 or more; write 5%", param, ctx)
        return share


def allow_different(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--allow-different KIND``, as the argument ``allowed``."""
    return click.option(
        "--allow-different",
        "allowed",
        multiple=True,
        type=click.Choice(KIND_NAMES),
        help="Compare all the same where this differs. May be given several times.",
    )(command)


def gate_options(*, is_required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--baseline``, ``--max-regression``, ``--each-stage`` and ``--allow-different``."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            allow_different,
            click.option("--each-stage", is_flag=True, help="Hold every stage to the limit, not the whole alone."),
            click.option(
                "--max-regression",
                "limit",
                type=Share(),
                help="Exit with 1 where a median is slower by more than this, beyond chance; 5% without it.",
            ),
            click.option(
                "--baseline",
                "baseline_paths",
                multiple=True,
                required=is_required,
                type=click.Path(path_type=Path, dir_okay=False),
                help="Earlier JSON report to be held to. Several tell how far equal runs lie apart.",
            ),
        ):
            command = option(command)
        return command

    return add


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a report is to be held to; without baselines nothing is judged."""

    baselines: Sequence[tuple[str, Report]]
    limit: float
    allowed: Sequence[Kind]
    each_stage: bool

    def refuse_unlike(self, settings: Settings) -> None:
        """Find out before the measuring what can be known then: another machine, other scopes.

        Raises:
            InputError: see ``edgeseg.report.likeness.refuse``.
        """
        from edgeseg.report.environment import read_environment
        from edgeseg.report.likeness import machine_differences, planned_scopes, refuse

        if not self.baselines:
            return
        environment = read_environment()
        for name, old in self.baselines:
            found = machine_differences(environment, settings, old.environment, old.settings)
            refuse([*found, *planned_scopes(settings, old)], self.allowed, against=name)

    def judge(self, report: Report) -> None:
        """Print the check; where a row failed, say it on standard error and end the command with 1.

        Raises:
            InputError: the reports are not alike.
        """
        from rich.console import Console

        from edgeseg.report.gate import check_report
        from edgeseg.report.gate_text import finding, print_check

        if not self.baselines:
            return
        check = check_report(report, self.baselines, limit=self.limit, allowed=self.allowed, each_stage=self.each_stage)
        print_check(check, Console())
        if check.regressions:
            click.echo(f"edgeseg: {finding(check)}", err=True)
            click.get_current_context().exit(FAILURE)


def gate_of(baseline_paths: Sequence[Path], limit: float | None, allowed: Sequence[Kind], *, each_stage: bool) -> Gate:
    """The options' values as a gate, with every baseline read.

    Raises:
        InputError: a baseline is missing, empty or no such report.
        click.UsageError: something is said of baselines, but none is given.
    """
    from edgeseg.report.record import read_report

    if not baseline_paths and (limit is not None or allowed or each_stage):
        words = "--max-regression, --allow-different and --each-stage"
        raise click.UsageError(f"{words} are of a comparison: add --baseline old.json")
    return Gate(
        baselines=[(str(path), read_report(path)) for path in baseline_paths],
        limit=LIMIT if limit is None else limit,
        allowed=allowed,
        each_stage=each_stage,
    )
